"""Depthwise convolutions whose gradients are wrong or slow in TensorFlow's kernels for CPUs.

Atrous 3x3 convolutions go by the kernel that heeds dilations, with gradients of our own.
TensorFlow's gradients of that kernel ignore the dilations on a CPU. The gradient of the inputs is
the same convolution with the taps mirrored. That of the weights is taken on the lattices of pixels
that are `rate` apart and see only each other, where the convolution is a plain one. Space to batch
makes all lattices equally large by padding, in copies on one core; here the pixels are only put in
another order, in which lattices of equal size follow one another. Since a side has lattices of two
lengths at most, that makes four groups at most.

The gradient of a strided convolution's inputs takes several times as long in bfloat16 as in
float32.
"""

import numpy as np
import tensorflow as tf

from deeplab.operations import plain


def conv2d(inputs: tf.Tensor, weights: tf.Tensor, *, rate: int, on_lattices: bool) -> tf.Tensor:
  """Depthwise convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float [B, H, W, D].
    weights: [3, 3, D, 1] of the inputs' dtype.
    rate: 1 or more.
    on_lattices: the weights get their gradient by `weights_gradient`, which wants a known shape,
      not by space to batch.

  Returns:
    [B, H, W, D] of the inputs' dtype.
  """

  @tf.custom_gradient
  def convolve(inputs, weights):
    def gradient(upstream):
      # The rate keeps the taps apart, so the adjoint is the convolution with mirrored taps.
      inputs_gradient = _dilated(upstream, weights[::-1, ::-1], rate)
      if on_lattices:
        return inputs_gradient, weights_gradient(inputs, upstream, rate=rate)
      with tf.GradientTape() as tape:
        tape.watch(weights)
        outputs = plain.depthwise_conv2d(inputs, weights, rate=rate)
      return inputs_gradient, tape.gradient(outputs, weights, output_gradients=upstream)

    return _dilated(inputs, weights, rate), gradient

  return convolve(inputs, weights)


def strided_conv2d(
  inputs: tf.Tensor, weights: tf.Tensor, *, stride: int, padding: str = 'SAME'
) -> tf.Tensor:
  """Depthwise convolution whose inputs get their gradient in float32.

  Args:
    inputs: float [B, H, W, D].
    weights: [k, k, D, 1] of the inputs' dtype.
    padding: 'SAME' or 'VALID'.

  Returns:
    [B, H', W', D] of the inputs' dtype.
  """
  settings = dict(strides=[1, stride, stride, 1], padding=padding)

  @tf.custom_gradient
  def convolve(inputs, weights):
    def gradient(upstream):
      inputs_gradient = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
        input_sizes=tf.shape(inputs),
        filter=tf.cast(weights, tf.float32),
        out_backprop=tf.cast(upstream, tf.float32),
        **settings,
      )
      weights_gradient = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=inputs, filter_sizes=tf.shape(weights), out_backprop=upstream, **settings
      )
      return tf.cast(inputs_gradient, inputs.dtype), weights_gradient

    return tf.nn.depthwise_conv2d(inputs, weights, **settings), gradient

  return convolve(inputs, weights)


def heeds_dilations() -> bool:
  """Whether the kernel here does; not all do, and those that do not may not say so. Run eagerly."""
  # With a depth of 1, TensorFlow's kernel hands the work on to that of convolutions, which heeds
  # them.
  depth = 4
  inputs = tf.reshape(tf.range(25.0), [1, 5, 5, 1]) * tf.range(1.0, depth + 1)
  try:
    outputs = _dilated(inputs, tf.ones([3, 3, depth, 1]), rate=2).numpy()
  except (tf.errors.OpError, ValueError):
    return False
  # In the middle all taps count, rows and columns 0, 2 and 4; in the corner rows and columns 0, 2.
  channels = np.arange(1, depth + 1)
  return bool(
    np.all(outputs[0, 2, 2] == 108.0 * channels)
    and np.all(outputs[0, 0, 0] == (0.0 + 2.0 + 10.0 + 12.0) * channels)
  )


def weights_gradient(inputs: tf.Tensor, upstream: tf.Tensor, *, rate: int) -> tf.Tensor:
  """Gradient of the weights.

  Args:
    inputs: float [B, H, W, D], of known shape.
    upstream: gradient of the outputs, of the same shape and dtype.
    rate: 1 or more.

  Returns:
    [3, 3, D, 1] of the same dtype.
  """
  batch, height, width, depth = inputs.shape
  pixels, shapes = _order(batch, height, width, rate)
  sizes = [np.prod(shape) for shape in shapes]

  def groups(tensor):
    ordered = tf.gather(tf.reshape(tensor, [-1, depth]), pixels)
    return [
      tf.reshape(group, [*shape, depth]) for group, shape in zip(tf.split(ordered, sizes), shapes)
    ]

  return tf.add_n(
    [
      tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=inputs_group,
        filter_sizes=[3, 3, depth, 1],
        out_backprop=upstream_group,
        strides=[1, 1, 1, 1],
        padding='SAME',
      )
      for inputs_group, upstream_group in zip(groups(inputs), groups(upstream))
    ]
  )


def _dilated(inputs, weights, rate):
  return tf.raw_ops.DepthwiseConv2dNative(
    input=inputs, filter=weights, strides=[1, 1, 1, 1], padding='SAME', dilations=[1, rate, rate, 1]
  )


def _order(batch, height, width, rate):
  """(int32 ndarray [B * H * W] of the pixels in order, [(maps, height, width)] of the groups)."""
  pixels = np.arange(batch * height * width, dtype=np.int32).reshape(batch, height, width)
  groups = {}
  for row in range(min(rate, height)):
    for column in range(min(rate, width)):
      lattice = pixels[:, row::rate, column::rate]
      groups.setdefault(lattice.shape[1:], []).append(lattice)
  groups = [np.concatenate(lattices) for lattices in groups.values()]
  return np.concatenate([group.ravel() for group in groups]), [group.shape for group in groups]
