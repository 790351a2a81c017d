"""Files of remote file systems, read and written by `tf.io.gfile`; its errors are OSErrors, in our
words. TensorFlow is imported with the first path. `remote_files` is the door.
"""

import contextlib
import errno
import functools
import importlib.util
import io
import os
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from deeplab import failure_reasons, quiet_start

SCHEME = re.compile(r'([a-zA-Z][a-zA-Z0-9+.-]*)://')
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


class RemoteFile(io.RawIOBase):
  """A file open for reading, as Python's own."""

  def __init__(self, path: str):
    """Opens it. Raises OSError."""
    self._path, self._file = path, None
    status = status_of(path)
    if status.is_directory:
      raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    with _as_os_error(path):
      self._file = file_system(path).GFile(path, 'rb')
    self._size, self._position = status.size, 0

  def readable(self) -> bool:
    """True."""
    return True

  def seekable(self) -> bool:
    """True."""
    return True

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    """As of every file. What lies between is not read, where the file system can leave it out."""
    start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
    self._position = start + offset
    return self._position

  def tell(self) -> int:
    """As of every file."""
    return self._position

  def read(self, size: int | None = -1) -> bytes:
    """As of every file. Raises OSError, also where the file has been cut off since."""
    left = max(0, self._size - self._position)
    size = left if size is None or size < 0 else min(size, left)
    if not size:
      return b''
    with _as_os_error(self._path):
      if self._file.tell() != self._position:
        self._file.seek(self._position)
      data = self._file.read(size)
    if len(data) < size:
      raise OSError(errno.EIO, 'it has become shorter', self._path)
    self._position += size
    return data

  def close(self) -> None:
    """As of every file."""
    if self._file is not None and not self.closed:
      self._file.close()
    super().close()


def status_of(path: str) -> Status:
  """Raises OSError, where there is nothing FileNotFoundError."""
  with _as_os_error(path):
    status = file_system(path).stat(_bucket_with_slash(path))
  return Status(status.length, status.mtime_nsec, status.is_directory)


def names_in(directory: str) -> list[str]:
  """Names in a directory, sorted; those of directories may end with a slash. Raises OSError."""
  with _as_os_error(directory):
    return sorted(file_system(directory).listdir(_bucket_with_slash(directory)))


def matching(pattern: str) -> list[str]:
  """The paths that a glob without `**` matches, directories too, sorted. Raises OSError."""
  with _as_os_error(pattern):
    return sorted({path.rstrip('/') for path in file_system(pattern).glob(pattern)})


def make_directories(path: str) -> None:
  """Makes a directory and those above it, where they are not there. Raises OSError."""
  with _as_os_error(path):
    file_system(path).makedirs(path)


def copy_to(source: str, path: str) -> None:
  """Copies a local file to a remote one, which it replaces. Raises OSError."""
  with _as_os_error(path):
    file_system(path).copy(source, path, overwrite=True)


def remove(path: str) -> None:
  """Removes a file. Raises OSError."""
  with _as_os_error(path):
    file_system(path).remove(path)


def _bucket_with_slash(path):
  """The plug-in for s3:// takes a bucket for one only so."""
  return path + '/' if re.fullmatch('s3://[^/]+', path) else path


def file_system(path: str) -> ModuleType:
  """tf.io.gfile, once it knows the scheme of `path`. Raises OSError where it does not."""
  try:
    path.encode('utf-8')
  except UnicodeEncodeError as error:
    raise OSError(errno.EILSEQ, 'a remote name must be UTF-8', path) from error
  if 'tensorflow' not in sys.modules:
    quiet_start.import_tensorflow()
  import tensorflow as tf

  gfile, scheme = tf.io.gfile, SCHEME.match(path).group(1)
  if scheme not in gfile.get_registered_schemes():
    remedy = _load_plug_ins()
    if scheme not in gfile.get_registered_schemes():
      raise OSError(
        errno.EPROTONOSUPPORT,
        f'TensorFlow {tf.__version__} knows no file system {scheme}://; {remedy}, or copy the '
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
  except Exception as error:  # pylint: disable=broad-except  # One for another TensorFlow fails in many ways.
    reason = ' '.join(str(error).split())[:200]
    return f'tensorflow-io is installed and cannot be loaded ({reason}): install another version'
  return 'tensorflow-io does not either; install another plug-in'


@contextlib.contextmanager
def _as_os_error(path) -> Iterator[None]:
  """Errors of TensorFlow as OSErrors."""
  try:
    yield
  except Exception as error:
    # Some plug-ins raise RuntimeError.
    if not hasattr(error, 'error_code') and type(error) is not RuntimeError:
      raise
    number = _ERRORS.get(type(error).__name__)
    reason = os.strerror(number) if number else failure_reasons.words_of(error)
    if number == errno.EACCES and path.startswith('gs://'):
      reason += '; log in with gcloud auth application-default login, or set '
      reason += 'GOOGLE_APPLICATION_CREDENTIALS to the file of a key that has it'
    raise OSError(number or errno.EIO, reason, path) from error
