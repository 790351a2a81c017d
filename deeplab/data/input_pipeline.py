"""Records to training batches and evaluation examples.

Determinism: the order of the records in epoch e depends on (seed, e) and the augmentation of the
i-th example of a run on (seed, i) alone. So threads cannot change a batch, and a resumed run skips
encoded records without decoding any.

Records are shuffled within an epoch, then the next epoch begins. The reference repeated first and
shuffled then, which mixes epochs: some records come twice before others come once.
"""

import dataclasses
import os
import random
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from deeplab.data import augmentation, bad_records, decoding, record_files, tfrecord
from deeplab.data.bad_records import explain_failure  # noqa: F401
from deeplab.data.batch_shares import WHOLE, BatchShare
from deeplab.errors import InputError, shown
from deeplab.messages import warn
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS, TrainingInputOptions

# Rows of random numbers made in one go; a single row costs nearly as much as all.
_ROWS_AT_ONCE = 64
_MOST_REPORTED = 10
_FOREVER = np.iinfo(np.int64).max
# tf.data would translate the functions below with AutoGraph first, which costs seconds at the start
# and is not needed.
_as_written = tf.autograph.experimental.do_not_convert


def training_batches(
  options: TrainingInputOptions,
  *,
  num_classes: int,
  start_step: int = 0,
  bad_records_path: str | None = None,
  share: BatchShare = WHOLE,
) -> tf.data.Dataset:
  """Endless training batches.

  Args:
    options: TrainingInputOptions. Without a seed, one is drawn.
    num_classes: label values below it are classes.
    start_step: number of batches to leave out; those that follow are the same as if they had been
      drawn.
    bad_records_path: text file to write with --skip_bad_records: a line for each record that is
      skipped. None: only the first are named, in warnings.
    share: the part of each batch that this worker makes.

  Returns:
    tf.data.Dataset of dicts: images float32 [batch, height, width, 3] in [0, 255], labels int32
    [batch, height, width], names string [batch]. With several devices, each element is one
    device's part of a batch, those of this worker's devices in turns.

  Raises:
    InputError: the batch does not divide among the devices; no such files, or one that is empty,
      truncated or no TFRecord file.
    While iterating, tf.errors.OpError for a bad record: see `explain_failure`.
  """
  paths = record_files.expand_filenames(options.filenames)
  files = record_files.index_files(paths, allow_problems=options.skip_bad_records)
  bad = []
  if options.skip_bad_records:
    files, bad = _without_bad_records(
      files, options, num_classes=num_classes, bad_records_path=bad_records_path
    )
  seed = random.randrange(2**31) if options.seed is None else options.seed
  first = start_step * options.batch_size
  size = share.of_device(options.batch_size)
  records = _shuffled_records(files, bad, options, seed=seed, first=first)
  dataset = tf.data.Dataset.zip(records, _random_rows(seed, first=first))
  dataset = share.taken(dataset, options.batch_size)

  @_as_written
  def example(record, draws):
    name, serialized = record
    encoded_image, label, name = tfrecord.parse_checked(
      serialized,
      name,
      num_classes=num_classes,
      ignore_label=options.ignore_label,
      max_image_pixels=options.max_image_pixels,
    )
    image, label = augmentation.augment(encoded_image, label, draws, options)
    return {'images': image, 'labels': label, 'names': name}

  dataset = dataset.map(
    example, num_parallel_calls=_num_threads(options.num_input_threads), deterministic=True
  )
  dataset = dataset.batch(size, drop_remainder=True).prefetch(2 * share.num_devices)
  return dataset.with_options(_dataset_options())


