"""Softmax cross entropy of every pixel, from logits of its own or from coarser logits that are
resized on the way.

TensorFlow's sparse cross entropy takes six times as long as its softmax on a CPU, and its bilinear
resize and the gradient of that run on one core. So the loss here is read off the softmax, and the
resize is two products with interpolation matrices. That is done in bands of rows, which stay in the
processor's cache.
"""

import math

import tensorflow as tf

from deeplab.devices import has_gpu
from deeplab.model.layers import interpolation_matrix, resize_bilinear

# Below this probability the loss is computed from logarithms, lest it loses digits or overflows.
_SMALL_PROBABILITY = 1e-30
_BAND_BYTES = 8 * 2**20
_MAX_BANDS = 16


def pixel_cross_entropy(logits, labels):
  """Cross entropy of each pixel.

  Args:
    logits: float32 [..., C].
    labels: int32 [...], values in [0, C).

  Returns:
    float32 [...].
  """

  @tf.custom_gradient
  def of_logits(logits):
    probabilities = tf.nn.softmax(logits)
    true_class = tf.gather(probabilities, labels, batch_dims=labels.shape.rank)

    def from_logarithms():
      return -tf.gather(tf.nn.log_softmax(logits), labels, batch_dims=labels.shape.rank)

    # NaN is not above anything, so it takes the long way, and stays.
    losses = tf.cond(
      tf.reduce_all(true_class > _SMALL_PROBABILITY),
      lambda: -tf.math.log(true_class),
      from_logarithms,
    )

    def gradient(upstream):
      return (probabilities - tf.one_hot(labels, logits.shape[-1])) * upstream[..., tf.newaxis]

    return losses, gradient

  return of_logits(logits)


def resized_cross_entropy(logits, labels, *, align_corners):
  """Cross entropy of each pixel with logits that are resized to the labels' size, as
  `resize_bilinear` does it.

  Args:
    logits: float32 [B, h, w, C].
    labels: int32 [B, H, W], values in [0, C).
    align_corners: convention of the resize.

  Returns:
    float32 [B, H, W].
  """
  if logits.shape[1:3] == labels.shape[1:3] and logits.shape[1:3].is_fully_defined():
    return pixel_cross_entropy(logits, labels)
  known = logits.shape.is_fully_defined() and labels.shape.is_fully_defined()
  if not known or has_gpu():  # A GPU's resize is fast, and its matrix products may be of 19 bits.
    return pixel_cross_entropy(
      resize_bilinear(logits, tf.unstack(tf.shape(labels)[1:3]), align_corners=align_corners),
      labels,
    )
  (batch, height, width, num_classes), (out_height, out_width) = logits.shape, labels.shape[1:3]
  across = interpolation_matrix(width, out_width, align_corners=align_corners)
  down = interpolation_matrix(height, out_height, align_corners=align_corners)
  losses = []
  for first, last in _bands(out_height, bytes_of_a_row=4 * batch * out_width * num_classes):
    top, bottom = _columns_used(down[first:last])
    # Not indexing: its gradient is written element by element.
    band = tf.slice(logits, [0, top, 0, 0], [batch, bottom - top, width, num_classes])
    band = tf.reshape(band, [batch * (bottom - top), width, num_classes])
    band = tf.reshape(tf.matmul(across, band), [batch, bottom - top, -1])
    band = tf.matmul(down[first:last, top:bottom], band)
    losses.append(
      pixel_cross_entropy(
        tf.reshape(band, [batch, last - first, out_width, num_classes]), labels[:, first:last]
      )
    )
  return tf.concat(losses, axis=1)


def _bands(height, *, bytes_of_a_row):
  """(first, last) of bands of rows that are about as large as a cache."""
  num_bands = min(height, math.ceil(height * bytes_of_a_row / _BAND_BYTES), _MAX_BANDS)
  starts = [height * band // num_bands for band in range(num_bands + 1)]
  return list(zip(starts, starts[1:]))


def _columns_used(matrix):
  """(first, last) of the columns of an ndarray that are not all zero, last excluded."""
  used = matrix.any(axis=0).nonzero()[0]
  return int(used[0]), int(used[-1]) + 1
