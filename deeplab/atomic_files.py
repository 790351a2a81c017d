"""Writing a file, or a directory of files, so that a kill at any moment leaves the old or the new
one, never half of one; and removing what a kill left.

What is being written has a name of its own, .unfinished-XXXXXXXX-NAME, and its writer holds a lock
on it. A kill frees the lock: that tells what nobody writes any more from what another command is
writing now.
"""

import contextlib
import ctypes
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator

try:
  import fcntl
except ImportError:  # Not on Windows.
  fcntl = None

_PREFIX = '.unfinished-'
_LONGEST_END = 20  # Characters of NAME; names may use all 255 bytes.
# Eight characters as tempfile draws them. Earlier versions gave directories no NAME.
_UNFINISHED = re.compile(
  re.escape(_PREFIX) + r'[a-z0-9_]{8}(-.{1,%d})?' % _LONGEST_END, flags=re.DOTALL
)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # Of Linux.


def _read_umask():
  with contextlib.suppress(OSError, ValueError, StopIteration):
    with open('/proc/self/status', encoding='ascii', errors='replace') as status:
      return int(next(line for line in status if line.startswith('Umask:')).split()[1], 8)
  umask = os.umask(0o077)  # There is no other way to read it.
  os.umask(umask)
  return umask


# Read once: setting it, to read it, would be felt by the other threads.
_UMASK = _read_umask()


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
  """Yields a temporary path beside `path`, of a file that only its owner may read; what is written
  there becomes `path` when the block ends without an error.

  Raises:
    OSError: the directory is missing or not writable, or the disk is full. `path` is then as it
      was.
  """
  path = os.path.abspath(path)
  # Same directory: a rename is atomic only within one file system. The suffix stays, because
  # writers choose a format by it.
  descriptor, temporary = _locked_file(*os.path.split(path))
  try:
    yield temporary
    os.chmod(temporary, 0o666 & ~_UMASK)
    os.replace(temporary, path)
  except BaseException:
    with contextlib.suppress(FileNotFoundError):
      os.remove(temporary)
    raise
  finally:
    os.close(descriptor)


@contextlib.contextmanager
def unfinished_directory(parent: str, name: str) -> Iterator[str]:
  """Yields a new directory in `parent`, which only its owner may look into, for files that are to
  be moved to where they belong; it is removed in the end.

  Args:
    parent: a directory.
    name: what is written, such as a file's name; the end of it is seen in the directory's.

  Raises:
    OSError: `parent` is missing or not writable.
  """
  descriptor, temporary = _locked_directory(parent, name)
  try:
    yield temporary
  finally:
    os.close(descriptor)
    shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def claimed_directory(parent: str, name: str) -> Iterator[str]:
  """`unfinished_directory`, of which there is one for a `name`: what a killed command left in it is
  removed.

  Raises:
    BlockingIOError: another process has it.
    OSError: as of `unfinished_directory`.
  """
  path = os.path.join(parent, _PREFIX + name)
  descriptor = _claim(path) if fcntl else None
  if descriptor is None:  # No locks: each has its own, and nobody waits.
    with unfinished_directory(parent, name) as temporary:
      yield temporary
    return
  try:
    for each in os.listdir(path):
      os.remove(os.path.join(path, each))
    yield path
  finally:
    shutil.rmtree(path, ignore_errors=True)
    os.close(descriptor)


@contextlib.contextmanager
def replacing_directory(path: str, *, members: re.Pattern) -> Iterator[str]:
  """Yields a temporary directory, which becomes `path` when the block ends without an error.

  Where `path` is there, the two change places in one stroke. On a system that cannot do that, or
  where `path` is a mount or holds directories of the user, the old members are removed and the new
  ones moved in, which a kill may cut short.

  Args:
    path: of a directory that may be there.
    members: what the names of its files match; those are replaced, all else in `path` stays.

  Raises:
    OSError: as of `replacing`; or `path` is no directory.
  """
  path = os.path.realpath(path)
  parent, name = os.path.split(path)
  if os.path.lexists(path):
    if not os.path.isdir(path):
      raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    if not os.access(parent, os.W_OK) or os.stat(parent).st_dev != os.stat(path).st_dev:
      parent = path
  remove_unfinished(parent)
  with unfinished_directory(parent, name) as temporary:
    yield temporary
    os.chmod(temporary, 0o777 & ~_UMASK)
    if not os.path.lexists(path):
      os.rename(temporary, path)
    elif not (_link_others(path, temporary, members) and exchange(temporary, path)):
      _move_members(temporary, path, members)


