"""Damaged exported models, with and without the checksums of export.json beside them."""

import hashlib
import json
import os
import pathlib
import shutil

import exported_models
import numpy as np
import tensorflow as tf

from deeplab.engines import model_files, opening
from deeplab.export.description import LABELS

from . import damages
from .cases import Case, Silent, Target

_KINDS = ('TensorFlow Lite', 'ONNX', 'SavedModel')
_WITH_SUMS = 0.15


def prepare(directory: str) -> None:
  """Writes a model of each kind, and export.json."""
  exported_models.write(pathlib.Path(directory))
  files = [
    os.path.relpath(os.path.join(parent, name), directory)
    for parent, _, names in os.walk(directory)
    for name in names
  ]
  sums = []
  for name in sorted(files):
    with open(os.path.join(directory, name), 'rb') as file:
      sums.append({'name': name, 'sha256': hashlib.sha256(file.read()).hexdigest()})
  with open(os.path.join(directory, 'export.json'), 'w', encoding='utf-8') as file:
    json.dump({'format_version': 1, 'models': {'all': {'files': sums}}}, file)


def run(case: Case) -> None:
  """Damages one file of one model, and opens it as commands do."""
  directory, kind = case.path('exported'), case.choose(_KINDS)
  shutil.copytree(case.seeds, directory)
  model = os.path.join(directory, exported_models.FILES[kind])
  files = [model]
  if kind == 'SavedModel':
    files = [os.path.join(parent, name) for parent, _, names in os.walk(model) for name in names]
  path = case.choose(sorted(files))
  with open(path, 'rb') as file:
    whole = file.read()
  damaged = damages.bytes_of(case, whole, first=case.choose([0, 8]))
  with open(path, 'wb') as file:
    file.write(damaged)
  has_sums = case.chance(_WITH_SUMS)
  if not has_sums:
    os.remove(os.path.join(directory, 'export.json'))
  case.note(f'{os.path.relpath(path, directory)}, with sums: {has_sums}')
  found = model_files.find(model)
  opened = opening.open_model(found, engine='auto', compute_dtype='float32')
  images = np.random.default_rng(0).integers(0, 256, [2, 9, 12, 3], np.uint8)
  labels = opened.runner.run(LABELS, tf.constant(images[:1])).numpy()
  if has_sums and damaged != whole:
    raise Silent(f'{os.path.basename(path)}: another file than export.json describes is taken')
  if damaged == whole and not np.array_equal(labels, np.argmax(images[:1], axis=-1)):
    raise Silent('a whole model predicts something else')


TARGETS = (Target('models', run, weight=6, prepare=prepare),)
