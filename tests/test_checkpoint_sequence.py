import os

import pytest

from deeplab.errors import InputError
from deeplab.evaluation.checkpoint_sequence import checkpoint_sequence


def _make(directory, *names):
  for name in names:
    for suffix in ('.data-00000-of-00001', '.index'):
      temporary = directory / 'new'
      temporary.touch()
      os.replace(temporary, directory / (name + suffix))


def _names(sequence):
  return [os.path.basename(prefix) for prefix in sequence]


def test_one(tmp_path):
  _make(tmp_path, 'model.ckpt-10', 'model.ckpt-9')
  assert _names(checkpoint_sequence(str(tmp_path / 'model.ckpt-9'))) == ['model.ckpt-9']
  assert _names(checkpoint_sequence(str(tmp_path))) == ['model.ckpt-10']


def test_all_by_step(tmp_path):
  _make(tmp_path, 'model.ckpt-10', 'model.ckpt', 'model.ckpt-9')
  assert _names(checkpoint_sequence(str(tmp_path), all_checkpoints=True)) == [
    'model.ckpt-9',
    'model.ckpt-10',
    'model.ckpt',
  ]


def test_need_a_directory(tmp_path):
  _make(tmp_path, 'model.ckpt-9')
  with pytest.raises(InputError, match='need the directory'):
    list(checkpoint_sequence(str(tmp_path / 'model.ckpt-9'), all_checkpoints=True))
  (tmp_path / 'empty').mkdir()
  with pytest.raises(InputError, match='holds no checkpoint'):
    list(checkpoint_sequence(str(tmp_path / 'empty'), all_checkpoints=True))


def test_watch_sees_new_and_rewritten_ones_until_none_comes(tmp_path):
  _make(tmp_path, 'model.ckpt-1', 'model.ckpt')
  waits = []

  def wait(seconds):
    waits.append(seconds)
    if len(waits) == 2:
      _make(tmp_path, 'model.ckpt-2')
    if len(waits) == 3:
      _make(tmp_path, 'model.ckpt')

  lines = []
  found = _names(
    checkpoint_sequence(str(tmp_path), watch=True, timeout=20, wait=wait, say=lines.append)
  )
  assert found == ['model.ckpt', 'model.ckpt-2', 'model.ckpt']
  assert len(waits) == 3 + 4 and waits[0] == 5
  assert 'waiting' in lines[0] and 'no new checkpoint' in lines[-1]


def test_watch_an_empty_directory(tmp_path):

  def wait(seconds):
    if not os.listdir(tmp_path):
      _make(tmp_path, 'model.ckpt-1')

  assert _names(
    checkpoint_sequence(str(tmp_path), watch=True, timeout=8, wait=wait, say=lambda line: None)
  ) == ['model.ckpt-1']


def test_checkpoints_deleted_meanwhile_are_left_out(tmp_path):
  _make(tmp_path, 'model.ckpt-1', 'model.ckpt-2', 'model.ckpt-3')
  sequence = checkpoint_sequence(str(tmp_path), all_checkpoints=True)
  assert next(sequence).endswith('model.ckpt-1')
  (tmp_path / 'model.ckpt-2.index').unlink()
  assert _names(sequence) == ['model.ckpt-3']
