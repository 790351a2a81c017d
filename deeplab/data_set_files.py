"""`dataset.json`: the description of a data set beside its records."""

import contextlib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping

from deeplab import data_set, json_files, remote_files
from deeplab.atomic_files import replacing
from deeplab.data import record_files
from deeplab.data_set import DataSet, Split
from deeplab.errors import InputError, shown

try:
  import fcntl
except ImportError:  # Not on Windows.
  fcntl = None

FILE_NAME = 'dataset.json'
_SUMMARY_SUFFIX = '-summary.json'


def write(directory: str, described: DataSet, *, split_name: str) -> str:
  """Writes DIRECTORY/dataset.json, or adds one split to it.

  Args:
    directory: of the records.
    described: with the split.
    split_name: its name; other splits that the file has stay.

  Returns:
    the path.

  Raises:
    InputError: the file there describes another data set; see `refuse_another`.
  """
  path = os.path.join(directory, FILE_NAME)
  with _locked(directory):  # Two splits may be converted at once.
    there = refuse_another(directory, described, split_name=split_name)
    splits = {**(there.splits if there else {}), split_name: described.splits[split_name]}
    with replacing(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
      json.dump(to_json(described.replace(splits=splits)), file, indent=2)
      file.write('\n')
  return path


def refuse_another(directory: str, described: DataSet, *, split_name: str) -> DataSet | None:
  """What DIRECTORY/dataset.json says of other splits than `split_name`, or None.

  Raises:
    InputError: they have other classes or another value that does not count.
  """
  path = os.path.join(directory, FILE_NAME)
  if not os.path.exists(path):
    return None
  there = read(path)
  splits = {name: split for name, split in there.splits.items() if name != split_name}
  if splits:
    data_set.refuse_differences(
      [there, described.replace(path=f'--split={split_name}')],
      remedy=f'remove {shown(path)}, choose another --output_dir, or convert with --dataset={path}',
    )
  return there.replace(splits=splits)


def read(path: str) -> DataSet:
  """The description in a file.

  Args:
    path: of a dataset.json, or of a directory that has one.

  Raises:
    InputError: there is no such file, or it is no description.
  """
  if remote_files.is_directory(path):
    path = os.path.join(path, FILE_NAME)
  try:
    return from_json(json_files.read(path), path=path)
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be read ({error.strerror})') from error
  except ValueError as error:
    raise InputError(
      f'{shown(path)}: not a description of a data set ({shown(str(error))}); restore it, or '
      'remove it and give --num_classes and --ignore_label'
    ) from error


def of_records(paths: Iterable[str], *, settled: Collection[str] = ()) -> DataSet | None:
  """The description beside record files, with the splits that the files belong to.

  Args:
    paths: of record files. Those that the description beside them does not name, because they were
      renamed, have its classes too, but are no split.
    settled: see `data_set.combined`.

  Returns:
    DataSet, or None without any description.

  Raises:
    InputError: a description cannot be read, or the files belong to data sets that contradict each
      other.
  """
  found = []
  for directory, names in _by_directory(paths).items():
    described = _beside(directory, names, settled=settled)
    if described is None:
      continue
    splits = {name: split for name, split in described.splits.items() if names & set(split.files)}
    # Of files with other names it can only say the classes; see `warnings_about`.
    found.append(described.replace(splits=splits))
  return data_set.combined(found, settled=settled) if found else None


def warnings_about(paths: Iterable[str]) -> list[str]:
  """A line for each description whose directory has some of the files, and which names other files
  only.
  """
  lines = []
  for directory, names in _by_directory(paths).items():
    path = os.path.join(directory, FILE_NAME)
    if not remote_files.exists(path):
      continue
    known = {name for split in read(path).splits.values() for name in split.files}
    others = sorted(names - known)
    if others:
      lines.append(
        f'{shown(os.path.join(directory, others[0]))}'
        + (f' and {len(others) - 1} more files' if len(others) > 1 else '')
        + f': {shown(path)} does not name it; taken to be of the same classes; if it is of another '
        'data set, keep it in another directory'
      )
  return lines


def to_json(described: DataSet) -> dict:
  """The description as JSON has it."""
  return {
    'num_classes': described.num_classes,
    'ignore_label': described.ignore_label,
    'class_names': list(described.class_names) or None,
    'colors': [list(color) for color in described.colors] or None,
    'splits': {
      name: {
        'num_records': split.num_records,
        'files': list(split.files),
        'images_with_label': {str(value): count for value, count in split.labels.items()},
        'source': dict(split.source),
      }
      for name, split in described.splits.items()
    },
  }


def from_json(content: Mapping, *, path: str) -> DataSet:
  """The reverse of `to_json`. Anything else raises ValueError."""
  return DataSet(
    num_classes=_optional_number(content, 'num_classes', minimum=1),
    ignore_label=_optional_number(content, 'ignore_label', minimum=0),
    class_names=tuple(json_files.texts(content.get('class_names'), 'class_names')),
    colors=_colors(content.get('colors')),
    splits={
      name: _split(json_files.mapping(split, f'split {json_files.shown(name)}'), path)
      for name, split in json_files.mapping(content.get('splits'), 'splits').items()
    },
    path=path,
  )


def _split(content, path):
  counts = json_files.mapping(content.get('images_with_label'), 'images_with_label')
  return Split(
    num_records=json_files.whole_number(content.get('num_records'), 'num_records'),
    files=tuple(json_files.texts(content.get('files'), 'files')),
    labels={
      _label(value): json_files.whole_number(count, f'images_with_label {value}')
      for value, count in counts.items()
    },
    source=json_files.mapping(content.get('source'), 'source'),
    path=path,
  )


def _by_directory(paths):
  by_directory = {}
  for path in paths:
    directory = remote_files.parent(path) or os.curdir
    by_directory.setdefault(directory, set()).add(os.path.basename(path))
  return by_directory


def _beside(directory, names, *, settled):
  """The description in `directory`, or what a summary of an older converter says, or None."""
  path = os.path.join(directory, FILE_NAME)
  if remote_files.exists(path):
    return read(path)
  splits = {record_files.split_of(name) for name in names} - {None}
  found = []
  for split in sorted(splits):
    path = os.path.join(directory, split + _SUMMARY_SUFFIX)
    if remote_files.exists(path):
      found.append(_from_summary(path, split))
  return data_set.combined(found, settled=settled) if found else None


def _from_summary(path, split_name):
  """What SPLIT-summary.json says, which the converter wrote alone before there was dataset.json."""
  try:
    content = json_files.read(path)
    counts = {
      value: json_files.mapping(entry, f'label {value}').get('images')
      for value, entry in json_files.mapping(content.get('labels'), 'labels').items()
    }
    return DataSet(
      num_classes=_optional_number(content, 'num_classes', minimum=1),
      ignore_label=_optional_number(content, 'ignore_label', minimum=0),
      splits={split_name: _split({**content, 'images_with_label': counts, 'source': None}, path)},
      path=path,
    )
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be read ({error.strerror})') from error
  except ValueError as error:
    raise InputError(
      f'{shown(path)}: not a summary of a conversion ({shown(str(error))}); restore or remove it'
    ) from error


def _optional_number(content, name, *, minimum):
  value = content.get(name)
  return (
    None if value is None else json_files.whole_number(value, name, minimum=minimum, maximum=65535)
  )


def _label(text):
  if not re.fullmatch('[0-9]{1,5}', text):
    raise ValueError(f'images_with_label has {json_files.shown(text)}, not a label value')
  return int(text)


def _colors(values):
  if values is None:
    return ()
  if not isinstance(values, list):
    raise ValueError(f'colors is {json_files.shown(values)}, not a list of colours')
  for color in values:
    if not isinstance(color, list) or len(color) != 3 or not all(map(_is_byte, color)):
      raise ValueError(f'colors has {json_files.shown(color)}, not three numbers from 0 to 255')
  return tuple(map(tuple, values))


def _is_byte(value):
  return type(value) is int and 0 <= value <= 255


@contextlib.contextmanager
def _locked(directory):
  """While open, no other process writes the description in the directory."""
  if fcntl is None:
    yield
    return
  descriptor = os.open(directory, os.O_RDONLY)
  try:
    with contextlib.suppress(OSError):  # A file system without locks.
      fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
  finally:
    os.close(descriptor)