def evaluation_examples(
  filenames: Iterable[str],
  *,
  num_classes: int,
  ignore_label: int,
  max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
  num_threads: int | None = None,
  share: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
  """Each record once, in the order of the files, at its native size.

  Args:
    filenames: paths, globs or directories.
    num_classes, ignore_label: the label values allowed.
    max_image_pixels: larger images are an error.
    num_threads: threads that decode; None: one for each core.
    share: (index, number): of the records only this one of so many parts; it has every number-th
      record, from the index-th on.

  Returns:
    tf.data.Dataset of dicts: image uint8 [height, width, 3], label int32 [height, width], name
    string: the record's, or FILE:INDEX, counted from 0, where it has none. Its cardinality is
    known.

  Raises:
    InputError: no such files, or one that is empty, truncated or no TFRecord file.
    While iterating, tf.errors.OpError for a bad record: see `explain_failure`.
  """
  files = record_files.index_files(record_files.expand_filenames(filenames))

  @_as_written
  def example(name, serialized):
    encoded_image, label, name = tfrecord.parse_checked(
      serialized,
      name,
      num_classes=num_classes,
      ignore_label=ignore_label,
      max_image_pixels=max_image_pixels,
    )
    return {
      'image': decoding.decode_image(encoded_image),
      'label': tf.cast(label, tf.int32),
      'name': name,
    }

  dataset = tf.data.Dataset.from_tensor_slices(
    ([file.path for file in files], np.array([file.num_records for file in files], np.int64))
  )
  dataset = dataset.flat_map(
    _as_written(lambda path, num_records: _named_records(path, num_records=num_records))
  )
  index, number = share
  if number > 1:
    dataset = dataset.shard(number, index)
  dataset = dataset.map(example, num_parallel_calls=_num_threads(num_threads), deterministic=True)
  dataset = dataset.apply(
    tf.data.experimental.assert_cardinality(
      len(range(index, sum(file.num_records for file in files), number))
    )
  )
  return dataset.prefetch(2).with_options(_dataset_options())


def _named_records(path, *, num_records):
  """Dataset of (FILE:INDEX, serialized record) of the first `num_records` of a file."""
  records = tf.data.TFRecordDataset(path).take(num_records).enumerate()
  return records.map(
    _as_written(
      lambda index, serialized: (
        tf.strings.join([path, ':', tf.strings.as_string(index)]),
        serialized,
      )
    )
  )


def _shuffled_records(files, bad, options, *, seed, first):
  """Endless (FILE:INDEX, serialized record): epoch after epoch in random order, from the `first`-th
  record of the run on.

  `bad` has the names (FILE:INDEX) of the records to leave out.
  """
  paths = tf.constant([file.path for file in files])
  counts = tf.constant([file.num_records for file in files], tf.int64)
  num_usable = sum(file.num_records for file in files) - len(bad)
  if not num_usable:
    raise InputError(
      f'{files[0].path}: no good record in it{" and the other files" if len(files) > 1 else ""}; '
      'the warnings say why'
    )
  buffer_size = _shuffle_buffer_size(files, options)
  first_epoch, first = divmod(first, num_usable)

  @_as_written
  def epoch(number):
    epoch_seed = tf.random.experimental.stateless_fold_in(
      tf.constant([seed, 0], tf.int64), number, alg='philox'
    )
    order = tf.range(len(files))
    if options.shuffle_buffer_size > 1:
      # A buffer smaller than the data set mixes only neighbours, so the files are shuffled too.
      order = tf.argsort(tf.random.stateless_uniform([len(files)], seed=epoch_seed, alg='philox'))
    records = tf.data.Dataset.from_tensor_slices(order).flat_map(
      _as_written(lambda index: _named_records(paths[index], num_records=counts[index]))
    )
    if bad:
      records = records.filter(
        _as_written(lambda name, _: ~tf.reduce_any(tf.equal(name, tf.constant(bad))))
      )
    record_seed = tf.random.stateless_uniform(
      [], seed=epoch_seed, minval=0, maxval=2**31, dtype=tf.int64, alg='philox'
    )
    # This is the seed of the function being traced, not the program's: else that one would change
    # the order too.
    tf.random.set_seed(1)  # Not 0: TensorFlow then asks whether the other, a tensor, is 0 too.
    return records.shuffle(buffer_size, seed=record_seed, reshuffle_each_iteration=False)

  return tf.data.Dataset.range(first_epoch, _FOREVER).flat_map(epoch).skip(first)


def _shuffle_buffer_size(files, options):
  """Number of records whose encoded size stays below the bound on memory, on average over the
  files.
  """
  num_records = sum(file.num_records for file in files)
  mean_bytes = max(sum(file.num_bytes for file in files) / num_records, 1.0)
  return max(
    1,
    min(
      options.shuffle_buffer_size, num_records, int(options.shuffle_buffer_mb * 2**20 / mean_bytes)
    ),
  )


def _random_rows(seed, *, first):
  """Endless rows of uniform numbers for augmentation, float32 [NUM_DRAWS], from `first` on."""
  first_chunk, first = divmod(first, _ROWS_AT_ONCE)

  @_as_written
  def rows(chunk):
    chunk_seed = tf.random.experimental.stateless_fold_in(
      tf.constant([seed, 1], tf.int64), chunk, alg='philox'
    )
    return tf.data.Dataset.from_tensor_slices(
      tf.random.stateless_uniform(
        [_ROWS_AT_ONCE, augmentation.NUM_DRAWS], seed=chunk_seed, alg='philox'
      )
    )

  return tf.data.Dataset.range(first_chunk, _FOREVER).flat_map(rows).skip(first)


def _without_bad_records(files, options, *, num_classes, bad_records_path):
  """Looks through all records and reports the bad ones.

  Returns:
    (files, names): the RecordFiles up to where they can be read, and FILE:INDEX of the bad records
    in that part.
  """
  found = list(
    bad_records.find(
      files,
      num_classes=num_classes,
      ignore_label=options.ignore_label,
      max_image_pixels=options.max_image_pixels,
      num_threads=options.num_input_threads,
    )
  )
  num_records = sum(file.num_records for file in files)
  warn(f'skipped: {problem}' for problem in found[:_MOST_REPORTED])
  if found:
    where = 'inspect_tfrecord.py --bad_records_path=FILE lists all'
    if bad_records_path:
      where = f'all are listed in {shown(bad_records_path)}'
    warn(
      [
        f'{len(found)} problems in {num_records} records, {where}; training goes on without these '
        'records'
      ]
    )
  if bad_records_path:
    bad_records.write(found, bad_records_path)
  ends = {problem.path: problem.index for problem in found if problem.unreadable}
  files = [
    dataclasses.replace(file, num_records=ends.get(file.path, file.num_records)) for file in files
  ]
  return files, [problem.name for problem in found if problem.name and not problem.unreadable]


def _num_threads(num_threads):
  return num_threads or os.cpu_count() or 1


def _dataset_options():
  options = tf.data.Options()
  options.deterministic = True
  # Examples are made side by side; cutting the work within one of them into pieces only costs.
  options.threading.max_intra_op_parallelism = 1
  return options
