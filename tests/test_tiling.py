import numpy as np
import pytest

from deeplab.prediction import tiling


def test_tile_starts():
  assert tiling.tile_starts(10, tile_size=10, overlap=2) == [0]
  assert tiling.tile_starts(18, tile_size=10, overlap=2) == [0, 8]
  assert tiling.tile_starts(19, tile_size=10, overlap=2) == [0, 8, 9]
  assert tiling.tile_starts(40, tile_size=10, overlap=0) == [0, 10, 20, 30]


def test_aligned_tile_starts():
  assert tiling.tile_starts(18, tile_size=10, overlap=2, alignment=4) == [0, 8]
  # A step of 8 - 3 = 5 becomes 4; the last tile is two pixels smaller.
  assert tiling.tile_starts(18, tile_size=8, overlap=3, alignment=4) == [0, 4, 8, 12]
  for size in range(33, 200):
    starts = tiling.tile_starts(size, tile_size=33, overlap=9, alignment=8)
    ends = [min(start + 33, size) for start in starts]
    assert ends[-1] == size and all(start % 8 == 0 for start in starts)
    assert all(end - start >= 9 for end, start in zip(ends, starts[1:])) and starts == sorted(
      set(starts)
    )


def test_edge_weights():
  np.testing.assert_allclose(
    tiling.edge_weights(0, 5, size=12, overlap=2), [1, 1, 1, 2 / 3, 1 / 3], rtol=1e-6
  )
  np.testing.assert_allclose(
    tiling.edge_weights(7, 12, size=12, overlap=2), [1 / 3, 2 / 3, 1, 1, 1], rtol=1e-6
  )
  np.testing.assert_array_equal(tiling.edge_weights(0, 5, size=5, overlap=2), [1] * 5)


def _red_and_green(images):
  """'Probabilities' that depend on the pixel alone, so tiles change nothing."""
  return images[..., :2].astype(np.float32) / 255


@pytest.mark.parametrize('height,width', [(23, 31), (10, 40), (37, 10), (64, 64), (11, 11)])
@pytest.mark.parametrize('overlap', [0, 1, 5])
@pytest.mark.parametrize('batch_size,alignment', [(1, 1), (3, 1), (2, 4)])
def test_bands_cover_the_image_once(height, width, overlap, batch_size, alignment):
  image = np.random.default_rng(0).integers(0, 256, [height, width, 3], np.uint8)
  sizes = []

  def predict(images):
    sizes.append(images.shape)
    return _red_and_green(images)

  bands = list(
    tiling.predict_in_tiles(
      image, predict, tile_size=10, overlap=overlap, batch_size=batch_size, alignment=alignment
    )
  )
  tops = [top for top, _ in bands]
  assert tops == list(np.cumsum([0] + [len(band) for _, band in bands])[:-1])
  np.testing.assert_allclose(
    np.concatenate([band for _, band in bands]), _red_and_green(image), rtol=1e-5, atol=1e-6
  )
  assert all(batch <= batch_size and h <= 10 and w <= 10 for batch, h, w, _ in sizes)


def test_overlap_goes_over_from_one_tile_to_the_other():
  calls = iter([0.0, 1.0])
  predict = lambda images: np.full([*images.shape[:3], 1], next(calls), np.float32)
  ((_, band),) = tiling.predict_in_tiles(
    np.zeros([4, 7, 3], np.uint8), predict, tile_size=5, overlap=3
  )
  # The ramps are 3/4, 1/2, 1/4 and 1/4, 1/2, 3/4.
  np.testing.assert_allclose(band[0, :, 0], [0, 0, 1 / 4, 1 / 2, 3 / 4, 1, 1], rtol=1e-6)


def test_the_next_tiles_are_begun_before_the_last_are_waited_for():
  image = np.random.default_rng(0).integers(0, 256, [9, 30, 3], np.uint8)
  events = []

  class Begun:
    """As a tensor that a GPU is still at."""

    def __init__(self, tiles):
      events.append('begun')
      self._probabilities = _red_and_green(tiles)

    def __array__(self, dtype=None, copy=None):
      events.append('waited for')
      return self._probabilities

  settings = dict(tile_size=9, overlap=3)
  (expected,) = tiling.predict_in_tiles(image, _red_and_green, **settings)
  (found,) = tiling.predict_in_tiles(image, Begun, ahead=1, **settings)
  np.testing.assert_array_equal(found[1], expected[1])
  assert events == ['begun'] + 4 * ['begun', 'waited for'] + ['waited for']
