"""What an evaluation found, as lines for the terminal and as a directory of files."""

import csv
import dataclasses
import json
import math
import os
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from deeplab import pictures
from deeplab.atomic_files import replacing
from deeplab.evaluation import confusion_picture, measures, report_page
from deeplab.evaluation.measures import Measure
from deeplab.evaluation.worst_images import WorstImages

if TYPE_CHECKING:
  from deeplab.evaluator import EvaluationResult

ABSENT_CLASS_POLICY = (
  'a class that neither occurs nor is predicted does not count; one that is predicted but never '
  'occurs counts 0'
)

_IN_SCORE_LINES = ('num_images', 'loss', 'mean_iou')
_WRONG = (214, 39, 40)
_IGNORED = (158, 202, 225)


@dataclasses.dataclass(frozen=True)
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


def score_lines(result: 'EvaluationResult') -> list[str]:
  """The three lines that scripts read."""
  return [
    f'Num of images evaluated: {result.num_images}',
    f'Loss: {result.loss:.8f}',
    f'mIOU: {result.summary.mean_iou:.8f}',
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


def write(
  directory: str,
  report: Report,
  worst_images: WorstImages,
  color_map: np.ndarray,
  *,
  ignore_label: int,
) -> None:
  """Writes report.html, report.json, per_class.csv, per_image.csv, confusion.csv, confusion.png and
  pictures/.

  Args:
    directory: made if it is missing.
    report: what was found.
    worst_images: that have seen all images.
    color_map: uint8 [num_colors, 3] with a colour for every class.
    ignore_label: label value that did not count.

  Raises:
    OSError: a file cannot be written. Each file is whole or as it was; report.html comes last.
  """
  os.makedirs(os.path.join(directory, 'pictures'), exist_ok=True)
  confusion = report.result.confusion
  _write_csv(
    os.path.join(directory, 'per_class.csv'),
    [list(report.rows[0])] + [[_blank_nan(value) for value in row.values()] for row in report.rows],
  )
  _write_csv(
    os.path.join(directory, 'confusion.csv'),
    [['truth \\ prediction', *report.class_names]]
    + [[name, *row] for name, row in zip(report.class_names, confusion.tolist())],
  )
  fields = ['name', 'mean_iou', 'pixel_accuracy', 'cross_entropy']
  _write_csv(
    os.path.join(directory, 'per_image.csv'),
    [fields]
    + [[_blank_nan(getattr(score, field)) for field in fields] for score in worst_images.scores],
  )
  _write_picture(
    os.path.join(directory, 'confusion.png'), confusion_picture.draw(confusion, report.class_names)
  )
  worst = [
    _write_worst(directory, rank, each, color_map, ignore_label=ignore_label)
    for rank, each in enumerate(worst_images.worst, start=1)
  ]
  _write_text(
    os.path.join(directory, 'report.json'), json.dumps(_as_json(report, worst), indent=2) + '\n'
  )
  _write_text(
    os.path.join(directory, 'report.html'),
    report_page.html_page(
      report, worst, color_map, warnings=warnings(report), absent_class_policy=ABSENT_CLASS_POLICY
    ),
  )


def error_map(
  image: np.ndarray, label: np.ndarray, prediction: np.ndarray, *, ignore_label: int
) -> np.ndarray:
  """Red where the prediction is wrong, light blue where it does not count, the image in faint grey
  elsewhere.

  Args:
    image: uint8 [H, W, 3].
    label, prediction: integer [H, W].
    ignore_label: label value that does not count.

  Returns:
    uint8 [H, W, 3].
  """
  grey = 128 + image.mean(axis=-1, keepdims=True) / 2
  picture = np.repeat(grey, 3, axis=-1).astype(np.uint8)
  picture[label != prediction] = _WRONG
  picture[label == ignore_label] = _IGNORED
  return picture


def _write_worst(directory, rank, shown, color_map, *, ignore_label):
  """Writes the four pictures of one image; returns a dict of its scores and their paths."""
  # White is spared for what is ignored; black is a class in most maps.
  label = np.where(shown.label == ignore_label, len(color_map), shown.label)
  truth_color_map = np.concatenate([color_map, [[255, 255, 255]]])
  drawn = {
    'image': shown.image,
    'truth': pictures.overlay(shown.image, label, truth_color_map, alpha=0.75),
    'prediction': pictures.overlay(shown.image, shown.prediction, color_map, alpha=0.75),
    'errors': error_map(shown.image, shown.label, shown.prediction, ignore_label=ignore_label),
  }
  paths = {}
  for kind, pixels in drawn.items():
    # Numbered, because record names may hold anything.
    paths[kind] = f'pictures/worst-{rank:03d}-{kind}.png'
    _write_picture(os.path.join(directory, paths[kind]), Image.fromarray(pixels))
  return {**dataclasses.asdict(shown.score), 'pictures': paths}


def _as_json(report, worst):
  return _without_nan(
    {
      'checkpoint': report.checkpoint,
      'global_step': report.global_step,
      **report.totals,
      'absent_class_policy': ABSENT_CLASS_POLICY,
      'classes': report.rows,
      'confusion': report.result.confusion.tolist(),
      'worst_images': worst,
      'settings': report.settings,
    }
  )


def _without_nan(value):
  """JSON has no NaN: it becomes null. Bytes of names that are no text become question marks."""
  if isinstance(value, dict):
    return {key: _without_nan(each) for key, each in value.items()}
  if isinstance(value, (list, tuple)):
    return [_without_nan(each) for each in value]
  if isinstance(value, str):
    return value.encode('utf-8', 'replace').decode('utf-8')
  return None if isinstance(value, float) and not math.isfinite(value) else value


def _blank_nan(value):
  return '' if isinstance(value, float) and math.isnan(value) else value


def _number(value):
  return '-' if math.isnan(value) else f'{value:.4f}'


def _write_csv(path, rows):
  with (
    replacing(path) as temporary,
    open(temporary, 'w', encoding='utf-8', errors='replace', newline='') as file,
  ):
    csv.writer(file).writerows(rows)


def _write_text(path, text):
  with (
    replacing(path) as temporary,
    open(temporary, 'w', encoding='utf-8', errors='replace') as file,
  ):
    file.write(text)


def _write_picture(path, picture):
  with replacing(path) as temporary:
    picture.save(temporary, format='PNG')
