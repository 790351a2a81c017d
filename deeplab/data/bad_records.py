"""Which record is bad, and why: for the error line of a command, and to leave bad records out."""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator

import tensorflow as tf

from deeplab import remote_files
from deeplab.atomic_files import replacing
from deeplab.data import decoding, record_files, tfrecord
from deeplab.data.record_diagnosis import UNREADABLE, diagnose, undecodable_part
from deeplab.data.record_files import RecordFile
from deeplab.errors import InputError, shown
from deeplab.failure_reasons import memory_shortage, reason_of
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS

# Errors that a record may be the reason of; others come from where it is read.
_OF_THE_RECORDS = (
  tf.errors.DataLossError,
  tf.errors.InvalidArgumentError,
  tf.errors.ResourceExhaustedError,
  tf.errors.UnimplementedError,
)


@dataclasses.dataclass(frozen=True)
class BadRecord:
  """A record that cannot be used, or a file with more than its records can tell.

  Attributes:
    path: the file.
    index: number of the record in the file, counted from 0; None: the file itself.
    reason: what is wrong, as a phrase.
    known_as: the name in the record, or ''.
    unreadable: whether reading ends here: neither this record nor those behind it in the file can
      be read.
  """

  path: str
  index: int | None
  reason: str
  known_as: str = ''
  unreadable: bool = False

  @property
  def name(self) -> str | None:
    """FILE:INDEX, or None for a file."""
    return None if self.index is None else f'{self.path}:{self.index}'

  def __str__(self):
    return shown(self._as_text())

  def _as_text(self):
    if self.index is None:
      return f'{self.path} {self.reason}'
    known_as = f' ({self.known_as})' if self.known_as else ''
    return f'{self.path}, record {self.index} (counted from 0){known_as}: {self.reason}'


def explain_failure(
  error: tf.errors.OpError,
  filenames: Iterable[str],
  *,
  num_classes: int,
  ignore_label: int,
  max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
  known: Iterable[str] | None = None,
) -> InputError:
  """Why reading failed. Looks through the files for the first bad record.

  Args:
    error: the tf.errors.OpError that iterating over a dataset raised.
    filenames: what the dataset was made with: paths, globs or directories.
    known: the files that these stood for then, of which remote ones may be gone; None: those that
      they stand for now.
    num_classes, ignore_label, max_image_pixels: as the dataset was made with.

  Returns:
    InputError, to be raised: it names file, record and value. Where all records are good, it
      repeats the error.
  """
  try:
    _refuse_unreachable(error, record_files.expand_filenames(filenames) if known is None else known)
    files = record_files.index_files(record_files.expand_filenames(filenames), allow_problems=True)
    limits = dict(
      num_classes=num_classes, ignore_label=ignore_label, max_image_pixels=max_image_pixels
    )
    first = next(find(files, **limits), None)
  except InputError as other:
    return other
  if first is not None:
    return InputError(f'{first}{_remedy(first.reason)}')
  where = f'{files[0].path}{" and others" if len(files) > 1 else ""}'
  shortage = memory_shortage(error)
  if shortage:
    return InputError(
      f'{shortage} with the records of {where}; give a smaller --batch_size, or smaller '
      '--max_image_pixels to find the largest'
    )
  return InputError(f'reading {where} failed: {reason_of(error)}')


def _refuse_unreachable(error, paths):
  """Raises InputError where remote files are gone or do not answer: all would be read for nothing
  to find a bad record.
  """
  paths = [path for path in paths if remote_files.is_remote(path)]
  states = remote_files.each(remote_files.problem_with, paths)
  problems = {path: problem for path, problem in zip(paths, states) if problem}
  if not problems and paths and not isinstance(error, _OF_THE_RECORDS):
    named = [path for path in paths if path in str(error)]
    some = paths[0] + (' and others' if paths[1:] else '')
    problems[named[0] if named else some] = reason_of(error)
  for path, problem in problems.items():
    raise InputError(
      f'{shown(path)}: cannot be read any more ({problem}); once it can be, go on'
    ) from error


