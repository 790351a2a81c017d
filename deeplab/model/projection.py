"""Two pointwise convolutions in a row without an activation between them, carried out as one.

In the last block of MobileNetV2 the projection from 960 to 320 channels is linear, and without
rates ASPP reads the result with pointwise convolutions to 256 only. With weights that do not change
any more, their product goes from 960 to 256 directly.
"""

import contextlib
import typing

import tensorflow as tf

from deeplab.devices import has_gpu
from deeplab.model.sizes import batch_and_spatial_size

# The projections made in the innermost open `remembered`, by their results.
_made = []


class Projection(typing.NamedTuple):
  """A pointwise convolution that need not be carried out if nothing else reads it; `layers.conv2d`
  takes it for its inputs.

  Attributes:
    inputs: float [B, H, W, K].
    weights: [1, 1, K, D] of the inputs' dtype.
    biases: [D].
  """

  inputs: tf.Tensor
  weights: tf.Tensor
  biases: tf.Tensor

  @property
  def shape(self):
    """Of the result, [B, H, W, D]."""
    return self.inputs.shape[:3] + self.biases.shape

  @property
  def dtype(self):
    """Of the result."""
    return self.inputs.dtype

  def followed_by(self, weights, biases):
    """(weights [1, 1, K, D'], biases [D']) of this and a pointwise convolution [1, 1, D, D'], [D']
    in one.
    """
    first, second, first_biases = (
      tf.cast(each, tf.float32) for each in (self.weights, weights, self.biases)
    )
    biases = tf.cast(biases, tf.float32) + tf.linalg.matvec(
      second[0, 0], first_biases, transpose_a=True
    )
    return tf.cast(tf.matmul(first, second), self.dtype), tf.cast(biases, self.dtype)


@contextlib.contextmanager
def remembered():
  """While open, `as_projection` knows what `remember` was told.

  For tracing: it keeps all those tensors.
  """
  _made.append({})
  try:
    yield
  finally:
    _made.pop()


def remember(net, *, inputs, weights, biases):
  """Says that `net` is that pointwise convolution of `inputs`."""
  if _made:
    _made[-1][net.ref()] = Projection(inputs, weights, biases)


def as_projection(net, *, depth):
  """What to give to pointwise convolutions with `depth` outputs instead of `net`, if nothing else
  reads it.

  Args:
    net: float [B, H, W, D].
    depth: of their results.

  Returns:
    a Projection, or `net` where it is none or the products would not be fewer.
  """
  projection = _made[-1].get(net.ref()) if _made else None
  if projection is None:
    return net
  inputs_depth, own_depth = projection.weights.shape[2:]
  return projection if inputs_depth * depth < (inputs_depth + depth) * own_depth else net


def spatial_mean(net):
  """Mean over height and width of a tensor [B, H, W, D] or a Projection: [B, 1, 1, D] of the same
  kind and dtype.
  """
  if isinstance(net, Projection):
    return net._replace(inputs=spatial_mean(net.inputs))
  # Summed in float32: a low-precision mean over thousands of positions drifts.
  exact = tf.cast(net, tf.float32)
  if has_gpu():
    return tf.cast(tf.reduce_mean(exact, axis=[1, 2], keepdims=True), net.dtype)
  # As a product of matrices, which reads a large map several times faster.
  batch, height, width = batch_and_spatial_size(net)
  ones = tf.ones([batch, 1, height * width])
  total = tf.matmul(ones, tf.reshape(exact, [batch, height * width, net.shape[3]]))
  return tf.cast(total[:, tf.newaxis] / tf.cast(height * width, tf.float32), net.dtype)
