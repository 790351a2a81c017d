"""Class weights from the training records: median frequency balancing."""

import numpy as np
import tensorflow as tf

from deeplab.data import decoding, input_pipeline, record_files, tfrecord


def median_frequency_weights(pixels, pixels_of_images):
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


def weights_of_records(filenames, *, num_classes, ignore_label):
  """`median_frequency_weights` of record files, as a tuple of floats. Only labels are decoded.

  Raises:
    InputError: a label is no label; names file and record.
  """

  @tf.autograph.experimental.do_not_convert
  def count(serialized):
    _, encoded_label, _ = tfrecord.parse(serialized)
    label = decoding.decode_label(encoded_label, num_classes=num_classes, ignore_label=ignore_label)
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
      error, filenames, num_classes=num_classes, ignore_label=ignore_label
    ) from error
  return tuple(float(weight) for weight in median_frequency_weights(pixels, pixels_of_images))
