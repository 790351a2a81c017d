"""The images a network fails on most, kept small while an evaluation runs."""

import dataclasses
import heapq
import itertools
from typing import TYPE_CHECKING

import numpy as np

from deeplab import metrics

if TYPE_CHECKING:
  from deeplab.evaluator import EvaluatedImage

_LONGEST_SIDE = 640


@dataclasses.dataclass(frozen=True)
class ImageScore:
  """One image's scores.

  Attributes:
    name: of the record.
    mean_iou: over the classes that occur in this image or are predicted in it; NaN where every
      pixel is ignored.
    pixel_accuracy: share of right pixels.
    cross_entropy: mean over the pixels that count.
  """

  name: str
  mean_iou: float
  pixel_accuracy: float
  cross_entropy: float


@dataclasses.dataclass(frozen=True)
class ScoredPictures:
  """An image with what to show of it: every array has at most 640 pixels a side."""

  score: ImageScore
  image: np.ndarray
  label: np.ndarray
  prediction: np.ndarray


class WorstImages:
  """Collects the scores of all images, and the pictures of the `count` with the lowest mIOU.

  Attributes:
    scores: ImageScores in the order they came.
  """

  def __init__(self, count: int):
    self.scores: list[ImageScore] = []
    self._count = count
    self._heap = []  # (-mean_iou, tie breaker, ScoredPictures): the best of the worst on top.
    self._ties = itertools.count()

  def add(self, evaluated: 'EvaluatedImage') -> None:
    """Takes one image."""
    summary = metrics.summarize(evaluated.confusion)
    score = ImageScore(
      name=evaluated.name,
      mean_iou=summary.mean_iou,
      pixel_accuracy=summary.pixel_accuracy,
      cross_entropy=evaluated.cross_entropy,
    )
    self.scores.append(score)
    is_bad_enough = len(self._heap) < self._count or (
      self._heap and -score.mean_iou > self._heap[0][0]
    )
    if np.isnan(score.mean_iou) or not is_bad_enough:
      return
    # Labels have no means: every step-th pixel.
    step = -(-max(evaluated.label.shape) // _LONGEST_SIDE)
    pictures = ScoredPictures(
      score,
      *(
        np.array(array[::step, ::step])
        for array in (evaluated.image, evaluated.label, evaluated.prediction)
      ),
    )
    entry = (-score.mean_iou, -next(self._ties), pictures)
    if len(self._heap) < self._count:
      heapq.heappush(self._heap, entry)
    else:
      heapq.heapreplace(self._heap, entry)

  @property
  def worst(self) -> list[ScoredPictures]:
    """The worst first."""
    return [pictures for _, _, pictures in sorted(self._heap, reverse=True)]
