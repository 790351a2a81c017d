"""Pointwise convolution from few channels to many, with batch norm in training, without a pass over its outputs for statistics.

A pointwise convolution is linear, so mean and variance of its outputs follow from mean and covariance of its inputs, which have
a fraction of the channels: var(x w) = w' cov(x) w. With both known beforehand, batch norm is a scale of the weights and a bias, and
TensorFlow fuses product, bias and rectifier into one pass, where else statistics, normalization and rectifier take one each, and
more in the gradients. The numbers are the same; the variance is a sum of squares in this form too, so nothing cancels.
"""
import tensorflow as tf

from deeplab.devices import has_gpu

# Below these ratios, measured on a processor with AVX-512, the covariance and its gradient cost what the passes do.
_OUTPUTS_FOR_AN_INPUT = 4
_PIXELS_FOR_AN_INPUT = 24


def pays(inputs, num_outputs):
  """Whether `normalized_expansion` is the faster way for float [B, H, W, D] inputs here."""
  if inputs.dtype != tf.float32 or not inputs.shape.is_fully_defined() or has_gpu():
    return False
  depth = inputs.shape[3]
  return num_outputs >= _OUTPUTS_FOR_AN_INPUT * depth and inputs.shape.num_elements() >= _PIXELS_FOR_AN_INPUT * depth ** 2


def normalized_expansion(inputs, weights, gamma, beta, *, epsilon):
  """Convolution and batch norm with the batch's statistics.

  Args:
    inputs: float32 [B, H, W, D], of known shape.
    weights: float32 [1, 1, D, D'].
    gamma, beta: float32 [D'].
    epsilon: added to the variance.

  Returns:
    outputs float32 [B, H, W, D'], mean [D'] and variance [D'] of the convolution's outputs; as `fused_batch_norm`'s, that
    variance is divided by the number of pixels less one, and the one normalized with is not.
  """
  depth, outputs_depth = weights.shape[2:]
  pixels, matrix = tf.reshape(inputs, [-1, depth]), tf.reshape(weights, [depth, outputs_depth])
  mean = tf.reduce_mean(pixels, axis=0, keepdims=True)
  centred = pixels - mean
  num_pixels = pixels.shape[0]
  covariance = tf.matmul(centred, centred, transpose_a=True) / num_pixels
  variance = tf.reduce_sum(matrix * tf.matmul(covariance, matrix), axis=0)
  scale = gamma * tf.math.rsqrt(variance + epsilon)
  outputs = tf.nn.bias_add(tf.matmul(centred, matrix * scale), beta)
  return (tf.reshape(outputs, [*inputs.shape[:3], outputs_depth]), tf.matmul(mean, matrix)[0],
          variance * (num_pixels / max(num_pixels - 1, 1)))
