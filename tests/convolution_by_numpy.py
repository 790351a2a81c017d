"""3x3 convolutions as sums over taps in numpy: what every implementation is compared with."""

import numpy as np
import tensorflow as tf

# Sizes of maps and rates, below and above the map.
SIZES_AND_RATES = [
  ((7, 7), 2),
  ((11, 13), 2),
  ((9, 12), 4),
  ((17, 17), 6),
  ((17, 16), 12),
  ((5, 12), 8),
  ((6, 5), 6),
  ((1, 1), 2),
]


def convolve(inputs, weights, rate):
  """inputs [B, H, W, D], weights [3, 3, D, D']: [B, H, W, D']."""
  height, width = inputs.shape[1:3]
  padded = np.pad(inputs, [[0, 0], [rate, rate], [rate, rate], [0, 0]])
  return sum(
    padded[:, i * rate : i * rate + height, j * rate : j * rate + width] @ weights[i, j]
    for i in range(3)
    for j in range(3)
  )


def gradients(inputs, weights, rate, upstream):
  """Gradients of inputs and weights."""
  height, width = inputs.shape[1:3]
  padded = np.pad(inputs, [[0, 0], [rate, rate], [rate, rate], [0, 0]])
  padded_gradient, weights_gradient = np.zeros_like(padded), np.zeros_like(weights)
  for i in range(3):
    for j in range(3):
      rows, columns = slice(i * rate, i * rate + height), slice(j * rate, j * rate + width)
      padded_gradient[:, rows, columns] += upstream @ weights[i, j].T
      weights_gradient[i, j] = np.einsum('bhwi,bhwo->io', padded[:, rows, columns], upstream)
  return padded_gradient[:, rate : rate + height, rate : rate + width], weights_gradient


def value_and_gradients(inputs, weights, rate, upstream):
  """The three results in one tuple."""
  return convolve(inputs, weights, rate), *gradients(inputs, weights, rate, upstream)


def depthwise_value_and_gradients(inputs, weights, rate, upstream):
  """The same of a depthwise convolution with weights [3, 3, D, 1]: one with diagonal weights."""
  diagonal = weights * np.eye(inputs.shape[3])
  to_inputs, to_diagonal = gradients(inputs, diagonal, rate, upstream)
  to_weights = np.einsum('ijdd->ijd', to_diagonal)[..., np.newaxis]
  return convolve(inputs, diagonal, rate), to_inputs, to_weights


def random_case(size, depth, outputs_depth, *, kernel_size=3):
  """(inputs [2, *size, D], weights [k, k, D, D'], upstream [2, *size, D']) with normal values."""
  random = np.random.default_rng(3)
  return (
    random.normal(size=[2, *size, depth]),
    random.normal(size=[kernel_size, kernel_size, depth, outputs_depth]),
    random.normal(size=[2, *size, max(outputs_depth, depth if outputs_depth == 1 else 0)]),
  )


def run(function, *arguments, upstream, dtype=tf.float32, known_size=True, jit_compile=None):
  """[value, gradients of the arguments] of a traced function, as float32 arrays.

  Args:
    function: of tensors; the first argument is a map [B, H, W, D], whose size is hidden while
      tracing without `known_size`. The others stay float32, as variables are.
    *arguments: arrays.
    upstream: array.
    dtype: of the map.
    known_size, jit_compile: how it is traced.
  """
  first, *rest = arguments
  shape = first.shape if known_size else [None, None, None, first.shape[-1]]
  signature = [tf.TensorSpec(shape, dtype), *(tf.TensorSpec(each.shape) for each in rest)]

  @tf.function(autograph=False, jit_compile=jit_compile, input_signature=signature)
  def traced(*tensors):
    with tf.GradientTape() as tape:
      tape.watch(tensors)
      outputs = function(*tensors)
    upstream_tensor = tf.cast(upstream, outputs.dtype)
    return outputs, *tape.gradient(outputs, tensors, output_gradients=upstream_tensor)

  results = traced(tf.cast(first, dtype), *(tf.cast(each, tf.float32) for each in rest))
  assert results[0].dtype == results[1].dtype == dtype
  return [tf.cast(result, tf.float32).numpy() for result in results]


def assert_close(actual, expected, tolerance=1e-5):
  """Differences relative to the largest expected value, array by array."""
  for one, other in zip(actual, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(1.0, np.abs(other).max()))
