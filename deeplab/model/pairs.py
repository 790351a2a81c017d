"""3x3 atrous convolutions of maps with at most twice the rate of pixels a side, as ASPP's large
rates meet them.

Along a side, pixels a rate apart then come in pairs, or alone. With taps (c, a, b) a pair x, y has
the outputs a x + b y and c x + a y, which are a (x + y) + (b - a) y and a (x + y) + (c - a) x: 3
products instead of 4 (`bilinear_algorithms.PAIR`), and one is left for a pixel that is alone. Along
both sides that makes nine products of matrices, each with the pixels it is needed for.
"""

import tensorflow as tf

from deeplab.model.sizes import as_matrix, batch_and_spatial_size, maximum, minimum


def conv2d(inputs, transformed_weights, *, rate):
  """Convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float32 [B, H, W, D], H and W up to 2 * rate; all but D may be unknown while tracing.
    transformed_weights: float32 [9, D, D'], made from the weights with the algorithm PAIR.
    rate: int, 1 or more.

  Returns:
    float32 [B, H, W, D'].
  """
  sides = [
    _Side(size, axis, rate) for axis, size in enumerate(batch_and_spatial_size(inputs)[1:], start=1)
  ]
  depth, outputs_depth = transformed_weights.shape[1:]

  @tf.custom_gradient
  def convolve(inputs, weights):
    read = _taken_apart(inputs, sides)

    def gradient(upstream):
      # Of a pair, the output x has the product with y, and the other way round.
      written = _taken_apart(upstream, sides, swapped=True)
      weights_gradient = tf.stack(
        [
          tf.matmul(as_matrix(one), as_matrix(other), transpose_a=True)
          for one, other in zip(read, written)
        ]
      )
      products = [
        _product(each, weights[index], depth, transpose=True) for index, each in enumerate(written)
      ]
      return _put_together(products, sides, swapped=True), weights_gradient

    products = [_product(each, weights[index], outputs_depth) for index, each in enumerate(read)]
    return tf.ensure_shape(
      _put_together(products, sides), [*inputs.shape[:3], outputs_depth]
    ), gradient

  return convolve(inputs, transformed_weights)


def _product(pixels, weights, depth, *, transpose=False):
  product = tf.matmul(as_matrix(pixels), weights, transpose_b=transpose)
  return tf.reshape(product, [*batch_and_spatial_size(pixels), depth])


def _taken_apart(net, sides, *, swapped=False):
  """The nine maps that are multiplied, in the order of PAIR's products: of both rows x + y, y and x
  those of both columns.
  """
  rows, columns = sides
  return [
    column for row in rows.take_apart(net, swapped) for column in columns.take_apart(row, swapped)
  ]


def _put_together(products, sides, *, swapped=False):
  """The outputs from the nine products."""
  rows, columns = sides
  return rows.put_together(
    [columns.put_together(products[first : first + 3], swapped) for first in (0, 3, 6)], swapped
  )


class _Side:
  """Height or width: pixels before the rate are x of a pair or alone, those behind are y."""

  def __init__(self, size, axis, rate):
    self._axis = axis
    self._known = isinstance(size, int)
    self._lattices = minimum(size, rate)
    # Where sizes are unknown this is also built for maps that are too large, which it never runs
    # for.
    self._pairs = minimum(maximum(size - rate, 0), rate)
    self._rest = size - self._lattices - self._pairs

  def take_apart(self, net, swapped):
    """(x + y or the pixel that is alone, y, x); with `swapped` y and x change places."""
    x, y = self._slice(net, 0, self._pairs), self._slice(net, self._lattices, self._pairs)
    alone = self._slice(net, self._pairs, self._lattices - self._pairs)
    both = tf.concat([x + y, alone], axis=self._axis)
    return (both, x, y) if swapped else (both, y, x)

  def put_together(self, products, swapped):
    """The map that has product 0 and, in pairs, product 1 more at x and product 2 more at y;
    `swapped` as above.
    """
    both, at_x, at_y = products
    if swapped:
      at_x, at_y = at_y, at_x
    of_pairs, alone = (
      self._slice(both, 0, self._pairs),
      self._slice(both, self._pairs, self._lattices - self._pairs),
    )
    parts = [of_pairs + at_x, alone, of_pairs + at_y]
    if not self._known:
      sizes = [*batch_and_spatial_size(both), both.shape[3]]
      sizes[self._axis] = self._rest
      parts.append(tf.zeros(sizes))
    return tf.concat(parts, axis=self._axis)

  def _slice(self, net, start, number):
    begin, size = [0, 0, 0, 0], [-1, -1, -1, -1]
    begin[self._axis], size[self._axis] = start, number
    # Of a slice with scalars among its bounds TensorFlow knows no size at all.
    return tf.ensure_shape(
      tf.slice(net, begin, size),
      [None if axis == self._axis else known for axis, known in enumerate(net.shape)],
    )
