"""What an evaluation found, and the lines that the terminal shows of it."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deeplab import metrics
from deeplab.evaluation import measures
from deeplab.evaluation.measures import Measure

if TYPE_CHECKING:
  from deeplab.evaluator import EvaluationResult

ABSENT_CLASS_POLICY = (
  'a class that neither occurs nor is predicted does not count; one that is predicted but never '
  'occurs counts 0'
)

_IN_SCORE_LINES = ('num_images', 'loss', 'mean_iou')


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
  """All that is reported of one checkpoint.

  Attributes:
    result: loss, confusion and what follows from it.
    class_names: one for each class.
    checkpoint: its prefix.
    global_step: int or None.
    measures: what else was measured.
    settings: what else was chosen, for report.json.
  """

  result: 'EvaluationResult'
  class_names: tuple[str, ...]
  checkpoint: str
  global_step: int | None = None
  measures: tuple[Measure, ...] = ()
  settings: dict = dataclasses.field(default_factory=dict)

  def __repr__(self):
    return '\n'.join([*score_lines(self.result, self.class_names), *table_lines(self)])

  @property
  def mean_iou(self) -> float:
    """The mean of the IoU of the classes that count."""
    return self.result.summary.mean_iou

  @property
  def rows(self) -> list[dict]:
    """One dict a class: index, name, iou, accuracy, precision, truth_pixels, predicted_pixels and a
    value of each measure that has values for each class.
    """
    summary = self.result.summary
    columns = {name: values.tolist() for name, values in self.measured_per_class.items()}
    return [
      {
        'index': index,
        'name': name,
        'iou': float(summary.iou[index]),
        'accuracy': float(summary.accuracy[index]),
        'precision': float(summary.precision[index]),
        'truth_pixels': int(summary.truth_pixels[index]),
        'predicted_pixels': int(summary.predicted_pixels[index]),
        **{name: values[index] for name, values in columns.items()},
      }
      for index, name in enumerate(self.class_names)
    ]

  @property
  def measured_per_class(self) -> dict[str, np.ndarray]:
    """name -> float64 [C] of the measures that have values for each class."""
    return {
      measure.name: measure.per_class for measure in self.measures if measure.per_class is not None
    }

  @property
  def totals(self) -> dict[str, int | float]:
    """The scores over all classes."""
    result = self.result
    totals = {
      'num_images': result.num_images,
      'loss': result.loss,
      'mean_iou': result.summary.mean_iou,
      'pixel_accuracy': result.summary.pixel_accuracy,
      'mean_accuracy': result.summary.mean_accuracy,
      'frequency_weighted_iou': result.summary.frequency_weighted_iou,
    }
    for measure in self.measures:
      totals.update(measure.totals)
    return totals


def score_lines(result: 'EvaluationResult', class_names: Sequence[str] | None = None) -> list[str]:
  """The three lines that scripts read; with one class in the labels, mIOU has a remark after it."""
  return [
    f'Num of images evaluated: {result.num_images}',
    f'Loss: {result.loss:.8f}',
    f'mIOU: {result.summary.mean_iou:.8f}{metrics.one_class_remark(result.summary, class_names)}',
  ]


def table_lines(report: Report) -> list[str]:
  """The table per class, the other scores, and the policy on absent classes."""
  measured = list(report.measured_per_class)
  titles = [
    'class',
    'IoU',
    *map(measures.title, measured),
    'accuracy',
    'precision',
    'pixels in truth',
    'pixels predicted',
  ]
  cells = [
    [
      row['name'],
      *(_number(row[key]) for key in ('iou', *measured, 'accuracy', 'precision')),
      str(row['truth_pixels']),
      str(row['predicted_pixels']),
    ]
    for row in report.rows
  ]
  widths = [max(len(line[column]) for line in [titles, *cells]) for column in range(len(titles))]
  lines = ['']
  for line in [titles, *cells]:
    lines.append(
      '  '.join(
        [
          line[0].ljust(widths[0]),
          *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:])),
        ]
      )
    )
  lines.append('')
  lines += [
    f'{measures.title(name)}: {value:.6f}'
    for name, value in report.totals.items()
    if name not in _IN_SCORE_LINES
  ]
  iou = report.result.summary.iou
  lines.append(
    f'mIOU is the mean over {np.count_nonzero(~np.isnan(iou))} of {len(iou)} classes: '
    f'{ABSENT_CLASS_POLICY}.'
  )
  return lines


def warnings(report: Report) -> list[str]:
  """Lines about classes that the records or the predictions lack."""
  never_seen = [row['name'] for row in report.rows if not row['truth_pixels']]
  never_predicted = [
    row['name'] for row in report.rows if row['truth_pixels'] and not row['predicted_pixels']
  ]
  lines = []
  if never_seen:
    lines.append(f'never in the truth, so not measured: {", ".join(never_seen)}')
  if never_predicted:
    lines.append(f'in the truth but never predicted: {", ".join(never_predicted)}')
  return lines


def comparison_lines(reports: list[Report]) -> list[str]:
  """One line a checkpoint, and the best one."""
  lines = ['      step      mIOU        Loss  checkpoint']
  for report in reports:
    step = '-' if report.global_step is None else report.global_step
    lines.append(
      f'{step:>10}  {report.result.summary.mean_iou:.6f}  {report.result.loss:10.4f}  '
      f'{report.checkpoint}'
    )
  best = max(reports, key=lambda report: np.nan_to_num(report.result.summary.mean_iou, nan=-1.0))
  return lines + [f'best: {best.checkpoint}']


def _number(value):
  return '-' if math.isnan(value) else f'{value:.4f}'
