"""The report of an evaluation as a directory of files."""

import contextlib
import csv
import dataclasses
import json
import math
import os
import re

import numpy as np
from PIL import Image

from deeplab import directory_lock, pictures, undecodable_names
from deeplab.atomic_files import remove_unfinished, unfinished_directory
from deeplab.errors import shown
from deeplab.evaluation import confusion_picture, evaluation_report, report_page
from deeplab.evaluation.evaluation_report import Report
from deeplab.evaluation.worst_images import WorstImages

_PICTURES = 'pictures'
_PICTURE = re.compile(r'worst-\d{3,}-(image|truth|prediction|errors)\.png')
# In the order in which they come; they go the other way round.
_FILES = (
  'per_class.csv',
  'confusion.csv',
  'per_image.csv',
  'confusion.png',
  'report.json',
  'report.html',
)
_LONGEST_WAIT = 20.0  # Seconds; another evaluation's report takes a moment.
_WRONG = (214, 39, 40)
_IGNORED = (158, 202, 225)


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
    OSError: a file cannot be written; an older report is as it was.
    InputError: another process is writing a report there, and does not end.
  """
  pictures_directory = os.path.join(directory, _PICTURES)
  os.makedirs(pictures_directory, exist_ok=True)
  refusal = (
    f'--report_path={shown(directory)}: another process is writing there; choose another directory'
  )
  # The lock of the directory itself may be a training's, which a report does not disturb.
  with directory_lock.held(pictures_directory, refusal=refusal, seconds=_LONGEST_WAIT):
    remove_unfinished(directory)
    with unfinished_directory(directory, 'report') as aside:
      _write_files(aside, report, worst_images, color_map, ignore_label=ignore_label)
      _take_place(aside, directory)


def _take_place(aside, directory):
  """Puts the report where it belongs. An older one goes first, from report.html on, and the new
  report.html comes last: a kill in between leaves parts of one of them, never of both.
  """
  pictures_there = os.listdir(os.path.join(directory, _PICTURES))
  old_pictures = [name for name in pictures_there if _PICTURE.fullmatch(name)]
  for name in (*reversed(_FILES), *(os.path.join(_PICTURES, name) for name in old_pictures)):
    with contextlib.suppress(FileNotFoundError):
      os.remove(os.path.join(directory, name))
  new_pictures = os.listdir(os.path.join(aside, _PICTURES))
  for name in (*(os.path.join(_PICTURES, name) for name in new_pictures), *_FILES):
    os.replace(os.path.join(aside, name), os.path.join(directory, name))


def _write_files(directory, report, worst_images, color_map, *, ignore_label):
  os.mkdir(os.path.join(directory, _PICTURES))
  confusion = report.result.confusion
  _write_csv(
    os.path.join(directory, 'per_class.csv'),
    [list(report.rows[0])] + [[_for_csv(value) for value in row.values()] for row in report.rows],
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
    + [[_for_csv(getattr(score, field)) for field in fields] for score in worst_images.scores],
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
    os.path.join(directory, 'report.html'), report_page.html_page(report, worst, color_map)
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


def _write_worst(directory, rank, scored, color_map, *, ignore_label):
  """Writes the four pictures of one image; returns a dict of its scores and their paths."""
  # White is spared for what is ignored; black is a class in most maps.
  label = np.where(scored.label == ignore_label, len(color_map), scored.label)
  truth_color_map = np.concatenate([color_map, [[255, 255, 255]]])
  drawn = {
    'image': scored.image,
    'truth': pictures.overlay(scored.image, label, truth_color_map, alpha=0.75),
    'prediction': pictures.overlay(scored.image, scored.prediction, color_map, alpha=0.75),
    'errors': error_map(scored.image, scored.label, scored.prediction, ignore_label=ignore_label),
  }
  paths = {}
  for kind, pixels in drawn.items():
    # Numbered, because record names may hold anything.
    paths[kind] = f'{_PICTURES}/worst-{rank:03d}-{kind}.png'
    _write_picture(os.path.join(directory, paths[kind]), Image.fromarray(pixels))
  return {**dataclasses.asdict(scored.score), 'pictures': paths}


def _as_json(report, worst):
  return _without_nan(
    {
      'checkpoint': report.checkpoint,
      'global_step': report.global_step,
      **report.totals,
      'absent_class_policy': evaluation_report.ABSENT_CLASS_POLICY,
      'classes': report.rows,
      'confusion': report.result.confusion.tolist(),
      'worst_images': worst,
      'settings': report.settings,
    }
  )


def _without_nan(value):
  """JSON has no NaN: it becomes null; and no bytes that are no text: undecodable_names.py."""
  if isinstance(value, dict):
    return {key: _without_nan(each) for key, each in value.items()}
  if isinstance(value, (list, tuple)):
    return [_without_nan(each) for each in value]
  if isinstance(value, str):
    return undecodable_names.to_text(value)
  return None if isinstance(value, float) and not math.isfinite(value) else value


def _for_csv(value):
  if isinstance(value, str):
    return undecodable_names.to_text(value)
  return '' if isinstance(value, float) and math.isnan(value) else value


def _write_csv(path, rows):
  with open(path, 'w', encoding='utf-8', errors='replace', newline='') as file:
    csv.writer(file).writerows(rows)


def _write_text(path, text):
  with open(path, 'w', encoding='utf-8', errors='replace') as file:
    file.write(text)


def _write_picture(path, picture):
  picture.save(path, format='PNG')
