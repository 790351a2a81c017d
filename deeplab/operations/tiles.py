"""3x3 convolutions by blocks of 3x3 pixels with fewer products, forward and with gradients.

A convolution is linear in the pixels and in the taps. For one block it is written as
`outputs` @ ((`weights` @ taps) * (`inputs` @ pixels)), which takes as many products as there are
rows between the matrices; with D channels in and D' out each is one of a vector and a [D, D']
matrix, which is where the time goes. All of it is products of matrices, gradients included. Two
kinds:

- `TILES` read one pixel of their neighbours on each side, 5x5 in all: Winograd's minimal filtering
  F(3x3, 3x3), 25 products for 9 pixels instead of 81 (Lavin and Gray, 2016, arXiv:1509.09308).
- `WHOLE` is for a map of one block, with zeros around it, which saves more: 16 products.

An atrous convolution of rate r is r * r ordinary ones on interleaved lattices of pixels, which are
mere reshapes of the map, so it is done in the same way; with the large rates of ASPP a lattice has
few pixels and is one block. In float32 results are within 5e-6 of the largest.
"""

import typing

import numpy as np
import tensorflow as tf

from deeplab.operations.sizes import Size, are_known, batch_and_spatial_size, maximum

SIDE = 3  # Pixels along one side of a block's outputs.
_NEVER = 2**31 - 1


class Algorithm(typing.NamedTuple):
  """Matrices of a block, float32; pixels, taps and outputs of a square are counted row by row.

  Attributes:
    inputs: [P, (3 + 2 * overlap) ** 2].
    weights: [P, 9].
    outputs: [9, P].
    overlap: pixels that the inputs have beyond the outputs on each side: 1, or 0 where all is 0.
  """

  inputs: np.ndarray
  weights: np.ndarray
  outputs: np.ndarray
  overlap: int

  @property
  def num_products(self) -> int:
    """For each pair of channels."""
    return len(self.inputs)


def _along_both_sides(inputs, weights, outputs, *, overlap):
  """The Algorithm of a square, from matrices [p, 3 + 2 * overlap], [p, 3], [3, p] of one side."""
  matrices = (np.kron(matrix, matrix).astype(np.float32) for matrix in (inputs, weights, outputs))
  return Algorithm(*matrices, overlap=overlap)


def _minimal_filtering(points):
  """By values of polynomials at `points` and at infinity (Toom and Cook).

  The outputs are the transpose of a product of polynomials, one with the taps for coefficients.
  """
  num_products = len(points) + 1

  def values(num_coefficients):
    at_infinity = np.eye(num_coefficients)[-1]
    return np.vstack([np.vander(points, num_coefficients, increasing=True), at_infinity])

  inputs, weights, outputs = np.linalg.inv(values(num_products)).T, values(3), values(SIDE).T
  # What a product is multiplied by may stand in any of the matrices; even sizes round least.
  weights_size = np.linalg.norm(weights, axis=1)
  ratio = np.linalg.norm(inputs, axis=1) / np.linalg.norm(outputs * weights_size, axis=0)
  ratio = np.sqrt(ratio)
  return _along_both_sides(
    inputs / ratio[:, np.newaxis],
    weights / weights_size[:, np.newaxis],
    outputs * weights_size * ratio,
    overlap=1,
  )


def _three_pixels():
  """Three pixels x, y, z with zeros around them, 4 products.

  With taps (c, a, b), s = b + c and d = b - c, and outputs u, v, w: u + w = a (x + z) + s y,
  u - w = a (x - z) + d y and v = a y + s (x + z) / 2 - d (x - z) / 2. The part with s is diagonal
  in y + (x + z) / 2 and y - (x + z) / 2, with values +-s / 2; the part with d in y / sqrt(2) + (x -
  z) / 2 and y / sqrt(2) - (x - z) / 2, with values +-d / sqrt(2); and the part with a is the sum of
  both pairs, because what the first counts twice of y the second takes away.
  """
  half, root = 1 / 2, np.sqrt(1 / 2)
  return _along_both_sides(
    inputs=[[half, 1, half], [-half, 1, -half], [half, root, -half], [-half, root, half]],
    weights=[[half, 1, half], [-half, 1, -half], [-root, 1, root], [root, 1, -root]],
    outputs=[
      [half, -half, half, -half],
      [1, 1, -root, -root],
      [half, -half, -half, half],
    ],
    overlap=0,
  )


# Points that round little in float32, after Barabasz et al., 2018, arXiv:1803.10986; a third of
# what 0, 1, -1 and 2 do.
TILES = _minimal_filtering([-5 / 4, -3 / 8, 3 / 8, 5 / 4])
WHOLE = _three_pixels()