def _remedy(reason):
  if reason.startswith('label value'):
    return (
      '; set --num_classes and --ignore_label to what the data has, or convert it again '
      '(--label_offset, --colormap)'
    )
  return '; convert it again with write_tfrecord.py, or train with --skip_bad_records'


def find(
  files: Iterable[RecordFile],
  *,
  num_classes: int,
  ignore_label: int,
  max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
  num_threads: int | None = None,
) -> Iterator[BadRecord]:
  """Looks through all records, decoding them wholly.

  Args:
    files: RecordFiles.
    num_classes, ignore_label, max_image_pixels: what is allowed.
    num_threads: threads that decode; None: one for each core.

  Yields:
    BadRecords, in the order of the files.
  """
  limits = dict(
    num_classes=num_classes, ignore_label=ignore_label, max_image_pixels=max_image_pixels
  )

  check = _quick_check(**limits)

  def examine(path, index, serialized):
    try:
      check(serialized)
    except UNREADABLE:
      return why_bad(path, index, serialized.numpy(), **limits)
    return None

  for file in files:
    if file.problem:
      yield BadRecord(file.path, None, file.problem)
    yield from (
      found for found in examine_file(file, examine, num_threads=num_threads) if found is not None
    )


def write(found: Iterable[BadRecord], path: str) -> None:
  """Writes a line for each to a text file. Raises InputError where it cannot be written."""
  try:
    with replacing(path) as temporary, open(temporary, 'wb') as file:
      file.writelines(f'{one}\n'.encode('utf-8', 'surrogateescape') for one in found)
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be written ({error.strerror})') from error


def examine_file(
  file: RecordFile, examine: Callable, *, num_threads: int | None = None
) -> Iterator:
  """Results of a function over the records of a file, in their order, made in threads.

  Args:
    file: RecordFile.
    examine: called with path, number of the record and the record as a string tensor.
    num_threads: None: one for each core.

  Yields:
    What `examine` returns; a BadRecord for each record that TensorFlow cannot read.
  """
  num_threads = num_threads or os.cpu_count() or 1
  waiting = collections.deque()
  records = iter(tf.data.TFRecordDataset(file.path).take(file.num_records))
  with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
    for index in range(file.num_records):
      try:
        serialized = next(records)
      except tf.errors.OpError as error:
        _refuse_unreachable(error, [file.path])
        behind = file.num_records - index - 1
        waiting.append(
          _done(
            BadRecord(
              file.path,
              index,
              f'damaged (wrong check sum); the {behind} records behind it in the file are out of '
              'reach',
              unreadable=True,
            )
          )
        )
        break
      waiting.append(pool.submit(examine, file.path, index, serialized))
      if len(waiting) > 4 * num_threads:
        yield waiting.popleft().result()
    while waiting:
      yield waiting.popleft().result()


def _done(result):
  future = concurrent.futures.Future()
  future.set_result(result)
  return future


def _quick_check(**limits):
  """A function that raises tf.errors.OpError for the string tensor of a bad record."""

  @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
  def check(serialized):
    with tf.device('/cpu:0'):
      encoded_image, encoded_label, _ = tfrecord.parse(serialized)
      return decoding.decode_pair(encoded_image, encoded_label, **limits)

  return check


def why_bad(path: str, index: int, serialized: bytes, **limits: int) -> BadRecord:
  """The BadRecord for the bytes of a record that TensorFlow does not take; `limits` as of
  `diagnose`.
  """
  reason, known_as = diagnose(serialized, **limits)
  if reason is None:
    parts = tfrecord.parts_of(serialized)
    part, damage = undecodable_part(image=parts['image'], label=parts['label'])
    reason = f'the {part} {damage}'
  return BadRecord(path, index, reason, known_as)
