"""Prediction on several devices, and what goes on at the same time."""

import json
import os
import pathlib
import threading

import numpy as np
import PIL.Image
import pytest
import trained_work
from fake_model import PixelModel

from deeplab.errors import InputError
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.model import mobilenet_v2
from deeplab.options import EngineOptions
from deeplab.prediction import prediction_devices
from deeplab.prediction.device_predictors import DevicePredictors
from deeplab.prediction.trained_network import TrainedNetwork

# Needs a process of its own: devices are made before TensorFlow computes anything.
_ONE_AND_TWO = """
import json, sys
from deeplab import inference_run
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.model import mobilenet_v2
from deeplab.options import EngineOptions, InferenceOptions, ModelOptions, PredictionOptions

mobilenet_v2.BLOCKS = {blocks}
used, start = [], DeepLabV3Inferencer.start

def count(self, images):
  outcome = start(self, images)
  used.append((self._device, self._model.named_variables['logits/semantic/weights'].device))
  return outcome

DeepLabV3Inferencer.start = count

def run(output_path, **flags):
  return inference_run.run(
    ModelOptions(),
    PredictionOptions(batch_size=2),
    InferenceOptions(
      input=['many'],
      ckpt_path='model',
      output_path=output_path,
      output_type=['ids', 'probabilities'],
      **flags
    ),
    EngineOptions(),
  ).num_predicted

run('two', num_devices=2)  # First, since it makes the devices.
of_two = used.copy()
used.clear()
run('one', num_devices=1)
print(json.dumps(dict(two=of_two, one=used)), file=sys.stderr)
"""


def _files(directory):
  return {path.name: path.read_bytes() for path in pathlib.Path(directory).iterdir()}


def test_two_devices_write_the_bytes_of_one(tmp_path, short_networks, command_processes):
  trained_work.make(tmp_path)
  rng = np.random.default_rng(0)
  os.mkdir(tmp_path / 'many')
  for index in range(12):
    pixels = rng.integers(0, 256, [20 + index % 2, 30, 3], np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / 'many' / f'{index}.png')
  (tmp_path / 'run.py').write_text(_ONE_AND_TWO.format(blocks=mobilenet_v2.BLOCKS))
  done = command_processes.run([tmp_path / 'run.py'], directory=tmp_path)
  assert done.returncode == 0, done.stderr
  used = json.loads(done.stderr.splitlines()[-1])
  assert {device for device, _ in used['two']} == {'/device:CPU:0', '/device:CPU:1'}
  assert all(variable.endswith(device) for device, variable in used['two'])
  assert len(used['two']) == len(used['one']) == 6
  one, two = _files(tmp_path / 'one'), _files(tmp_path / 'two')
  assert len(one) == 24 and one == two
  assert b'predicting on 2 devices: /device:CPU:0, /device:CPU:1' in done.stdout


class _Controlled(DeepLabV3Inferencer):
  """Notes what happens; `release` lets the computing of a batch end."""

  def __init__(self, events):
    super().__init__(PixelModel())
    self.events, self.release = events, threading.Semaphore(0)

  def start(self, images):
    self.release.acquire(timeout=10)
    self.events.append(f'computed {len(images)}')
    return super().start(images)


def _batches(count, events):
  for index in range(count):
    events.append(f'read {index}')
    yield [np.full([4, 5, 3], index, np.uint8)]


def test_the_next_batch_is_read_and_begun_before_the_last_is_taken():
  events = []
  inferencer = _Controlled(events)
  outcomes = DevicePredictors([inferencer]).outcomes(_batches(4, events), lambda batch: batch)
  batch, outcome = next(outcomes)
  assert events == ['read 0', 'read 1']  # The second waits for the device.
  inferencer.release.release(4)
  assert outcome()[0].labels.shape == (4, 5)
  taken = [batch[0][0, 0, 0]] + [batch[0][0, 0, 0] for batch, outcome in outcomes if outcome()]
  assert taken == [0, 1, 2, 3]  # In order.
  assert events.count('computed 1') == 4


def test_large_images_are_one_at_a_time():
  for settings in (dict(one_at_a_time=True), dict(most_bytes=10)):
    events = []
    inferencer = _Controlled(events)
    inferencer.release.release(3)
    outcomes = DevicePredictors([inferencer]).outcomes(
      _batches(3, events), lambda batch: batch, **settings
    )
    for _, outcome in outcomes:
      outcome()
      events.append('taken')
    assert events == [
      event for index in range(3) for event in (f'read {index}', 'computed 1', 'taken')
    ]


def test_devices_share_the_batches():
  events = []
  inferencers = [_Controlled(events), _Controlled(events)]
  inferencers[0].release.release(10)  # The other is slow.
  outcomes = DevicePredictors(inferencers).outcomes(_batches(6, events), lambda batch: batch)
  next(outcomes)[1]()
  inferencers[1].release.release(10)
  assert len([outcome() for _, outcome in outcomes]) == 5
  assert sum(inferencer.num_traces for inferencer in inferencers) == 2


def test_an_error_of_a_device_is_its_batchs():
  class Failing(DeepLabV3Inferencer):
    def start(self, images):
      if images[0][0, 0, 0] == 1:
        raise MemoryError
      return super().start(images)

  outcomes = DevicePredictors([Failing(PixelModel())]).outcomes(_batches(3, []), lambda one: one)
  failed = []
  for batch, outcome in outcomes:
    try:
      outcome()
    except MemoryError:
      failed.append(batch[0][0, 0, 0])
  assert failed == [1]


def test_more_devices_than_there_are():
  model = PixelModel()
  network = TrainedNetwork(model, model.options, 'model', ('a', 'b', 'c'), notes=())
  many = len(prediction_devices.names()) + 1
  with pytest.raises(InputError, match=f'--num_devices={many}: there (is|are) '):
    prediction_devices.models(network, EngineOptions(), num_devices=many)
  assert prediction_devices.models(network, EngineOptions(), num_devices=1) == [(model, None)]
