"""Files and directories that a flag names: tried before the work whose result they are to take, and
errors that say which flag to change.
"""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator

from deeplab import private_places
from deeplab.atomic_files import remove_unfinished, replacing
from deeplab.errors import InputError, shown


def make_directory(path: str, *, flag: str) -> None:
  """Makes a directory and those above it, and tries to write there; the default place is made for
  the user alone.

  Args:
    path: the directory; it may be there already.
    flag: name of the flag that decides on it.

  Raises:
    InputError: it is a file, or cannot be made or written to.
  """
  private_places.check(path, flag=flag)
  if os.path.exists(path) and not os.path.isdir(path):
    raise InputError(f'--{flag}: {shown(path)} is a file; give a directory')
  what = 'written to' if os.path.isdir(path) else 'made'
  try:
    private_places.make(path, flag=flag)
    os.makedirs(path, exist_ok=True)
    tempfile.TemporaryFile(dir=path).close()
  except OSError as error:
    raise InputError(
      f'--{flag}: the directory {shown(path)} cannot be {what} ({_reason(error)}); choose another'
    ) from error


def notes_on_default(path: str, option_class: type) -> list[str]:
  """A line where `path` is the default of --output_path in `option_class`, which lies in /tmp."""
  default = next(
    field.default for field in dataclasses.fields(option_class) if field.name == 'output_path'
  )
  if path != default:
    return []
  return [
    f'--output_path is not given: the files go to {path}, for you alone; what is in /tmp may be '
    'removed at any time'
  ]


@contextlib.contextmanager
def new_directory(path: str, *, flag: str) -> Iterator[None]:
  """`make_directory`; an error in the block removes the directories made and left empty."""
  made = _missing(path)
  try:
    make_directory(path, flag=flag)
    yield
  except BaseException:
    for one in made:
      with contextlib.suppress(OSError):  # Not there, or not empty.
        os.rmdir(one)
    raise


def check_file(path: str, *, flag: str) -> None:
  """Raises InputError where a file that `flag` names cannot be written: no such directory, itself a
  directory, no permission. Removes what killed commands left in its directory.
  """
  where = os.path.dirname(path) or os.curdir
  if os.path.isdir(path) or not os.path.basename(path):
    raise InputError(f'--{flag}={path}: is a directory; give a file name')
  if not os.path.isdir(where):
    what = (
      f'{where} is not a directory'
      if os.path.lexists(where)
      else f'the directory {where} does not exist'
    )
    raise InputError(f'--{flag}={path}: {what}; make it, or choose another')
  remove_unfinished(where)
  try:
    tempfile.TemporaryFile(dir=where).close()
  except OSError as error:
    raise InputError(
      f'--{flag}={path}: cannot be written ({_reason(error)}); choose another'
    ) from error


@contextlib.contextmanager
def replacing_file(path: str, *, flag: str) -> Iterator[str]:
  """`atomic_files.replacing` for a file that `flag` names: an operating-system error becomes the
  InputError that says so.
  """
  try:
    with replacing(path) as temporary:
      yield temporary
  except OSError as error:
    raise InputError(
      f'--{flag}={path}: cannot be written ({_reason(error)}); free space there or choose another'
    ) from error


@contextlib.contextmanager
def explaining(path: str, *, flag: str) -> Iterator[None]:
  """While open, an operating-system error becomes the InputError that names `path` and the remedy:
  another directory for `flag`, which `path` lies in.
  """
  try:
    yield
  except OSError as error:
    raise InputError(
      f'{shown(path)}: cannot be written: {_reason(error)}; free space there or choose another '
      f'--{flag}'
    ) from error


def _missing(path):
  """Those of `path` and the directories above it that do not exist, deepest first."""
  missing, path = [], os.path.abspath(path)
  while not os.path.lexists(path):
    missing.append(path)
    path = os.path.dirname(path)
  return missing


def _reason(error):
  return error.strerror or str(error)
