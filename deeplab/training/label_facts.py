"""What an update tells of its labels, to say at once when they cannot be right."""

import tensorflow as tf

# Before any pixel is seen. Labels are below 65536, exact in float32.
START = {'smallest_label': 65536.0, 'largest_label': -1.0, 'wrong_labels': 0.0}
# How the facts of two batches become those of both.
COMBINE = {'smallest_label': tf.minimum, 'largest_label': tf.maximum, 'wrong_labels': tf.add}


def of(labels: tf.Tensor, *, num_classes: int, ignore_label: int) -> dict[str, tf.Tensor]:
  """float32 scalars of `START`'s names for int32 labels [B, h, w]: smallest and largest label that
  is not ignored, and the number of pixels whose label is neither ignored nor below `num_classes`.
  """
  counted = tf.not_equal(labels, ignore_label)
  wrong = tf.logical_and(counted, tf.logical_or(labels < 0, labels >= num_classes))
  return {
    'smallest_label': tf.cast(tf.reduce_min(tf.where(counted, labels, 65536)), tf.float32),
    'largest_label': tf.cast(tf.reduce_max(tf.where(counted, labels, -1)), tf.float32),
    'wrong_labels': tf.reduce_sum(tf.cast(wrong, tf.float32)),
  }
