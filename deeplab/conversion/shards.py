"""The files that records are written to, shards of the data set: their names, and one process at a
time that writes. What several processes have of a conversion is in conversion_parts.py.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence

from deeplab import atomic_files, quiet_start
from deeplab.errors import InputError, shown
from deeplab.failure_reasons import reason_of
from deeplab.options import ConversionOptions

_SHARD_NUMBERS = re.compile(r'-\d{5}-of-\d{5}\.tfrecord$')


def directory_of(options: ConversionOptions) -> str:
  """The directory of the shards."""
  below = options.split if options.record_format == 'basic' else ''
  return os.path.normpath(os.path.join(options.output_dir, below))


def paths_of(options: ConversionOptions, *, num_records: int) -> list[str]:
  """Paths of the shards: from 1 in a directory of the split, as the reference numbered them, or the
  official way from 0.
  """
  num_shards = max(1, -(-num_records // options.num_per_shard))
  first = 1 if options.record_format == 'basic' else 0
  return [
    os.path.join(
      directory_of(options), f'{options.split}-{first + index:05d}-of-{num_shards:05d}.tfrecord'
    )
    for index in range(num_shards)
  ]


def summary_path(shard: str) -> str:
  """Where the summary of the shards goes: beside them, SPLIT-summary.json."""
  return _SHARD_NUMBERS.sub('-summary.json', shard)


def refuse_others(paths: Sequence[str]) -> None:
  """Raises InputError if shards of the split would stay in the directory: they would be read
  together with ours.
  """
  directory, name = os.path.split(paths[0])
  if not os.path.isdir(directory):
    return
  split = _SHARD_NUMBERS.sub('', name)
  others = sorted(
    entry
    for entry in set(os.listdir(directory)) - {os.path.basename(path) for path in paths}
    if _SHARD_NUMBERS.search(entry) and _SHARD_NUMBERS.sub('', entry) == split
  )
  if others:
    raise InputError(
      f'{directory} has {len(others)} shards of another conversion ({others[0]} and so on) that '
      'would be read together with the new ones; remove them, or choose another --output_dir or '
      '--split'
    )


@contextlib.contextmanager
def owned(directory: str, options: ConversionOptions, *, part: str = '') -> Iterator[str]:
  """Yields a directory for the shards while they are being written. While open, no other process
  can convert the split, or the same `part` of it; what killed conversions left is removed.

  Raises InputError where one does.
  """
  with contextlib.ExitStack() as claim:
    try:
      aside = claim.enter_context(
        atomic_files.claimed_directory(directory, f'split-{options.split}{part and "-" + part}')
      )
    except BlockingIOError as error:
      raise InputError(
        f'--split={options.split}: another process is writing these records in {shown(directory)}; '
        'wait for it, stop it, or choose another --split or --output_dir'
      ) from error
    atomic_files.remove_unfinished(directory)
    yield aside


class ShardWriter:
  """Writes records to the shards one after the other, in the directory `aside`."""

  def __init__(self, aside: str | None, paths: Sequence[str], options: ConversionOptions):
    """`aside`: None where nothing will be written; `paths`: as `paths_of`."""
    self._aside, self._paths, self._options = aside, paths, options
    self._writer, self._num_written = None, 0

  def write(self, converted):
    """Appends a record. Raises OSError where the disk does not take it."""
    shard, position = divmod(self._num_written, self._options.num_per_shard)
    quiet_start.import_tensorflow()
    # pylint: disable=import-outside-toplevel  # Not before the first files proved good.
    import tensorflow as tf

    from deeplab.data import tfrecord

    try:
      if position == 0:
        self.close()
        self._writer = tf.io.TFRecordWriter(
          os.path.join(self._aside, os.path.basename(self._paths[shard]))
        )
      self._writer.write(
        tfrecord.serialize(
          record_format=self._options.record_format,
          image=converted.image,
          label=converted.label,
          name=converted.name,
          height=converted.height,
          width=converted.width,
        )
      )
    except tf.errors.OpError as error:
      raise InputError(
        f'{shown(self._paths[shard])}: cannot be written ({reason_of(error)}); free space there or '
        'choose another --output_dir'
      ) from error
    self._num_written += 1

  def close(self):
    """Finishes the open shard, if any."""
    if self._writer is not None:
      writer, self._writer = self._writer, None
      try:
        writer.close()
      except Exception as error:  # pylint: disable=broad-except  # tf.errors.OpError, which is not imported here.
        raise InputError(
          f'{shown(self._options.output_dir)}: records cannot be written ({reason_of(error)}); '
          'free space there or choose another --output_dir'
        ) from error
