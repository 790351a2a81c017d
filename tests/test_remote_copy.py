"""Copies of a run directory; the remote file system is TensorFlow's file://."""

import concurrent.futures
import os
import threading

import numpy as np
import pytest

from deeplab import checkpoint_files, checkpoints, messages, saved_options, tensorflow_files
from deeplab.errors import InputError
from deeplab.options import ModelOptions, RunOptions
from deeplab.training.run_directory import RunDirectory

OPTIONS = ModelOptions(num_classes=3)


class Heard(messages.Terminal):
  """Attribute `warnings`: lines."""

  def __init__(self):
    self.warnings = []

  def warn(self, line):
    self.warnings.append(line)


@pytest.fixture(name='heard')
def _heard():
  heard = Heard()
  with messages.heard_by(heard):
    yield heard.warnings


@pytest.fixture(name='remote')
def _remote(tmp_path):
  return tmp_path / 'away' / 'copy'


@pytest.fixture(name='run')
def _run(tmp_path, remote):
  return started(tmp_path, remote)


def started(tmp_path, remote, *, may_hold_run=False):
  run = RunDirectory(str(tmp_path / 'run'), copy_to=f'file://{remote}')
  run.create()
  run.copy.create(may_hold_run=may_hold_run)
  return run


def values(number):
  return {'logits/semantic/weights': np.full([4], number, np.float32)}


def save(run, step, **settings):
  return run.save(values(step), step=step, model_options=OPTIONS, **settings)


def value(prefix):
  return checkpoints.Reader(str(prefix)).get('logits/semantic/weights')[0]


def same(run, remote):
  """Whether the copy has the files of the run, and nothing else."""
  there = set(os.listdir(remote))
  assert there == set(os.listdir(run.path)) - {'copied_files.json', 'notes.txt'}
  for name in there:
    with open(run.file(name), 'rb') as file:
      assert file.read() == (remote / name).read_bytes(), name
  return True


def count_copies(monkeypatch):
  """From now on the list returned gets the name of each file that is copied or removed."""
  names, copy_to, remove = [], tensorflow_files.copy_to, tensorflow_files.remove
  monkeypatch.setattr(
    tensorflow_files,
    'copy_to',
    lambda source, path: names.append(os.path.basename(path)) or copy_to(source, path),
  )
  monkeypatch.setattr(
    tensorflow_files,
    'remove',
    lambda path: names.append('-' + os.path.basename(path)) or remove(path),
  )
  return names


def test_without_copy_to_there_is_none(tmp_path, heard):
  run = RunDirectory(str(tmp_path / 'run'))
  run.create()
  run.copy.create(may_hold_run=False)
  save(run, 5)
  run.copy.update()
  run.copy.finish()
  run.remove_run()
  assert heard == [] and os.listdir(run.path) == []


def test_what_a_run_writes_and_removes(run, remote, heard, monkeypatch):
  with open(run.file('notes.txt'), 'w', encoding='utf-8') as file:
    file.write('mine')
  run.write_flags(OPTIONS)
  save(run, 5, max_to_keep=1)
  run.copy.finish()
  assert same(run, remote)
  (remote / 'other.txt').write_text('somebody else')
  names = count_copies(monkeypatch)
  save(run, 10, max_to_keep=1)
  run.save_best(values(10), step=10, score={'mean_iou': 0.5})
  run.copy.finish()
  assert names == [
    '-best.ckpt.index',
    'best.ckpt.data-00000-of-00001',
    '-model.ckpt-10.index',
    'model.ckpt-10.data-00000-of-00001',
    'model_options.json',
    'best.ckpt.index',
    'model.ckpt-10.index',
    'best.json',
    'checkpoint',
    '-model.ckpt-5.index',
    '-model.ckpt-5.data-00000-of-00001',
  ]
  del names[:]
  run.save_best(values(11), step=11, score={'mean_iou': 0.6})
  run.copy.finish()
  assert names == [
    '-best.ckpt.index',
    'best.ckpt.data-00000-of-00001',
    'best.ckpt.index',
    'best.json',
  ]
  assert value(remote / 'best.ckpt') == 11
  assert (remote / 'other.txt').read_text() == 'somebody else'
  (remote / 'other.txt').unlink()
  assert same(run, remote) and heard == []
  assert checkpoint_files.find(f'file://{remote}') == f'file://{remote}/model.ckpt-10'
  assert saved_options.read(f'file://{remote}/model.ckpt-10').model_options == OPTIONS


