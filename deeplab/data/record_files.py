"""TFRecord files as files: which ones a pattern means, and how many whole records each holds.

Nothing here imports TensorFlow, unless a path is remote. A record in a file is: length (8 bytes,
little endian), check sum of the length (4), the record, check sum of the record (4). Walking over
the lengths reads 12 bytes a record.
"""

import dataclasses
import glob
import os
import re
import struct
from collections.abc import Iterable

from deeplab import remote_files
from deeplab.errors import InputError

_HEADER = struct.Struct('<QI')
_FOOTER_BYTES = 4
_CRC32C_POLYNOMIAL = 0x82F63B78
_SHARD = re.compile(r'(.+)-\d{5}-of-\d{5}')
_HELD_OUT = re.compile(r'(^|[-_.])(val|valid|validation|test|testing|eval|dev)([-_.]|$)')


_WALKED = {}  # (path, Status) of a remote file -> its RecordFile.


@dataclasses.dataclass(frozen=True)
class RecordFile:
  """What a walk over a file's record lengths found.

  Attributes:
    path: the file.
    num_records: number of whole records from the start of the file.
    num_bytes: their size together, without framing.
    problem: None, or what is wrong with the file, as a phrase that continues its path.
  """

  path: str
  num_records: int
  num_bytes: int
  problem: str | None = None


def expand_filenames(patterns: Iterable[str]) -> list[str]:
  """The files that paths, globs and directories stand for, which may be remote.

  Args:
    patterns: paths. A directory stands for the files in it named *.tfrecord, *.tfrecords or
      *.record (or *.tfrecord-00000-of-00010 and the like), its sub-directories not included. A glob
      leaves out *.json, the summaries that conversion writes beside the records.

  Returns:
    list of paths without repetition: in the order of `patterns`, sorted within each.

  Raises:
    InputError: a pattern matches nothing or no regular file, or there is no pattern.
  """
  files = []
  for pattern in patterns:
    if remote_files.is_directory(pattern):
      found = _in_directory(pattern)
      if not found:
        raise InputError(
          f'--filenames={pattern}: the directory has no *.tfrecord files; give the directory that '
          'write_tfrecord.py wrote, or the files'
        )
    elif remote_files.exists(pattern):
      if not remote_files.is_file(pattern):
        raise InputError(
          f'--filenames={pattern}: is not a regular file; give TFRecord files, a glob in quotes or '
          'a directory'
        )
      found = [pattern]
    else:
      found = [path for path in remote_files.matching(pattern) if not path.endswith('.json')]
      are_files = remote_files.each(remote_files.is_file, found)
      found = [path for path, is_one in zip(found, are_files) if is_one]
      if not found:
        what = 'no file matches' if glob.has_magic(pattern) else 'no such file or directory'
        raise InputError(
          f'--filenames={pattern}: {what}; give TFRecord files, a glob in quotes or a directory'
        )
    files += found
  if not files:
    raise InputError(
      '--filenames: no file given; give TFRecord files, a glob in quotes or a directory'
    )
  return list(dict.fromkeys(files))


def _in_directory(directory):
  """The record files in a directory, sorted."""
  if not remote_files.is_remote(directory):
    return sorted(
      entry.path
      for entry in os.scandir(directory)
      if entry.is_file() and _is_record_name(entry.name)
    )
  try:
    names = [name for name, is_one in remote_files.entries(directory) if not is_one]
  except OSError as error:
    raise InputError(f'--filenames={directory}: cannot be read ({error.strerror})') from error
  return [os.path.join(directory, name) for name in names if _is_record_name(name)]


def held_out_beside_others(pattern: str) -> tuple[str, str] | None:
  """(a split to train on, a split that is held out) such as train and val, where one directory or
  glob stands for both; else None. The names of the shards tell: SPLIT-00000-of-00010.

  Raises InputError where it stands for no file.
  """
  splits = {split_of(path) for path in expand_filenames([pattern])} - {None}
  held_out = {split for split in splits if is_held_out(split)}
  if not held_out or held_out == splits:
    return None
  return min(splits - held_out), min(held_out)


def is_held_out(split: str) -> bool:
  """Whether a split of that name is not to train on, such as val and test."""
  return bool(_HELD_OUT.search(split.lower()))


def glob_of_split(pattern: str, split: str) -> str:
  """The glob of one split's shards among those that a directory or glob stands for."""
  directory = pattern if remote_files.is_directory(pattern) else remote_files.parent(pattern)
  return os.path.join(directory, split) + '-*'


def split_of(path: str) -> str | None:
  """The split that the name of a shard, SPLIT-00000-of-00010.tfrecord, says; else None."""
  match = _SHARD.match(os.path.basename(path))
  return match.group(1) if match else None


def _is_record_name(name):
  return not name.startswith('.') and ('.tfrecord' in name or name.endswith('.record'))


def index_file(path: str) -> RecordFile:
  """Walks over the records of a file without reading them: a RecordFile.

  InputError if the file cannot be opened.
  """
  try:
    if remote_files.is_remote(path):
      return _index_remote(path, remote_files.status_of(path))
    with open(path, 'rb', buffering=0) as file:
      return _walk(path, file, size=os.fstat(file.fileno()).st_size)
  except OSError as error:
    raise InputError(f'{path}: cannot be read ({error.strerror})') from error


def _index_remote(path, status):
  """The RecordFile of a remote file; one whose Status is that of an earlier walk is not read again:
  trainer and validation ask often, and the answer may take as long as reading all of the file.
  """
  found = _WALKED.get((path, status))
  if found is None:
    with remote_files.open_file(path) as file:
      found = _walk(path, file, size=status.size)
    if status.changed_ns:
      _WALKED[path, status] = found
  return found


def _walk(path, file, *, size):
  """The RecordFile of an open file of so many bytes."""
  num_records = num_bytes = position = 0
  problem = 'is empty (0 bytes)' if size == 0 else None
  while position < size:
    file.seek(position)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
      problem = (
        f'is cut off after {num_records} whole records' if position else 'is not a TFRecord file'
      )
      break
    length, checksum = _HEADER.unpack(header)
    if checksum != masked_crc32c(header[:8]):
      problem = (
        f'is corrupt after {num_records} whole records' if position else 'is not a TFRecord file'
      )
      break
    position += _HEADER.size + length + _FOOTER_BYTES
    if position > size:
      problem = f'is cut off after {num_records} whole records'
      break
    num_records += 1
    num_bytes += length
  return RecordFile(path=path, num_records=num_records, num_bytes=num_bytes, problem=problem)


def index_files(paths: Iterable[str], *, allow_problems: bool = False) -> list[RecordFile]:
  """A RecordFile for each path.

  Raises:
    InputError: a file is empty, truncated or something else (unless `allow_problems`), or no file
      has a record.
  """
  files = remote_files.each(index_file, paths)
  for file in files:
    if file.problem and not allow_problems:
      raise InputError(f'{file.path} {file.problem}; write or copy it again, or leave it out')
  if not any(file.num_records for file in files):
    raise InputError(
      f'{files[0].path}{" and the other files" if len(files) > 1 else ""}: no records to read; '
      'make them with write_tfrecord.py'
    )
  return files


def masked_crc32c(data: bytes) -> int:
  """The check sum of TFRecord framing (Castagnoli CRC, rotated and shifted), for the few bytes of a
  length.
  """
  crc = 0xFFFFFFFF
  for byte in data:
    crc ^= byte
    for _ in range(8):
      crc = (crc >> 1) ^ (_CRC32C_POLYNOMIAL if crc & 1 else 0)
  crc ^= 0xFFFFFFFF
  return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
