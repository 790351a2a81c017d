"""Every implementation of a convolution against sums over taps in numpy: values and gradients, at
rates below and above the map, for known and unknown sizes.
"""

import functools
import os
import subprocess
import sys

import convolution_by_numpy as by_numpy
import numpy as np
import pytest
import tensorflow as tf
from convolution_by_numpy import SIZES_AND_RATES, assert_close, random_case, run

from deeplab.operations import choice, depthwise, plain, taps, tiles
from deeplab.operations.dispatch import Operations

# There the kernels for bfloat16 also add up in bfloat16.
WITHOUT_ONEDNN = os.environ.get('TF_ENABLE_ONEDNN_OPTS') == '0'
needs_onednn = pytest.mark.skipif(WITHOUT_ONEDNN, reason='needs gradients of dilated convolutions')


def by_taps(inputs, weights, *, rate):
  return taps.conv2d(inputs, tf.cast(weights, inputs.dtype), rate=rate)


def by_blocks(inputs, weights, *, rate, algorithm=tiles.TILES):
  transformed = tiles.transform_weights(weights, algorithm)
  return tiles.conv2d(inputs, transformed, algorithm, rate=rate)


def of_chosen(inputs, weights, *, rate):
  return Operations('auto').conv2d(inputs, weights, rate=rate)


def of_plain(inputs, weights, *, rate):
  return Operations('plain').conv2d(inputs, weights, rate=rate)


@pytest.mark.parametrize('known_size', [True, False])
@pytest.mark.parametrize('convolve', [of_plain, of_chosen])
@pytest.mark.parametrize('size, rate', [*SIZES_AND_RATES, ((9, 12), 1), ((33, 17), 6)])
def test_convolution(size, rate, convolve, known_size, monkeypatch):
  monkeypatch.setattr(choice, '_DEEP', 1)  # So that tiles and taps may be chosen.
  case = random_case(size, 4, 3)
  inputs, weights, upstream = case
  actual = run(
    functools.partial(convolve, rate=rate),
    inputs,
    weights,
    upstream=upstream,
    known_size=known_size,
  )
  assert_close(actual, by_numpy.value_and_gradients(inputs, weights, rate, upstream))


@needs_onednn
@pytest.mark.parametrize('known_size', [True, False])
@pytest.mark.parametrize('size, rate', SIZES_AND_RATES)
def test_taps(size, rate, known_size):
  inputs, weights, upstream = random_case(size, 4, 3)
  actual = run(
    functools.partial(by_taps, rate=rate), inputs, weights, upstream=upstream, known_size=known_size
  )
  assert_close(actual, by_numpy.value_and_gradients(inputs, weights, rate, upstream))


@pytest.mark.parametrize('known_size', [True, False])
@pytest.mark.parametrize(
  'algorithm, size, rate',
  [
    *(
      (tiles.TILES, size, rate)
      for size, rate in (((7, 11), 2), ((3, 2), 1), ((10, 12), 2), ((1, 5), 1), ((17, 16), 6))
    ),
    *((tiles.WHOLE, size, rate) for size, rate in (((3, 3), 1), ((2, 3), 1), ((15, 13), 5))),
  ],
  ids=lambda value: '' if isinstance(value, tiles.Algorithm) else None,
)
def test_blocks(algorithm, size, rate, known_size):
  inputs, weights, upstream = random_case(size, 4, 3)
  convolve = functools.partial(by_blocks, rate=rate, algorithm=algorithm)
  actual = run(convolve, inputs, weights, upstream=upstream, known_size=known_size)
  assert_close(actual, by_numpy.value_and_gradients(inputs, weights, rate, upstream))


@pytest.mark.parametrize('algorithm, num_products', [(tiles.TILES, 25), (tiles.WHOLE, 16)])
def test_blocks_are_a_convolution_for_each_tap_and_pixel(algorithm, num_products):
  """Bilinear, so it is right for all inputs and weights if it is for each tap and pixel alone."""
  size = 3 + 2 * algorithm.overlap
  pixels, margin = np.eye(size**2), 1 - algorithm.overlap
  padded = np.pad(pixels.reshape([size, size, -1]), [[margin] * 2] * 2 + [[0, 0]])
  for row in range(3):
    for column in range(3):
      taps = np.zeros([3, 3])
      taps[row, column] = 1.0
      factors = (algorithm.weights @ taps.reshape(9))[:, np.newaxis]
      outputs = algorithm.outputs @ (factors * (algorithm.inputs @ pixels))
      expected = padded[row : row + 3, column : column + 3].reshape([9, -1])
      np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)
  assert algorithm.num_products == num_products


