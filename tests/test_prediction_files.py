import os

import numpy as np
import PIL.Image
import pytest

from deeplab.color_map import load_color_map, pascal_voc_color_map
from deeplab.errors import InputError
from deeplab.prediction import prediction_files

_LABELS = np.array([[0, 1, 2], [20, 15, 0]], np.int32)
_IMAGE = np.full([2, 3, 3], 100, np.uint8)


def _write(tmp_path, kind, *, labels=_LABELS, num_classes=21, extension='.png', **arguments):
  writer = prediction_files.PredictionWriter(
    color_map=pascal_voc_color_map(max(256, num_classes)), num_classes=num_classes
  )
  path = str(tmp_path / 'deep' / ('a' + extension))
  writer.write({kind: path}, image=_IMAGE, labels=labels, **arguments)
  assert os.listdir(tmp_path / 'deep') == ['a' + extension]
  return path


def test_color(tmp_path):
  picture = PIL.Image.open(_write(tmp_path, 'color'))
  assert picture.mode == 'RGB'
  assert np.asarray(picture).tolist() == [
    [[0, 0, 0], [128, 0, 0], [0, 128, 0]],
    [[0, 64, 128], [192, 128, 128], [0, 0, 0]],
  ]


def test_ids(tmp_path):
  picture = PIL.Image.open(_write(tmp_path, 'ids'))
  assert picture.mode == 'L'
  np.testing.assert_array_equal(picture, _LABELS)


def test_ids_above_256_classes_have_16_bits(tmp_path):
  labels = _LABELS + 1000
  picture = PIL.Image.open(_write(tmp_path, 'ids', labels=labels, num_classes=2000))
  assert picture.mode.startswith('I')
  np.testing.assert_array_equal(picture, labels)


def test_palette_is_both(tmp_path):
  picture = PIL.Image.open(_write(tmp_path, 'palette'))
  assert picture.mode == 'P'
  np.testing.assert_array_equal(picture, _LABELS)
  np.testing.assert_array_equal(picture.convert('RGB'), pascal_voc_color_map()[_LABELS])


def test_overlay(tmp_path):
  pixels = np.asarray(PIL.Image.open(_write(tmp_path, 'overlay')))
  assert pixels[0, 1].tolist() == [114, 50, 50]  # Half of (128, 0, 0), half of 100.


def test_probabilities(tmp_path):
  probabilities = np.random.default_rng(0).random([2, 3, 21], np.float32)
  path = _write(tmp_path, 'probabilities', extension='.npz', probabilities=probabilities)
  loaded = np.load(path)['probabilities']
  assert loaded.dtype == np.float16
  np.testing.assert_allclose(loaded, probabilities, atol=1e-3)


def test_more_classes_than_colors():
  with pytest.raises(InputError, match='19 colours, fewer than the 21 classes'):
    prediction_files.PredictionWriter(color_map=load_color_map('cityscapes'), num_classes=21)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
  path = _write(tmp_path, 'ids')
  before = open(path, 'rb').read()

  def full(picture, file, **arguments):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(PIL.Image.Image, 'save', full)
  with pytest.raises(InputError, match='a.png: cannot be written: No space left on device'):
    _write(tmp_path, 'ids')
  assert open(path, 'rb').read() == before and os.listdir(tmp_path / 'deep') == ['a.png']
