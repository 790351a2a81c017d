"""The default place for results, which lies in /tmp: for the user alone, since others can write
there too.
"""

import contextlib
import os
import stat

from deeplab.errors import InputError, shown

# --output_path of trainer and inferencer begins with it.
DEFAULT = '/tmp/deeplabv3'


def make(path: str, *, flag: str) -> None:
  """Makes those directories of a path that lie in the default place, which only their owner may
  look into; does nothing for another path.

  Args:
    path: a directory.
    flag: that decides on it.

  Raises:
    InputError: see `check`.
    OSError: one cannot be made.
  """
  for one in _directories(path):
    with contextlib.suppress(FileExistsError):
      os.mkdir(one, 0o700)
    _check(one, flag)
    if os.lstat(one).st_mode & 0o077:  # Made by an earlier version, and ours.
      os.chmod(one, 0o700)


def check(path: str, *, flag: str) -> None:
  """Raises InputError where a path in the default place is somebody else's, or leads elsewhere: it
  has no right to what we write, and we none to what it holds.
  """
  for one in _directories(path):
    if os.path.lexists(one):
      _check(one, flag)


def _directories(path):
  """The default place and the directories below it that lead to `path`; none for another path."""
  path = os.path.normpath(path)
  if path != DEFAULT and not path.startswith(DEFAULT + '/'):
    return []
  found = [path]
  while found[0] != DEFAULT:
    found.insert(0, os.path.dirname(found[0]))
  return found


def _check(directory, flag):
  status = os.lstat(directory)
  problem = None
  if stat.S_ISLNK(status.st_mode):
    problem = 'is a symbolic link'
  elif not stat.S_ISDIR(status.st_mode):
    problem = 'is a file'
  elif not _is_ours(status):
    problem = 'belongs to another user'
  elif status.st_mode & 0o022 and not _holds_only_ours(directory):
    problem = 'was open to others, who have put something there'
  if problem:
    raise InputError(f'--{flag}: {shown(directory)} {problem}; choose another directory')


def _holds_only_ours(directory):
  with os.scandir(directory) as entries:
    return all(
      _is_ours(entry.stat(follow_symlinks=False)) and not entry.is_symlink() for entry in entries
    )


def _is_ours(status):
  return not hasattr(os, 'geteuid') or status.st_uid == os.geteuid()
