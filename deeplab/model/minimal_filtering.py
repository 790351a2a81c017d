"""3x3 convolutions by the algorithms of `bilinear_algorithms`, forward and with gradients.

An atrous convolution of rate r is r * r ordinary ones on interleaved lattices of pixels, which are
mere reshapes of the map, so it is done in the same way; with the large rates of ASPP a lattice has
few pixels and is one block. All of it is products of matrices, gradients included. In float32
results are within 5e-6 of the largest.
"""

import tensorflow as tf

from deeplab.model.sizes import batch_and_spatial_size


def transform_weights(weights, algorithm):
  """float32 weights [3, 3, D, D'] as `conv2d` takes them with that Algorithm: [P, D, D']."""
  return tf.reshape(
    tf.matmul(algorithm.weights, tf.reshape(weights, [9, -1])), [-1, *weights.shape[2:]]
  )


def conv2d(inputs, transformed_weights, algorithm, *, rate):
  """Convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float32 [B, H, W, D]; all but D may be unknown while tracing.
    transformed_weights: float32 [P, D, D'] from `transform_weights`.
    algorithm: an Algorithm; one without overlap takes only maps with H and W up to side * rate.
    rate: int, 1 or more.

  Returns:
    float32 [B, H, W, D'].
  """
  batch, height, width = batch_and_spatial_size(inputs)
  depth, outputs_depth = transformed_weights.shape[1:]
  side = algorithm.side
  rows, columns = (num_blocks(length, rate, algorithm) for length in (height, width))
  all_height, all_width = rows * side * rate, columns * side * rate
  net = tf.pad(inputs, [[0, 0], [0, all_height - height], [0, all_width - width], [0, 0]])
  # A pixel's row and column in its block come first: then each transform is one product of
  # matrices.
  net = tf.reshape(net, [batch, rows, side, rate, columns, side, rate, depth])
  net = tf.transpose(net, [2, 5, 0, 1, 3, 4, 6, 7])
  if algorithm.overlap:
    net = _with_neighbours(net, [1, side, side * batch, rows, rate * columns * rate * depth])
    net = _with_neighbours(net, [side + 2, side, batch * rows * rate, columns, rate * depth])
  net = tf.matmul(algorithm.inputs, tf.reshape(net, [algorithm.inputs.shape[1], -1]))
  # Not split for each block: products with the same weights are one product.
  net = tf.matmul(tf.reshape(net, [algorithm.num_weights, -1, depth]), transformed_weights)
  net = tf.matmul(algorithm.outputs, tf.reshape(net, [algorithm.num_products, -1]))
  net = tf.reshape(net, [side, side, batch, rows, rate, columns, rate, outputs_depth])
  net = tf.reshape(
    tf.transpose(net, [2, 3, 0, 4, 5, 1, 6, 7]), [batch, all_height, all_width, outputs_depth]
  )
  # Not a strided slice: the gradient of that one takes five times as long.
  return tf.ensure_shape(
    tf.slice(net, [0, 0, 0, 0], [-1, height, width, -1]), [*inputs.shape[:3], outputs_depth]
  )


def num_blocks(length, rate, algorithm):
  """Along one side of a map of `length` pixels, an int or a scalar: how many blocks the longest
  lattice takes.
  """
  return -(-length // (algorithm.side * rate))


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
    kept = tf.slice(pixels, [0, start, 0, 0 if by == 1 else 1, 0], [-1, 1, -1, blocks - 1, -1])
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