@needs_onednn
@pytest.mark.parametrize(
  'batch, side, rate, cheapest',
  [
    (1, 33, 1, 'tiles'),
    (1, 33, 6, 'tiles'),
    (1, 33, 12, 'whole'),
    (1, 33, 18, 'taps'),
    (4, 17, 6, 'whole'),
    (1, 13, 6, 'taps'),
    (1, 3, 1, 'plain'),
  ],
)
def test_the_cheapest_is_chosen(batch, side, rate, cheapest, monkeypatch):
  chosen = []
  for module, function in ((tiles, 'conv2d'), (taps, 'conv2d'), (plain, 'conv2d')):

    def computed(inputs, weights, *arguments, module=module, **settings):
      name = module.__name__.rpartition('.')[2]
      if arguments:
        name = 'whole' if arguments[0] is tiles.WHOLE else 'tiles'
      chosen.append(name)

    monkeypatch.setattr(module, function, computed)
  weights = tf.zeros([3, 3, 256, 256])
  Operations().conv2d(tf.zeros([batch, side, side, 256]), weights, rate=rate)
  assert chosen == [cheapest]


def test_tiles_at_full_depth():
  """The depth that sums over many channels have, and a batch of several images."""
  random = np.random.default_rng(7)
  inputs, weights = random.normal(size=[2, 13, 13, 256]), random.normal(size=[3, 3, 256, 256])
  upstream = random.normal(size=inputs.shape)
  case = choice.Convolution.of(tf.cast(inputs, tf.float32), tf.cast(weights, tf.float32), rate=2)
  assert Operations().why_not('tiles', case) is None
  actual = run(functools.partial(by_blocks, rate=2), inputs, weights, upstream=upstream)
  assert_close(actual, by_numpy.value_and_gradients(inputs, weights, 2, upstream))


@pytest.mark.parametrize('known_size', [True, False])
@pytest.mark.parametrize('name', ['plain', 'auto'])
@pytest.mark.parametrize('size, rate', [*SIZES_AND_RATES, ((20, 33), 4)])
def test_depthwise_convolution(size, rate, name, known_size):
  inputs, weights, upstream = random_case(size, 4, 1)
  convolve = functools.partial(Operations(name).depthwise_conv2d, rate=rate)
  actual = run(convolve, inputs, weights, upstream=upstream, known_size=known_size)
  assert_close(actual, by_numpy.depthwise_value_and_gradients(inputs, weights, rate, upstream))


@pytest.mark.parametrize(
  'size, rate', [((8, 12), 2), ((9, 10), 2), ((11, 13), 3), ((7, 12), 6), ((3, 9), 4), ((2, 2), 5)]
)
def test_depthwise_gradient_on_lattices(size, rate):
  """Whatever the rate leaves of the map, also where it is not chosen."""
  inputs, weights, upstream = random_case(size, 5, 1)
  expected = by_numpy.depthwise_value_and_gradients(inputs, weights, rate, upstream)[2]
  inputs, upstream = tf.cast(inputs, tf.float32), tf.cast(upstream, tf.float32)
  assert_close([depthwise.weights_gradient(inputs, upstream, rate=rate)], [expected])


@needs_onednn
def test_depthwise_convolution_is_chosen():
  inputs, weights = tf.zeros([2, 20, 33, 4]), tf.zeros([3, 3, 4, 1])
  case = choice.Convolution.of(inputs, weights, rate=4)
  assert Operations().why_not('depthwise', case) is None
  assert Operations().why_not('lattices', case) is None
  # There only the gradient of the weights goes another way.
  small = case._replace(height=19)
  assert Operations().why_not('depthwise', small) is None
  assert 'fewer than 5 pixels' in Operations().why_not('lattices', small)


@pytest.mark.parametrize('size, rate', [((9, 12), 2), ((17, 17), 6), ((17, 16), 12), ((6, 5), 6)])
@pytest.mark.parametrize('name', ['plain', 'auto'])
def test_bfloat16_is_float32_rounded(size, rate, name):
  inputs, weights, upstream = (
    tf.cast(tf.cast(array, tf.bfloat16), tf.float64).numpy() for array in random_case(size, 4, 3)
  )
  convolve = functools.partial(Operations(name).conv2d, rate=rate)
  actual = run(convolve, inputs, weights, upstream=upstream, dtype=tf.bfloat16)
  expected = by_numpy.value_and_gradients(inputs, weights, rate, upstream)
  assert_close(actual, expected, tolerance=0.1 if WITHOUT_ONEDNN else 0.02)


