"""The loop with a tiny network: exact continuation, what is saved when, and what stops it."""

import json
import os
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tiny_model

from deeplab import checkpoints
from deeplab import trainer as trainer_module
from deeplab.errors import InputError
from deeplab.losses import SegmentationLoss
from deeplab.options import LossOptions, RunOptions, TrainingOptions
from deeplab.trainer import DeepLabV3Trainer
from deeplab.training.guards import Overflows
from deeplab.training.run_directory import RunDirectory
from deeplab.training.training_log import TrainingLog
from deeplab.training.validation import Interrupted


class Stop:
  """A StopSignals that is requested after a number of looks."""

  def __init__(self, looks=None):
    self._looks = looks

  @property
  def requested(self):
    if self._looks is None:
      return None
    self._looks -= 1
    return 'SIGTERM' if self._looks < 0 else None


def train(
  path, data, *, num_steps=6, stop_after=None, resume=False, validation=None, run=(), **options
):
  """Trains a tiny model in directory `path`; returns (outcome, trainer)."""
  training_options = TrainingOptions(
    **{'num_steps': num_steps, 'init_learning_rate': 0.2, **options}
  )
  trainer = DeepLabV3Trainer(
    tiny_model.TinyModel(), training_options, loss=SegmentationLoss(LossOptions(), 255), seed=7
  )
  directory = RunDirectory(str(path))
  directory.create()
  if resume:
    trainer.restore(directory.newest_checkpoint()[0][0])
  run_options = RunOptions(
    output_path=str(path), **{'log_per_steps': 2, 'persist_per_steps': 2, **dict(run)}
  )
  with TrainingLog(
    str(path),
    metrics_name='metrics.jsonl',
    log_per_steps=run_options.log_per_steps,
    num_steps=training_options.num_steps,
    start_step=trainer.global_step,
  ) as log:
    outcome = trainer.train(
      data[trainer.global_step * training_options.accumulate_steps :],
      run=directory,
      log=log,
      run_options=run_options,
      stop=Stop(stop_after),
      validation=validation and validation(trainer, directory, log),
    )
  return outcome, trainer


def names(path):
  return sorted(name[: -len('.index')] for name in os.listdir(path) if name.endswith('.index'))


@pytest.mark.parametrize(
  'options',
  [
    {},
    {'optimizer': 'adam', 'ema_decay': 0.9, 'clip_gradient_norm': 1.0},
    {'accumulate_steps': 2, 'learning_policy': 'cosine'},
    {'boundaries': (2, 4), 'rates': (0.1, 0.05)},
  ],
  ids=['momentum', 'adam', 'accumulate', 'manual'],
)
def test_3_and_3_steps_equal_6(tmp_path, options):
  data = tiny_model.batches(12)
  _, whole = train(tmp_path / 'whole', data, **options)
  outcome, first = train(tmp_path / 'parts', data, stop_after=3, **options)
  assert (outcome, first.global_step) == ('stopped', 3)
  assert names(tmp_path / 'parts') == ['model.ckpt-2', 'model.ckpt-3']
  outcome, second = train(tmp_path / 'parts', data, resume=True, **options)
  assert (outcome, second.global_step) == ('finished', 6)
  whole, parts = (
    checkpoints.Reader(str(tmp_path / part / 'model.ckpt')) for part in ('whole', 'parts')
  )
  assert whole.shapes == parts.shapes
  for name in whole.shapes:
    np.testing.assert_array_equal(whole.get(name), parts.get(name), err_msg=name)


def test_exactly_num_steps_updates_and_what_is_saved(tmp_path, capsys):
  outcome, trainer = train(tmp_path, tiny_model.batches(10), num_steps=5)
  assert (outcome, trainer.global_step) == ('finished', 5)
  assert names(tmp_path) == ['model.ckpt', 'model.ckpt-2', 'model.ckpt-4']
  reader = checkpoints.Reader(str(tmp_path / 'model.ckpt'))
  assert reader.global_step == 5 and reader.get('global_step').dtype == np.int64
  expected = set(trainer.variables) | {'global_step'}
  assert set(reader.shapes) == expected
  assert 'logits/semantic/weights/Momentum' in expected
  assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / 'model.ckpt')
  lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('step: ')]
  logged = [json.loads(line) for line in open(tmp_path / 'metrics.jsonl', encoding='utf-8')]
  assert lines == ['step: %d, loss: %f' % (line['step'], line['loss']) for line in logged]
  assert [line['step'] for line in logged] == [2, 4]


def test_logged_loss_is_the_mean_since_the_last_line(tmp_path):
  data = tiny_model.batches(4)
  train(tmp_path / 'each', data, num_steps=4, run={'log_per_steps': 1})
  train(tmp_path / 'pairs', data, num_steps=4)
  each, pairs = (
    [json.loads(line)['loss'] for line in open(tmp_path / part / 'metrics.jsonl', encoding='utf-8')]
    for part in ('each', 'pairs')
  )
  np.testing.assert_allclose(pairs, [(each[0] + each[1]) / 2, (each[2] + each[3]) / 2], rtol=1e-6)


