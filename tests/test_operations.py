"""The operations beside convolutions: each implementation against plain, and plain by hand."""

import numpy as np
import pytest
import tensorflow as tf
from convolution_by_numpy import assert_close, run

from deeplab.operations import bands, choice, cross_entropy, expansions, plain, products
from deeplab.operations.dispatch import NAMES, Operations
from deeplab.operations.plain import BatchNorm
from deeplab.options import OPERATIONS

RANDOM = np.random.default_rng(5)


def constant(values, dtype=tf.float32):
  return tf.constant(values, dtype)


# === The choice ===


def test_the_flag_has_the_names():
  assert NAMES == OPERATIONS


def test_plain_uses_nothing_else_and_says_so():
  operations = Operations('plain', constant_weights=True)
  assert {operations.why_not(name) for name in choice.WHY_NOT} == {
    'plain operations were asked for'
  }


def test_a_gpu_gets_plain_operations(monkeypatch):
  monkeypatch.setattr(choice, 'has_gpu', lambda: True)
  operations = Operations('auto')
  assert {operations.why_not(name) for name in choice.WHY_NOT} == {
    'a GPU computes, and there plain operations are used'
  }


def test_one_can_be_left_out():
  assert Operations(without=['bands']).why_not('bands') == 'it is left out'
  assert Operations(without=['bands']).with_constant_weights().why_not('bands') == 'it is left out'
  assert Operations(without=['bands']).why_not('softmax') is None


def test_unknown_names():
  with pytest.raises(ValueError, match="'fast': must be one of auto, plain"):
    Operations('fast')
  with pytest.raises(ValueError, match="'pairs': must be one of taps, tiles, whole, "):
    Operations(without=['pairs'])


@pytest.mark.parametrize(
  'implementation, changes, reason',
  [
    ('taps', {}, None),
    ('taps', dict(kernel_size=7), 'only for 3x3'),
    ('taps', dict(rate=1), 'at rate 1'),
    ('taps', dict(depth=255), 'below 256 channels'),
    ('taps', dict(dtype=tf.bfloat16, depth=3), None),
    (
      'taps',
      dict(dtype=tf.bfloat16, rate=5),
      'the bfloat16 kernel for dilations wins below rate 6',
    ),
    ('tiles', {}, None),
    ('tiles', dict(stride=2), 'stride 1'),
    ('tiles', dict(dtype=tf.bfloat16), 'need float32, not bfloat16'),
    ('tiles', dict(outputs_depth=48), 'below 256 channels'),
    ('whole', dict(height=18, width=17), None),
    ('whole', {}, 'more than 3 pixels a side'),
    ('pointwise', {}, 'only for 1x1'),
    ('pointwise', dict(kernel_size=1), None),
    ('pointwise', dict(kernel_size=1, has_constant_weights=True), 'constant weights have none'),
    ('depthwise', dict(rate=8), 'from rate 8 on'),
    ('strided_depthwise', dict(stride=2), 'fast in float32'),
    ('strided_depthwise', dict(stride=2, dtype=tf.bfloat16), None),
  ],
)
def test_each_says_in_words_why_it_does_not_apply(implementation, changes, reason):
  case = choice.Convolution(tf.float32, 1, 33, 33, 3, 256, 256, rate=6)._replace(**changes)
  said = Operations().why_not(implementation, case)
  assert said is None if reason is None else reason in said


# === Batch norm ===


def batch_norm_of(depth, *, uses_batch):
  return BatchNorm(
    gamma=constant(RANDOM.uniform(0.5, 2, depth)),
    beta=constant(RANDOM.normal(size=depth)),
    mean=constant(RANDOM.normal(size=depth)),
    variance=constant(RANDOM.uniform(0.5, 2, depth)),
    epsilon=1e-3,
    uses_batch=uses_batch,
  )


