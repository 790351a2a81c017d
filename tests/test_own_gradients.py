"""The substitutes have the values and gradients of TensorFlow's own convolutions in float32."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.model import own_gradients

RANDOM = np.random.default_rng(6)
INPUTS = RANDOM.normal(size=[2, 9, 8, 6])


def value_and_gradients(convolve, weights, dtype):
  inputs, weights = tf.cast(INPUTS, dtype), tf.cast(weights, dtype)
  with tf.GradientTape() as tape:
    tape.watch([inputs, weights])
    outputs = convolve(inputs, weights)
  upstream = tf.cast(
    tf.cos(tf.reshape(tf.range(float(np.prod(outputs.shape))), outputs.shape)), dtype
  )
  results = outputs, *tape.gradient(outputs, [inputs, weights], output_gradients=upstream)
  assert all(result.dtype == dtype for result in results)
  return [tf.cast(result, tf.float32).numpy() for result in results]


@pytest.mark.parametrize('dtype, tolerance', [(tf.float32, 1e-5), (tf.bfloat16, 0.03)])
def test_pointwise(dtype, tolerance):
  weights = RANDOM.normal(size=[1, 1, 6, 5])
  expected = value_and_gradients(
    lambda inputs, weights: tf.nn.conv2d(inputs, weights, 1, 'SAME'), weights, tf.float32
  )
  for actual, other in zip(
    value_and_gradients(own_gradients.pointwise_conv2d, weights, dtype), expected, strict=True
  ):
    np.testing.assert_allclose(actual, other, rtol=0, atol=tolerance * np.abs(other).max())


@pytest.mark.parametrize('dtype, tolerance', [(tf.float32, 1e-5), (tf.bfloat16, 0.03)])
def test_strided_depthwise(dtype, tolerance):
  weights = RANDOM.normal(size=[3, 3, 6, 1])
  expected = value_and_gradients(
    lambda inputs, weights: tf.nn.depthwise_conv2d(inputs, weights, [1, 2, 2, 1], 'SAME'),
    weights,
    tf.float32,
  )
  actual = value_and_gradients(
    lambda inputs, weights: own_gradients.strided_depthwise_conv2d(inputs, weights, stride=2),
    weights,
    dtype,
  )
  for one, other in zip(actual, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())


@pytest.mark.parametrize('dtype, tolerance', [(tf.float32, 1e-5), (tf.bfloat16, 0.01)])
def test_bias_gradient_does_not_drift(dtype, tolerance):
  """Over thousands of pixels of one sign; TensorFlow's own is wrong by more than half there in
  bfloat16.
  """
  upstream = tf.cast(RANDOM.uniform(0.5, 1.5, [2, 60, 50, 6]), dtype)
  biases = tf.cast(RANDOM.normal(size=6), dtype)
  with tf.GradientTape() as tape:
    tape.watch(biases)
    outputs = own_gradients.bias_add(tf.zeros_like(upstream), biases)
  np.testing.assert_array_equal(tf.cast(outputs[1, 2, 3], tf.float32), tf.cast(biases, tf.float32))
  expected = tf.reduce_sum(tf.cast(upstream, tf.float64), axis=[0, 1, 2])
  np.testing.assert_allclose(
    tf.cast(tape.gradient(outputs, biases, output_gradients=upstream), tf.float64),
    expected,
    rtol=tolerance,
  )