@pytest.mark.parametrize('dtype, tolerance', [(tf.float32, 1e-5), (tf.bfloat16, 0.03)])
@pytest.mark.parametrize('name', ['plain', 'auto'])
def test_pointwise_and_strided_convolutions(name, dtype, tolerance):
  """Against TensorFlow's in float32."""
  operations, random = Operations(name), np.random.default_rng(6)
  inputs = random.normal(size=[2, 9, 8, 6])
  for weights, convolve, expected in (
    (
      random.normal(size=[1, 1, 6, 5]),
      operations.conv2d,
      lambda inputs, weights: tf.nn.conv2d(inputs, weights, 1, 'SAME'),
    ),
    (
      random.normal(size=[3, 3, 6, 1]),
      functools.partial(operations.depthwise_conv2d, stride=2),
      lambda inputs, weights: tf.nn.depthwise_conv2d(inputs, weights, [1, 2, 2, 1], 'SAME'),
    ),
  ):
    shape = expected(tf.cast(inputs, tf.float32), tf.cast(weights, tf.float32)).shape
    upstream = random.normal(size=shape)
    assert_close(
      run(convolve, inputs, weights, upstream=upstream, dtype=dtype),
      run(expected, inputs, weights, upstream=upstream),
      tolerance,
    )


@pytest.mark.parametrize('jit_compile', [False, True])
def test_one_trace_for_all_sizes(jit_compile, monkeypatch):
  """Where sizes are unknown each map takes the way that suits it; the others must do no harm."""
  monkeypatch.setattr(choice, '_DEEP', 1)
  weights = np.random.default_rng(1).normal(size=[3, 3, 4, 3])
  traced = []

  @tf.function(
    autograph=False, jit_compile=jit_compile, input_signature=[tf.TensorSpec([None, None, None, 4])]
  )
  def convolve(inputs):
    traced.append(True)
    return Operations().conv2d(inputs, tf.constant(weights, tf.float32), rate=6)

  for size in ((5, 4), (7, 7), (18, 13), (33, 36), (50, 49)):
    inputs = np.random.default_rng(2).normal(size=[2, *size, 4])
    expected = by_numpy.convolve(inputs, weights, 6)
    assert_close([convolve(tf.cast(inputs, tf.float32)).numpy()], [expected])
  assert len(traced) == 1


@pytest.mark.parametrize('name', ['plain', 'auto'])
def test_variables_get_gradients(name, monkeypatch):
  """A variable is no value of the moment of tracing, whatever the implementation."""
  monkeypatch.setattr(choice, '_DEEP', 4)
  for depth in (3, 4):
    for rate in (1, 2, 8):
      weights = tf.Variable(tf.ones([3, 3, depth, 4]))

      @tf.function(autograph=False)
      def gradient(depth=depth, rate=rate, weights=weights):
        with tf.GradientTape() as tape:
          outputs = Operations(name).conv2d(tf.ones([1, 9, 9, depth]), weights, rate=rate)
        return outputs, tape.gradient(outputs, weights)

      before, slope = gradient()
      np.testing.assert_allclose(slope[1, 1], 81.0, rtol=1e-5)
      weights.assign(2.0 * weights)
      np.testing.assert_allclose(gradient()[0], 2.0 * before, rtol=1e-5)


def test_compiles_with_xla():
  inputs, weights, upstream = random_case((17, 16), 4, 4)
  for rate in (2, 12):
    for convolve in (by_taps, of_chosen):
      compiled = run(
        functools.partial(convolve, rate=rate), inputs, weights, upstream=upstream, jit_compile=True
      )
      assert_close(compiled, by_numpy.value_and_gradients(inputs, weights, rate, upstream))
  compiled = run(
    functools.partial(Operations().depthwise_conv2d, rate=2),
    inputs,
    weights[..., :1],
    upstream=upstream,
    jit_compile=True,
  )
  expected = by_numpy.depthwise_value_and_gradients(inputs, weights[..., :1], 2, upstream)
  assert_close(compiled, expected)


@pytest.mark.slow
def test_works_without_onednn():
  """Other processors have no dilated gradients; the subprocess runs all of the above there."""
  if WITHOUT_ONEDNN:
    assert not choice.dilated_gradients_exist()
    return
  assert choice.dilated_gradients_exist()
  environment = dict(os.environ, TF_ENABLE_ONEDNN_OPTS='0', TF_CPP_MIN_LOG_LEVEL='3')
  result = subprocess.run(
    [sys.executable, '-m', 'pytest', '-q', '-n', '0', '-p', 'no:cacheprovider', __file__],
    env=environment,
    cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stdout[-3000:]


def test_the_probe_sees_a_kernel_that_heeds_dilations_at_depth_1_only(monkeypatch):
  dilated = depthwise._dilated

  def deaf(inputs, weights, rate):
    return dilated(inputs, weights, rate if inputs.shape[3] == 1 else 1)

  monkeypatch.setattr(depthwise, '_dilated', deaf)
  assert not depthwise.heeds_dilations()


@needs_onednn
def test_space_to_batch_is_the_dilated_convolution():
  """Without oneDNN it is what `plain` operations fall back on, so it is tested here too."""
  inputs, weights, upstream = random_case((11, 13), 4, 3)
  convolve = functools.partial(plain.space_to_batch_conv2d, rate=3)
  actual = run(convolve, inputs, weights, upstream=upstream, known_size=False)
  assert_close(actual, by_numpy.value_and_gradients(inputs, weights, 3, upstream))