def test_plain_batch_norm_by_hand():
  inputs = constant([[[[1.0], [3.0]]]])
  norm = BatchNorm(constant([2.0]), constant([1.0]), constant([5.0]), constant([4.0]), 0.0, False)
  np.testing.assert_allclose(plain.batch_norm(inputs, norm)[0], [[[[-3.0], [-1.0]]]], rtol=1e-6)
  outputs, mean, variance = plain.batch_norm(inputs, norm._replace(uses_batch=True))
  np.testing.assert_allclose(outputs, [[[[-1.0], [3.0]]]], rtol=1e-6)
  # For the stored statistics the variance is that of a sample: ((1 - 2)^2 + (3 - 2)^2) / 1.
  np.testing.assert_allclose([mean[0], variance[0]], [2.0, 2.0], rtol=1e-6)


@pytest.mark.parametrize('activation_fn', [None, tf.nn.relu6])
@pytest.mark.parametrize('mean', [0.0, 3.0, 100.0])
def test_statistics_from_the_covariance_are_those_of_the_outputs(mean, activation_fn):
  """Also far from zero, where mean of squares less square of mean would lose all digits."""
  inputs, weights = mean + RANDOM.normal(size=[126, 4]), RANDOM.normal(size=[4, 16])
  norm, upstream = batch_norm_of(16, uses_batch=True), RANDOM.normal(size=[126, 16])
  arguments = [inputs, weights, norm.gamma, norm.beta]

  def in_float64(inputs, weights, gamma, beta):
    outputs = tf.matmul(inputs, weights)
    batch_mean, variance = tf.nn.moments(outputs, axes=[0])
    outputs = (outputs - batch_mean) / tf.sqrt(variance + norm.epsilon) * gamma + beta
    outputs = outputs if activation_fn is None else activation_fn(outputs)
    return outputs, batch_mean, variance * 126 / 125

  def from_covariance(inputs, weights, gamma, beta):
    outputs, *statistics = expansions.conv2d_batch_norm(
      tf.reshape(inputs, [2, 9, 7, 4]),
      tf.reshape(weights, [1, 1, 4, 16]),
      norm._replace(gamma=gamma, beta=beta),
      activation_fn=activation_fn,
    )
    return tf.reshape(outputs, [126, 16]), *statistics

  results = []
  for function, dtype in ((from_covariance, tf.float32), (in_float64, tf.float64)):
    tensors = [tf.cast(each, dtype) for each in arguments]
    with tf.GradientTape() as tape:
      tape.watch(tensors)
      outputs, *statistics = function(*tensors)
    gradients = tape.gradient(outputs, tensors, output_gradients=tf.cast(upstream, dtype))
    results.append([outputs, *statistics, *gradients])
  # Float32 inputs about 100 have two digits less.
  assert_close(*results, tolerance=1e-5 * max(1.0, mean))


def test_constant_channels():
  """No variance at all: outputs are beta, and nothing is divided by zero."""
  norm = BatchNorm(tf.ones([8]), tf.fill([8], 0.25), tf.zeros([8]), tf.ones([8]), 1e-3, True)
  outputs, _, variance = expansions.conv2d_batch_norm(
    tf.ones([1, 5, 5, 2]), tf.ones([1, 1, 2, 8]), norm
  )
  np.testing.assert_allclose(outputs, 0.25, atol=1e-6)
  np.testing.assert_allclose(variance, 0.0, atol=1e-9)


@pytest.mark.parametrize('dtype, tolerance', [(tf.float32, 2e-6), (tf.bfloat16, 0.03)])
@pytest.mark.parametrize('kind', ['convolution', 'depthwise', 'concatenation'])
def test_folded_batch_norm(kind, dtype, tolerance):
  """With weights that may change (in bfloat16) and with such that do not."""
  norm = batch_norm_of(6, uses_batch=False)
  inputs = tf.cast(RANDOM.normal(size=[2, 9, 7, 6]), dtype)
  if kind == 'convolution':
    name, first, shape = 'conv2d_batch_norm', inputs, [3, 3, 6, 6]
  elif kind == 'depthwise':
    name, first, shape = 'depthwise_conv2d_batch_norm', inputs, [3, 3, 6, 1]
  else:
    pixel = tf.cast(RANDOM.normal(size=[2, 1, 1, 3]), dtype)
    name, first, shape = 'concat_conv2d_batch_norm', [inputs, pixel], [1, 1, 9, 6]
  weights = constant(RANDOM.normal(size=shape))
  results = [
    getattr(operations, name)(first, weights, norm, activation_fn=tf.nn.relu)[0]
    for operations in (
      Operations('plain'),
      Operations('auto'),
      Operations('auto').with_constant_weights(),
    )
  ]
  assert all(result.dtype == dtype for result in results)
  expected, *others = (tf.cast(result, tf.float32).numpy() for result in results)
  for actual in others:
    assert_close([actual], [expected], tolerance)


