import os

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from fake_model import PixelModel

from deeplab import inferencer
from deeplab.color_map import pascal_voc_color_map
from deeplab.errors import InputError
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.options import PredictionOptions
from deeplab.prediction import (
  image_files,
  prediction_files,
  prediction_paths,
  prediction_pipeline,
)
from deeplab.prediction.contact_sheets import ContactSheets
from deeplab.prediction.device_predictors import DevicePredictors
from deeplab.prediction.prediction_pipeline import PredictionPipeline, PredictionSummary


@pytest.fixture
def photos(tmp_path):
  directory = tmp_path / 'photos'
  directory.mkdir()
  rng = np.random.default_rng(0)
  for index in range(9):
    pixels = rng.integers(0, 256, [5 + index % 3, 7, 3], np.uint8)
    PIL.Image.fromarray(pixels).save(directory / f'{index}.png')
  return directory


def _run(photos, output_path, *, types=('ids',), batch_size=1, pages=(), **options):
  images, _ = image_files.find_images([str(photos)])
  planned = prediction_paths.plan(images, output_path=str(output_path), types=types)
  predictor = DeepLabV3Inferencer(
    PixelModel(), options=PredictionOptions(batch_size=batch_size, **options)
  )
  writer = prediction_files.PredictionWriter(color_map=pascal_voc_color_map(), num_classes=3)
  return PredictionPipeline(
    DevicePredictors([predictor]), writer, batch_size=batch_size, pages=pages
  ).run(planned)


@pytest.mark.parametrize('batch_size', [1, 2, 4])
def test_every_image_is_predicted(photos, tmp_path, capsys, batch_size):
  summary = _run(photos, tmp_path / 'out', batch_size=batch_size)
  assert (summary.num_predicted, summary.num_bad) == (9, 0)
  assert 0 < summary.seconds_to_first <= summary.seconds
  lines = capsys.readouterr().out.splitlines()
  assert sorted(lines) == [
    f'Prediction written to {tmp_path}/out/{index}.png_ids.png' for index in range(9)
  ]
  for index in range(9):
    image = np.asarray(PIL.Image.open(photos / f'{index}.png'))
    np.testing.assert_array_equal(
      PIL.Image.open(tmp_path / 'out' / f'{index}.png_ids.png'), image.argmax(axis=-1)
    )


def test_bad_images_are_named_and_the_others_go_on(photos, tmp_path, capsys):
  (photos / '3.png').write_bytes((photos / '3.png').read_bytes()[:60])
  (photos / '5.png').write_text('text')
  summary = _run(photos, tmp_path / 'out', batch_size=2)
  assert (summary.num_predicted, summary.num_bad) == (7, 2)
  errors = capsys.readouterr().err
  assert f'warning: {photos}/3.png: is a damaged or truncated image' in errors
  assert f'warning: {photos}/5.png: is not an image' in errors
  assert len(os.listdir(tmp_path / 'out')) == 7


