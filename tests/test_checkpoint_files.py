"""Which checkpoint of a directory is taken, what is said of it, and --best."""

import pytest

from deeplab import checkpoint_files
from deeplab.errors import InputError
from deeplab.options import EvaluationOptions


def make(directory, *names):
  for name in names:
    for suffix in ('.data-00000-of-00001', '.index'):
      (directory / (name + suffix)).touch()


def test_which_one_is_said_and_that_there_is_a_better_one(tmp_path):
  make(tmp_path, 'model.ckpt', 'model.ckpt-5')
  path = str(tmp_path)
  prefix = checkpoint_files.find_given(path)
  assert checkpoint_files.chosen_notes(path, prefix) == [f'checkpoint: {path}/model.ckpt']
  make(tmp_path, 'best.ckpt')
  assert checkpoint_files.chosen_notes(path, prefix) == [
    f'checkpoint: {path}/model.ckpt (best.ckpt, the best in validation, is there too: --best '
    'takes it)'
  ]
  best = checkpoint_files.find_given(path, best=True)
  assert best == f'{path}/best.ckpt'
  assert checkpoint_files.chosen_notes(path, best) == [f'checkpoint: {path}/best.ckpt']
  assert checkpoint_files.chosen_notes(prefix, prefix) == []


def test_best_needs_a_directory_that_has_it(tmp_path):
  make(tmp_path, 'model.ckpt')
  with pytest.raises(InputError, match=r'holds no best\.ckpt.*checkpoints there: model\.ckpt$'):
    checkpoint_files.find_given(str(tmp_path), best=True)
  with pytest.raises(InputError, match='--best needs the directory of a training'):
    checkpoint_files.find_given(str(tmp_path / 'model.ckpt'), best=True)
  with pytest.raises(InputError, match='--best: means one checkpoint'):
    EvaluationOptions(filenames=('val',), ckpt_path='model', best=True, watch=True)


def test_a_device_is_no_checkpoint():
  with pytest.raises(
    InputError, match='^--load_ckpt_path=/dev/zero: is no checkpoint, but a device'
  ):
    checkpoint_files.find_given('/dev/zero', flag='load_ckpt_path')