# === The rest of the network ===


@pytest.mark.parametrize('dtype, tolerance', [(tf.float32, 1e-5), (tf.bfloat16, 0.01)])
@pytest.mark.parametrize('name', NAMES)
def test_gradients_of_biases_do_not_drift(name, dtype, tolerance):
  """Over thousands of pixels of one sign; tf.nn.bias_add's is wrong by more than half there in
  bfloat16 on a CPU.
  """
  upstream = tf.cast(RANDOM.uniform(0.5, 1.5, [2, 60, 50, 6]), dtype)
  biases = RANDOM.normal(size=6)
  outputs, _, gradient = run(
    Operations(name).bias_add, np.zeros(upstream.shape), biases, upstream=upstream, dtype=dtype
  )
  rounded = tf.cast(tf.cast(biases, dtype), tf.float32)
  np.testing.assert_array_equal(outputs[1, 2, 3], rounded)
  expected = tf.reduce_sum(tf.cast(upstream, tf.float64), axis=[0, 1, 2])
  np.testing.assert_allclose(gradient, expected, rtol=tolerance)


@pytest.mark.parametrize('known_size', [True, False])
def test_a_last_map_of_one_pixel(known_size):
  """Its convolution by itself is that of the concatenation with the pixel everywhere."""
  inputs, pixel = RANDOM.normal(size=[2, 5, 6, 4]), RANDOM.normal(size=[2, 1, 1, 3])
  weights, upstream = RANDOM.normal(size=[1, 1, 11, 5]), RANDOM.normal(size=[2, 5, 6, 5])
  everywhere = np.broadcast_to(pixel, [2, 5, 6, 3])
  expected = np.concatenate([inputs, 2 * inputs, everywhere], axis=-1) @ weights[0, 0]
  results = []
  for name in NAMES:
    results.append(
      run(
        lambda inputs, pixel, weights, name=name: Operations(name).concat_conv2d(
          [inputs, 2.0 * inputs, pixel], weights
        ),
        inputs,
        pixel,
        weights,
        upstream=upstream,
        known_size=known_size,
      )
    )
    assert_close(results[-1][:1], [expected])
  assert_close(*results)


def test_maps_without_a_pixel_are_concatenated():
  one, other = RANDOM.normal(size=[2, 1, 5, 6, 4])
  weights = RANDOM.normal(size=[1, 1, 8, 3])
  outputs = Operations().concat_conv2d([constant(one), constant(other)], constant(weights))
  assert_close([outputs], [np.concatenate([one, other], axis=-1) @ weights[0, 0]])


def test_resize_bilinear_by_hand():
  """Three conventions exist; these are TensorFlow 1's, and corner-aligned."""
  values = constant([0.0, 4.0, 8.0])[tf.newaxis, :, tf.newaxis, tf.newaxis]
  for align_corners, expected in (
    (False, [0.0, 2.0, 4.0, 6.0, 8.0, 8.0]),
    (True, [0.0, 1.6, 3.2, 4.8, 6.4, 8.0]),
  ):
    for resize in (plain.resize_bilinear, products.resize_bilinear):
      resized = resize(values, (6, 1), align_corners=align_corners)
      np.testing.assert_allclose(resized[0, :, 0, 0], expected, rtol=1e-6)


