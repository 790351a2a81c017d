"""Boundary IoU: how well the borders of the classes fit, which plain IoU hardly sees in large
objects.

Cheng, Girshick, Dollar, Berg, Kirillov: Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation, CVPR 2021.
Here for classes instead of objects, with intersections and unions summed over all images.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from deeplab.evaluator import EvaluatedImage

# Width of the band relative to the image diagonal, the paper's value.
WIDTH_RATIO = 0.02


def band_width(height: int, width: int) -> int:
  """Width in pixels of the band along borders, at least 1."""
  return max(1, round(WIDTH_RATIO * float(np.hypot(height, width))))


def boundary_band(mask: np.ndarray, width: int) -> np.ndarray:
  """The pixels of a mask that are at most `width` pixels from its border; the image's border counts
  as border.

  Args:
    mask: bool [H, W].
    width: band width in pixels, in both directions and diagonally.

  Returns:
    bool [H, W], part of `mask`.
  """
  side = 2 * width + 1
  # A pixel is interior if the square around it holds only mask pixels; sums over squares come from
  # an integral image.
  integral = np.zeros(np.array(mask.shape) + side, np.int32)
  integral[width + 1 : -width, width + 1 : -width] = mask.cumsum(axis=0, dtype=np.int32).cumsum(
    axis=1
  )
  integral[-width:] = integral[-width - 1]
  integral[:, -width:] = integral[:, -width - 1, np.newaxis]
  sums = (
    integral[side:, side:]
    - integral[:-side, side:]
    - integral[side:, :-side]
    + integral[:-side, :-side]
  )
  return mask & (sums < side * side)


class BoundaryIou:
  """Sums the bands' intersections and unions over images; a measures.Measure."""

  name = 'boundary_iou'

  def __init__(self, *, num_classes: int, ignore_label: int):
    self._num_classes = num_classes
    self._ignore_label = ignore_label
    self._intersection = np.zeros([num_classes], np.int64)
    self._union = np.zeros([num_classes], np.int64)

  def add(self, evaluated: 'EvaluatedImage') -> None:
    """Adds one image. Ignored pixels belong to no class, neither in truth nor in prediction."""
    label, prediction = evaluated.label, evaluated.prediction
    valid = label != self._ignore_label
    width = band_width(*label.shape)
    for index in np.union1d(label[valid], prediction[valid]):
      true_band = boundary_band((label == index) & valid, width)
      predicted_band = boundary_band((prediction == index) & valid, width)
      self._intersection[index] += np.count_nonzero(true_band & predicted_band)
      self._union[index] += np.count_nonzero(true_band | predicted_band)

  @property
  def per_class(self) -> np.ndarray:
    """float64 [C], NaN for a class that neither occurs nor is predicted."""
    return np.divide(
      self._intersection,
      self._union,
      out=np.full([self._num_classes], np.nan),
      where=self._union > 0,
    )

  @property
  def totals(self) -> dict[str, float]:
    """The mean over the classes that occur or are predicted, as for mIOU; NaN without any."""
    values = self.per_class[self._union > 0]
    return {'mean_boundary_iou': float(values.mean()) if values.size else float('nan')}
