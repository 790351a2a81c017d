"""The directory that keeps published weights, each in a directory of its own: made aside and
renamed, so that it is whole or not there; for one process at a time; and with the checksums that
its files had, which are compared at each use.

  CACHE/official/NAME/download.json   of the archive and of the files in model/
  CACHE/official/NAME/model/          the checkpoint, and model_options.json
"""

import contextlib
import dataclasses
import json
import os
import re
import time
from collections.abc import Callable, Iterator

from deeplab import file_digests, json_files, messages
from deeplab.atomic_files import lock, remove_unfinished, replacing, replacing_directory
from deeplab.errors import InputError, shown

VARIABLE = 'DEEPLAB_CACHE'


@dataclasses.dataclass(frozen=True)
class Record:
  """What `download.json` says.

  Attributes:
    address: where the archive came from first.
    day: when, such as '2026-11-26'.
    archive_bytes, archive_sha256: of the archive.
    checkpoint: file name of the prefix in model/.
    files: name -> [bytes, sha256] of the files in model/.
  """

  address: str
  day: str
  archive_bytes: int
  archive_sha256: str
  checkpoint: str
  files: dict[str, list]


def directory() -> str:
  """Of the environment variable DEEPLAB_CACHE, else `deeplab` where XDG says that caches are."""
  chosen = os.environ.get(VARIABLE)
  if chosen:
    return os.path.abspath(os.path.expanduser(chosen))
  caches = os.environ.get('XDG_CACHE_HOME', '')
  # As XDG has it, a path that is not absolute counts as none.
  return os.path.join(
    caches if os.path.isabs(caches) else os.path.expanduser('~/.cache'), 'deeplab'
  )


class Entry:
  """The place of published weights in the cache.

  Attributes:
    path: its directory.
    archive: where their archive is while it is needed; what is there is taken without a download.
  """

  def __init__(self, name: str):
    """Args: name: of the weights, such as 'official/xception65_voc_trainaug'."""
    self._name = name
    self.path = os.path.join(directory(), *name.split('/'))
    self.archive = os.path.join(self.path, 'archive')
    self._model = os.path.join(self.path, 'model')
    self._record = os.path.join(self.path, 'download.json')

  def is_there(self) -> bool:
    """Whether the checkpoint is there."""
    return os.path.isdir(self._model)

  def prefix(self) -> str:
    """The checkpoint's prefix, after a look whether its files are what they were.

    Raises InputError where one is not.
    """
    record = self.record()
    if record is None:
      self._refuse(f'{shown(self._record)} is missing, which has their checksums')
    for name, expected in record.files.items():
      path = os.path.join(self._model, name)
      if not os.path.isfile(path):
        self._refuse(f'{shown(path)} is missing')
      if size_and_sha256(path) != expected:
        self._refuse(f'{shown(path)} is not what it was when it was made')
    return os.path.join(self._model, record.checkpoint)

  def record(self) -> Record | None:
    """What was noted at the first download, or None without one."""
    try:
      record = Record(**json_files.read(self._record))
      if not isinstance(record.files, dict) or record.checkpoint != os.path.basename(
        record.checkpoint
      ):
        raise ValueError
      return record
    except FileNotFoundError:
      return None
    except (OSError, ValueError, TypeError, AttributeError):
      self._refuse(f'{shown(self._record)}, which has their checksums, is damaged')

  def _refuse(self, what):
    raise InputError(
      f'{self._name}: the cache was changed: {what}; remove {shown(self.path)} to have it '
      'downloaded again'
    )

  @contextlib.contextmanager
  def locked(self) -> Iterator[None]:
    """While open no other process makes this entry: the second waits, and says so. A kill unlocks
    it too.
    """
    os.makedirs(self.path, exist_ok=True)
    with open(os.path.join(self.path, 'lock'), 'ab') as file:
      try:
        lock(file.fileno())
      except BlockingIOError:
        messages.say(f'{self._name}: another process is downloading it; waiting for that one')
        lock(file.fileno(), wait=True)
      except OSError:
        pass  # A file system, or a system, without locks.
      yield

  def make(self, fill: Callable[[str], str], *, address: str) -> None:
    """Makes the entry of the archive, which is in its place and goes then. For whoever has the
    lock.

    Args:
      fill: called with an empty directory; puts the checkpoint there and returns the file name of
        its prefix.
      address: where the archive came from.

    Raises:
      InputError: the archive is another one than at the first download.
    """
    remove_unfinished(self.path)  # Of killed processes.
    record = self._new_record(address)
    with replacing_directory(self._model, members=re.compile('.*')) as temporary:
      checkpoint = fill(temporary)
      files = {
        name: size_and_sha256(os.path.join(temporary, name)) for name in os.listdir(temporary)
      }
      record = dataclasses.replace(record, checkpoint=checkpoint, files=files)
      with replacing(self._record) as path, open(path, 'w', encoding='utf-8') as file:
        json.dump(dataclasses.asdict(record), file, indent=2)
    os.remove(self.archive)

  def _new_record(self, address):
    size, sha256 = size_and_sha256(self.archive)
    before = self.record()
    if before is None:
      return Record(address, time.strftime('%Y-%m-%d'), size, sha256, checkpoint='', files={})
    if before.archive_sha256 != sha256:
      os.remove(self.archive)
      raise InputError(
        f'{address}: is another file ({size} bytes, sha256 {sha256}) than the one that came from '
        f'{shown(before.address)} on {before.day} ({before.archive_bytes} bytes, sha256 '
        f'{before.archive_sha256}); nothing of it was kept; if you trust it, remove '
        f'{shown(self.path)} and run it again'
      )
    return before


def size_and_sha256(path: str) -> list:
  """[bytes, sha256 in hexadecimal] of a file."""
  return [os.path.getsize(path), file_digests.sha256_of(path)]
