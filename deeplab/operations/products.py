"""Bilinear resize as two products with interpolation matrices.

TensorFlow's resize and the gradient of it run on one core of a CPU.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def resize_bilinear(inputs: tf.Tensor, size: Sequence[int], *, align_corners: bool) -> tf.Tensor:
  """As `plain.resize_bilinear`, for float32 inputs [B, H, W, D] and a size that are known."""
  (batch, height, width, depth), (out_height, out_width) = inputs.shape, size
  if (height, width) == (out_height, out_width):
    return inputs
  across = interpolation_matrix(width, out_width, align_corners=align_corners)
  down = interpolation_matrix(height, out_height, align_corners=align_corners)
  net = tf.reshape(inputs, [batch * height, width, depth])
  net = tf.reshape(tf.matmul(across, net), [batch, height, out_width * depth])
  return tf.reshape(tf.matmul(down, net), [batch, out_height, out_width, depth])


def interpolation_matrix(size: int, out_size: int, *, align_corners: bool) -> np.ndarray:
  """What `plain.resize_bilinear` does along one side of `size` pixels, as a matrix to multiply
  with.

  Returns:
    float32 ndarray [out_size, size].
  """
  scale = (size - 1) / (out_size - 1) if align_corners and out_size > 1 else size / out_size
  # In float32 as TensorFlow's own resize, so that both give the same weights.
  positions = np.arange(out_size, dtype=np.float32) * np.float32(scale)
  below = np.floor(positions).astype(int)
  above = np.minimum(below + 1, size - 1)
  matrix = np.zeros([out_size, size], np.float32)
  np.add.at(matrix, (np.arange(out_size), below), 1 - (positions - below))
  np.add.at(matrix, (np.arange(out_size), above), positions - below)
  return matrix
