"""Statistics from the covariance of the inputs are those of the outputs: values, gradients and
moving statistics.
"""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.model import expansion
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions

RANDOM = np.random.default_rng(8)


def separately(inputs, weights, gamma, beta, *, epsilon, activation_fn):
  outputs = tf.nn.conv2d(inputs, weights, strides=1, padding='SAME')
  outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(outputs, gamma, beta, epsilon=epsilon)
  return outputs if activation_fn is None else activation_fn(outputs), mean, variance


@pytest.mark.parametrize('activation_fn', [None, tf.nn.relu6])
@pytest.mark.parametrize('mean', [0.0, 3.0, 100.0])
def test_is_convolution_and_batch_norm(mean, activation_fn):
  """Also far from zero, where a variance as mean of squares less square of mean would lose all
  digits.
  """
  inputs = tf.constant(mean + RANDOM.normal(size=[2, 9, 7, 4]), tf.float32)
  weights, gamma = (
    tf.constant(RANDOM.normal(size=[1, 1, 4, 16]), tf.float32),
    tf.constant(RANDOM.uniform(0.5, 5, 16), tf.float32),
  )
  beta, upstream = (
    tf.constant(RANDOM.normal(size=16), tf.float32),
    RANDOM.normal(size=[2, 9, 7, 16]),
  )
  results = []
  for function in (expansion.normalized_expansion, separately):
    with tf.GradientTape() as tape:
      tape.watch([inputs, weights, gamma, beta])
      outputs, batch_mean, variance = function(
        inputs, weights, gamma, beta, epsilon=1e-3, activation_fn=activation_fn
      )
    gradients = tape.gradient(
      outputs, [inputs, weights, gamma, beta], output_gradients=tf.constant(upstream, tf.float32)
    )
    results.append([outputs, batch_mean, variance, *gradients])
  tolerance = 1e-5 * max(1.0, mean)  # TensorFlow's own result loses digits with the mean.
  for actual, expected in zip(*results, strict=True):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_constant_channels():
  """No variance at all: outputs are beta, and nothing is divided by zero."""
  outputs, _, variance = expansion.normalized_expansion(
    tf.ones([1, 5, 5, 2]), tf.ones([1, 1, 2, 8]), tf.ones([8]), tf.fill([8], 0.25), epsilon=1e-3
  )
  np.testing.assert_allclose(outputs, 0.25, atol=1e-6)
  np.testing.assert_allclose(variance, 0.0, atol=1e-9)


def test_network_with_and_without(monkeypatch):
  """Loss and moving statistics of a training step."""
  images = tf.constant(RANDOM.uniform(0, 255, [2, 65, 65, 3]), tf.float32)
  results, used = [], []
  original = expansion.normalized_expansion
  monkeypatch.setattr(
    expansion,
    'normalized_expansion',
    lambda *args, **kwargs: used.append(1) or original(*args, **kwargs),
  )
  for pixels in (0, 10**9):
    monkeypatch.setattr(expansion, '_PIXELS_FOR_AN_INPUT', pixels)
    tf.random.set_seed(1)
    model = DeepLabV3PredictionModel(
      ModelOptions(model_variant='mobilenet_v2', num_classes=3), batch_norm_decay=0.5
    )
    logits = tf.function(
      lambda: model.predict(images, is_training=True, dropout_seed=tf.constant([1, 2])),
      autograph=False,
    )()
    results.append(
      (logits.numpy(), {name: variable.numpy() for name, variable in model.named_variables.items()})
    )
  assert len(used) == 16
  np.testing.assert_allclose(
    results[0][0], results[1][0], rtol=0, atol=1e-3 * np.abs(results[1][0]).max()
  )
  for name, expected in results[1][1].items():
    np.testing.assert_allclose(results[0][1][name], expected, rtol=1e-3, atol=1e-4, err_msg=name)
