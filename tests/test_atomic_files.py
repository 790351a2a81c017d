"""Unfinished files: private, locked by who writes them, and removed by the next one."""

import os
import re
import stat
import subprocess
import sys
import threading

import pytest

from deeplab import atomic_files, directory_lock
from deeplab.errors import InputError

MEMBERS = re.compile(r'frame-\d\.png')


def test_unfinished_files_are_private_and_finished_ones_are_not(tmp_path, monkeypatch):
  monkeypatch.setattr(os, 'umask', lambda _: pytest.fail('set in a thread'))

  def write():
    with atomic_files.replacing(str(tmp_path / 'a.txt')) as temporary:
      modes.append(stat.S_IMODE(os.stat(temporary).st_mode))

  modes = []
  thread = threading.Thread(target=write)
  thread.start()
  thread.join()
  with atomic_files.unfinished_directory(str(tmp_path), 'x') as temporary:
    modes.append(stat.S_IMODE(os.stat(temporary).st_mode))
  assert modes == [0o600, 0o700]
  (tmp_path / 'usual').touch()
  assert os.stat(tmp_path / 'a.txt').st_mode == os.stat(tmp_path / 'usual').st_mode
  assert sorted(os.listdir(tmp_path)) == ['a.txt', 'usual']


def test_only_what_killed_commands_left_is_removed(tmp_path):
  program = (
    'import os, sys\n'
    'from deeplab import atomic_files\n'
    'one = atomic_files.replacing("a.txt"); one.__enter__()\n'
    'two = atomic_files.unfinished_directory(".", "b"); open(two.__enter__() + "/c", "w")\n'
    'print("written", flush=True); sys.stdin.read()\n'
  )
  users = ['.unfinished-notes', '.unfinished-my-file.txt', 'unfinished-abcdefgh-a.txt', 'a.txt']
  for name in users:
    (tmp_path / name).touch()
  (tmp_path / '.unfinished-abcdefgh-link').symlink_to(tmp_path / 'a.txt')
  environment = {**os.environ, 'PYTHONPATH': ':'.join(filter(None, sys.path))}
  pipe = subprocess.PIPE
  with subprocess.Popen(
    [sys.executable, '-c', program], stdin=pipe, stdout=pipe, cwd=tmp_path, env=environment
  ) as process:
    assert process.stdout.readline() == b'written\n'
    kept = sorted(os.listdir(tmp_path))
    assert len(kept) == len(users) + 3
    atomic_files.remove_unfinished(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == kept  # Being written.
    process.kill()
    process.wait()
  atomic_files.remove_unfinished(str(tmp_path))
  assert sorted(os.listdir(tmp_path)) == sorted([*users, '.unfinished-abcdefgh-link'])


@pytest.mark.parametrize('can_exchange', [True, False])
@pytest.mark.parametrize('has_directory', [True, False])
def test_a_directory_takes_the_place_of_an_older_one(
  tmp_path, monkeypatch, can_exchange, has_directory
):
  path = tmp_path / 'frames'
  path.mkdir()
  for name in ('frame-1.png', 'frame-2.png', 'notes.txt'):
    (path / name).write_text('old')
  if has_directory:
    (path / 'mine').mkdir()
  if not can_exchange:
    monkeypatch.setattr(atomic_files, '_exchange', lambda one, other: False)
  with pytest.raises(KeyError):
    with atomic_files.replacing_directory(str(path), members=MEMBERS):
      raise KeyError
  assert (path / 'frame-2.png').exists()
  with atomic_files.replacing_directory(str(path), members=MEMBERS) as temporary:
    with open(os.path.join(temporary, 'frame-1.png'), 'w', encoding='utf-8') as file:
      file.write('new')
  assert os.listdir(tmp_path) == ['frames']
  expected = ['frame-1.png', *(['mine'] if has_directory else []), 'notes.txt']
  assert sorted(os.listdir(path)) == expected
  assert (path / 'frame-1.png').read_text() == 'new'


def test_one_at_a_time_has_a_claimed_directory(tmp_path):
  with atomic_files.claimed_directory(str(tmp_path), 'split-train') as path:
    open(os.path.join(path, 'shard'), 'w').close()
    with pytest.raises(BlockingIOError):
      with atomic_files.claimed_directory(str(tmp_path), 'split-train'):
        pass
    with atomic_files.claimed_directory(str(tmp_path), 'split-val'):
      pass
    atomic_files.remove_unfinished(str(tmp_path))
    assert os.listdir(path) == ['shard']
  assert os.listdir(tmp_path) == []
  (tmp_path / '.unfinished-split-train').mkdir()
  (tmp_path / '.unfinished-split-train' / 'of a killed one').touch()
  with atomic_files.claimed_directory(str(tmp_path), 'split-train') as path:
    assert os.listdir(path) == []


def test_a_lock_is_held_by_one(tmp_path):
  with directory_lock.held(str(tmp_path), refusal='taken'):
    with pytest.raises(InputError, match='^taken$'):
      with directory_lock.held(str(tmp_path), refusal='taken'):
        pass
  with directory_lock.held(str(tmp_path), refusal='taken'):
    pass
