"""Convolutions whose 16-bit gradients are slow in TensorFlow's kernels for CPUs, done by operations that are not.

Same numbers, up to rounding. Measured on a processor with AVX-512 and AMX: the gradient of a pointwise convolution's weights
takes 2 to 3 times as long as the product that it is, and the gradient of a strided depthwise convolution's inputs 12 times as
long in bfloat16 as in float32.
"""
import tensorflow as tf

_STRIDES = [1, 1, 1, 1]


def is_slow(tensor):
  """Whether the functions of this module are faster for the dtype of `tensor` on this machine."""
  return tensor.dtype != tf.float32 and not tf.config.list_logical_devices('GPU')


def pointwise_conv2d(inputs, weights):
  """Convolution of inputs [B, H, W, D] with weights [1, 1, D, D']: [B, H, W, D']."""

  @tf.custom_gradient
  def convolve(inputs, weights):
    def gradient(upstream):
      inputs_gradient = tf.raw_ops.Conv2DBackpropInput(
          input_sizes=tf.shape(inputs), filter=weights, out_backprop=upstream, strides=_STRIDES, padding='SAME')
      weights_gradient = tf.matmul(_as_matrix(inputs), _as_matrix(upstream), transpose_a=True)
      return inputs_gradient, tf.reshape(weights_gradient, weights.shape)

    return tf.nn.conv2d(inputs, weights, strides=_STRIDES, padding='SAME'), gradient

  return convolve(inputs, weights)


def strided_depthwise_conv2d(inputs, weights, *, stride):
  """Depthwise convolution of inputs [B, H, W, D] with weights [k, k, D, 1], 'SAME' padding."""
  settings = dict(strides=[1, stride, stride, 1], padding='SAME')

  @tf.custom_gradient
  def convolve(inputs, weights):
    def gradient(upstream):
      inputs_gradient = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
          input_sizes=tf.shape(inputs), filter=tf.cast(weights, tf.float32), out_backprop=tf.cast(upstream, tf.float32),
          **settings)
      weights_gradient = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
          input=inputs, filter_sizes=tf.shape(weights), out_backprop=upstream, **settings)
      return tf.cast(inputs_gradient, inputs.dtype), weights_gradient

    return tf.nn.depthwise_conv2d(inputs, weights, **settings), gradient

  return convolve(inputs, weights)


def _as_matrix(tensor):
  return tf.reshape(tensor, [-1, tensor.shape[3]])
