import numpy as np
import pytest
import scipy.ndimage

from deeplab.evaluation.boundary_iou import BoundaryIou, band_width, boundary_band
from deeplab.evaluator import EvaluatedImage


def evaluated(label, prediction):
  """An EvaluatedImage of which nothing but label and prediction matters."""
  return EvaluatedImage(
    name='', image=None, label=label, prediction=prediction, cross_entropy=0.0, confusion=None
  )


@pytest.mark.parametrize('width', [1, 2, 5])
def test_band_is_mask_minus_erosion(width):
  rng = np.random.default_rng(width)
  mask = scipy.ndimage.gaussian_filter(rng.normal(size=[40, 50]), 4) > 0
  eroded = scipy.ndimage.binary_erosion(mask, np.ones([3, 3]), iterations=width, border_value=0)
  np.testing.assert_array_equal(boundary_band(mask, width), mask & ~eroded)


def test_band_of_an_image_smaller_than_it():
  assert boundary_band(np.ones([2, 3], bool), 5).all()


def test_band_width_is_two_percent_of_the_diagonal():
  assert band_width(300, 400) == 10
  assert band_width(3, 4) == 1


def test_scores_by_hand():
  # 9x9, band width 1 (2 % of 12.7 pixels): the bands are one-pixel rings.
  label = np.zeros([9, 9], np.int32)
  label[2:7, 2:7] = 1
  prediction = np.zeros([9, 9], np.int32)
  prediction[2:7, 2:8] = 1
  boundary = BoundaryIou(num_classes=3, ignore_label=255)
  boundary.add(evaluated(label, prediction))
  # Rings of 16 and of 2 * 6 + 2 * 3 = 18 pixels; common: 5 left, and 2 * 4 of the top and bottom
  # rows = 13.
  assert boundary.per_class[1] == pytest.approx(13 / (16 + 18 - 13))
  assert np.isnan(boundary.per_class[2])
  assert boundary.totals['mean_boundary_iou'] == pytest.approx(np.nanmean(boundary.per_class))


def test_ignored_pixels_do_not_count():
  label = np.array([[0, 0, 255, 255]])
  boundary = BoundaryIou(num_classes=3, ignore_label=255)
  boundary.add(evaluated(label, np.array([[0, 0, 1, 2]])))
  np.testing.assert_array_equal(boundary.per_class, [1, np.nan, np.nan])


def test_no_pixel_at_all():
  boundary = BoundaryIou(num_classes=2, ignore_label=255)
  boundary.add(evaluated(np.full([2, 2], 255), np.zeros([2, 2], np.int32)))
  assert np.isnan(boundary.totals['mean_boundary_iou'])
