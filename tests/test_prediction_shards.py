"""An inference by several processes: which image is whose, and what is made of their parts."""

import json
import os
import re

import numpy as np
import PIL.Image
import pytest
from fake_model import PixelModel

from deeplab import inference_run
from deeplab.errors import InputError
from deeplab.options import EngineOptions, InferenceOptions, ModelOptions, PredictionOptions
from deeplab.prediction.trained_network import TrainedNetwork

_NUM_IMAGES = 12


@pytest.fixture(autouse=True)
def _work(tmp_path, monkeypatch):
  """Images in photos/, the last of which is none, and a network that needs no time."""
  monkeypatch.chdir(tmp_path)
  os.mkdir('photos')
  rng = np.random.default_rng(0)
  for index in range(_NUM_IMAGES):
    pixels = rng.integers(0, 256, [5, 7, 3], np.uint8)
    PIL.Image.fromarray(pixels).save(f'photos/{index}.png')
  with open('photos/bad.png', 'w') as file:
    file.write('text')
  with open('model.index', 'w') as file:
    file.write('check sums')
  model = PixelModel()

  def load(ckpt_path, *args, **settings):
    return TrainedNetwork(model, model.options, ckpt_path, ('a', 'b', 'c'), notes=())

  monkeypatch.setattr(inference_run.given_network, 'load', load)


def _run(output_path='out', *, batch_size=1, **inference):
  return inference_run.run(
    ModelOptions(),
    PredictionOptions(batch_size=batch_size),
    InferenceOptions(
      **{'input': ['photos'], 'ckpt_path': 'model', 'output_path': output_path, **inference}
    ),
    EngineOptions(),
  )


def _predictions(directory):
  """Name -> bytes of the files in it."""
  names = [name for name in os.listdir(directory) if name != 'shards']
  return {name: open(os.path.join(directory, name), 'rb').read() for name in names}


def _merge(count, **inference):
  return _run(num_shards=count, merge_shards=True, **inference)


def test_shards_in_any_order_write_what_one_process_writes(capsys):
  whole = _run('whole', output_type=['ids', 'color'])
  counts = []
  for index in (2, 0, 3, 1):
    summary = _run(num_shards=4, shard_index=index, output_type=['ids', 'color'])
    counts.append(summary.num_predicted + summary.num_bad)
  assert sum(counts) == _NUM_IMAGES + 1 and max(counts) < _NUM_IMAGES
  assert _predictions('out') == _predictions('whole')
  capsys.readouterr()
  merged = _merge(4, output_type=['ids', 'color'])
  assert (merged.num_predicted, merged.num_bad) == (whole.num_predicted, whole.num_bad) == (12, 1)
  out, err = capsys.readouterr()
  assert out == (
    '4 shards: 12 images predicted, 1 could not be; summary written to out/summary.json\n'
  )
  assert err == 'warning: photos/bad.png: is not an image (4 bytes); remove it from the inputs\n'
  with open('out/summary.json') as file:
    assert json.load(file) == {
      'num_shards': 4,
      'checkpoint': os.path.abspath('model'),
      'num_predicted': 12,
      'num_bad': 1,
      'problems': [
        {
          'input': 'photos/bad.png',
          'problem': 'photos/bad.png: is not an image (4 bytes); remove it from the inputs',
        }
      ],
    }


def test_a_shard_goes_on_where_it_was_interrupted(capsys):
  for index in range(2):
    _run(num_shards=2, shard_index=index)
  os.remove('out/3.png.png')
  with pytest.raises(InputError, match='photos/3.png has no prediction; run shard') as raised:
    _merge(2)
  index = int(re.search(r'run shard (\d) again', str(raised.value)).group(1))
  capsys.readouterr()
  assert _run(num_shards=2, shard_index=index, skip_existing=True, batch_size=2).num_predicted == 1
  assert _run(num_shards=2, shard_index=1 - index, skip_existing=True).num_predicted == 0
  assert 'images have predictions already' in capsys.readouterr().out
  assert _merge(2).num_predicted == 12


