"""Paths that may be remote, such as gs://bucket/train: read by the file systems of TensorFlow.

The form alone says that a path is remote: `scheme://`. Of every other path the functions here are
the operating system's, and TensorFlow is not imported for it. What is asked about a path is an
InputError where a remote file system does not answer; reading raises OSError, as it does locally.
"""

import concurrent.futures
import contextlib
import errno
import filecmp
import functools
import glob
import importlib.util
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from deeplab import quiet_start
from deeplab.errors import InputError, shown
from deeplab.failure_reasons import reason_of

_SCHEME = re.compile(r'([a-zA-Z][a-zA-Z0-9+.-]*)://')
_REQUESTS_AT_ONCE = 16
_COMPARED_BYTES = 2**16
_ERRORS = {
  'NotFoundError': errno.ENOENT,
  'PermissionDeniedError': errno.EACCES,
  'UnauthenticatedError': errno.EACCES,
}


class Status(NamedTuple):
  """What a file system says of a path.

  Attributes:
    size: in bytes.
    changed_ns: time of the last change in ns; 0 where a remote file system does not know it.
    is_directory: whether it is one.
  """

  size: int
  changed_ns: int
  is_directory: bool


def is_remote(path: str) -> bool:
  """Whether a path is `scheme://...`."""
  return _SCHEME.match(path) is not None


def check_scheme(path: str, *, flag: str) -> None:
  """Raises InputError where `path` is remote and nothing can read its kind."""
  if is_remote(path):
    try:
      _file_system(path)
    except OSError as error:
      raise InputError(f'--{flag}={shown(path)}: {error.strerror}') from error


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
    gfile = _file_system(pattern)
    return sorted({path.rstrip('/') for path in _remote_matches(gfile, pattern)})


def entries(directory: str) -> list[tuple[str, bool]]:
  """(name, whether it is a directory) of what is in a directory, by name. Of a remote one, names
  with a suffix are taken for files: each question is a request.

  Raises OSError.
  """
  if not is_remote(directory):
    names = sorted(os.listdir(directory))
    return [(name, os.path.isdir(os.path.join(directory, name))) for name in names]
  with _as_os_error(directory):
    # Object stores end the names of directories with a slash.
    listed = sorted(_file_system(directory).listdir(directory))
  names = [name.rstrip('/') for name in listed]
  unclear = [name for name in names if name + '/' not in listed and not os.path.splitext(name)[1]]
  paths = [os.path.join(directory, name) for name in unclear]
  directories = {name for name, is_one in zip(unclear, each(is_directory, paths)) if is_one}
  directories.update(name.rstrip('/') for name in listed if name.endswith('/'))
  return [(name, name in directories) for name in names if name]


# === Reading: OSError ===


def status_of(path: str) -> Status:
  """What a file system says of a file or directory. Raises OSError."""
  if not is_remote(path):
    status = os.stat(path)
    return Status(status.st_size, status.st_mtime_ns, stat.S_ISDIR(status.st_mode))
  with _as_os_error(path):
    status = _file_system(path).stat(path)
  return Status(status.length, status.mtime_nsec, status.is_directory)


def size_of(path: str) -> int:
  """Bytes of a file. Raises OSError."""
  return status_of(path).size


def problem_with(path: str) -> str | None:
  """Why a file cannot be read, as far as asking tells; None where nothing is known against it."""
  try:
    status_of(path)
  except OSError as error:
    return error.strerror
  return None


def open_file(path: str) -> BinaryIO:
  """A file open for reading bytes, which can seek. Raises OSError, as its methods do."""
  return _RemoteFile(path) if is_remote(path) else open(path, 'rb')


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


def each(function: Callable[[str], Any], paths: Iterable[str]) -> list:
  """`function` of every path, in their order; side by side where paths are remote, since the answer
  to a request takes its time. The first error is raised.
  """
  paths = list(paths)
  if len(paths) < 2 or not any(map(is_remote, paths)):
    return [function(path) for path in paths]
  with concurrent.futures.ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
    return list(pool.map(function, paths))


def parent(path: str) -> str:
  """As os.path.dirname; `scheme://` stays whole."""
  match = _SCHEME.match(path)
  if match is None:
    return os.path.dirname(path)
  return match.group() + os.path.dirname(path[match.end() :])