def test_subsampling():
  inputs = constant(RANDOM.normal(size=[2, 7, 6, 3]))
  np.testing.assert_array_equal(plain.subsample(inputs, stride=2), inputs[:, ::2, ::2])
  assert plain.subsample(inputs, stride=1) is inputs


# === Logits ===


@pytest.mark.parametrize('band_bytes', [1, 2000, 10**9])
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
  'size, out_size', [((5, 7), (33, 50)), ((1, 1), (9, 4)), ((9, 9), (9, 9)), ((4, 3), (1, 1))]
)
def test_argmax_in_bands(size, out_size, align_corners, band_bytes, monkeypatch):
  monkeypatch.setattr(bands, '_BAND_BYTES', band_bytes)
  logits = constant(np.random.default_rng(2).normal(size=[2, *size, 6]))
  expected = plain.resized_argmax(logits, out_size, align_corners=align_corners)
  known = bands.resized_argmax(logits, out_size, align_corners=align_corners)
  unknown = tf.function(
    lambda logits, size: bands.resized_argmax(
      logits, tf.unstack(size), align_corners=align_corners
    ),
    autograph=False,
    input_signature=[tf.TensorSpec([None, None, None, 6]), tf.TensorSpec([2], tf.int32)],
  )(logits, tf.constant(out_size))
  for labels in (known, unknown):
    assert labels.dtype == tf.int32 and labels.shape == expected.shape
    # Two classes that are equal but for rounding may change places.
    assert np.mean(labels.numpy() != expected.numpy()) < 0.002


@pytest.mark.parametrize('scale', [1.0, 300.0])  # With 300 probabilities underflow.
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
  'size, out_size',
  [((3, 5), (33, 65)), ((9, 9), (33, 36)), ((4, 6), (4, 6)), ((1, 1), (7, 5)), ((5, 4), (1, 9))],
)
@pytest.mark.parametrize('known_size', [True, False])
def test_resized_cross_entropy(size, out_size, align_corners, scale, known_size):
  logits = scale * RANDOM.normal(size=[2, *size, 6])
  labels = tf.constant(RANDOM.integers(0, 6, [2, *out_size]), tf.int32)
  upstream = RANDOM.uniform(size=[2, *out_size])
  actual, expected = (
    run(
      lambda logits, name=name: Operations(name).resized_cross_entropy(
        logits, labels, align_corners=align_corners
      ),
      logits,
      upstream=upstream,
      known_size=known_size,
    )
    for name in ('auto', 'plain')
  )
  assert_close(actual, expected)


def value_and_gradient(logits, labels):
  logits = constant(logits)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    losses = cross_entropy.cross_entropy(logits, tf.constant(labels))
  return losses.numpy(), tape.gradient(losses, logits).numpy()


def test_extreme_logits_by_hand():
  losses, gradient = value_and_gradient([[[[0, -1000.0], [50.0, 0], [0, 0]]]], [[[1, 0, 0]]])
  np.testing.assert_allclose(losses, [[[1000.0, 0.0, np.log(2.0)]]], rtol=1e-6)
  np.testing.assert_allclose(gradient, [[[[1.0, -1.0], [0.0, 0.0], [-0.5, 0.5]]]], atol=1e-6)


def test_nan_stays_nan():
  losses, gradient = value_and_gradient([[[[np.nan, 0.0]]]], [[[1]]])
  assert np.isnan(losses).all() and np.isnan(gradient).any()


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
  'size, out_size', [(17, 257), (33, 500), (65, 513), (9, 9), (5, 1), (1, 4)]
)
def test_interpolation_matrix_is_the_resize(size, out_size, align_corners):
  values = RANDOM.normal(size=[1, size, 1, 3]).astype(np.float32)
  np.testing.assert_allclose(
    products.interpolation_matrix(size, out_size, align_corners=align_corners) @ values[0, :, 0],
    plain.resize_bilinear(values, (out_size, 1), align_corners=align_corners)[0, :, 0],
    rtol=0,
    atol=1e-5,
  )
