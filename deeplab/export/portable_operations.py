"""The plain operations in the form in which converters understand them."""

import tensorflow as tf

from deeplab.operations import plain
from deeplab.operations.dispatch import Operations


class PortableOperations(Operations):
  """Plain operations that do not depend on the machine that exports.

  TensorFlow computes depthwise convolutions with a rate by space to batch, since its kernel for
  CPUs has no rates. Converters make dozens of operations of that where sizes are dynamic; so for
  them such a convolution is one operation, which TensorFlow itself cannot run on a CPU.
  """

  def __init__(self, *, for_converter: bool = False, explicit_padding: bool = False):
    """Decides the form.

    Args:
      for_converter: depthwise convolutions with a rate are one operation.
      explicit_padding: convolutions with a rate say their padding in numbers, which onnxruntime
        insists on.
    """
    super().__init__('plain')
    self._for_converter, self._explicit_padding = for_converter, explicit_padding

  def with_constant_weights(self, *, keep_prepared: bool = True) -> 'PortableOperations':
    """Itself: what is kept while tracing would be in the file a second time."""
    return self

  def conv2d(
    self,
    inputs: tf.Tensor,
    weights: tf.Tensor,
    *,
    stride: int = 1,
    rate: int = 1,
    padding: str = 'SAME',
  ) -> tf.Tensor:
    if rate > 1 and padding == 'SAME' and self._explicit_padding:
      padding = _around(weights, rate)
    return plain.conv2d(inputs, weights, stride=stride, rate=rate, padding=padding)

  def depthwise_conv2d(
    self,
    inputs: tf.Tensor,
    weights: tf.Tensor,
    *,
    stride: int = 1,
    rate: int = 1,
    padding: str = 'SAME',
  ) -> tf.Tensor:
    if rate == 1 or not self._for_converter:
      return plain.depthwise_conv2d(inputs, weights, stride=stride, rate=rate, padding=padding)
    explicit = sum(_around(weights, rate), []) if self._explicit_padding else []
    return tf.raw_ops.DepthwiseConv2dNative(
      input=inputs,
      filter=weights,
      strides=[1, 1, 1, 1],
      padding='EXPLICIT' if explicit else 'SAME',
      explicit_paddings=explicit,
      dilations=[1, rate, rate, 1],
    )


def _around(weights, rate):
  """'SAME' padding of stride 1 in numbers: [before, after] for each axis."""
  rows, columns = (rate * (side // 2) for side in weights.shape[:2])
  return [[0, 0], [rows, rows], [columns, columns], [0, 0]]
