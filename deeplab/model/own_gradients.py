"""Convolutions whose gradients are slow in TensorFlow's kernels for CPUs, with gradients by
operations that are not.

Same numbers, up to rounding. The gradient of a pointwise convolution's weights is one product of
matrices, which takes up to a third less time than the kernel, on a processor with AMX and in
bfloat16 even two thirds. The gradient of a strided depthwise convolution's inputs takes 12 times as
long in bfloat16 as in float32 there. The gradient of biases is a product, too, which adds up in
float32.
"""

import tensorflow as tf

from deeplab.devices import has_gpu
from deeplab.model.sizes import as_matrix

_STRIDES = [1, 1, 1, 1]


def pointwise_pays():
  """Whether `pointwise_conv2d` is the faster one here."""
  return not has_gpu()


def strided_depthwise_pays(dtype):
  """Whether `strided_depthwise_conv2d` is the faster one here for that dtype."""
  return dtype != tf.float32 and not has_gpu()


def pointwise_conv2d(inputs, weights):
  """Convolution of inputs [B, H, W, D] with weights [1, 1, D, D']: [B, H, W, D']."""

  @tf.custom_gradient
  def convolve(inputs, weights):
    def gradient(upstream):
      inputs_gradient = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(inputs),
        filter=weights,
        out_backprop=upstream,
        strides=_STRIDES,
        padding='SAME',
      )
      weights_gradient = tf.matmul(as_matrix(inputs), as_matrix(upstream), transpose_a=True)
      return inputs_gradient, tf.reshape(weights_gradient, weights.shape)

    return tf.nn.conv2d(inputs, weights, strides=_STRIDES, padding='SAME'), gradient

  return convolve(inputs, weights)


def bias_add(net, biases):
  """Adds biases [D] to [B, H, W, D] as `tf.nn.bias_add`, whose gradient in bfloat16 adds up in
  bfloat16 on a CPU and drifts.
  """
  if has_gpu():
    return tf.nn.bias_add(net, biases)

  @tf.custom_gradient
  def add(net, biases):
    def gradient(upstream):
      matrix = as_matrix(upstream)
      return upstream, tf.matmul(tf.ones([1, tf.shape(matrix)[0]], matrix.dtype), matrix)[0]

    return tf.nn.bias_add(net, biases), gradient

  return add(net, biases)


def strided_depthwise_conv2d(inputs, weights, *, stride):
  """Depthwise convolution of inputs [B, H, W, D] with weights [k, k, D, 1], 'SAME' padding."""
  settings = dict(strides=[1, stride, stride, 1], padding='SAME')

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
