"""Writing a file, or a directory of files, so that a kill at any moment leaves the old or the new
one, never half of one.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
  """Yields a temporary path beside `path`; what is written there becomes `path` when the block ends
  without an error.

  Raises:
    OSError: the directory is missing or not writable, or the disk is full. `path` is then as it
      was.
  """
  path = os.path.abspath(path)
  # Same directory: a rename is atomic only within one file system. The suffix stays, because
  # writers choose a format by it.
  directory, name = os.path.split(path)
  # Names may use all 255 bytes.
  descriptor, temporary = tempfile.mkstemp(
    dir=directory, prefix='.unfinished-', suffix='-' + name[-20:]
  )
  os.close(descriptor)
  try:
    yield temporary
    os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that only their owner may read.
    os.replace(temporary, path)
  except BaseException:
    with contextlib.suppress(FileNotFoundError):
      os.remove(temporary)
    raise


@contextlib.contextmanager
def replacing_directory(path: str, *, members: re.Pattern) -> Iterator[str]:
  """Yields a temporary directory beside `path`, which becomes `path` when the block ends without an
  error.

  Args:
    path: of a directory that may be there. A kill while it changes places leaves it beside `path`,
      in a directory .replaced-*.
    members: what the names of its files match; those are replaced, all else in `path` stays.

  Raises:
    OSError: as of `replacing`; or `path` is no directory.
  """
  path = os.path.realpath(path)
  if os.path.exists(path) and not os.path.isdir(path):
    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
  temporary = _directory_beside(path, prefix='.unfinished-')
  try:
    yield temporary
    os.chmod(temporary, 0o777 & ~_umask())
    if os.path.isdir(path):
      _take_place(temporary, path, members)
    else:
      os.rename(temporary, path)
  except BaseException:
    shutil.rmtree(temporary, ignore_errors=True)
    raise


def _take_place(new, path, members):
  old = _directory_beside(path, prefix='.replaced-')
  os.rename(path, old)
  try:
    os.rename(new, path)
  except BaseException:
    os.rename(old, path)
    raise
  for name in os.listdir(old):
    if members.fullmatch(name):
      os.remove(os.path.join(old, name))
    else:
      os.rename(os.path.join(old, name), os.path.join(path, name))
  os.rmdir(old)


def _directory_beside(path, *, prefix):
  directory, name = os.path.split(path)
  return tempfile.mkdtemp(dir=directory, prefix=prefix, suffix='-' + name[-20:])


def _umask():
  umask = os.umask(0)
  os.umask(umask)
  return umask
