"""Damaged COCO and labelme files: refused, or drawn without harm."""

import contextlib
import json
import os

import numpy as np
from PIL import Image

from deeplab.conversion import annotations, label_classes, source_files
from deeplab.conversion.problems import Problems
from deeplab.errors import InputError
from deeplab.options import ConversionOptions

from . import damages
from .cases import Case, Silent, Target

_HEIGHT, _WIDTH = 30, 40
_SQUARE = [5, 5, 20, 5, 20, 15, 5, 15]
_COCO = {
  'info': {'year': 2020},
  'images': [
    {'id': 7, 'file_name': 'a.png', 'height': _HEIGHT, 'width': _WIDTH},
    {'id': 3, 'file_name': 'b.png', 'height': _HEIGHT, 'width': _WIDTH},
  ],
  'categories': [{'id': 18, 'name': 'dog'}, {'id': 5, 'name': 'cat'}],
  'annotations': [
    {'id': 1, 'image_id': 7, 'category_id': 18, 'iscrowd': 0, 'segmentation': [_SQUARE]},
    {
      'id': 2,
      'image_id': 7,
      'category_id': 5,
      'iscrowd': 1,
      'segmentation': {'size': [_HEIGHT, _WIDTH], 'counts': [100, 50, 1050]},
    },
    {
      'id': 3,
      'image_id': 3,
      'category_id': 5,
      'iscrowd': 0,
      'segmentation': {'size': [_HEIGHT, _WIDTH], 'counts': 'b05U1000'},
    },
  ],
}
_LABELME = {
  'version': '5.0',
  'imagePath': 'a.png',
  'imageHeight': _HEIGHT,
  'imageWidth': _WIDTH,
  'imageData': None,
  'shapes': [
    {'label': 'dog', 'shape_type': 'polygon', 'points': [[5, 5], [20, 5], [20, 15], [5, 15]]},
    {'label': 'cat', 'shape_type': 'rectangle', 'points': [[1, 1], [30, 20.5]]},
    {'label': 'cat', 'shape_type': 'circle', 'points': [[20, 15], [25, 15]]},
  ],
}


def prepare(directory: str) -> None:
  """Writes the annotated pictures."""
  for name in ('a.png', 'b.png'):
    Image.new('RGB', (_WIDTH, _HEIGHT), (10, 100, 200)).save(os.path.join(directory, name))


def run(case: Case) -> None:
  """Damages a file and draws its regions."""
  is_coco = case.chance(0.5)
  content = _COCO if is_coco else _LABELME
  if case.chance(0.15):
    data = damages.text_of(case, json.dumps(content))
  else:
    data, _, _ = damages.json_of(case, content)
  path = case.write('json/a.json', data)
  options = ConversionOptions(
    annotations=path if is_coco else os.path.dirname(path),
    images_dir=case.seeds,
    split='train',
    output_dir=case.path('out'),
    accept=('outside',) if case.chance(0.3) else (),
    num_workers=1,
  )
  read = annotations.read(options)
  options, described, _ = label_classes.settle(
    options, given=(), data_set=None, names=read.class_names
  )
  problems = Problems()
  with open(os.devnull, 'w', encoding='utf-8') as nowhere, contextlib.redirect_stderr(nowhere):
    found = read.pairing(described.class_names, options, problems)
  drawn = [source_files.convert_pair(pair, options, None) for pair in found.pairs]
  for each in drawn:
    if each.problem:
      raise InputError(each.problem)
    if any(not 0 <= value < len(described.class_names) and value != 255 for value in each.values):
      raise Silent(f'labels {each.values} of {len(described.class_names)} classes')
    if np.sum(each.pixels) != _HEIGHT * _WIDTH:
      raise Silent(f'{np.sum(each.pixels)} pixels')


TARGETS = (Target('annotations', run, weight=7, prepare=prepare),)