def test_images_ahead_and_behind_are_bounded_in_bytes(photos, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(prediction_pipeline, '_MOST_AHEAD', 1)
  monkeypatch.setattr(prediction_pipeline, '_MOST_BEHIND', 1)
  held, most = [], []

  def read(path, *, max_pixels):
    held.append(path)
    most.append(len(held))
    return image_files.read_image(path, max_pixels=max_pixels)

  predict = DeepLabV3Inferencer.start

  def predict_and_let_go(self, images):
    assert len(images) == 1  # Nor do images wait for others of their size.
    held.pop()
    return predict(self, images)

  monkeypatch.setattr(prediction_pipeline, 'read_image', read)
  monkeypatch.setattr(DeepLabV3Inferencer, 'start', predict_and_let_go)
  assert _run(photos, tmp_path / 'out', batch_size=4).num_predicted == 9
  assert max(most) == 1


def test_an_image_too_large_for_the_padding_is_a_bad_image(photos, tmp_path, capsys):
  summary = _run(photos, tmp_path / 'out', eval_pad='6x7')
  assert (summary.num_predicted, summary.num_bad) == (6, 3)
  assert (
    f'{photos}/2.png: height 7, width 7 is larger than --eval_pad=6x7' in capsys.readouterr().err
  )


def test_an_image_too_large_for_the_memory_is_a_bad_image(photos, tmp_path, capsys, monkeypatch):
  predict = DeepLabV3Inferencer.start

  def fail_for_some(self, images):
    if images[0].shape[0] == 6:
      raise tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating')
    return predict(self, images)

  monkeypatch.setattr(DeepLabV3Inferencer, 'start', fail_for_some)
  summary = _run(photos, tmp_path / 'out', batch_size=2)
  assert (summary.num_predicted, summary.num_bad) == (6, 3)
  assert (
    f'warning: {photos}/4.png: out of memory for height 6, width 7; give --max_size, --tile_size, a'
    in capsys.readouterr().err
  )
  monkeypatch.setattr(inferencer, '_MAX_PIXELS', 40)
  assert _run(photos, tmp_path / 'more', batch_size=2).num_bad == 6
  assert (
    f'{photos}/4.png: height 6, width 7 is more than 40 pixels, too many at once'
    in capsys.readouterr().err
  )
  assert _run(photos, tmp_path / 'tiles', eval_scales=(0.5, 2.0)).num_bad == 9


def test_only_failures_for_want_of_memory_leave_images_out(photos, tmp_path, capsys, monkeypatch):
  texts = ['CUDNN_STATUS_ALLOC_FAILED', 'CUDNN_STATUS_NOT_INITIALIZED', 'CUDNN_STATUS_BAD_PARAM']

  def fail(*_, **__):
    raise tf.errors.InternalError(None, None, texts.pop(0))

  monkeypatch.setattr(DeepLabV3Inferencer, 'start', fail)
  with pytest.raises(tf.errors.InternalError, match='BAD_PARAM'):
    _run(photos, tmp_path / 'out')
  lines = capsys.readouterr().err.splitlines()
  assert [line[: line.index(' for height')] for line in lines] == [
    f'warning: {photos}/0.png: out of memory',
    f'warning: {photos}/1.png: the GPU failed (CUDNN_STATUS_NOT_INITIALIZED), mostly for want of '
    'memory,',
  ]


def test_a_full_disk_ends_the_run(photos, tmp_path, monkeypatch):
  written = []
  save = PIL.Image.Image.save

  def full_after_two(picture, file, **arguments):
    if len(written) == 2:
      raise OSError(28, 'No space left on device')
    written.append(file)
    save(picture, file, **arguments)

  monkeypatch.setattr(PIL.Image.Image, 'save', full_after_two)
  with pytest.raises(InputError, match='No space left on device'):
    _run(photos, tmp_path / 'out')
  assert len(os.listdir(tmp_path / 'out')) == 2


def test_contact_sheet_alone(photos, tmp_path, capsys):
  out = tmp_path / 'out'
  out.mkdir()
  sheets = ContactSheets(str(out), color_map=pascal_voc_color_map())
  assert _run(photos, out, types=('contact_sheet',), pages=[sheets]).num_predicted == 9
  assert os.listdir(out) == ['contact_sheet-001.png']
  assert capsys.readouterr().out == f'Prediction written to {out}/contact_sheet-001.png\n'


@pytest.mark.parametrize(
  'counts, message',
  [
    (dict(num_predicted=2), None),
    (dict(num_predicted=2, num_bad=1), '1 of 3 images could not be predicted; they are'),
    (
      dict(num_bad=1, num_partial=1, kind='inputs'),
      '1 of 1 inputs is not whole: what can be read is predicted and written; they are',
    ),
    (
      dict(num_predicted=1, num_bad=3, num_partial=2, kind='inputs'),
      '1 of 4 inputs could not be predicted; 2 of 4 inputs are not whole: what can be read is '
      'predicted and written; they are',
    ),
  ],
)
def test_what_is_written_in_part_is_told_from_what_is_not(counts, message):
  problem = PredictionSummary(**counts).problem()
  assert problem == (message and f'{message} named above')


@pytest.mark.parametrize(
  'cores,num_devices,batch_size,threads,look_ahead',
  [
    (1, 1, 1, (3, 2), 6),
    (2, 1, 1, (3, 2), 6),
    (16, 1, 4, (16, 16), 32),
    (16, 8, 4, (16, 16), 36),  # Each device's next batch, and one that is being filled.
    (200, 8, 1, (32, 32), 64),
  ],
)
def test_threads_follow_the_cores(monkeypatch, cores, num_devices, batch_size, threads, look_ahead):
  monkeypatch.setattr(prediction_pipeline, 'num_cores', lambda: cores)
  predictors = DevicePredictors([DeepLabV3Inferencer(PixelModel())] * num_devices)
  pipeline = PredictionPipeline(predictors, writer=None, batch_size=batch_size)
  assert (pipeline._num_readers, pipeline._num_writers) == threads
  assert pipeline._look_ahead == look_ahead