class FreshBatches:
  """Batches that nobody else holds; `most_alive` is the most of them that were in memory when
  another one was asked for.
  """

  def __init__(self):
    self.most_alive, self._made = 0, []

  def __getitem__(self, _):
    return self._draw()

  def _draw(self):
    for seed in range(100):
      (batch,) = tiny_model.batches(1, seed=seed)
      self._made.append(weakref.ref(batch['images']))
      yield batch
      del batch
      self.most_alive = max(self.most_alive, sum(made() is not None for made in self._made))


@pytest.mark.parametrize('accumulate_steps', [1, 3])
def test_a_log_line_far_away_holds_no_batches(tmp_path, accumulate_steps):
  data = FreshBatches()
  train(
    tmp_path,
    data,
    num_steps=10,
    accumulate_steps=accumulate_steps,
    run={'log_per_steps': 100, 'persist_per_steps': 4},
  )
  # Those of the last update while the next are drawn.
  assert data.most_alive <= 2 * accumulate_steps


def test_only_the_newest_are_kept(tmp_path):
  train(
    tmp_path, tiny_model.batches(7), num_steps=7, run={'persist_per_steps': 1, 'max_to_keep': 2}
  )
  assert names(tmp_path) == ['model.ckpt', 'model.ckpt-6', 'model.ckpt-7']


def test_0_keeps_all(tmp_path):
  train(
    tmp_path, tiny_model.batches(7), num_steps=7, run={'persist_per_steps': 1, 'max_to_keep': 0}
  )
  assert len(names(tmp_path)) == 8


def test_a_loss_that_is_not_finite_stops_and_saves_nothing(tmp_path):
  data = tiny_model.batches(6)
  data[2]['images'] = tf.fill(data[2]['images'].shape, np.float32(np.nan))
  with pytest.raises(
    InputError,
    match=r'step 3: the loss is nan .*at learning rate 0\.\d+; labels from 0 to 2; '
    r'records: record2-0, record2-1, record2-2, record2-3',
  ):
    train(tmp_path, data)
  assert names(tmp_path) == ['model.ckpt-2']
  reader = checkpoints.Reader(str(tmp_path / 'model.ckpt-2'))
  assert all(np.isfinite(reader.get(name)).all() for name in reader.shapes)


def test_variables_that_a_finite_loss_broke_are_not_saved(tmp_path, monkeypatch):
  # No flag allows such a rate.
  monkeypatch.setattr(trainer_module, 'learning_rate', lambda *_: 3e38)
  with pytest.raises(InputError, match='step 1: variable logits/semantic/.* is no longer finite'):
    train(
      tmp_path,
      tiny_model.batches(2),
      last_layer_gradient_multiplier=1e4,
      num_steps=1,
    )
  assert names(tmp_path) == []


def test_a_label_out_of_range_stops_and_names_the_records(tmp_path):
  data = tiny_model.batches(6)
  data[3]['labels'] = tf.tensor_scatter_nd_update(data[3]['labels'], [[0, 0, 0]], [9])
  with pytest.raises(
    InputError,
    match=r'step 4: 1 pixels .* --num_classes=3 nor --ignore_label=255; labels from 0 to 9; '
    r'records: record3-0',
  ):
    train(tmp_path, data)
  assert names(tmp_path) == ['model.ckpt-2']


