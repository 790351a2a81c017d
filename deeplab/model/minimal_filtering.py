"""3x3 convolutions with fewer multiplications: minimal filtering (Winograd; Lavin and Gray, 2016, arXiv:1509.09308).

F(3x3, 3x3): a tile of 3x3 outputs depends on 5x5 inputs, and takes 25 products for each pair of input and output channels
instead of 81, between linear transforms of inputs, weights and outputs that do not mix channels. An atrous convolution of
rate r is r * r ordinary ones on interleaved lattices of pixels, which are mere reshapes of the map, so it is done in the same
way. All of it is matrix products, gradients included. In float32 results are within 1e-5 of the largest.
"""
import numpy as np
import tensorflow as tf

TILE = 3
NUM_POINTS = 5  # Products along one side of a tile: TILE + 3 - 1.
# The transforms of Toom and Cook for the points 0, 1, -1, 2 and infinity. Along one side, with d the inputs of a tile and g the
# taps, the outputs are _OUTPUTS @ ((_WEIGHTS @ g) * (_INPUTS @ d)).
_INPUTS = np.array([[2, -1, -2, 1, 0], [0, -2, -1, 1, 0], [0, 2, -3, 1, 0], [0, -1, 0, 1, 0], [0, 2, -1, -2, 1]], np.float32)
_WEIGHTS = np.array(
    [[1 / 2, 0, 0], [-1 / 2, -1 / 2, -1 / 2], [-1 / 6, 1 / 6, -1 / 6], [1 / 6, 1 / 3, 2 / 3], [0, 0, 1]], np.float32)
_OUTPUTS = np.array([[1, 1, 1, 1, 0], [0, 1, -1, 2, 0], [0, 1, 1, 4, 1]], np.float32)


def transform_weights(weights):
  """float32 weights [3, 3, D, D'] as `conv2d` takes them: a list of 5, one for each row of products, [5, D, D'] each."""
  taps = tf.reshape(weights, [9, -1])
  return [tf.reshape(tf.matmul(np.kron(row, _WEIGHTS), taps), [NUM_POINTS, *weights.shape[2:]]) for row in _WEIGHTS]


def conv2d(inputs, transformed_weights, *, rate):
  """Convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float32 [B, H, W, D]; all but D may be unknown while tracing.
    transformed_weights: from `transform_weights`.
    rate: int, 1 or more.

  Returns:
    float32 [B, H, W, D'].
  """
  batch, height, width = _sizes(inputs)
  depth, outputs_depth = transformed_weights[0].shape[1:]
  rows, columns = _Lattice(height, rate), _Lattice(width, rate)
  net = tf.pad(inputs, [[0, 0], [0, rows.padding], [0, columns.padding], [0, 0]])
  # A pixel's place on its lattice is an axis of its own, so the transform along it is one product of matrices: first along each
  # column, then along each row, with the axis to transform in front each time and all others behind it.
  net = tf.matmul(rows.inputs_transform(), tf.reshape(net, [batch, rows.size, -1]))
  net = tf.reshape(net, [batch, NUM_POINTS, rows.num_tiles * rate, columns.size, rate * depth])
  net = tf.reshape(tf.transpose(net, [1, 3, 0, 2, 4]), [NUM_POINTS, columns.size, -1])
  inputs_transform, outputs_transform = columns.inputs_transform(), columns.outputs_transform()
  outputs = []
  for row, weights in zip(tf.unstack(net), transformed_weights):
    products = tf.matmul(tf.reshape(tf.matmul(inputs_transform, row), [NUM_POINTS, -1, depth]), weights)
    outputs.append(tf.matmul(outputs_transform, tf.reshape(products, [NUM_POINTS * columns.num_tiles, -1])))
  net = tf.reshape(tf.stack(outputs), [NUM_POINTS, columns.size, batch, rows.num_tiles * rate, rate * outputs_depth])
  net = tf.reshape(tf.transpose(net, [2, 0, 3, 1, 4]), [batch, NUM_POINTS * rows.num_tiles, -1])
  net = tf.matmul(rows.outputs_transform(), net)
  net = tf.reshape(net, [batch, rows.size * rate, columns.size * rate, outputs_depth])
  return tf.ensure_shape(net[:, :height, :width], [*inputs.shape[:3], outputs_depth])


class _Lattice:
  """One side of the map, as `rate` interleaved lattices of pixels.

  Attributes:
    size: pixels of each lattice.
    padding: pixels that the last lattices lack.
    num_tiles: tiles of each lattice.
  """

  def __init__(self, length, rate):
    self.size = -(-length // rate)
    self.padding = self.size * rate - length
    self.num_tiles = -(-self.size // TILE)

  def inputs_transform(self):
    """[5 * num_tiles, size]: the pixels of a lattice to its tiles' products. Outside is zero."""
    # One-hot rows of places outside are all zeros.
    taken = tf.one_hot(TILE * tf.range(self.num_tiles)[:, tf.newaxis] + tf.range(-1, NUM_POINTS - 1), self.size)
    return tf.reshape(tf.einsum('pj,tjs->pts', _INPUTS, taken), [-1, self.size])

  def outputs_transform(self):
    """[size, 5 * num_tiles]."""
    made = tf.one_hot(TILE * tf.range(self.num_tiles)[:, tf.newaxis] + tf.range(TILE), self.size)
    return tf.reshape(tf.einsum('ip,tis->spt', _OUTPUTS, made), [self.size, -1])


def _sizes(inputs):
  """Batch, height and width: ints where they are known while tracing, else scalars."""
  dynamic = tf.shape(inputs)
  return [dynamic[axis] if size is None else size for axis, size in enumerate(inputs.shape[:3])]
