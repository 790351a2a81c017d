"""3x3 convolutions of a small block of pixels with few multiplications, as matrices.

A convolution is linear in the pixels and in the taps. Written as `outputs` @ ((`weights` @ taps) *
(`inputs` @ pixels)) it takes as many products as there are rows between the matrices; with D
channels in and D' out each is one of a vector and a [D, D'] matrix, which is where the time goes.
Two kinds of block:

- a tile, which reads one pixel of its neighbours on each side: Winograd's minimal filtering F(3x3,
  3x3), 25 products for 9 pixels instead of 81 (Lavin and Gray, 2016, arXiv:1509.09308);
- a map that is one block, with zeros around it. Knowing the zeros saves more: 9 products for 2x2
  pixels, 16 for 3x3, and from 4x4 to 6x6 those of a Fourier transform of one row and column more,
  three for each pair of conjugate frequencies.
"""

import typing

import numpy as np


class Algorithm(typing.NamedTuple):
  """Matrices of a block, float32; pixels, taps and outputs of a square are counted row by row.

  Attributes:
    inputs: [P, (side + 2 * overlap) ** 2].
    weights: [P, 9]; or [P / tiles, 9], for that many products in a row with the same weights.
    outputs: [side ** 2, P].
    side: pixels along one side of the outputs.
    overlap: pixels beyond the outputs that the inputs have on each side: 1, or 0 where all beyond
      is zero.
  """

  inputs: np.ndarray
  weights: np.ndarray
  outputs: np.ndarray
  side: int
  overlap: int

  @property
  def num_products(self):
    """For each pair of channels."""
    return len(self.inputs)

  @property
  def num_weights(self):
    """For each pair of channels."""
    return len(self.weights)


def _along_both_sides(inputs, weights, outputs, *, overlap):
  """The Algorithm of a square from the matrices [p, n + 2 * overlap], [p, 3], [n, p] along one
  side.
  """
  return Algorithm(
    *(np.kron(matrix, matrix).astype(np.float32) for matrix in (inputs, weights, outputs)),
    side=len(outputs),
    overlap=overlap,
  )


def _minimal_filtering(points):
  """Tiles by values of polynomials at `points` and at infinity (Toom and Cook).

  The outputs are the transpose of a product of polynomials, one with the taps for coefficients.
  """
  num_products = len(points) + 1

  def values(num_coefficients):
    return np.vstack(
      [np.vander(points, num_coefficients, increasing=True), np.eye(num_coefficients)[-1]]
    )

  side = num_products - 2
  inputs, weights, outputs = np.linalg.inv(values(num_products)).T, values(3), values(side).T
  # What a product is multiplied by may stand in any of the matrices; even sizes round least.
  weights_size = np.linalg.norm(weights, axis=1)
  ratio = np.sqrt(np.linalg.norm(inputs, axis=1) / np.linalg.norm(outputs * weights_size, axis=0))
  return _along_both_sides(
    inputs / ratio[:, np.newaxis],
    weights / weights_size[:, np.newaxis],
    outputs * weights_size * ratio,
    overlap=1,
  )


def _pair():
  """2 pixels, 3 products: with taps (c, a, b) the outputs a x + b y and c x + a y are a (x + y) +
  (b - a) y and a (x + y) + (c - a) x.
  """
  return _along_both_sides(
    inputs=[[1, 1], [0, 1], [1, 0]],
    weights=[[0, 1, 0], [0, -1, 1], [1, -1, 0]],
    outputs=[[1, 1, 0], [1, 0, 1]],
    overlap=0,
  )


def _triple():
  """3 pixels x, y, z, 4 products.

  With taps (c, a, b), s = b + c and d = b - c, and outputs u, v, w: u + w = a (x + z) + s y, u - w
  = a (x - z) + d y and v = a y + s (x + z) / 2 - d (x - z) / 2. The part with s is diagonal in y +
  (x + z) / 2 and y - (x + z) / 2, with values +-s / 2; the part with d in y / sqrt(2) + (x - z) / 2
  and y / sqrt(2) - (x - z) / 2, with values +-d / sqrt(2); and the part with a is the sum of both
  pairs, because what the first counts twice of y the second takes away.
  """
  half, root = 1 / 2, np.sqrt(1 / 2)
  return _along_both_sides(
    inputs=[[half, 1, half], [-half, 1, -half], [half, root, -half], [-half, root, half]],
    weights=[[half, 1, half], [-half, 1, -half], [-root, 1, root], [root, 1, -root]],
    outputs=[[half, -half, half, -half], [1, 1, -root, -root], [half, -half, -half, half]],
    overlap=0,
  )


def _fourier(side):
  """A cyclic convolution of side + 1 pixels, the last of them zero: what goes around falls into it
  or comes from it.
  """
  period = side + 1
  transform = np.exp(-2j * np.pi / period * np.outer(range(period), range(period)))
  # A tap at offset k takes from k pixels further, so it stands at -k.
  pixels, taps = (np.kron(part, part) for part in (transform[:, :side], transform[:, [1, 0, -1]]))
  back = np.kron(transform[:side].conj(), transform[:side].conj()) / period**2
  inputs, weights, outputs = [], [], []
  for frequency in range(period**2):
    row, column = divmod(frequency, period)
    conjugate = -row % period * period + -column % period
    pixel, tap, output = pixels[frequency], taps[frequency], back[:, frequency]
    if conjugate == frequency:
      inputs.append(pixel.real)
      weights.append(tap.real)
      outputs.append(output.real)
    elif conjugate > frequency:
      # (x + iy)(u + iv) in three products, u (x + y), x (v - u) and y (u + v): the first minus the
      # third, and the first plus the second. Its conjugate adds the same real part to the outputs.
      inputs += [pixel.real + pixel.imag, pixel.real, pixel.imag]
      weights += [tap.real, tap.imag - tap.real, tap.real + tap.imag]
      outputs += [2 * (output.real - output.imag), -2 * output.imag, -2 * output.real]
  return Algorithm(
    *(np.array(matrix, np.float32) for matrix in (inputs, weights, np.transpose(outputs))),
    side=side,
    overlap=0,
  )


def _four(tiles):
  """A whole map of 2 x 2 tiles: the same weights for all four, which are fewer than those of a
  Fourier transform.
  """
  size, read = tiles.side, tiles.side + 2 * tiles.overlap
  inputs = np.zeros([len(tiles.inputs), 2, 2, 2 * size + 2, 2 * size + 2], np.float32)
  outputs = np.zeros([2 * size, 2 * size, len(tiles.inputs), 2, 2], np.float32)
  for row in range(2):
    for column in range(2):
      top, left = row * size, column * size
      inputs[:, row, column, top : top + read, left : left + read] = tiles.inputs.reshape(
        [-1, read, read]
      )
      outputs[top : top + size, left : left + size, :, row, column] = tiles.outputs.reshape(
        [size, size, -1]
      )
  inputs = inputs[..., 1:-1, 1:-1].reshape([-1, 4 * size**2])
  return Algorithm(
    inputs, tiles.weights, outputs.reshape([4 * size**2, -1]), side=2 * size, overlap=0
  )


# Points that round little in float32, after Barabasz et al., 2018, arXiv:1803.10986; a third of
# what 0, 1, -1 and 2 do.
TILES = _minimal_filtering([-5 / 4, -3 / 8, 3 / 8, 5 / 4])
# Maps of one block, by the pixels along their longer side; of two pixels they have a way of their
# own, pairs.py.
PAIR = _pair()
WHOLE = {3: _triple(), **{side: _fourier(side) for side in (4, 5, 6)}}
FOUR_TILES = _four(TILES)
