"""Pointwise convolution from few channels to many, with batch norm by the statistics of the batch,
without a pass over its outputs for them.

A pointwise convolution is linear, so mean and variance of its outputs follow from mean and
covariance of its inputs, which have a fraction of the channels: var(x w) = w' cov(x) w. With both
known beforehand, batch norm is a scale of the weights and a bias, and TensorFlow fuses product,
bias and rectifier into one pass, where else statistics, normalization and rectifier take one each,
and more in the gradients. The variance is a sum of squares in this form too, so nothing cancels.
"""

import tensorflow as tf

from deeplab.operations import plain


def conv2d_batch_norm(
  inputs: tf.Tensor,
  weights: tf.Tensor,
  norm: plain.BatchNorm,
  *,
  activation_fn: plain.Activation | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Convolution, batch norm with the batch's statistics, and activation.

  Args:
    inputs: float32 [B, H, W, D], of known shape.
    weights: float32 [1, 1, D, D'].
    activation_fn: applied last, or None.

  Returns:
    outputs float32 [B, H, W, D'], mean and variance, as `plain.batch_norm`. Gradients are those of
    the outputs.
  """
  depth, outputs_depth = weights.shape[2:]
  num_pixels = inputs.shape.num_elements() // depth
  # As matrices: TensorFlow fuses the activation only where no reshape stands before it.
  outputs, mean, variance = _expand(
    tf.reshape(inputs, [num_pixels, depth]),
    tf.reshape(weights, [depth, outputs_depth]),
    tf.convert_to_tensor(norm.gamma),
    tf.convert_to_tensor(norm.beta),
    epsilon=norm.epsilon,
    activation_fn=activation_fn,
  )
  outputs = tf.reshape(outputs, [*inputs.shape[:3], outputs_depth])
  return outputs, mean, variance * (num_pixels / max(num_pixels - 1, 1))


def _expand(pixels, matrix, gamma, beta, *, epsilon, activation_fn):
  """Outputs [N, D'], mean and variance [D'] of pixels [N, D] times matrix [D, D']."""
  num_pixels = pixels.shape[0]

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
      to_beta = tf.matmul(tf.ones([1, num_pixels]), upstream)
      to_scaled = tf.matmul(centred, upstream, transpose_a=True)
      to_scale = tf.reduce_sum(matrix * to_scaled, axis=0)
      to_variance = -0.5 * to_scale * gamma * factor**3
      to_matrix = to_scaled * (gamma * factor) + 2.0 * covariance_by_matrix * to_variance
      by_variance = matrix * (to_variance * (2.0 / num_pixels))
      through_covariance = tf.matmul(by_variance, matrix, transpose_b=True)
      # The mean that is subtracted takes its share: the mean over all pixels, known from beta's.
      through_mean = tf.matmul(to_beta / -num_pixels, scaled, transpose_b=True)
      to_pixels = tf.matmul(upstream, scaled, transpose_b=True)
      to_pixels += tf.nn.bias_add(tf.matmul(centred, through_covariance), through_mean[0])
      return to_pixels, to_matrix, to_scale * factor, to_beta[0]

    return (outputs, tf.matmul(mean, matrix)[0], variance), gradient

  return expand(pixels, matrix, gamma, beta)
