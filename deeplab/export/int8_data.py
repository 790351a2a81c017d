"""What int8 is calibrated on, and what it is measured on, which is never the same example."""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab import data_set, data_set_files, pixel_means, remote_files
from deeplab.data import input_pipeline, record_files
from deeplab.errors import InputError
from deeplab.export.checking_images import fitted, of_flag
from deeplab.options import ModelExportOptions, TrainingInputOptions
from deeplab.prediction import image_files
from deeplab.prediction.trained_network import TrainedNetwork

_MOST_EXAMPLES = 100
# All of them are in memory at once; at three bytes a pixel.
_MOST_PIXELS = 100_000_000
# Of more records the first ones are taken, since each has to be decoded to be left out.
_MOST_LOOKED_AT = 2000
# Without records of their own to check on.
_ONE_IN_SO_MANY_CHECKS = 3


class Example(NamedTuple):
  """An image of the model's size.

  Attributes:
    image: uint8 [H, W, 3].
    label: integer [H, W], or None for an image without one.
  """

  image: np.ndarray
  label: np.ndarray | None


class Int8Data(NamedTuple):
  """Examples by what they are for.

  Attributes:
    representative: to calibrate on.
    held_out: to measure on; may be empty, or without labels.
    ignore_label: value that does not count in the labels.
  """

  representative: list[Example]
  held_out: list[Example]
  ignore_label: int

  @property
  def has_labels(self) -> bool:
    """Whether the mIOU can be measured."""
    return bool(self.held_out) and all(one.label is not None for one in self.held_out)


def load(options: ModelExportOptions, network: TrainedNetwork) -> Int8Data:
  """Reads the examples.

  Args:
    options: with --size, --representative_filenames and perhaps --check_filenames.
    network: whose classes the records must have.

  Raises:
    InputError: there are no such files, one is damaged, there is only one example, or records have
      classes that the network lacks.
  """
  size = options.fixed_size
  most = max(2, min(_MOST_EXAMPLES, _MOST_PIXELS // (size[0] * size[1])))
  settings = dict(network=network, size=size)
  patterns = options.representative_filenames
  if options.check_filenames:
    _refuse_same_files(options)
    representative, _ = _examples('representative_filenames', patterns, most=most, **settings)
    held_out, ignore_label = _examples(
      'check_filenames', options.check_filenames, most=most, **settings
    )
    return Int8Data(representative, held_out, ignore_label)
  most += most // (_ONE_IN_SO_MANY_CHECKS - 1)
  examples, ignore_label = _examples('representative_filenames', patterns, most=most, **settings)
  held_out = examples[_ONE_IN_SO_MANY_CHECKS - 1 :: _ONE_IN_SO_MANY_CHECKS]
  del examples[_ONE_IN_SO_MANY_CHECKS - 1 :: _ONE_IN_SO_MANY_CHECKS]
  return Int8Data(examples, held_out, ignore_label)


def _refuse_same_files(options):
  representative, to_check = (
    {_identity(path) for pattern in patterns for path in _files(pattern)}
    for patterns in (options.representative_filenames, options.check_filenames)
  )
  same = sorted(representative & to_check)
  if same:
    raise InputError(
      f'--check_filenames: {same[0]} is in --representative_filenames too; what int8 is calibrated '
      'on does not tell how it does on others; leave the flag out, and every third example of '
      'those only checks'
    )


def _identity(path):
  return path if remote_files.is_remote(path) else os.path.realpath(path)


def _files(pattern):
  if remote_files.is_directory(pattern):
    entries = remote_files.entries(pattern)
    return [os.path.join(pattern, name) for name, is_one in entries if not is_one]
  return [pattern] if remote_files.exists(pattern) else remote_files.matching(pattern)


def _are_records(pattern):
  return any('.tfrecord' in os.path.basename(path) for path in _files(pattern))


def _examples(flag, patterns, *, network, size, most):
  """(at most `most` Examples, value that does not count)."""
  kinds = {_are_records(pattern) for pattern in patterns}
  if len(kinds) > 1:
    raise InputError(f'--{flag}: gives both records and images; give one kind')
  try:
    if kinds == {True} or flag == 'check_filenames':
      given, ignore_label = _of_records(patterns, network, most=most)
    else:
      given, ignore_label = _of_images(patterns, most=most), TrainingInputOptions.ignore_label
    fill = pixel_means.OF_OPTION[network.options.preprocess_images_option]
    examples = [
      Example(
        fitted(image, size, fill=fill),
        None if label is None else fitted(label, size, fill=ignore_label),
      )
      for image, label in given
    ]
  except InputError as error:
    raise InputError(of_flag(flag, error)) from error
  if not examples:
    raise InputError(f'--{flag}: there is no example in it')
  return examples, ignore_label


def _of_images(patterns, *, most) -> Iterator[tuple[np.ndarray, None]]:
  found, _ = image_files.find_images(patterns)
  for one in _spread(found, most):
    yield image_files.read_image(one.path), None


def _of_records(patterns: Sequence[str], network: TrainedNetwork, *, most: int):
  """(iterator of (image, label), value that does not count)."""
  described = data_set_files.of_records(record_files.expand_filenames(patterns))
  ignore_label = next(
    (
      known.ignore_label
      for known in (described, network.data_set)
      if known is not None and known.ignore_label is not None
    ),
    TrainingInputOptions.ignore_label,
  )
  allowed = {'num_classes': network.options.num_classes, 'ignore_label': ignore_label}
  if described is not None:
    described.refuse_other_labels(**allowed)
  elif network.data_set is None:
    data_set.refuse_ignored_class(**allowed)
  return _decoded(patterns, allowed, most), ignore_label


def _decoded(patterns, allowed, most):
  dataset = input_pipeline.evaluation_examples(patterns, **allowed)
  number = min(int(dataset.cardinality()), _MOST_LOOKED_AT)
  try:
    for example in dataset.take(number).shard(max(1, -(-number // most)), 0):
      yield example['image'].numpy(), example['label'].numpy()
  except tf.errors.OpError as error:
    raise input_pipeline.explain_failure(error, patterns, **allowed) from error


def _spread(values, most):
  return values[:: max(1, -(-len(values) // most))]
