"""The batches of a training run from where it starts: what goes wrong with them is said in the
user's words, and data that changes meanwhile is noticed.
"""

import itertools
from collections.abc import Iterator, Mapping

import tensorflow as tf

from deeplab.data import input_pipeline
from deeplab.data.batch_shares import BatchShare
from deeplab.devices import MEMORY_REMEDIES
from deeplab.errors import InputError
from deeplab.failure_reasons import memory_shortage
from deeplab.messages import warn
from deeplab.training import device_batches
from deeplab.training.data_files import DataWatch
from deeplab.training.run_start import RunStart


def draw(
  start: RunStart,
  data: Mapping[str, Mapping],
  *,
  bad_records_path: str | None,
  strategy: tf.distribute.Strategy,
  share: BatchShare,
) -> Iterator[dict]:
  """Yields the batches after the updates made before, on the devices of `strategy`, as
  `device_batches.on_devices` makes them.

  Args:
    start: of the run.
    data: flag -> `data_files.facts`; files that differ are a warning after each epoch.
    bad_records_path, share: as of `training_batches`.
    strategy: whose devices compute.

  Raises:
    InputError: a record is bad, which is named, or memory is short.
  """
  options = start.options
  num_classes = options.model.num_classes
  first_batch = start.step * options.training.accumulate_steps
  batches = input_pipeline.training_batches(
    options.input,
    num_classes=num_classes,
    start_step=first_batch,
    bad_records_path=bad_records_path,
    share=share,
  )
  batches = device_batches.on_devices(
    batches, strategy, largest_label=max(num_classes - 1, options.input.ignore_label)
  )
  patterns = {'filenames': options.input.filenames}
  if options.validation.eval_filenames:
    patterns['eval_filenames'] = options.validation.eval_filenames
  watch = DataWatch(patterns, data, batch_size=options.input.batch_size, first_batch=first_batch)
  try:
    for batch in batches:
      warn(watch.batch_drawn())
      yield batch
  except tf.errors.OpError as error:
    shortage = memory_shortage(error)
    if shortage:
      raise InputError(f'{shortage} while the batches were made: {MEMORY_REMEDIES}') from error
    raise input_pipeline.explain_failure(
      error,
      options.input.filenames,
      num_classes=num_classes,
      ignore_label=options.input.ignore_label,
      max_image_pixels=options.input.max_image_pixels,
      known=data['filenames'],
    ) from error


def first_drawn(batches: Iterator[dict]) -> Iterator[dict]:
  """The same batches, the first of them drawn already."""
  return itertools.chain([next(batches)], batches)
