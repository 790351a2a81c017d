"""Measures of an evaluation beside loss and mIOU: each is one object that sees every image and then
has its numbers.

A new measure is a class with the attributes of Measure and a line in `chosen`; terminal, JSON, CSV
and the page show whatever measures a Report has.
"""

from typing import TYPE_CHECKING, Protocol

import numpy as np

from deeplab.evaluation.boundary_iou import BoundaryIou
from deeplab.options import EvaluationOptions

if TYPE_CHECKING:
  from deeplab.evaluator import EvaluatedImage


class Measure(Protocol):
  """What a Report needs of a measure.

  Attributes:
    name: of the values for each class: the key in JSON and CSV, and the title of the column, see
      `title`.
    per_class: float64 [C], NaN where a class has no value; or None where the measure has no values
      for each class.
    totals: name -> value over all classes, which JSON, terminal and page show beside mIOU.
  """

  name: str

  @property
  def per_class(self) -> np.ndarray | None: ...

  @property
  def totals(self) -> dict[str, float]: ...

  def add(self, evaluated: 'EvaluatedImage') -> None:
    """Takes one image."""


def chosen(
  options: EvaluationOptions, *, num_classes: int, ignore_label: int
) -> tuple[Measure, ...]:
  """The measures that the options ask for, before they have seen an image."""
  measures = []
  if options.boundary_iou:
    measures.append(BoundaryIou(num_classes=num_classes, ignore_label=ignore_label))
  return tuple(measures)


def title(name: str) -> str:
  """A number's name as people read it: 'boundary_iou' is the boundary IoU."""
  return name.replace('_', ' ').replace('iou', 'IoU')
