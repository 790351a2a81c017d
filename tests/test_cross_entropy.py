"""Against TensorFlow's own resize and sparse cross entropy, with gradients, and by hand where
logits are extreme.
"""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import cross_entropy
from deeplab.model.layers import interpolation_matrix, resize_bilinear

RANDOM = np.random.default_rng(5)


def value_and_gradient(function, logits, labels, upstream):
  logits = tf.constant(logits, tf.float32)

  @tf.function(autograph=False)
  def run(logits):
    with tf.GradientTape() as tape:
      tape.watch(logits)
      losses = function(logits, tf.constant(labels, tf.int32))
    return losses, tape.gradient(losses, logits, output_gradients=tf.constant(upstream, tf.float32))

  return [result.numpy() for result in run(logits)]


@pytest.mark.parametrize('scale', [1.0, 300.0])  # With 300 probabilities underflow.
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
  'size, out_size',
  [((3, 5), (33, 65)), ((9, 9), (33, 36)), ((4, 6), (4, 6)), ((1, 1), (7, 5)), ((5, 4), (1, 9))],
)
def test_is_tensorflows(size, out_size, align_corners, scale, monkeypatch):
  monkeypatch.setattr(cross_entropy, '_BAND_BYTES', 10000)  # Several bands.
  logits, labels = scale * RANDOM.normal(size=[2, *size, 6]), RANDOM.integers(0, 6, [2, *out_size])
  upstream = RANDOM.uniform(size=[2, *out_size])

  def expected(logits, labels):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(
      labels=labels, logits=resize_bilinear(logits, out_size, align_corners=align_corners)
    )

  actual = value_and_gradient(
    lambda logits, labels: cross_entropy.resized_cross_entropy(
      logits, labels, align_corners=align_corners
    ),
    logits,
    labels,
    upstream,
  )
  for one, other in zip(
    actual, value_and_gradient(expected, logits, labels, upstream), strict=True
  ):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


def test_extreme_logits_by_hand():
  logits = np.array([[[[0.0, -1000.0], [50.0, 0.0], [0.0, 0.0]]]])
  losses, gradient = value_and_gradient(
    cross_entropy.pixel_cross_entropy, logits, [[[1, 0, 0]]], np.ones([1, 1, 3])
  )
  np.testing.assert_allclose(losses, [[[1000.0, 0.0, np.log(2.0)]]], rtol=1e-6)
  np.testing.assert_allclose(gradient, [[[[1.0, -1.0], [0.0, 0.0], [-0.5, 0.5]]]], atol=1e-6)


def test_nan_stays_nan():
  losses, gradient = value_and_gradient(
    cross_entropy.pixel_cross_entropy, [[[[np.nan, 0.0]]]], [[[1]]], np.ones([1, 1, 1])
  )
  assert np.isnan(losses).all() and np.isnan(gradient).any()


def test_unknown_sizes():
  logits, labels = (
    RANDOM.normal(size=[1, 3, 4, 5]).astype(np.float32),
    RANDOM.integers(0, 5, [1, 17, 20]).astype(np.int32),
  )
  resized = tf.function(
    lambda logits, labels: cross_entropy.resized_cross_entropy(logits, labels, align_corners=False),
    autograph=False,
    input_signature=[
      tf.TensorSpec([None, None, None, 5]),
      tf.TensorSpec([None, None, None], tf.int32),
    ],
  )
  np.testing.assert_allclose(
    resized(logits, labels),
    cross_entropy.resized_cross_entropy(
      tf.constant(logits), tf.constant(labels), align_corners=False
    ),
    rtol=1e-5,
  )


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
  'size, out_size', [(17, 257), (33, 500), (65, 513), (9, 9), (5, 1), (1, 4)]
)
def test_interpolation_matrix_is_the_resize(size, out_size, align_corners):
  values = RANDOM.normal(size=[1, size, 1, 3]).astype(np.float32)
  np.testing.assert_allclose(
    interpolation_matrix(size, out_size, align_corners=align_corners) @ values[0, :, 0],
    resize_bilinear(values, (out_size, 1), align_corners=align_corners)[0, :, 0],
    rtol=0,
    atol=1e-5,
  )