def remove_unfinished(directory: str) -> None:
  """Removes the unfinished files and directories in `directory` that nobody writes any more, those
  of killed commands; where the file system has no locks, none.
  """
  try:
    names = os.listdir(directory)
  except OSError:
    return
  for name in names:
    if _UNFINISHED.fullmatch(name):
      with contextlib.suppress(OSError):  # Gone, another user's, or in use.
        _remove_if_unlocked(os.path.join(directory, name))


def lock(descriptor: int, *, wait: bool = False) -> None:
  """Takes the lock of an open file or directory; the descriptor's end frees it, and a kill.

  Raises:
    BlockingIOError: another process has it, and `wait` is False.
    OSError: a file system, or a system, without locks.
  """
  if fcntl is None:
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
  fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def give_second_name(path: str, second: str) -> None:
  """Lets a file be reached by `second`, too: what is removed or replaced under one name is still
  there under the other. Where the file system has no second names, a copy.

  Raises:
    FileNotFoundError: there is no such file. OSError: it cannot be copied.
  """
  try:
    os.link(path, second)
  except FileNotFoundError:
    raise
  except OSError:
    shutil.copy2(path, second)


def exchange(one: str, other: str) -> bool:
  """Lets two directories of one file system change places in one stroke; False where the system
  cannot.
  """
  try:
    rename = ctypes.CDLL(None, use_errno=True).renameat2
  except (AttributeError, OSError, TypeError):
    return False
  one, other = os.fsencode(one), os.fsencode(other)
  return rename(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE) == 0


def _remove_if_unlocked(path):
  is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
  # Some network file systems lock only what is open for writing, which a directory cannot be.
  flags = os.O_RDONLY | os.O_DIRECTORY if is_directory else os.O_RDWR | os.O_NONBLOCK
  descriptor = os.open(path, flags | os.O_NOFOLLOW)
  try:
    lock(descriptor)
    if is_directory:
      shutil.rmtree(path, ignore_errors=True)
    elif stat.S_ISREG(os.fstat(descriptor).st_mode):
      os.remove(path)
  finally:
    os.close(descriptor)


def _locked_file(directory, name):
  """(descriptor, path) of a new file that is locked."""
  while True:
    descriptor, path = tempfile.mkstemp(
      dir=directory, prefix=_PREFIX, suffix='-' + name[-_LONGEST_END:]
    )
    if _is_ours(descriptor, path):
      return descriptor, path
    os.close(descriptor)


def _locked_directory(parent, name):
  while True:
    path = tempfile.mkdtemp(dir=parent, prefix=_PREFIX, suffix='-' + name[-_LONGEST_END:])
    try:
      # Windows opens no directory.
      descriptor = os.open(path, os.O_RDONLY) if fcntl else os.open(os.devnull, os.O_RDONLY)
    except FileNotFoundError:
      continue
    if not fcntl or _is_ours(descriptor, path):
      return descriptor, path
    os.close(descriptor)


def _claim(path):
  """The descriptor of a directory that is made if need be and locked; None without locks."""
  while True:
    with contextlib.suppress(FileExistsError):
      os.mkdir(path, 0o700)
    try:
      descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:  # Another process has just ended.
      continue
    try:
      lock(descriptor)
      if os.path.samestat(os.fstat(descriptor), os.stat(path)):
        return descriptor
    except FileNotFoundError:
      pass
    except BlockingIOError:
      os.close(descriptor)
      raise
    except OSError:
      os.close(descriptor)
      os.rmdir(path)
      return None
    os.close(descriptor)


def _is_ours(descriptor, path):
  """Locks what was just made; False where another command removed it before it was locked."""
  with contextlib.suppress(OSError):
    lock(descriptor, wait=True)
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False


def _link_others(path, new, members):
  """Gives the files of `path` that are no members a second name in `new`; False where one cannot
  have any.
  """
  try:
    with os.scandir(path) as entries:
      for entry in entries:
        if not members.fullmatch(entry.name):
          os.link(entry.path, os.path.join(new, entry.name), follow_symlinks=False)
  except OSError:
    return False
  return True


def _move_members(new, path, members):
  for name in os.listdir(path):
    if members.fullmatch(name):
      os.remove(os.path.join(path, name))
  for name in sorted(os.listdir(new)):
    if members.fullmatch(name):
      os.replace(os.path.join(new, name), os.path.join(path, name))
