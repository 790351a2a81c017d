"""Tar archives, compressed or not, read within bounds: a megabyte may unpack to a terabyte, and a
header may claim any size.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import stat
import tarfile
import unicodedata
import zlib
from collections.abc import Iterator

from deeplab.errors import InputError, shown

_SUFFIXES = ('.tar', '.tar.gz', '.tgz', '.tar.bz2', '.tar.xz')

_XZ_MEMORY = 2**28  # Four times what `xz -9` makes necessary.
# What damaged archives raise; gzip's own error is an OSError. tarfile takes headers one in another,
# and numbers as they are.
_DAMAGE = (
  tarfile.TarError,
  EOFError,
  OSError,
  zlib.error,
  lzma.LZMAError,
  ValueError,
  OverflowError,
  IndexError,
  KeyError,
  RecursionError,
)
_LARGEST_READ = 2**24  # tarfile reads names of any length at once.
_SOURCE = 'get the archive from a source you trust'


def is_archive(path: str) -> bool:
  """Whether the file is a tar, by content, or claims to be one by name."""
  return path.lower().endswith(_SUFFIXES) or is_tar(path)


def is_tar(path: str) -> bool:
  """Whether a file begins as a tar, compressed or not; its first kilobytes are read."""
  try:
    with _unpacked(path) as stream:
      tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), 'utf-8', 'surrogateescape')
    return True
  except _DAMAGE:
    return False


class BoundedArchive:
  """An archive of which at most `max_mb` are unpacked, counted over all that is skipped too."""

  def __init__(self, path: str, *, max_mb: int, max_members: int):
    """Prepares. `path` names the archive in messages; the bounds are those of the flags."""
    self._path, self._max_mb, self._max_members = path, max_mb, max_members

  @contextlib.contextmanager
  def opened(self) -> Iterator[tarfile.TarFile]:
    """Yields the archive. Raises InputError, also out of the block that it stands for, where it is
    damaged or goes beyond a bound.
    """
    try:
      with (
        _unpacked(self._path) as stream,
        tarfile.open(fileobj=_Bounded(stream, self._path, self._max_mb), mode='r:') as archive,
      ):
        yield archive
    except InputError:
      raise
    except _DAMAGE as error:
      raise InputError(
        f'{self._path}: the archive is damaged or truncated, or no tar archive '
        f'({shown(str(error)) or type(error).__name__}); download it again'
      ) from error

  def members(self, archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """All members, after a look at each, and at the check sum behind them.

    Raises:
      InputError: there are too many, or one has a name or a kind that no model archive has.
    """
    members = []
    for member in archive:
      self._refuse(member)
      members.append(member)
      if len(members) > self._max_members:
        raise InputError(
          f'{self._path}: the archive has more than {self._max_members} members; nothing was '
          f'extracted; {_SOURCE}, or raise --max_archive_members'
        )
    # Compressed files end with a checksum, which only reading to the end compares.
    while archive.fileobj.read(1 << 20):
      pass
    return members

  def _refuse(self, member):
    parts = member.name.replace('\\', '/').split('/')
    if any(unicodedata.category(character) == 'Cc' for character in member.name):
      what = 'whose name has control characters'
    elif member.name.startswith('/') or '..' in parts:
      what = 'which leads out of its directory'
    elif member.issparse():
      what = f'which is sparse, {member.size} bytes of which few are there'
    elif member.size < 0:
      what = f'of {member.size} bytes'
    else:
      return
    raise InputError(
      f'{self._path}: the archive has a member {member.name[:200]!r}, {what}; nothing was '
      f'extracted; {_SOURCE}'
    )


@contextlib.contextmanager
def _unpacked(path):
  """The bytes of a file, unpacked if they are compressed."""
  try:
    if not stat.S_ISREG(os.stat(path).st_mode):
      raise InputError(f'{path}: is not a regular file')
    opened = open(path, 'rb')
  except OSError as error:
    raise InputError(f'{path}: cannot be read ({error.strerror})') from error
  with opened as file:
    start = file.read(8)
    file.seek(0)
    openers = {b'\x1f\x8b': gzip.open, b'BZh': bz2.open, b'\xfd7zXZ': _open_xz}
    opener = next((openers[mark] for mark in openers if start.startswith(mark)), None)
    if opener is None:
      yield file
      return
    with opener(file) as stream:
      yield stream


def _open_xz(file):
  """lzma.open of a file whose first block says that its dictionary is of a usual size."""
  lzma.LZMADecompressor(memlimit=_XZ_MEMORY).decompress(file.read(2**16), max_length=1)
  file.seek(0)
  return lzma.open(file)


class _Bounded(io.RawIOBase):
  """A stream that refuses to go on behind a number of bytes, and to read too much at once."""

  def __init__(self, stream, path, max_mb):
    super().__init__()
    self._stream, self._path, self._max_mb = stream, path, max_mb

  def read(self, size=-1):
    if not 0 <= size <= _LARGEST_READ:
      raise InputError(
        f'{self._path}: the archive has a header of {size} bytes; nothing was extracted; {_SOURCE}'
      )
    self._check(self._stream.tell() + size - _LARGEST_READ)
    return self._stream.read(size)

  def seek(self, offset, whence=io.SEEK_SET):
    self._check(offset)
    return self._stream.seek(offset, whence)

  def tell(self):
    return self._stream.tell()

  def _check(self, position):
    if position > self._max_mb * 10**6:
      raise InputError(
        f'{self._path}: the archive unpacks to more than {self._max_mb} MB; nothing was extracted; '
        f'{_SOURCE}, or raise --max_archive_mb'
      )
