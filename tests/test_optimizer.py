"""Optimizers against their formulas in numpy, over a few steps with a rate that changes."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import optimizer
from deeplab.options import TrainingOptions

RATES = (0.1, 0.1, 0.01, 0.03)
GRADIENTS = np.array([[1.0, -2.0], [0.5, 0.5], [-3.0, 1.0], [0.0, 4.0]], np.float32)


def run(
  options, *, name='aspp0/weights', rates=RATES, gradients=GRADIENTS, weight_decay=0.0, finite=None
):
  """(final value of a variable that starts at [1, 2], the optimizer) after the updates."""
  variable = tf.Variable([1.0, 2.0])
  made = optimizer.make(options, {name: variable}, weight_decay=weight_decay)
  for step, (rate, gradient) in enumerate(zip(rates, gradients)):
    made.apply(
      {name: tf.constant(gradient)},
      tf.constant(rate),
      finite=None if finite is None else tf.constant(finite[step]),
    )
  return variable.numpy(), made


def test_momentum_keeps_the_rate_outside_the_accumulator():
  value, accumulator = np.array([1.0, 2.0]), np.zeros(2)
  for rate, gradient in zip(RATES, GRADIENTS):
    accumulator = 0.9 * accumulator + gradient
    value = value - rate * accumulator
  result, made = run(TrainingOptions())
  np.testing.assert_allclose(result, value, rtol=1e-6)
  assert list(made.slots) == ['aspp0/weights/Momentum']
  np.testing.assert_allclose(made.slots['aspp0/weights/Momentum'], accumulator, rtol=1e-6)


def adam_by_hand(decay):
  value, mean, square = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
  for step, (rate, gradient) in enumerate(zip(RATES, GRADIENTS), start=1):
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    corrected = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    value = value - corrected * mean / (np.sqrt(square) + 1e-8) - rate * decay * value
  return value


def test_adam():
  result, made = run(TrainingOptions(optimizer='adam'), weight_decay=0.1)
  np.testing.assert_allclose(result, adam_by_hand(0.0), rtol=1e-5)
  assert set(made.slots) == {
    'aspp0/weights/Adam',
    'aspp0/weights/Adam_1',
    'beta1_power',
    'beta2_power',
  }
  # TensorFlow 1 stores beta ** (updates + 1).
  np.testing.assert_allclose(made.slots['beta1_power'], 0.9**5, rtol=1e-5)


def test_adam_is_tensorflow_1s():
  variable = tf.Variable([1.0, 2.0])
  theirs = tf.compat.v1.train.AdamOptimizer(0.05)
  for gradient in GRADIENTS:
    theirs.apply_gradients([(tf.constant(gradient), variable)])
  result, _ = run(TrainingOptions(optimizer='adam'), rates=(0.05,) * 4)
  np.testing.assert_allclose(result, variable.numpy(), rtol=1e-6)


def test_adamw_decays_weights_apart_from_the_gradient():
  result, _ = run(TrainingOptions(optimizer='adamw'), weight_decay=0.1)
  np.testing.assert_allclose(result, adam_by_hand(0.1), rtol=1e-5)


def test_adamw_decays_no_biases():
  result, _ = run(
    TrainingOptions(optimizer='adamw'), name='logits/semantic/biases', weight_decay=0.1
  )
  np.testing.assert_allclose(result, adam_by_hand(0.0), rtol=1e-5)


def test_last_layer_gradient_multiplier():
  options = TrainingOptions(last_layer_gradient_multiplier=10.0)
  head, _ = run(options, name='logits/semantic/weights', gradients=GRADIENTS[:1])
  other, _ = run(options, name='aspp0/weights', gradients=GRADIENTS[:1])
  np.testing.assert_allclose(head, [1 - 0.1 * 10, 2 + 0.2 * 10], rtol=1e-6)
  np.testing.assert_allclose(other, [1 - 0.1, 2 + 0.2], rtol=1e-6)


@pytest.mark.parametrize('name', ['momentum', 'adam', 'adamw'])
def test_backbone_rate_multiplier_scales_the_step(name):
  plain, _ = run(
    TrainingOptions(optimizer=name), name='resnet_v2_50/conv1/weights', weight_decay=0.1
  )
  slow, _ = run(
    TrainingOptions(optimizer=name),
    name='resnet_v2_50/conv1/weights',
    rates=[0.1 * rate for rate in RATES],
    weight_decay=0.1,
  )
  multiplied, _ = run(
    TrainingOptions(optimizer=name, backbone_learning_rate_multiplier=0.1),
    name='resnet_v2_50/conv1/weights',
    weight_decay=0.1,
  )
  np.testing.assert_allclose(multiplied, slow, rtol=1e-6)
  assert not np.allclose(plain, slow)


def test_multiplier_0_freezes_the_backbone():
  result, _ = run(
    TrainingOptions(backbone_learning_rate_multiplier=0.0), name='MobilenetV2/Conv/weights'
  )
  np.testing.assert_array_equal(result, [1.0, 2.0])


def test_clipping_takes_the_norm_over_all_variables():
  clipped = optimizer.clip_by_norm({'a': tf.constant([3.0]), 'b': tf.constant([4.0])}, 2.5)
  np.testing.assert_allclose([clipped['a'][0], clipped['b'][0]], [1.5, 2.0], rtol=1e-6)
  kept = optimizer.clip_by_norm({'a': tf.constant([3.0]), 'b': tf.constant([4.0])}, 5.0)
  np.testing.assert_array_equal([kept['a'][0], kept['b'][0]], [3.0, 4.0])


def test_clip_gradient_norm_clips_the_update():
  result, _ = run(TrainingOptions(clip_gradient_norm=0.1), gradients=GRADIENTS[:1])
  np.testing.assert_allclose(result, [1 - 0.1 * 0.1 / 5**0.5, 2 + 0.1 * 0.2 / 5**0.5], rtol=1e-6)


@pytest.mark.parametrize('name', ['momentum', 'adam'])
def test_an_overflown_step_changes_nothing(name):
  gradients = np.array([[1.0, -2.0], [np.inf, np.nan], [0.5, 0.5]], np.float32)
  skipped, skipping = run(
    TrainingOptions(optimizer=name),
    rates=(0.1,) * 3,
    gradients=gradients,
    finite=(True, False, True),
  )
  without, expected = run(
    TrainingOptions(optimizer=name), rates=(0.1,) * 2, gradients=gradients[[0, 2]]
  )
  np.testing.assert_array_equal(skipped, without)
  for slot, variable in expected.slots.items():
    np.testing.assert_array_equal(skipping.slots[slot], variable)


def test_moving_average():
  variable = tf.Variable([1.0, 2.0])
  average = optimizer.MovingAverage({'a/weights': variable}, decay=0.5)
  expected = np.array([1.0, 2.0])
  for step, value in enumerate(([2.0, 0.0], [4.0, 1.0], [0.0, 0.0])):
    variable.assign(value)
    average.update(tf.constant(step, tf.int64))
    decay = min(0.5, (1 + step) / (10 + step))
    expected = decay * expected + (1 - decay) * np.array(value)
  np.testing.assert_allclose(
    average.slots['a/weights/ExponentialMovingAverage'], expected, rtol=1e-6
  )
  np.testing.assert_allclose(average.averaged()['a/weights'], expected, rtol=1e-6)
  average.restart()
  np.testing.assert_array_equal(average.averaged()['a/weights'], [0.0, 0.0])
