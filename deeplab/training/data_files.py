"""Which record files a run has, with their records and sizes: kept beside its checkpoints, so that
a change is noticed when the run goes on and after each epoch.

The time of a file's last change is no part of it: copies and mounts change that.
"""

import os
from collections.abc import Mapping, Sequence

from deeplab import json_files, remote_files
from deeplab.data import record_files
from deeplab.data.record_files import RecordFile
from deeplab.errors import InputError, shown

_MOST_NAMED = 3
_NAMES = {'filenames': 'training data', 'eval_filenames': 'validation data'}


def facts(files: Sequence[RecordFile]) -> dict[str, dict[str, int]]:
  """path -> {'records': number of whole records, 'bytes': size of the file}.

  Raises InputError where a file has vanished.
  """
  sizes = _sizes([file.path for file in files])
  missing = [file.path for file in files if file.path not in sizes]
  if missing:
    raise InputError(f'{shown(missing[0])}: has vanished since its records were counted')
  return {file.path: {'records': file.num_records, 'bytes': sizes[file.path]} for file in files}


def read(path: str) -> dict[str, dict[str, dict[str, int]]] | None:
  """flag -> `facts` of its files, of the JSON file `path`; None where there is none.

  Raises InputError where it is something else.
  """
  if not os.path.lexists(path):
    return None
  try:
    saved = json_files.read(path)
    for flag, files in saved.items():
      for name, numbers in json_files.mapping(files, flag).items():
        numbers = json_files.mapping(numbers, name)
        for what in ('records', 'bytes'):
          json_files.whole_number(numbers.get(what), f'{what} of {name}')
    return {flag: files or {} for flag, files in saved.items()}
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be read ({error.strerror})') from error
  except ValueError as error:
    raise InputError(
      f'{shown(path)}: not a list of the data files of a run ({shown(str(error))}); restore it, or '
      'remove it to go on without comparing them'
    ) from error


def changes(was: Mapping[str, Mapping[str, int]], now: Mapping[str, Mapping[str, int]]) -> str:
  """What differs between two results of `facts`, as one phrase; '' where nothing does. A number
  that one of them lacks is not compared.
  """
  phrases = [f'{shown(path)} is gone' for path in was if path not in now]
  phrases += [f'{shown(path)} is new' for path in now if path not in was]
  for path, numbers in now.items():
    before = was.get(path, {})
    phrases += [
      f'{shown(path)} has {number} {what}, had {before[what]}'
      for what, number in numbers.items()
      if before.get(what, number) != number
    ][:1]
  if len(phrases) > _MOST_NAMED:
    phrases = [*phrases[:_MOST_NAMED], f'and {len(phrases) - _MOST_NAMED} more files']
  return ', '.join(phrases)


class DataWatch:
  """Looks after each epoch whether the files are still those the run began with."""

  def __init__(
    self,
    patterns: Mapping[str, Sequence[str]],
    known: Mapping[str, Mapping[str, Mapping[str, int]]],
    *,
    batch_size: int,
    first_batch: int,
  ):
    """Remembers the files.

    Args:
      patterns: flag -> its values, of 'filenames' and, with a validation, 'eval_filenames'.
      known: flag -> `facts` of its files.
      batch_size: records in a batch.
      first_batch: number of batches drawn before.
    """
    self._patterns, self._known = patterns, {flag: known[flag] for flag in patterns}
    self._num_records = max(sum(file['records'] for file in known['filenames'].values()), 1)
    self._batch_size, self._num_batches = batch_size, first_batch
    self._said = {}

  def batch_drawn(self) -> list[str]:
    """Counts a batch; the first of an epoch brings a warning for each kind of data that has
    changed, said once.
    """
    epoch = self._num_batches * self._batch_size // self._num_records
    self._num_batches += 1
    if self._num_batches * self._batch_size // self._num_records == epoch:
      return []
    lines = []
    for flag, patterns in self._patterns.items():
      changed = changes(self._known[flag], _sizes_of_patterns(patterns))
      if changed and changed != self._said.get(flag):
        lines.append(
          f'{_NAMES[flag]} changed since the run began: {changed}; it goes on with the files and '
          'the numbers of records that it began with'
        )
      self._said[flag] = changed
    return lines


def check_resumed(
  saved: Mapping[str, Mapping[str, Mapping[str, int]]] | None,
  now: Mapping[str, Mapping[str, Mapping[str, int]]],
  *,
  path: str,
  allow_changed_data: bool,
) -> list[str]:
  """Compares the data of a run with that of the command that continues it.

  Args:
    saved: flag -> `facts` as the run saved them, or None: it was started before there was such a
      file.
    now: flag -> `facts`.
    path: of the run's directory, for messages.
    allow_changed_data: other training data is a warning, not an error.

  Returns:
    lines to warn with.

  Raises:
    InputError: the training data has changed.
  """
  if saved is None:
    return []
  lines = []
  changed = changes(saved.get('filenames', {}), now['filenames'])
  if changed and not allow_changed_data:
    raise InputError(
      f'--resume: the training data is not that of the run in {path}: {changed}; restore it, or '
      'give --allow_changed_data to go on with what is there now'
    )
  if changed:
    lines.append(
      f'the training data is not what the run began with: {changed}; from here on it is another '
      'run than it would have been'
    )
  measured, measures = saved.get('eval_filenames', {}), now['eval_filenames']
  changed = changes(measured, measures) if measured and measures else ''
  if changed:
    lines.append(
      f'the validation data is not that of the run so far: {changed}; mIOU before and after do not '
      'compare, nor does best.ckpt'
    )
  return lines


def _sizes(paths):
  """path -> bytes of the files that are there."""
  sizes = zip(paths, remote_files.each(_size_if_there, paths))
  return {path: size for path, size in sizes if size is not None}


def _size_if_there(path):
  try:
    return remote_files.size_of(path)
  except OSError:
    return None


def _sizes_of_patterns(patterns):
  """path -> {'bytes': size} of the files that `patterns` stand for now."""
  found = []
  for pattern in patterns:
    try:
      found += record_files.expand_filenames([pattern])
    except InputError:  # Nothing is left of it.
      continue
  return {path: {'bytes': size} for path, size in _sizes(found).items()}
