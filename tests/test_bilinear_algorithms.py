"""Every algorithm is a 3x3 convolution for all pixels and taps: it is one for each tap alone, and
linear.
"""

import numpy as np
import pytest

from deeplab.model.bilinear_algorithms import FOUR_TILES, PAIR, TILES, WHOLE


@pytest.mark.parametrize('algorithm', [TILES, FOUR_TILES, PAIR, *WHOLE.values()])
def test_matrices(algorithm):
  side, overlap = algorithm.side, algorithm.overlap
  tiles = algorithm.num_products // algorithm.num_weights
  all_pixels = np.eye((side + 2 * overlap) ** 2)
  for row in range(3):
    for column in range(3):
      taps = np.zeros([3, 3])
      taps[row, column] = 1.0
      factors = np.repeat(algorithm.weights @ taps.reshape(9), tiles)
      outputs = algorithm.outputs @ (factors[:, np.newaxis] * (algorithm.inputs @ all_pixels))
      pixels = np.pad(
        all_pixels.reshape([side + 2 * overlap] * 2 + [-1]), [[1 - overlap] * 2] * 2 + [[0, 0]]
      )
      expected = pixels[row : row + side, column : column + side].reshape([side**2, -1])
      np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)


def test_numbers_of_products():
  assert TILES.num_products == 25 and FOUR_TILES.num_products == 100
  assert {side: algorithm.num_products for side, algorithm in WHOLE.items()} == {
    3: 16,
    4: 37,
    5: 52,
    6: 73,
  }
  assert PAIR.num_products == 9