def num_products(height: Size, width: Size, rate: int, algorithm: Algorithm) -> Size:
  """Products of a pixel with a [D, D'] matrix for one image.

  A very large number where the map is too large for the algorithm.
  """
  rows, columns = num_blocks(height, rate), num_blocks(width, rate)
  number = rows * columns * rate**2 * algorithm.num_products
  if algorithm.overlap:
    return number
  fits = maximum(rows, columns) == 1
  return (number if fits else _NEVER) if are_known(number) else tf.where(fits, number, _NEVER)


def num_blocks(length: Size, rate: int) -> Size:
  """Along one side of `length` pixels: blocks of the longest lattice."""
  return -(-length // (SIDE * rate))


def transform_weights(weights: tf.Tensor, algorithm: Algorithm) -> tf.Tensor:
  """float32 weights [3, 3, D, D'] as `conv2d` takes them with that algorithm: [P, D, D']."""
  products = tf.matmul(algorithm.weights, tf.reshape(weights, [9, -1]))
  return tf.reshape(products, [algorithm.num_products, *weights.shape[2:]])


def conv2d(
  inputs: tf.Tensor, transformed_weights: tf.Tensor, algorithm: Algorithm, *, rate: int
) -> tf.Tensor:
  """Convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float32 [B, H, W, D]; all but D may be unknown while tracing.
    transformed_weights: float32 [P, D, D'] from `transform_weights`.
    algorithm: WHOLE takes only maps with H and W up to 3 * rate.
    rate: 1 or more.

  Returns:
    float32 [B, H, W, D'].
  """
  batch, height, width = batch_and_spatial_size(inputs)
  depth, outputs_depth = transformed_weights.shape[1:]
  rows, columns = num_blocks(height, rate), num_blocks(width, rate)
  all_height, all_width = rows * SIDE * rate, columns * SIDE * rate
  net = tf.pad(inputs, [[0, 0], [0, all_height - height], [0, all_width - width], [0, 0]])
  # A pixel's row and column in its block come first: then each transform is one product of
  # matrices.
  net = tf.reshape(net, [batch, rows, SIDE, rate, columns, SIDE, rate, depth])
  net = tf.transpose(net, [2, 5, 0, 1, 3, 4, 6, 7])
  if algorithm.overlap:
    net = _with_neighbours(net, [1, SIDE, SIDE * batch, rows, rate * columns * rate * depth])
    net = _with_neighbours(net, [SIDE + 2, SIDE, batch * rows * rate, columns, rate * depth])
  net = tf.matmul(algorithm.inputs, tf.reshape(net, [algorithm.inputs.shape[1], -1]))
  net = tf.matmul(tf.reshape(net, [algorithm.num_products, -1, depth]), transformed_weights)
  net = tf.matmul(algorithm.outputs, tf.reshape(net, [algorithm.num_products, -1]))
  net = tf.reshape(net, [SIDE, SIDE, batch, rows, rate, columns, rate, outputs_depth])
  net = tf.transpose(net, [2, 3, 0, 4, 5, 1, 6, 7])
  net = tf.reshape(net, [batch, all_height, all_width, outputs_depth])
  # Not a strided slice: the gradient of that one takes five times as long.
  net = tf.slice(net, [0, 0, 0, 0], [-1, height, width, -1])
  return tf.ensure_shape(net, [*inputs.shape[:3], outputs_depth])


def _with_neighbours(net, shape):
  """Puts the pixel before and the one behind around those of each block, zero outside.

  Args:
    net: of `shape` once reshaped: [A, pixels of a block, B, blocks, C].
    shape: ints or scalars.

  Returns:
    [A, pixels of a block + 2, B, blocks, C].
  """
  size, blocks = shape[1], shape[3]

  def moved(pixels, start, by):
    """One pixel of each block, at `start`, as the next (by = 1) or the previous (-1) block's."""
    first = 0 if by == 1 else 1
    kept = tf.slice(pixels, [0, start, 0, first, 0], [-1, 1, -1, blocks - 1, -1])
    return tf.pad(kept, [[0, 0], [0, 0], [0, 0], [1, 0] if by == 1 else [0, 1], [0, 0]])

  @tf.custom_gradient
  def extend(net):
    def gradient(upstream):
      # Written out, because that of each slice would be a map of zeros.
      def pixels(start, number):
        return tf.slice(upstream, [0, start, 0, 0, 0], [-1, number, -1, -1, -1])

      first = pixels(1, 1) + moved(upstream, size + 1, 1)
      last = pixels(size, 1) + moved(upstream, 0, -1)
      return tf.concat([first, pixels(2, size - 2), last], axis=1)

    return tf.concat([moved(net, size - 1, 1), net, moved(net, 0, -1)], axis=1), gradient

  return extend(tf.reshape(net, shape))
