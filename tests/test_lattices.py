"""The weights' gradient by lattices is the sum over pixels that defines it, whatever the rate
leaves of the map.
"""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.model import lattices


@pytest.mark.parametrize(
  'size, rate',
  [
    ((9, 9), 1),
    ((8, 12), 2),
    ((9, 10), 2),
    ((11, 13), 3),
    ((17, 18), 4),
    ((33, 20), 4),
    ((7, 12), 6),
    ((3, 9), 4),
    ((2, 2), 5),
  ],
)
def test_depthwise_weights_gradient(size, rate):
  random = np.random.default_rng(0)
  inputs, upstream = random.normal(size=[2, 3, *size, 5])
  padded = np.pad(inputs, [[0, 0], [rate, rate], [rate, rate], [0, 0]])
  expected = np.zeros([3, 3, 5, 1])
  for row in range(3):
    for column in range(3):
      read = padded[:, row * rate : row * rate + size[0], column * rate : column * rate + size[1]]
      expected[row, column, :, 0] = (read * upstream).sum(axis=(0, 1, 2))
  actual = lattices.depthwise_weights_gradient(
    tf.constant(inputs, tf.float32), tf.constant(upstream, tf.float32), rate=rate
  )
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
