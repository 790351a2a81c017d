"""Labels in the type that every device computes with."""

import numpy as np
import tensorflow as tf


def as_numbers(labels: tf.Tensor | np.ndarray) -> tf.Tensor:
  """Labels of any type and shape as float32, to compare; float32 itself is left as it is.

  Comparisons, extremes, sums and reshapes of int32 have no other kernels for a GPU than ones that
  compute on the host, so each would bring all labels there and back. float32 holds every label, and
  what is compared with them, exactly: they are below 65536. Of wrong values as large as 2 ** 24 it
  keeps at least that they are too large.
  """
  return tf.cast(labels, tf.float32)


def as_indices(numbers: tf.Tensor) -> tf.Tensor:
  """Whole float32 numbers as int32, to look something up with."""
  return tf.cast(numbers, tf.int32)
