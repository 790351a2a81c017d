"""Paths that may be remote, such as gs://bucket/train, which the file systems of TensorFlow read.

The form alone says that a path is remote: `scheme://`. Of every other path the functions here are
the operating system's, and TensorFlow is not imported for it. What is asked about a path is an
InputError where a remote file system does not answer; reading raises OSError, as it does locally.
"""

import concurrent.futures
import contextlib
import filecmp
import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from deeplab import tensorflow_files
from deeplab.errors import InputError, shown
from deeplab.tensorflow_files import Status

_REQUESTS_AT_ONCE = 16
_COMPARED_BYTES = 2**16


def is_remote(path: str) -> bool:
  """Whether a path is `scheme://...`."""
  return tensorflow_files.SCHEME.match(path) is not None


def check_scheme(path: str, *, flag: str) -> None:
  """Raises InputError where `path` is remote and nothing can read its kind."""
  if is_remote(path):
    try:
      tensorflow_files.file_system(path)
    except OSError as error:
      raise InputError(f'--{flag}={shown(path)}: {error.strerror}') from error


def parent(path: str) -> str:
  """As os.path.dirname; `scheme://` stays whole."""
  match = tensorflow_files.SCHEME.match(path)
  if match is None:
    return os.path.dirname(path)
  return match.group() + os.path.dirname(path[match.end() :])


def each(function: Callable[[str], Any], paths: Iterable[str]) -> list:
  """`function` of every path, in their order; side by side where paths are remote, since the answer
  to a request takes its time. The first error is raised.
  """
  paths = list(paths)
  if len(paths) < 2 or not any(map(is_remote, paths)):
    return [function(path) for path in paths]
  with concurrent.futures.ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
    return list(pool.map(function, paths))


# === Questions: InputError where a remote file system does not answer ===


def exists(path: str) -> bool:
  """As os.path.exists."""
  return _remote_status(path) is not None if is_remote(path) else os.path.exists(path)


def is_directory(path: str) -> bool:
  """As os.path.isdir. A bucket, and what names of objects begin with up to a slash, is one."""
  if not is_remote(path):
    return os.path.isdir(path)
  status = _remote_status(path)
  return status is not None and status.is_directory


def is_file(path: str) -> bool:
  """As os.path.isfile."""
  if not is_remote(path):
    return os.path.isfile(path)
  status = _remote_status(path)
  return status is not None and not status.is_directory


def matching(pattern: str) -> list[str]:
  """The paths that a glob matches, directories too, sorted; `**` stands for any directories."""
  if not is_remote(pattern):
    return sorted(glob.glob(pattern, recursive=True))
  with _as_input_error(pattern):
    try:
      return sorted(set(_matches(pattern)))
    except FileNotFoundError:  # No such bucket.
      return []


def problem_with(path: str) -> str | None:
  """Why a file cannot be read, as far as asking tells; None where nothing is known against it."""
  try:
    status_of(path)
  except OSError as error:
    return error.strerror
  return None


# === Reading: OSError ===


def entries(directory: str) -> list[tuple[str, bool]]:
  """(name, whether it is a directory) of what is in a directory, by name. Of a remote one, names
  with a suffix are taken for files: each question is a request.

  Raises OSError.
  """
  if not is_remote(directory):
    names = sorted(os.listdir(directory))
    return [(name, os.path.isdir(os.path.join(directory, name))) for name in names]
  listed = tensorflow_files.names_in(directory)
  # Object stores end the names of directories with a slash.
  directories = {name.rstrip('/') for name in listed if name.endswith('/')}
  names = sorted({name.rstrip('/') for name in listed} - {''})
  unclear = [name for name in names if name not in directories and not os.path.splitext(name)[1]]
  answers = each(is_directory, (os.path.join(directory, name) for name in unclear))
  directories.update(name for name, is_one in zip(unclear, answers) if is_one)
  return [(name, name in directories) for name in names]


def status_of(path: str) -> Status:
  """What a file system says of a file or directory. Raises OSError."""
  if is_remote(path):
    return tensorflow_files.status_of(path)
  status = os.stat(path)
  return Status(status.st_size, status.st_mtime_ns, stat.S_ISDIR(status.st_mode))


def size_of(path: str) -> int:
  """Bytes of a file. Raises OSError."""
  return status_of(path).size


def open_file(path: str) -> BinaryIO:
  """A file open for reading bytes, which can seek. Raises OSError, as its methods do."""
  return tensorflow_files.RemoteFile(path) if is_remote(path) else open(path, 'rb')


def same_content(path: str, other: str) -> bool:
  """Whether two files of one size are the same. Remote ones are compared in their first and last 64
  KiB. Raises OSError.
  """
  if not (is_remote(path) or is_remote(other)):
    return os.path.samefile(path, other) or filecmp.cmp(path, other, shallow=False)
  if path == other:
    return True
  size = size_of(path)
  if size != size_of(other):
    return False
  with open_file(path) as file, open_file(other) as other_file:
    return all(
      _read_at(file, start) == _read_at(other_file, start)
      for start in (0, max(0, size - _COMPARED_BYTES))
    )


def _matches(pattern):
  """The paths of a remote glob. TensorFlow knows no `**`, so the directories are looked up."""
  start, stars, rest = pattern.partition('/**')
  if not stars:
    return tensorflow_files.matching(pattern)
  found = []
  for top in tensorflow_files.matching(start) if glob.has_magic(start) else [start]:
    for directory, names in _walk(top):
      if rest.strip('/'):
        found += _matches(glob.escape(directory) + rest)
      else:
        found += [directory, *(os.path.join(directory, name) for name in names)]
  return found


def _walk(directory):
  """Yields (path, names of files) of a remote directory and of all below it."""
  listed = entries(directory)
  yield directory, [name for name, is_one in listed if not is_one]
  for name, is_one in listed:
    if is_one:
      yield from _walk(os.path.join(directory, name))


def _read_at(file, start):
  file.seek(start)
  return file.read(_COMPARED_BYTES)


def _remote_status(path):
  """The Status of a remote path; None where nothing is there."""
  with _as_input_error(path):
    try:
      return tensorflow_files.status_of(path)
    except FileNotFoundError:
      return None


@contextlib.contextmanager
def _as_input_error(path) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be looked up ({error.strerror})') from error
