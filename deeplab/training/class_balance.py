"""Class weights: as the options list them, or from the training records by median frequency
balancing.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab.data import decoding, input_pipeline, record_files, tfrecord
from deeplab.errors import InputError
from deeplab.messages import say
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS, LossOptions


def chosen_weights(
  options: LossOptions,
  filenames: Sequence[str],
  *,
  num_classes: int,
  ignore_label: int,
  max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
) -> tuple[float, ...] | None:
  """A factor for each class as the options say, or None where they say nothing.

  Args:
    options: of the loss.
    filenames: the training records, which are counted for `auto` and `auto_sqrt`; then the weights
      are printed.
    num_classes, ignore_label: the labels in them.
    max_image_pixels: a larger label is an error.

  Raises:
    InputError: the options list another number of weights; or see `weights_of_records`.
  """
  if options.class_weights is None:
    return None
  if options.counts_records:
    weights = weights_of_records(
      filenames,
      num_classes=num_classes,
      ignore_label=ignore_label,
      max_image_pixels=max_image_pixels,
    )
    if options.class_weights == 'auto_sqrt':
      weights = tuple(math.sqrt(weight) for weight in weights)
    say('class weights: ' + ','.join(f'{weight:.4g}' for weight in weights))
    return weights
  weights = options.listed_class_weights()
  if len(weights) != num_classes:
    raise InputError(
      f'--class_weights has {len(weights)} values and --num_classes is {num_classes}: give one a '
      'class'
    )
  return weights


def median_frequency_weights(pixels: np.ndarray, pixels_of_images: np.ndarray) -> np.ndarray:
  """Weights that balance rare and frequent classes (Eigen and Fergus, 2015).

  weight = median frequency / frequency, where the frequency of a class is its pixels / all pixels
  of the images it occurs in, and the median is taken over the classes that occur.

  Args:
    pixels: integer array [C], pixels of each class.
    pixels_of_images: integer array [C], pixels that are not ignored in all images in which the
      class occurs.

  Returns:
    float64 [C]; 1 for a class that does not occur.
  """
  pixels, pixels_of_images = (
    np.asarray(pixels, np.float64),
    np.asarray(pixels_of_images, np.float64),
  )
  occurs = pixels > 0
  weights = np.ones(len(pixels))
  if occurs.any():
    frequencies = pixels[occurs] / pixels_of_images[occurs]
    weights[occurs] = np.median(frequencies) / frequencies
  return weights


def weights_of_records(
  filenames: Sequence[str],
  *,
  num_classes: int,
  ignore_label: int,
  max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
) -> tuple[float, ...]:
  """`median_frequency_weights` of record files. Only labels are decoded.

  Raises:
    InputError: a label is no label; names file and record.
  """

  @tf.autograph.experimental.do_not_convert
  def count(serialized):
    _, encoded_label, _ = tfrecord.parse(serialized)
    small_enough = decoding.check_size(
      decoding.label_size(encoded_label), max_image_pixels=max_image_pixels
    )
    with tf.control_dependencies([small_enough]):
      label = decoding.decode_label(
        encoded_label, num_classes=num_classes, ignore_label=ignore_label
      )
    label = tf.reshape(tf.cast(label, tf.int32), [-1])
    label = tf.boolean_mask(label, tf.not_equal(label, ignore_label))
    return tf.math.bincount(label, minlength=num_classes, maxlength=num_classes, dtype=tf.int64)

  paths = record_files.expand_filenames(filenames)
  dataset = tf.data.TFRecordDataset(paths).map(count, num_parallel_calls=tf.data.AUTOTUNE)
  pixels, pixels_of_images = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
  try:
    for counts in dataset.as_numpy_iterator():
      pixels += counts
      pixels_of_images += np.where(counts > 0, counts.sum(), 0)
  except tf.errors.OpError as error:
    raise input_pipeline.explain_failure(
      error,
      filenames,
      num_classes=num_classes,
      ignore_label=ignore_label,
      max_image_pixels=max_image_pixels,
    ) from error
  return tuple(float(weight) for weight in median_frequency_weights(pixels, pixels_of_images))
