"""3x3 convolutions, atrous or not, against a plain numpy sum over taps, with gradients, at rates
below and above the map.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from deeplab.model import bilinear_algorithms, convolution, minimal_filtering, pairs
from deeplab.model.bilinear_algorithms import FOUR_TILES, PAIR, TILES, WHOLE

SIZES_AND_RATES = [
  ((7, 7), 2),
  ((11, 13), 2),
  ((8, 6), 2),
  ((9, 12), 4),
  ((17, 17), 6),
  ((10, 9), 6),
  ((17, 16), 12),
  ((5, 6), 8),
  ((5, 12), 8),
  ((6, 5), 6),
  ((1, 1), 2),
]
# There the kernels for bfloat16 also add up in bfloat16.
WITHOUT_ONEDNN = os.environ.get('TF_ENABLE_ONEDNN_OPTS') == '0'


def numpy_atrous(inputs, weights, rate):
  """Sum over taps; weights [3, 3, D, D']."""
  height, width = inputs.shape[1:3]
  padded = np.pad(inputs, [[0, 0], [rate, rate], [rate, rate], [0, 0]])
  return sum(
    padded[:, i * rate : i * rate + height, j * rate : j * rate + width] @ weights[i, j]
    for i in range(3)
    for j in range(3)
  )


def numpy_atrous_gradients(inputs, weights, rate, upstream):
  height, width = inputs.shape[1:3]
  padded = np.pad(inputs, [[0, 0], [rate, rate], [rate, rate], [0, 0]])
  padded_gradient, weights_gradient = np.zeros_like(padded), np.zeros_like(weights)
  for i in range(3):
    for j in range(3):
      rows, columns = slice(i * rate, i * rate + height), slice(j * rate, j * rate + width)
      padded_gradient[:, rows, columns] += upstream @ weights[i, j].T
      weights_gradient[i, j] = np.einsum('bhwi,bhwo->io', padded[:, rows, columns], upstream)
  return padded_gradient[:, rate : rate + height, rate : rate + width], weights_gradient


def random_case(size, depth, outputs_depth):
  random = np.random.default_rng(3)
  return (
    random.normal(size=[2, *size, depth]),
    random.normal(size=[3, 3, depth, outputs_depth]),
    random.normal(size=[2, *size, outputs_depth]),
  )


def value_and_gradients(
  convolve, inputs, weights, upstream, *, dtype=tf.float32, known_size=True, jit_compile=None
):
  shape = inputs.shape if known_size else [None, None, None, inputs.shape[-1]]

  @tf.function(
    autograph=False,
    jit_compile=jit_compile,
    input_signature=[tf.TensorSpec(shape, dtype), tf.TensorSpec(weights.shape, dtype)],
  )
  def run(inputs, weights):
    with tf.GradientTape() as tape:
      tape.watch([inputs, weights])
      outputs = convolve(inputs, weights)
    return outputs, *tape.gradient(
      outputs, [inputs, weights], output_gradients=tf.cast(upstream, dtype)
    )

  return [
    tf.cast(result, tf.float32).numpy()
    for result in run(tf.cast(inputs, dtype), tf.cast(weights, dtype))
  ]


def assert_close(actual, expected, tolerance=1e-5):
  for one, other in zip(actual, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize('known_size', [True, False])
@pytest.mark.parametrize('size, rate', SIZES_AND_RATES)
def test_convolution_and_gradients(size, rate, known_size):
  inputs, weights, upstream = random_case(size, 4, 3)
  expected = (
    numpy_atrous(inputs, weights, rate),
    *numpy_atrous_gradients(inputs, weights, rate, upstream),
  )
  for convolve in (convolution.conv2d, convolution.space_to_batch_conv2d):
    assert_close(
      value_and_gradients(
        lambda inputs, weights: convolve(inputs, weights, rate=rate),
        inputs,
        weights,
        upstream,
        known_size=known_size,
      ),
      expected,
    )


@pytest.mark.parametrize('known_size', [True, False])
@pytest.mark.parametrize(
  'size, rate', [*SIZES_AND_RATES, ((1, 5), 1), ((9, 12), 1), ((17, 16), 1), ((33, 17), 6)]
)
def test_minimal_filtering_and_gradients(size, rate, known_size, monkeypatch):
  """Where it is chosen, and where the map turns out to be too small for it."""
  monkeypatch.setattr(convolution, '_FILTERING_DEPTH', 1)
  inputs, weights, upstream = random_case(size, 4, 3)
  expected = (
    numpy_atrous(inputs, weights, rate),
    *numpy_atrous_gradients(inputs, weights, rate, upstream),
  )
  assert_close(
    value_and_gradients(
      lambda inputs, weights: convolution.conv2d(inputs, weights, rate=rate),
      inputs,
      weights,
      upstream,
      known_size=known_size,
    ),
    expected,
  )


@pytest.mark.parametrize('known_size', [True, False])
@pytest.mark.parametrize(
  'algorithm, size, rate',
  [
    (TILES, (7, 11), 2),
    (TILES, (3, 2), 1),
    (TILES, (9, 9), 1),
    (FOUR_TILES, (6, 4), 1),
    (FOUR_TILES, (10, 12), 2),
    *(
      (algorithm, (side * rate, side * rate - rate // 2), rate)
      for side, algorithm in WHOLE.items()
      for rate in (1, 5)
    ),
  ],
)
def test_each_algorithm(algorithm, size, rate, known_size):
  inputs, weights, upstream = random_case(size, 4, 3)
  expected = (
    numpy_atrous(inputs, weights, rate),
    *numpy_atrous_gradients(inputs, weights, rate, upstream),
  )
  assert_close(
    value_and_gradients(
      lambda inputs, weights: minimal_filtering.conv2d(
        inputs, minimal_filtering.transform_weights(weights, algorithm), algorithm, rate=rate
      ),
      inputs,
      weights,
      upstream,
      known_size=known_size,
    ),
    expected,
  )


@pytest.mark.parametrize('known_size', [True, False])
@pytest.mark.parametrize(
  'size, rate',
  [((7, 7), 6), ((10, 12), 6), ((12, 9), 6), ((9, 4), 6), ((6, 8), 7), ((2, 2), 1), ((3, 3), 6)],
)
def test_pairs(size, rate, known_size):
  inputs, weights, upstream = random_case(size, 4, 3)
  expected = (
    numpy_atrous(inputs, weights, rate),
    *numpy_atrous_gradients(inputs, weights, rate, upstream),
  )
  assert_close(
    value_and_gradients(
      lambda inputs, weights: pairs.conv2d(
        inputs, minimal_filtering.transform_weights(weights, PAIR), rate=rate
      ),
      inputs,
      weights,
      upstream,
      known_size=known_size,
    ),
    expected,
  )


@pytest.mark.parametrize(
  'batch, side, rate, way',
  [
    (1, 33, 1, TILES),
    (1, 33, 6, FOUR_TILES),
    (4, 33, 6, WHOLE[6]),
    (1, 33, 12, WHOLE[3]),
    (1, 33, 18, convolution._Pairs),
    (4, 17, 12, convolution._Pairs),
    (1, 13, 6, convolution._Taps),
    (1, 3, 1, convolution._Dilated),
  ],
)
def test_the_cheapest_way(batch, side, rate, way):
  inputs, weights = tf.zeros([batch, side, side, 256]), tf.zeros([3, 3, 256, 256])
  chosen = min(convolution._ways(inputs, weights, rate), key=lambda way: way.cost)
  assert (
    (chosen._algorithm is way)
    if isinstance(way, bilinear_algorithms.Algorithm)
    else isinstance(chosen, way)
  )


@pytest.mark.parametrize('jit_compile', [False, True])
def test_one_trace_for_all_sizes(jit_compile, monkeypatch):
  """Where the size is unknown, each map takes the way that suits it, XLA or not; the others must do
  no harm.
  """
  monkeypatch.setattr(convolution, '_FILTERING_DEPTH', 1)
  weights = np.random.default_rng(1).normal(size=[3, 3, 4, 3])
  traced = []

  @tf.function(
    autograph=False, jit_compile=jit_compile, input_signature=[tf.TensorSpec([None, None, None, 4])]
  )
  def convolve(inputs):
    traced.append(True)
    return convolution.conv2d(inputs, tf.constant(weights, tf.float32), rate=6)

  for size in ((5, 4), (7, 7), (11, 12), (18, 13), (20, 24), (33, 36), (37, 20), (50, 49)):
    inputs = np.random.default_rng(2).normal(size=[2, *size, 4])
    assert_close(
      [convolve(tf.cast(inputs, tf.float32)).numpy()], [numpy_atrous(inputs, weights, 6)]
    )
  assert len(traced) == 1


def test_minimal_filtering_at_full_depth():
  """The depth that sums over many channels have, and a batch of several images."""
  random = np.random.default_rng(7)
  inputs, weights = random.normal(size=[2, 13, 13, 256]), random.normal(size=[3, 3, 256, 256])
  upstream = random.normal(size=inputs.shape)
  filtered = minimal_filtering.conv2d(
    tf.cast(inputs, tf.float32),
    minimal_filtering.transform_weights(tf.cast(weights, tf.float32), TILES),
    TILES,
    rate=2,
  )
  expected = numpy_atrous(inputs, weights, 2)
  np.testing.assert_allclose(filtered, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
  expected = expected, *numpy_atrous_gradients(inputs, weights, 2, upstream)
  assert_close(
    value_and_gradients(
      lambda inputs, weights: convolution.conv2d(inputs, weights, rate=2), inputs, weights, upstream
    ),
    expected,
  )


def test_variables_get_gradients(monkeypatch):
  """A variable is no value of the moment of tracing, whatever the way of computing."""
  monkeypatch.setattr(convolution, '_FILTERING_DEPTH', 4)
  for depth in (3, 4):
    for rate in (1, 2, 8):
      weights = tf.Variable(tf.ones([3, 3, depth, 4]))

      @tf.function(autograph=False)
      def gradient(depth=depth, rate=rate, weights=weights):
        with tf.GradientTape() as tape:
          outputs = convolution.conv2d(tf.ones([1, 9, 9, depth]), weights, rate=rate)
        return outputs, tape.gradient(outputs, weights)

      before, slope = gradient()
      np.testing.assert_allclose(slope[1, 1], 81.0, rtol=1e-5)
      weights.assign(2.0 * weights)
      np.testing.assert_allclose(gradient()[0], 2.0 * before, rtol=1e-5)


@pytest.mark.parametrize('known_size', [True, False])
@pytest.mark.parametrize('size, rate', SIZES_AND_RATES)
def test_depthwise_convolution_and_gradients(size, rate, known_size):
  inputs, weights, _ = random_case(size, 4, 1)
  upstream = np.random.default_rng(4).normal(size=inputs.shape)
  # A depthwise convolution is a convolution whose weights are diagonal.
  diagonal = weights * np.eye(4)
  expected_inputs, expected_weights = numpy_atrous_gradients(inputs, diagonal, rate, upstream)
  expected = (
    numpy_atrous(inputs, diagonal, rate),
    expected_inputs,
    np.einsum('ijdd->ijd', expected_weights)[..., np.newaxis],
  )
  for convolve in (convolution.depthwise_conv2d, convolution.space_to_batch_depthwise_conv2d):
    assert_close(
      value_and_gradients(
        lambda inputs, weights: convolve(inputs, weights, rate=rate),
        inputs,
        weights,
        upstream,
        known_size=known_size,
      ),
      expected,
    )


@pytest.mark.parametrize('size, rate', [((9, 12), 2), ((17, 17), 6), ((17, 16), 12), ((6, 5), 6)])
def test_bfloat16_is_float32_rounded(size, rate):
  inputs, weights, upstream = random_case(size, 4, 3)
  inputs, weights, upstream = (
    tf.cast(tf.cast(array, tf.bfloat16), tf.float64).numpy()
    for array in (inputs, weights, upstream)
  )
  expected = (
    numpy_atrous(inputs, weights, rate),
    *numpy_atrous_gradients(inputs, weights, rate, upstream),
  )
  assert_close(
    value_and_gradients(
      lambda inputs, weights: convolution.conv2d(inputs, weights, rate=rate),
      inputs,
      weights,
      upstream,
      dtype=tf.bfloat16,
    ),
    expected,
    tolerance=0.1 if WITHOUT_ONEDNN else 0.02,
  )


def test_compiles_with_xla():
  inputs, weights, upstream = random_case((17, 16), 4, 4)
  depthwise_weights = weights[..., :1]
  for rate in (2, 12):
    assert_close(
      value_and_gradients(
        lambda inputs, weights: convolution.conv2d(inputs, weights, rate=rate),
        inputs,
        weights,
        upstream,
        jit_compile=True,
      ),
      (
        numpy_atrous(inputs, weights, rate),
        *numpy_atrous_gradients(inputs, weights, rate, upstream),
      ),
    )
    diagonal = depthwise_weights * np.eye(4)
    compiled = value_and_gradients(
      lambda inputs, weights: convolution.depthwise_conv2d(inputs, weights, rate=rate),
      inputs,
      depthwise_weights,
      upstream,
      jit_compile=True,
    )
    expected_inputs, expected_weights = numpy_atrous_gradients(inputs, diagonal, rate, upstream)
    assert_close(
      compiled,
      (
        numpy_atrous(inputs, diagonal, rate),
        expected_inputs,
        np.einsum('ijdd->ijd', expected_weights)[..., np.newaxis],
      ),
    )


def test_works_without_onednn():
  """Other processors have no dilated gradients; the subprocess runs all of the above there."""
  if WITHOUT_ONEDNN:
    assert not convolution.dilated_gradients_exist()
    return
  environment = dict(os.environ, TF_ENABLE_ONEDNN_OPTS='0', TF_CPP_MIN_LOG_LEVEL='3')
  result = subprocess.run(
    [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', __file__],
    env=environment,
    cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stdout[-3000:]
