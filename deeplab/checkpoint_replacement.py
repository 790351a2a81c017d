"""A checkpoint takes the place of an older one, and there is no moment without a whole one; what a
kill meanwhile left is put right by whoever writes there next.

Several files cannot be replaced in one stroke. So the old ones keep a second name,
PREFIX.previous.*, until the new ones are whole; `checkpoint_files.find` takes those meanwhile. An
index always has its own data beside it: it comes last and goes first.
"""

import contextlib
import os
import re
from collections.abc import Sequence

from deeplab.atomic_files import give_second_name
from deeplab.checkpoint_files import PREVIOUS, previous_of

_DATA, _INDEX = '.data-00000-of-00001', '.index'
_DATA_OF_ANY = re.compile(r'\.data-\d{5}-of-\d{5}')


def take_place(aside: str, prefix: str, *, beside: Sequence[str] = ()) -> None:
  """Moves a checkpoint to its place.

  Args:
    aside: directory of the new files, on the same file system.
    prefix: of the new checkpoint; its files in `aside` have the same names.
    beside: names of files that go with it. Those that are not in `aside` are removed.

  Raises:
    OSError: a file cannot be moved; `find` finds the old checkpoint, or the new one.
  """
  directory, name = os.path.split(prefix)
  for each in os.listdir(aside):
    with open(os.path.join(aside, each), 'rb') as written:
      os.fsync(written.fileno())
  if os.path.exists(prefix + _INDEX):
    _forget_previous(prefix, beside)
    for each in (*beside, name + _DATA, name + _INDEX):
      with contextlib.suppress(FileNotFoundError):
        give_second_name(os.path.join(directory, each), _previous_path(directory, name, each))
    os.remove(prefix + _INDEX)
  for each in (name + _DATA, *beside, name + _INDEX):
    with contextlib.suppress(FileNotFoundError):
      if os.path.exists(os.path.join(aside, each)):
        os.replace(os.path.join(aside, each), os.path.join(directory, each))
      else:
        os.remove(os.path.join(directory, each))
  _forget_previous(prefix, beside)


def put_right(prefix: str, *, beside: Sequence[str] = ()) -> None:
  """Finishes what a kill cut short: the old checkpoint is there again, where the new one is not
  whole, and nothing else is left. Only for who owns the directory.
  """
  directory, name = os.path.split(prefix)
  previous = prefix + PREVIOUS
  if not os.path.exists(prefix + _INDEX) and os.path.exists(previous + _INDEX):
    for each in (name + _DATA, *beside, name + _INDEX):
      second = _previous_path(directory, name, each)
      if os.path.exists(second):
        with contextlib.suppress(FileNotFoundError):
          os.remove(os.path.join(directory, each))
        give_second_name(second, os.path.join(directory, each))
  _forget_previous(prefix, beside)
  if not os.path.exists(prefix + _INDEX):
    with contextlib.suppress(FileNotFoundError):
      os.remove(prefix + _DATA)


def remove(prefix: str) -> None:
  """Deletes a checkpoint, the index first."""
  directory, name = os.path.split(prefix)
  with contextlib.suppress(FileNotFoundError):
    os.remove(prefix + _INDEX)
  with contextlib.suppress(FileNotFoundError):
    for each in os.listdir(directory or os.curdir):
      if each.startswith(name) and _DATA_OF_ANY.fullmatch(each[len(name) :]):
        os.remove(os.path.join(directory, each))


def _forget_previous(prefix, beside):
  directory, name = os.path.split(prefix)
  for each in (name + _INDEX, name + _DATA, *beside):
    with contextlib.suppress(FileNotFoundError):
      os.remove(_previous_path(directory, name, each))


def _previous_path(directory, name, file_name):
  """The second name of a checkpoint's file, or of one beside it."""
  if file_name.startswith(name + '.'):
    return os.path.join(directory, name + PREVIOUS + file_name[len(name) :])
  return os.path.join(directory, previous_of(file_name))
