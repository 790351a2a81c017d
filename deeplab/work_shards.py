"""One work done by several processes, here or on many machines, that know nothing of each other:
each does its shard and leaves a file that says what it did, its part; who comes last merges these.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from deeplab import __version__, json_files
from deeplab.atomic_files import replacing
from deeplab.errors import InputError, shown
from deeplab.options import CheckedOptions
from deeplab.undecodable_names import for_json, to_text

_MOST_NAMED = 10
_MOST_VALUES = 20  # Of a flag; of longer ones only the number is kept.
# Settings that are no flags, in words; of most of them a digest is kept.
_NO_FLAGS = {
  'version': 'version',
  'checkpoint': 'checkpoint',
  'checkpoint_sha256': 'values in the checkpoint',
  'classes_sha256': 'names or colours of the classes',
  'files_sha256': 'image and label files in their list or directories',
}
# Flags that say which shard it is.
_OWN = ('shard_index', 'num_shards', 'merge_shards')


@dataclasses.dataclass(frozen=True)
class Shard:
  """One of `count` shards, counted from 0."""

  index: int
  count: int

  def __str__(self):
    return f'shard {self.index} of {self.count}'

  @property
  def file_part(self) -> str:
    """What tells its files from those of others."""
    return f'{self.index:05d}-of-{self.count:05d}'

  def has(self, name: str) -> bool:
    """Whether what has this name is its own."""
    return index_of(name, self.count) == self.index


def index_of(name: str, count: int) -> int:
  """The shard of `count` that what has this name belongs to. It depends on nothing else, so files
  that come or go meanwhile move no other to another shard.
  """
  digest = hashlib.sha256(name.encode('utf-8', 'surrogateescape')).digest()
  return int.from_bytes(digest[:8], 'big') % count


def of(options: CheckedOptions) -> Shard | None:
  """The shard that the flags say; None for the whole work."""
  if options.shard_index is None:
    return None
  return Shard(options.shard_index, options.num_shards)


def settings_of(*options: CheckedOptions, without: Iterable[str] = ()) -> dict[str, Any]:
  """What shards must have in common to be merged: the flags, ready for JSON.

  Args:
    *options: options objects.
    without: names of those that change no result.
  """
  left_out = {*_OWN, *without}
  settings = {'version': __version__}
  for one in options:
    for field in dataclasses.fields(one):
      value = getattr(one, field.name)
      if isinstance(value, tuple) and len(value) > _MOST_VALUES:
        value = f'{len(value)} values'
      if field.name not in left_out:
        settings[field.name] = for_json(value)
  return settings


def part_path(directory: str, shard: Shard) -> str:
  """Where the part of a shard lies in the directory of the parts."""
  return os.path.join(directory, f'{shard.file_part}.json')


def remove_part(directory: str, shard: Shard) -> None:
  """Removes what an earlier run of the shard left, so that nobody takes it for this one's."""
  with contextlib.suppress(FileNotFoundError, NotADirectoryError):
    os.remove(part_path(directory, shard))


def write_part(
  directory: str, shard: Shard, *, settings: Mapping[str, Any], content: Mapping[str, Any]
) -> None:
  """Writes what a shard did, `content`, ready for JSON, with its settings. Raises OSError."""
  os.makedirs(directory, exist_ok=True)
  with replacing(part_path(directory, shard)) as temporary:
    with open(temporary, 'w', encoding='utf-8') as file:
      json.dump({'settings': settings, **content}, file)
      file.write('\n')


def read_parts(directory: str, count: int, *, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
  """The parts of all shards, in their order.

  Args:
    directory: of the parts.
    count: number of shards.
    settings: of the merge: what the shards must have had.

  Raises:
    InputError: parts are missing, damaged, or of shards that had other settings.
  """
  shards = [Shard(index, count) for index in range(count)]
  missing = [one.index for one in shards if not os.path.exists(part_path(directory, one))]
  if missing:
    raise InputError(
      f'--merge_shards: {numbered(missing)} of {count} {"is" if len(missing) == 1 else "are"} '
      f'missing in {shown(directory)}{_other_counts(directory, count)}; run '
      f'{"it" if len(missing) == 1 else "them"} with --shard_index and --num_shards={count}, to '
      'the end'
    )
  parts = [_read(part_path(directory, one)) for one in shards]
  for shard, part in zip(shards, parts):
    _refuse_others(settings, part['settings'], f'{shard}', 'the merge')
    _refuse_others(parts[0]['settings'], part['settings'], f'{shard}', 'shard 0')
  return parts


def numbered(indices: Iterable[int]) -> str:
  """'shard 2' or 'shards 2, 3, 5', not all of very many."""
  indices = list(indices)
  named = ', '.join(map(str, indices[:_MOST_NAMED]))
  more = f' and {len(indices) - _MOST_NAMED} more' if len(indices) > _MOST_NAMED else ''
  return f'shard{"s" if len(indices) > 1 else ""} {named}{more}'


def _read(path):
  try:
    part = json_files.read(path)
    if json_files.mapping(part.get('settings'), 'settings') != part.get('settings'):
      raise ValueError('settings are missing')
    return part
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be read ({error.strerror})') from error
  except ValueError as error:
    raise InputError(
      f'{shown(path)}: not the part of a shard ({shown(str(error))}); run that shard again'
    ) from error


def _refuse_others(expected, found, who, whose):
  """Raises InputError where two settings differ in what both have."""
  for name in sorted(set(expected) & set(found)):
    if expected[name] == found[name]:
      continue
    if name.endswith('_sha256'):
      difference = f'other {_NO_FLAGS[name]} than {whose}'
    else:
      difference = f'{_setting(name, found[name])}, {whose} has {_setting(name, expected[name])}'
    raise InputError(
      f'--merge_shards: {who} was made with {difference}; run the shards that differ again, alike'
    )


def _setting(name, value):
  """A flag, or another setting, with its value."""
  flag = _NO_FLAGS.get(name, f'--{name}')
  if value is None:
    return f'no {flag}'
  text = ','.join(map(str, value)) if isinstance(value, list) else str(value)
  return shown(to_text(f'{flag}={text}' if flag.startswith('--') else f'{flag} {text}'))


def _other_counts(directory, count):
  """Where parts of another number of shards are there: in words."""
  try:
    names = os.listdir(directory)
  except OSError:
    return ''
  others = {
    int(number)
    for name in names
    if (number := name.removesuffix('.json').rpartition('-of-')[2]).isdecimal() and len(number) == 5
  } - {count}
  return f' (there are shards of --num_shards={min(others)})' if others else ''
