"""Pointwise convolution from few channels to many, with batch norm in training, without a pass over
its outputs for statistics.

A pointwise convolution is linear, so mean and variance of its outputs follow from mean and
covariance of its inputs, which have
a fraction of the channels: var(x w) = w' cov(x) w. With both known beforehand, batch norm is a
  scale of the weights and a bias, and
TensorFlow fuses product, bias and rectifier into one pass, where else statistics, normalization and
rectifier take one each, and more in the gradients. The numbers are the same; the variance is a sum
of squares in this form too, so nothing cancels.
"""

import tensorflow as tf

from deeplab.devices import has_gpu

# Below these ratios, measured on a processor with AVX-512, the covariance and its gradient cost
# what the passes do.
_OUTPUTS_FOR_AN_INPUT = 4
_PIXELS_FOR_AN_INPUT = 24


def pays(inputs, num_outputs):
  """Whether `normalized_expansion` is the faster way for float [B, H, W, D] inputs here."""
  if inputs.dtype != tf.float32 or not inputs.shape.is_fully_defined() or has_gpu():
    return False
  depth = inputs.shape[3]
  return (
    num_outputs >= _OUTPUTS_FOR_AN_INPUT * depth
    and inputs.shape.num_elements() >= _PIXELS_FOR_AN_INPUT * depth**2
  )


def normalized_expansion(inputs, weights, gamma, beta, *, epsilon, activation_fn=None):
  """Convolution, batch norm with the batch's statistics, and activation.

  Args:
    inputs: float32 [B, H, W, D], of known shape.
    weights: float32 [1, 1, D, D'].
    gamma, beta: float32 [D'].
    epsilon: added to the variance.
    activation_fn: applied last, or None.

  Returns:
    outputs float32 [B, H, W, D'], mean [D'] and variance [D'] of the convolution's outputs; as
    `fused_batch_norm`'s, that variance is divided by the number of pixels less one, and the one
    normalized with is not. Gradients are those of the outputs.
  """
  depth, outputs_depth = weights.shape[2:]
  num_pixels = inputs.shape.num_elements() // depth

  @tf.custom_gradient
  def expand(pixels, matrix, gamma, beta):
    mean = tf.reduce_mean(pixels, axis=0, keepdims=True)
    centred = pixels - mean
    covariance = tf.matmul(centred, centred, transpose_a=True) / num_pixels
    covariance_by_matrix = tf.matmul(covariance, matrix)
    variance = tf.reduce_sum(matrix * covariance_by_matrix, axis=0)
    factor = tf.math.rsqrt(variance + epsilon)
    scaled = matrix * (gamma * factor)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      normalized = tf.nn.bias_add(tf.matmul(centred, scaled), beta)
      tape.watch(normalized)
      outputs = normalized if activation_fn is None else activation_fn(normalized)

    def gradient(upstream, *_):
      upstream = tape.gradient(outputs, normalized, output_gradients=upstream)
      # A product reads a large tensor faster than a sum does.
      beta_gradient = tf.matmul(tf.ones([1, num_pixels]), upstream)
      scaled_gradient = tf.matmul(centred, upstream, transpose_a=True)
      scale_gradient = tf.reduce_sum(matrix * scaled_gradient, axis=0)
      variance_gradient = -0.5 * scale_gradient * gamma * factor**3
      matrix_gradient = (
        scaled_gradient * (gamma * factor) + 2.0 * covariance_by_matrix * variance_gradient
      )
      through_covariance = tf.matmul(
        matrix * (variance_gradient * (2.0 / num_pixels)), matrix, transpose_b=True
      )
      # The mean that is subtracted takes its share of the gradient: the mean over all pixels, which
      # is known from beta's.
      through_mean = tf.matmul(beta_gradient / -num_pixels, scaled, transpose_b=True)
      pixels_gradient = tf.matmul(upstream, scaled, transpose_b=True)
      pixels_gradient += tf.nn.bias_add(tf.matmul(centred, through_covariance), through_mean[0])
      return pixels_gradient, matrix_gradient, scale_gradient * factor, beta_gradient[0]

    return (
      outputs,
      tf.matmul(mean, matrix)[0],
      variance * (num_pixels / max(num_pixels - 1, 1)),
    ), gradient

  # TensorFlow fuses the activation only where no reshape stands before it.
  outputs, mean, variance = expand(
    tf.reshape(inputs, [num_pixels, depth]),
    tf.reshape(weights, [depth, outputs_depth]),
    gamma,
    beta,
  )
  return tf.reshape(outputs, [*inputs.shape[:3], outputs_depth]), mean, variance
