"""What an update tells of its labels, to say at once when they cannot be right."""

import tensorflow as tf

from deeplab import label_values

# Before any pixel is seen. Labels are below 65536, exact in float32.
START = {'smallest_label': 65536.0, 'largest_label': -1.0, 'wrong_labels': 0.0}
# How the facts of two batches become those of both.
COMBINE = {'smallest_label': tf.minimum, 'largest_label': tf.maximum, 'wrong_labels': tf.add}


def of(labels: tf.Tensor, *, num_classes: int, ignore_label: int) -> dict[str, tf.Tensor]:
  """float32 scalars of `START`'s names for labels [B, h, w] of any type: smallest and largest label
  that is not ignored, and the number of pixels whose label is neither ignored nor below
  `num_classes`.
  """
  labels = label_values.as_numbers(labels)
  counted = tf.not_equal(labels, float(ignore_label))
  wrong = tf.logical_and(counted, tf.logical_or(labels < 0.0, labels >= float(num_classes)))
  smallest, largest = START['smallest_label'], START['largest_label']
  return {
    'smallest_label': tf.reduce_min(tf.where(counted, labels, smallest)),
    'largest_label': tf.reduce_max(tf.where(counted, labels, largest)),
    'wrong_labels': tf.reduce_sum(tf.cast(wrong, tf.float32)),
  }