@pytest.mark.parametrize(
  'error, words',
  [
    (tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating'), 'out of memory'),
    (
      tf.errors.InternalError(None, None, 'cuDNN: CUDNN_STATUS_INTERNAL_ERROR'),
      r'the GPU failed \(CUDNN_STATUS_INTERNAL_ERROR\), mostly for want of memory,',
    ),
  ],
)
def test_out_of_memory_says_what_to_do(error, words, monkeypatch):
  trainer = DeepLabV3Trainer(
    tiny_model.TinyModel(), TrainingOptions(), loss=SegmentationLoss(LossOptions(), 255)
  )

  def exhausted(*_, **__):
    raise error

  monkeypatch.setattr(trainer._step, 'start', exhausted)
  with pytest.raises(
    InputError,
    match=words + ' at step 1: .*--batch_size.*--crop_size_height.*--output_stride=32',
  ):
    trainer.update(tiny_model.batches(1))


class Overflowing(tiny_model.TinyModel):
  """Its loss is finite, its gradient is not: as in float16."""

  def predict_low_resolution(self, images, **settings):
    @tf.custom_gradient
    def overflow(logits):
      return logits, lambda upstream: upstream * np.float32(np.inf)

    return overflow(super().predict_low_resolution(images, **settings))


def test_gradients_that_overflow_whatever_the_scale_stop_the_run():
  (batch,) = tiny_model.batches(1)
  trainer = DeepLabV3Trainer(
    Overflowing(),
    TrainingOptions(num_steps=100),
    loss=SegmentationLoss(LossOptions(), 255),
    scale_loss=True,
  )
  before = tiny_model.snapshot(trainer._model.trainable)
  for _ in range(49):
    result, _ = trainer.update([batch])
    assert result.overflowed
  with pytest.raises(
    InputError, match='step 50: the float16 gradient overflowed in the last 50 .*=bfloat16'
  ):
    trainer.update([batch])
  assert trainer.global_step == 50  # It was started.
  assert trainer.variables['loss_scale'].numpy() == 1.0
  for name, value in tiny_model.snapshot(trainer._model.trainable).items():
    np.testing.assert_array_equal(value, before[name])


def test_overflows_with_updates_between_do_not():
  overflows = Overflows()
  for step in range(1, 200):
    overflows.follow(SimpleNamespace(overflowed=step % 50 != 0), step=step)


def test_a_vanished_directory_is_an_error(tmp_path):
  data = tiny_model.batches(6)
  path = tmp_path / 'run'

  def vanishing():
    for index, batch in enumerate(data):
      if index == 3:
        os.rename(path, tmp_path / 'gone')
      yield batch

  class Data:
    def __getitem__(self, _):
      return vanishing()

  with pytest.raises(InputError, match='run: has vanished; the checkpoint of step 4'):
    train(path, Data())
  assert names(tmp_path / 'gone') == ['model.ckpt-2']


def test_averaged_weights_are_saved_as_weights(tmp_path):
  _, trainer = train(tmp_path, tiny_model.batches(6), ema_decay=0.5)
  averaged = checkpoints.Reader(str(tmp_path / 'model_ema.ckpt'))
  final = checkpoints.Reader(str(tmp_path / 'model.ckpt'))
  name = 'logits/semantic/weights'
  np.testing.assert_array_equal(averaged.get(name), final.get(name + '/ExponentialMovingAverage'))
  assert not np.array_equal(averaged.get(name), final.get(name))
  assert set(averaged.shapes) == {*tiny_model.TinyModel().named_variables, 'global_step'}


class FakeValidation:
  """Validates every 2 steps with given scores."""

  def __init__(self, log, patience):
    self.log, self.patience, self.seen = log, patience, []

  def is_due(self, step):
    return step % 2 == 0 and step not in self.seen

  def validate(self, step, *, stop):
    self.seen.append(step)

  def is_out_of_patience(self):
    return len(self.seen) >= self.patience


def test_steps_before_a_validation_that_fails_are_saved(tmp_path):
  class Failing(FakeValidation):
    def validate(self, step, *, stop):
      raise InputError('val.tfrecord: bad')

  with pytest.raises(InputError, match='^val.tfrecord: bad$'):
    train(
      tmp_path,
      tiny_model.batches(10),
      num_steps=10,
      run={'persist_per_steps': 100},
      validation=lambda trainer, directory, log: Failing(log, 2),
    )
  assert names(tmp_path) == ['model.ckpt-2']


def test_patience_ends_the_run(tmp_path):
  outcome, trainer = train(
    tmp_path,
    tiny_model.batches(10),
    num_steps=10,
    validation=lambda trainer, directory, log: FakeValidation(log, 2),
  )
  assert (outcome, trainer.global_step) == ('out of patience', 4)
  assert names(tmp_path) == ['model.ckpt', 'model.ckpt-2', 'model.ckpt-4']
  outcome, trainer = train(
    tmp_path,
    tiny_model.batches(10),
    num_steps=10,
    resume=True,
    validation=lambda trainer, directory, log: FakeValidation(log, 0),
  )
  # Continuing does not train past the end of patience.
  assert (outcome, trainer.global_step) == ('out of patience', 4)


def test_a_run_stopped_in_its_last_validation_goes_on_with_it(tmp_path):
  made = []

  class InterruptedAtStep6(FakeValidation):
    def validate(self, step, *, stop):
      if step == 6 and len(made) == 1:
        raise Interrupted
      super().validate(step, stop=stop)

  def make(trainer, directory, log):
    made.append(InterruptedAtStep6(log, 9))
    return made[-1]

  outcome, trainer = train(tmp_path, tiny_model.batches(6), validation=make)
  assert (outcome, trainer.global_step) == ('stopped', 6)
  assert names(tmp_path) == ['model.ckpt-2', 'model.ckpt-4', 'model.ckpt-6']
  outcome, trainer = train(tmp_path, tiny_model.batches(6), validation=make, resume=True)
  assert (outcome, trainer.global_step, made[-1].seen) == ('finished', 6, [6])
  assert 'model.ckpt' in names(tmp_path)
