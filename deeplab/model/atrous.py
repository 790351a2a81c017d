"""How an atrous convolution is computed: the one place that decides.

TensorFlow's own way splits the map into rate * rate smaller ones (space to batch), convolves, and puts them together again.
A dilated convolution reads the same taps in place. The numbers are the same; the time is not.
"""
import functools

import tensorflow as tf


def conv2d(inputs, weights, *, rate):
  """Atrous convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float [B, H, W, D].
    weights: [k, k, D, D'] of the inputs' dtype, k odd.
    rate: int above 1.

  Returns:
    [B, H, W, D'] of the inputs' dtype.
  """
  if _only_the_centre_counts(inputs, weights, rate):
    centre = weights.shape[0] // 2
    return tf.nn.conv2d(inputs, weights[centre:centre + 1, centre:centre + 1], strides=1, padding='SAME')
  if _dilated_convolution_works():
    return tf.nn.conv2d(inputs, weights, strides=1, padding='SAME', dilations=rate)
  return space_to_batch_conv2d(inputs, weights, rate=rate)


def depthwise_conv2d(inputs, weights, *, rate):
  """Atrous depthwise convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float [B, H, W, D].
    weights: [k, k, D, 1] of the inputs' dtype, k odd.
    rate: int above 1.

  Returns:
    [B, H, W, D] of the inputs' dtype.
  """
  return tf.nn.depthwise_conv2d(inputs, weights, strides=[1, 1, 1, 1], padding='SAME', dilations=[rate, rate])


def space_to_batch_conv2d(inputs, weights, *, rate):
  """The same as `conv2d`, TensorFlow 1's way; for devices without dilated gradients, and to compare with."""
  return tf.nn.with_space_to_batch(
      inputs, dilation_rate=[rate, rate], padding='SAME', filter_shape=tf.constant(weights.shape[:2]),
      op=lambda inputs, *_: tf.nn.conv2d(inputs, weights, strides=1, padding='VALID'))


def _only_the_centre_counts(inputs, weights, rate):
  """True where the other taps fall into the padding for every output pixel: the map is not larger than the rate."""
  height, width = inputs.shape[1:3]
  return height is not None and width is not None and max(height, width) <= rate and weights.shape[0] == 3


@functools.cache
def _dilated_convolution_works():
  """Whether this device has the gradients of a dilated convolution; the CPU has them only with oneDNN."""
  with tf.init_scope():
    inputs, weights = tf.zeros([1, 5, 5, 1]), tf.zeros([3, 3, 1, 1])
    try:
      with tf.GradientTape() as tape:
        tape.watch([inputs, weights])
        outputs = tf.nn.conv2d(inputs, weights, strides=1, padding='SAME', dilations=2)
      tape.gradient(outputs, [inputs, weights])
    except tf.errors.OpError:
      return False
  return True