def test_images_that_come_meanwhile_are_named():
  for index in range(3):
    _run(num_shards=3, shard_index=index)
  os.rename('photos/0.png', 'photos/new.png')
  with pytest.raises(InputError, match='photos/new.png is in no shard: it came later; run shard'):
    _merge(3)


def test_more_shards_than_images():
  os.mkdir('few')
  os.rename('photos/0.png', 'few/0.png')
  counts = [_run(num_shards=4, shard_index=i, input=['few']).num_predicted for i in range(4)]
  assert sorted(counts) == [0, 0, 0, 1]
  assert _merge(4, input=['few']).num_predicted == 1


def test_contact_sheets_of_shards_have_names_of_their_own():
  for index in range(2):
    _run(num_shards=2, shard_index=index, output_type=['contact_sheet'])
  assert sorted(_predictions('out')) == [
    'contact_sheet-00000-of-00002-001.png',
    'contact_sheet-00001-of-00002-001.png',
  ]
  assert _merge(2, output_type=['contact_sheet']).num_predicted == 12


def test_inputs_that_are_no_images_are_the_first_shards(capsys):
  asked = dict(input=['photos', 'absent.jpg'])
  bad = [_run(num_shards=2, shard_index=index, **asked).num_bad for index in range(2)]
  assert sum(bad) == 2
  capsys.readouterr()
  assert _merge(2, **asked).num_bad == 2
  assert capsys.readouterr().err.count('absent.jpg: no such file') == 1


def test_missing_and_other_parts_are_named():
  _run(num_shards=3, shard_index=1)
  with pytest.raises(InputError, match='shards 0, 2 of 3 are missing in out/shards; run them'):
    _merge(3)
  with pytest.raises(InputError, match=r'missing in out/shards \(there are shards of --num_sh'):
    _merge(4)
  for index in (0, 2):
    _run(num_shards=3, shard_index=index, colormap='ade20k')
  with pytest.raises(InputError) as raised:
    _merge(3)
  assert str(raised.value) == (
    '--merge_shards: shard 0 of 3 was made with --colormap=ade20k, the merge has no --colormap; '
    'run the shards that differ again, alike'
  )
  _run(num_shards=3, shard_index=0)
  with open('model.index', 'w') as file:
    file.write('others')  # A training went on.
  _run(num_shards=3, shard_index=2)
  with pytest.raises(InputError, match='shard 2 of 3 was made with other values in the check'):
    _merge(3)
  with open('out/shards/00001-of-00003.json', 'w') as file:
    file.write('{"settings": 3}')
  with pytest.raises(InputError, match='00001-of-00003.json: not the part of a shard'):
    _merge(3)


def test_a_shard_that_fails_leaves_no_part(monkeypatch):
  _run(num_shards=2, shard_index=0)
  os.mkdir('out/shards/00001-of-00002.json.d')  # What is no part does not matter.

  def fail(*args, **settings):
    raise InputError('no space')

  monkeypatch.setattr(inference_run.prediction_files.PredictionWriter, 'write', fail)
  with pytest.raises(InputError, match='no space'):
    _run(num_shards=2, shard_index=0)
  assert not os.path.exists('out/shards/00000-of-00002.json')


@pytest.mark.parametrize(
  'flags,words',
  [
    (dict(num_shards=0, shard_index=0), '--num_shards=0: must be at least 1'),
    (dict(num_shards=4, shard_index=4), '--shard_index=4: must be 0 to 3 with --num_shards=4; sha'),
    (dict(num_shards=4, shard_index=-1), '--shard_index=-1: must be at least 0'),
    (dict(num_shards=4), '--num_shards=4: give --shard_index too, 0 to 3; or, when all shards'),
    (dict(shard_index=2), '--shard_index=2: give --num_shards too'),
    (dict(merge_shards=True), '--merge_shards: give --num_shards too'),
    (dict(num_shards=2, shard_index=0, merge_shards=True), 'does not go with --shard_index=0'),
  ],
)
def test_flags_that_say_no_shard(flags, words):
  with pytest.raises(InputError, match=re.escape(words)):
    _run(**flags)
