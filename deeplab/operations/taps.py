"""3x3 convolutions as one product of matrices for each tap, over the part of the map where the tap
does not fall into the padding. With a large atrous rate that is a small part.

The gradient of the weights is computed in the same way; that of the inputs is fastest as a dilated
convolution.
"""

import itertools
import typing

import tensorflow as tf

from deeplab.operations.sizes import Size, are_known, as_matrix, maximum, minimum, spatial_size


def num_products(height: Size, width: Size, rate: int) -> Size:
  """Products of a pixel with a [D, D'] matrix for one image."""
  rows, columns = (size + 2 * maximum(size - rate, 0) for size in (height, width))
  return rows * columns


def conv2d(inputs: tf.Tensor, weights: tf.Tensor, *, rate: int) -> tf.Tensor:
  """Convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float [B, H, W, D]; all but D may be unknown while tracing.
    weights: [3, 3, D, D'] of the inputs' dtype.
    rate: 1 or more.

  Returns:
    [B, H, W, D'] of the inputs' dtype.
  """

  @tf.custom_gradient
  def convolve(inputs, weights):
    taps = _taps(*spatial_size(inputs), rate)

    def gradient(upstream):
      inputs_gradient = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(inputs),
        filter=weights,
        out_backprop=upstream,
        strides=[1, 1, 1, 1],
        padding='SAME',
        dilations=[1, rate, rate, 1],
      )
      matrices = [_weights_gradient(tap, inputs, upstream) for tap in taps]
      return inputs_gradient, tf.reshape(tf.stack(matrices), weights.shape)

    outputs = tf.add_n([_product(tap, inputs, weights) for tap in taps if not tap.is_empty])
    return tf.ensure_shape(outputs, [*inputs.shape[:3], weights.shape[3]]), gradient

  return convolve(inputs, weights)


class _Overlap(typing.NamedTuple):
  """Along one side: output i reads input i + offset where both are inside the map.

  Attributes:
    read: slice of the inputs.
    written: slice of the outputs.
    padding: how many outputs before and behind `written` lack an input.
    is_empty: known to be empty. A size that is unknown while tracing may still turn out so; then
      the operations do nothing.
  """

  read: slice
  written: slice
  padding: list
  is_empty: bool


class _Tap(typing.NamedTuple):
  """One of the nine taps: where it stands among the weights, and where it reads inside the map."""

  row: int
  column: int
  rows: _Overlap
  columns: _Overlap

  @property
  def is_empty(self) -> bool:
    return self.rows.is_empty or self.columns.is_empty


def _taps(height, width, rate):
  return [
    _Tap(row, column, _overlap(height, (row - 1) * rate), _overlap(width, (column - 1) * rate))
    for row, column in itertools.product(range(3), range(3))
  ]


def _overlap(size, offset):
  missing = minimum(abs(offset), size)
  late, early = slice(missing, None), slice(None, size - missing)
  is_empty = are_known(size) and missing == size
  if offset > 0:
    return _Overlap(read=late, written=early, padding=[0, missing], is_empty=is_empty)
  return _Overlap(read=early, written=late, padding=[missing, 0], is_empty=is_empty)


def _product(tap, inputs, weights):
  """What the tap adds to the outputs."""
  read = inputs[:, tap.rows.read, tap.columns.read]
  # Not a convolution: of an empty tensor, that has the wrong depth on a CPU.
  product = tf.matmul(as_matrix(read), weights[tap.row, tap.column])
  product = tf.reshape(product, tf.concat([tf.shape(read)[:3], weights.shape[3:]], axis=0))
  return tf.pad(product, [[0, 0], tap.rows.padding, tap.columns.padding, [0, 0]])


def _weights_gradient(tap, inputs, upstream):
  """The gradient of the tap's weights, [D, D']."""
  if tap.is_empty:
    return tf.zeros([inputs.shape[3], upstream.shape[3]], inputs.dtype)
  read = inputs[:, tap.rows.read, tap.columns.read]
  written = upstream[:, tap.rows.written, tap.columns.written]
  return tf.matmul(as_matrix(read), as_matrix(written), transpose_a=True)
