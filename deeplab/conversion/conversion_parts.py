"""A conversion by several processes: each checks and writes every n-th of the record files, which
wait, with what was counted of them, in a directory of their own until all are there.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from deeplab import data_set_files, messages, work_shards
from deeplab.conversion import shards
from deeplab.conversion.conversion_summary import ConversionSummary
from deeplab.conversion.label_checks import PaletteComparison
from deeplab.conversion.pairing import Pair
from deeplab.conversion.problems import Problems
from deeplab.data_set import DataSet
from deeplab.errors import InputError, shown
from deeplab.json_files import items, texts, whole_number
from deeplab.options import ConversionOptions
from deeplab.undecodable_names import from_text, to_text
from deeplab.work_shards import Shard

_MOST_LISTED = 20


def directory_of(directory: str, options: ConversionOptions) -> str:
  """Where parts and record files of a split wait; no glob or directory of records means it."""
  return os.path.join(directory, f'.shards-of-{options.split}')


def settings_of(options: ConversionOptions, described: DataSet) -> dict[str, Any]:
  """What the shards of a conversion have in common."""
  classes = data_set_files.to_json(described.replace(splits={}))
  return {
    **work_shards.settings_of(options, without=('num_workers',)),
    'classes_sha256': _digest(json.dumps(classes)),
  }


def with_enough_files(
  options: ConversionOptions, *, num_records: int, given: Collection[str]
) -> ConversionOptions:
  """The options with so few records in a file that each shard has one, unless the user chose."""
  if 'num_per_shard' in given:
    return options
  num_files = max(options.num_shards, -(-num_records // options.num_per_shard), 1)
  return options.replace(num_per_shard=max(1, -(-num_records // num_files)))


def own_files(
  pairs: Sequence[Pair], paths: Sequence[str], shard: Shard, options: ConversionOptions
) -> tuple[list[Pair], list[str]]:
  """(pairs, paths of their record files) of a shard, of those of the whole conversion."""
  size = options.num_per_shard
  numbers = range(shard.index, len(paths), shard.count)
  return (
    [pair for number in numbers for pair in pairs[number * size : (number + 1) * size]],
    [paths[number] for number in numbers],
  )


class PartWriter:
  """Writes the part of one shard; while it is at work, there is none."""

  def __init__(self, directory: str, shard: Shard, options: ConversionOptions, described: DataSet):
    """Removes the part of an earlier run.

    Args:
      directory: of the records.
      options: settled, with num_per_shard as the user gave it.
      described: the classes.
    """
    self.directory = directory_of(directory, options)
    self._shard, self._settings = shard, settings_of(options, described)
    work_shards.remove_part(self.directory, shard)

  def write(
    self,
    summary: ConversionSummary,
    palettes: PaletteComparison,
    problems: Problems,
    *,
    pairs: Sequence[Pair],
    num_per_shard: int,
  ) -> None:
    """Writes the part.

    Args:
      summary, palettes: of the shard's own pairs.
      problems: with them.
      pairs: of all shards.
      num_per_shard: records in a file.
    """
    listed = '\n'.join(
      '\t'.join((pair.name, pair.image_path, pair.label_path or '')) for pair in pairs
    )
    work_shards.write_part(
      self.directory,
      self._shard,
      settings={**self._settings, 'files_sha256': _digest(listed)},
      content={
        'num_per_shard': num_per_shard,
        'num_problems': len(problems),
        'problems': problems.first_lines,
        'summary': summary.to_json(),
        'palettes': [
          [index, list(color), to_text(path)] for index, color, path in palettes.first_colors()
        ],
      },
    )


@dataclasses.dataclass(frozen=True)
class MergedParts:
  """What all shards counted.

  Attributes:
    summary: of all records.
    paths: of the record files, when they have their names.
    waiting: the directory where they wait.
  """

  summary: ConversionSummary
  paths: list[str]
  waiting: str


def merge(
  directory: str, options: ConversionOptions, *, settings: Mapping[str, Any]
) -> MergedParts:
  """Brings the parts together.

  Args:
    directory: of the records.
    options: settled, of the merge.
    settings: as `settings_of`, of the merge.

  Raises:
    InputError: a part is missing, damaged or of other flags or files, or found problems; or the
      palettes of two shards contradict each other.
  """
  waiting, count = directory_of(directory, options), options.num_shards
  parts = work_shards.read_parts(waiting, count, settings=settings)
  summary, palettes = ConversionSummary(options), PaletteComparison()
  problems, contradiction = {}, None
  for index, part in enumerate(parts):
    try:
      num_per_shard = whole_number(part['num_per_shard'], 'num_per_shard', minimum=1)
      if num_per_shard != parts[0]['num_per_shard']:
        raise ValueError(f'num_per_shard is {num_per_shard}, in shard 0 another')
      lines = texts(part['problems'], 'problems')
      if whole_number(part['num_problems'], 'num_problems'):
        problems[index] = part['num_problems'], lines
      summary.add_json(part['summary'])
      for palette_index, color, path in items(part['palettes'], 'palettes'):
        used = [(_byte(palette_index), tuple(map(_byte, color)))]
        contradiction = contradiction or palettes.problem(used, from_text(path))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
      path = work_shards.part_path(waiting, Shard(index, count))
      raise InputError(
        f'{shown(path)}: not the part of a shard ({shown(str(error))}); run that shard again'
      ) from error
  if problems:
    _raise_problems(problems, count)
  if contradiction and 'palettes' not in options.accept:
    raise InputError(f'{contradiction}; nothing was written')
  paths = shards.paths_of(
    options.replace(num_per_shard=num_per_shard), num_records=summary.num_records
  )
  _refuse_missing(paths, waiting, count)
  return MergedParts(summary, paths, waiting)


def _raise_problems(problems, count):
  """Raises InputError; `problems` are (number, some lines) by the shard that has them."""
  lines = [f'{Shard(index, count)}: {line}' for index in problems for line in problems[index][1]]
  total = sum(number for number, _ in problems.values())
  for line in lines[:_MOST_LISTED]:
    messages.problem(line)
  if total > min(len(lines), _MOST_LISTED):
    messages.problem(f'... and {total - min(len(lines), _MOST_LISTED)} more')
  raise InputError(
    f'--merge_shards: {work_shards.numbered(problems)} found {total} '
    f'problem{"s" if total > 1 else ""} (listed above); mend the files and run '
    f'{"them" if len(problems) > 1 else "it"} again; nothing was written'
  )


def _refuse_missing(paths, waiting, count):
  """Raises InputError where a record file is gone. A merge that was killed has named some."""
  for number, path in enumerate(paths):
    name = os.path.basename(path)
    if not (os.path.exists(os.path.join(waiting, name)) or os.path.exists(path)):
      raise InputError(
        f'--merge_shards: {shown(name)} is gone from {shown(waiting)}; run shard {number % count} '
        'again'
      )


def _byte(value):
  return whole_number(value, 'a palette', maximum=255)


def _digest(text):
  return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()