class _RemoteFile(io.RawIOBase):
  """A file of `tf.io.gfile` as Python's own."""

  def __init__(self, path):
    self._path, self._file = path, None
    status = status_of(path)
    if status.is_directory:
      raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    with _as_os_error(path):
      self._file = _file_system(path).GFile(path, 'rb')
    self._size, self._position = status.size, 0

  def readable(self):
    return True

  def seekable(self):
    return True

  def seek(self, offset, whence=os.SEEK_SET):
    start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
    self._position = start + offset
    return self._position

  def tell(self):
    return self._position

  def read(self, size=-1):
    left = max(0, self._size - self._position)
    size = left if size is None or size < 0 else min(size, left)
    if not size:
      return b''
    with _as_os_error(self._path):
      if self._file.tell() != self._position:
        self._file.seek(self._position)
      data = self._file.read(size)
    self._position += len(data)
    return data

  def close(self):
    if self._file is not None and not self.closed:
      self._file.close()
    super().close()


def _read_at(file, start):
  file.seek(start)
  return file.read(_COMPARED_BYTES)


def _remote_matches(gfile, pattern):
  """The paths of a remote glob. TensorFlow knows no `**`, so the directories are looked up."""
  start, stars, rest = pattern.partition('/**')
  if not stars:
    return gfile.glob(pattern)
  found = []
  for top in gfile.glob(start) if glob.has_magic(start) else [start]:
    for directory, _, names in gfile.walk(top):
      directory = directory.rstrip('/')
      if rest.strip('/'):
        found += _remote_matches(gfile, glob.escape(directory) + rest)
      else:
        found += [directory, *(f'{directory}/{name}' for name in names)]
  return found


def _remote_status(path):
  """The Status of a remote path; None where nothing is there."""
  with _as_input_error(path):
    try:
      return status_of(path)
    except FileNotFoundError:
      return None


def _file_system(path):
  """tf.io.gfile, once it knows the scheme of `path`. Raises OSError where it does not."""
  try:
    path.encode('utf-8')
  except UnicodeEncodeError as error:
    raise OSError(errno.EILSEQ, 'a remote name must be UTF-8', path) from error
  if 'tensorflow' not in sys.modules:
    quiet_start.import_tensorflow()
  import tensorflow as tf

  gfile, scheme = tf.io.gfile, _SCHEME.match(path).group(1)
  if scheme not in gfile.get_registered_schemes():
    problem = _load_plug_ins()
    if scheme not in gfile.get_registered_schemes():
      raise OSError(
        errno.EPROTONOSUPPORT,
        f'TensorFlow {tf.__version__} knows no file system {scheme}://; {problem}, or copy the '
        'files to a local disk',
      )
  return gfile


@functools.cache
def _load_plug_ins():
  """Lets tensorflow-io, where it is installed, teach TensorFlow more file systems; what to do where
  a scheme is still unknown.
  """
  if importlib.util.find_spec('tensorflow_io') is None:
    return 'install a plug-in that does (tensorflow-io, in the version that goes with it)'
  try:
    with quiet_start.hidden_stderr():
      importlib.import_module('tensorflow_io')
  except Exception as error:  # A library for another TensorFlow fails in many ways.
    reason = ' '.join(str(error).split())[:200]
    return f'tensorflow-io is installed and cannot be loaded ({reason}): install another version'
  return 'tensorflow-io does not either; install another plug-in'


@contextlib.contextmanager
def _as_os_error(path) -> Iterator[None]:
  """Errors of TensorFlow as OSError, with a reason in our words."""
  try:
    yield
  except Exception as error:
    number = _ERRORS.get(type(error).__name__)
    if isinstance(error, OSError) or not hasattr(error, 'error_code'):
      raise
    reason = os.strerror(number) if number else reason_of(error)
    if number == errno.EACCES and path.startswith('gs://'):
      reason += '; GOOGLE_APPLICATION_CREDENTIALS names the file of a key that may'
    raise OSError(number or errno.EIO, reason, path) from error


@contextlib.contextmanager
def _as_input_error(path):
  try:
    with _as_os_error(path):
      yield
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be looked up ({error.strerror})') from error
