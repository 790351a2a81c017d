"""Cutouts of a red disc on blue, whose outline the network knows only roughly."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from deeplab.prediction import cutouts

_RED, _BLUE = np.array([200, 40, 30]), np.array([20, 60, 190])


@pytest.fixture(name='scene', scope='module')
def _scene():
  """(image with a soft edge of two pixels, truth bool, probability, blurred and too wide by 3)."""
  rows, columns = np.mgrid[:240, :320]
  distance = np.hypot(rows - 120, columns - 160)
  share = np.clip((80 - distance) / 2 + 0.5, 0, 1)[..., np.newaxis]
  image = np.rint(share * _RED + (1 - share) * _BLUE).astype(np.uint8)
  rough = Image.fromarray(((distance < 83) * 255).astype(np.uint8))
  probability = np.asarray(rough.filter(ImageFilter.GaussianBlur(5)), np.float32) / 255
  return image, distance < 80, probability


def test_the_outline_follows_the_picture(scene):
  image, truth, probability = scene
  opacity = cutouts.opacity_of(image, probability)
  assert opacity.dtype == np.float32 and opacity.min() == 0 and opacity.max() == 1
  rough, fine = ((share > 0.5) != truth for share in (probability, opacity))
  assert fine.sum() < 0.4 * rough.sum()


def test_no_halo(scene):
  """Pixels of the soft edge have the colour of the disc, not a share of the blue around it."""
  image, truth, probability = scene
  cutout = cutouts.cutout(image, probability)
  assert cutout.dtype == np.uint8 and cutout.shape == (240, 320, 4)
  edge = (cutout[..., 3] > 100) & (cutout[..., 3] < 255)
  assert edge.sum() > 100
  before, after = (
    np.abs(pixels[edge].astype(int) - _RED).mean() for pixels in (image, cutout[..., :3])
  )
  assert after < 0.7 * before
  inside = cutout[..., 3] == 255
  np.testing.assert_array_equal(cutout[inside][:, :3], image[inside])


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (600, 3), (700, 900)])
@pytest.mark.parametrize('probability, opacity', [(0.0, 0), (1.0, 255)])
def test_nothing_and_everything(size, probability, opacity):
  image = np.random.default_rng(0).integers(0, 256, [*size, 3], np.uint8)
  cutout = cutouts.cutout(image, np.full(size, probability, np.float32))
  assert (cutout[..., 3] == opacity).all()
  if opacity:
    np.testing.assert_array_equal(cutout[..., :3], image)


def test_any_size():
  random = np.random.default_rng(0)
  for size in [(1, 2), (3, 1), (2, 700)]:
    image = random.integers(0, 256, [*size, 3], np.uint8)
    assert cutouts.cutout(image, random.random(size, np.float32)).shape == (*size, 4)
