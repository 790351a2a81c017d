"""3x3 convolutions as one product of matrices for each tap, over the part of the map where the tap
does not fall into the padding.

The gradient of the weights is computed in the same way; that of the inputs is fastest as a dilated
convolution.
"""

import tensorflow as tf

from deeplab.model.sizes import as_matrix


def conv2d(inputs, weights, *, rate):
  """Convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float [B, H, W, D]; all but D may be unknown while tracing.
    weights: [3, 3, D, D'] of the inputs' dtype.
    rate: int, 1 or more.

  Returns:
    [B, H, W, D'] of the inputs' dtype.
  """

  @tf.custom_gradient
  def convolve(inputs, weights):
    taps = [_Tap(inputs, row, column, rate) for row in (-1, 0, 1) for column in (-1, 0, 1)]

    def gradient(upstream):
      inputs_gradient = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(inputs),
        filter=weights,
        out_backprop=upstream,
        strides=[1, 1, 1, 1],
        padding='SAME',
        dilations=[1, rate, rate, 1],
      )
      return inputs_gradient, tf.reshape(
        tf.stack([tap.weights_gradient(inputs, upstream) for tap in taps]), weights.shape
      )

    outputs = tf.add_n([tap.product(inputs, weights) for tap in taps if not tap.is_empty])
    return tf.ensure_shape(outputs, [*inputs.shape[:3], weights.shape[3]]), gradient

  return convolve(inputs, weights)


class _Tap:
  """One of the nine taps: where it reads inside the map, and for which outputs."""

  def __init__(self, inputs, row, column, rate):
    self._row, self._column = row + 1, column + 1
    self._rows = _Overlap(inputs, axis=1, offset=row * rate)
    self._columns = _Overlap(inputs, axis=2, offset=column * rate)
    # A size that is unknown while tracing may still turn out empty; the operations below then do
    # nothing.
    self.is_empty = self._rows.is_empty or self._columns.is_empty

  def product(self, inputs, weights):
    """What the tap adds to the outputs."""
    read = inputs[:, self._rows.read, self._columns.read]
    # Not a convolution: of an empty tensor, that has the wrong depth on a CPU.
    product = tf.reshape(
      tf.matmul(as_matrix(read), weights[self._row, self._column]),
      tf.concat([tf.shape(read)[:3], weights.shape[3:]], axis=0),
    )
    return tf.pad(product, [[0, 0], self._rows.padding, self._columns.padding, [0, 0]])

  def weights_gradient(self, inputs, upstream):
    """The gradient of the tap's weights, [D, D']."""
    if self.is_empty:
      return tf.zeros([inputs.shape[3], upstream.shape[3]], inputs.dtype)
    read, written = (
      inputs[:, self._rows.read, self._columns.read],
      upstream[:, self._rows.written, self._columns.written],
    )
    return tf.matmul(as_matrix(read), as_matrix(written), transpose_a=True)


class _Overlap:
  """Along one axis: output i reads input i + offset where both are inside the map.

  Attributes:
    read: slice of the inputs.
    written: slice of the outputs.
    padding: how many outputs before and after `written` lack an input.
    is_empty: known to be empty.
  """

  def __init__(self, inputs, *, axis, offset):
    size = inputs.shape[axis]
    self.is_empty = size is not None and abs(offset) >= size
    if size is None:
      size = tf.shape(inputs)[axis]
      missing = tf.minimum(abs(offset), size)
    else:
      missing = min(abs(offset), size)
    late, early = slice(missing, None), slice(None, size - missing)
    self.read, self.written = (late, early) if offset > 0 else (early, late)
    self.padding = [0, missing] if offset > 0 else [missing, 0]