def test_the_next_save_tries_again(run, remote, heard, monkeypatch):
  copy_to = tensorflow_files.copy_to

  def fail(source, path):
    if path.endswith('.index'):
      raise OSError(5, 'a device or another machine does not answer')
    copy_to(source, path)

  monkeypatch.setattr(tensorflow_files, 'copy_to', fail)
  save(run, 5)
  run.copy.update()
  concurrent.futures.wait([run.copy._running])
  run.copy.update()
  problem = (
    f'--copy_to=file://{remote}: file://{remote}/model.ckpt-5.index could not be copied (a device '
    'or another machine does not answer); '
  )
  assert heard == [problem + 'training goes on, and the next save tries again']
  run.copy.finish()
  assert heard[1:] == [
    problem + 'the same command with --resume tries again, or copy the run directory by hand'
  ]
  assert checkpoint_files.of_run(str(remote)) == []
  monkeypatch.setattr(tensorflow_files, 'copy_to', copy_to)
  names = count_copies(monkeypatch)
  save(run, 10)
  run.copy.finish()
  assert len(heard) == 2 and same(run, remote)
  assert 'model.ckpt-5.data-00000-of-00001' not in names and 'model.ckpt-5.index' in names


def test_an_index_does_not_come_without_its_data(run, remote, heard, monkeypatch):
  copy_to = tensorflow_files.copy_to

  def fail(source, path):
    if 'ckpt-5.data' in path:
      raise OSError(13, 'Permission denied')
    if path.endswith('/checkpoint'):
      raise RuntimeError('of another library')
    copy_to(source, path)

  monkeypatch.setattr(tensorflow_files, 'copy_to', fail)
  save(run, 5)
  save(run, 10)
  run.copy.finish()
  assert heard == [
    f'--copy_to=file://{remote}: could not be copied (of another library); the same command with '
    '--resume tries again, or copy the run directory by hand'
  ]
  assert checkpoint_files.of_run(str(remote)) == [str(remote / 'model.ckpt-10')]
  assert 'model.ckpt-5.index' not in os.listdir(remote)


def test_copies_are_of_the_time_of_the_save(run, remote, heard, monkeypatch):
  copy_to, may_go_on = tensorflow_files.copy_to, threading.Event()
  monkeypatch.setattr(
    tensorflow_files, 'copy_to', lambda *paths: may_go_on.wait(10) and copy_to(*paths)
  )
  run.save_best(values(1), step=1, score={'mean_iou': 0.1})
  save(run, 5)
  run.copy.update()
  # Meanwhile the run goes on.
  run.save_best(values(2), step=2, score={'mean_iou': 0.2})
  save(run, 10, max_to_keep=1)
  run.copy.update()  # Does nothing: the first is not at its end.
  may_go_on.set()
  run.copy._running.result()
  assert (value(remote / 'best.ckpt'), value(remote / 'model.ckpt-5')) == (1, 5)
  assert not (remote / 'model.ckpt-10.index').exists()
  run.copy.finish()
  assert value(remote / 'best.ckpt') == 2 and same(run, remote)
  assert heard == [] and not [name for name in os.listdir(run.path) if name.startswith('.unf')]


def test_a_run_that_goes_on_copies_what_is_new(run, tmp_path, remote, monkeypatch, heard):
  save(run, 5)
  save(run, 10)
  run.copy.finish()
  names = count_copies(monkeypatch)
  (remote / 'model.ckpt-10.index').unlink()  # Somebody did.
  run = started(tmp_path, remote, may_hold_run=True)
  save(run, 15, max_to_keep=2)
  run.copy.finish()
  assert names == [
    '-model.ckpt-15.index',
    'model.ckpt-15.data-00000-of-00001',
    'model_options.json',
    'model.ckpt-10.index',
    'model.ckpt-15.index',
    'checkpoint',
    '-model.ckpt-5.index',
    '-model.ckpt-5.data-00000-of-00001',
  ]
  assert same(run, remote) and heard == []
  with open(run.file('copied_files.json'), 'w', encoding='utf-8') as file:
    file.write('damaged')
  del names[:]
  run = started(tmp_path, remote, may_hold_run=True)
  run.copy.finish()
  copied = [name for name in names if not name.startswith('-')]
  assert sorted(copied) == sorted(os.listdir(remote)) and same(run, remote)


def test_a_directory_that_holds_a_run(run, tmp_path, remote, heard):
  save(run, 5)
  run.copy.finish()
  with pytest.raises(
    InputError, match=rf'^--copy_to=file://{remote}: holds a run already \(model.ckpt-5\); give an'
  ):
    started(tmp_path, remote)
  (remote / 'other.txt').write_text('somebody else')
  run = started(tmp_path, remote, may_hold_run=True)
  run.remove_run()
  assert os.listdir(remote) == ['other.txt'] and heard == []


def test_a_directory_that_cannot_be_made(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(InputError, match=r'^--copy_to=file:///.*file/copy: cannot be made \('):
    started(tmp_path, tmp_path / 'file' / 'copy')
  with pytest.raises(InputError, match=r'^--copy_to=nosuch://run: TensorFlow .* no file sy'):
    RunDirectory(str(tmp_path / 'run'), copy_to='nosuch://run').copy.create(may_hold_run=False)


def test_only_remote_directories():
  with pytest.raises(InputError, match='^--copy_to=/data/run: is local; give a remote directory'):
    RunOptions(copy_to='/data/run')
