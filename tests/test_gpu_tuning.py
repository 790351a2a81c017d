import os

import PIL.Image
import pytest
import tensorflow as tf
from fake_model import PixelModel

from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.options import PredictionOptions
from deeplab.prediction import gpu_tuning, image_files, prediction_paths


def _planned(directory, sizes):
  for index, (height, width) in enumerate(sizes):
    PIL.Image.new('RGB', (width, height)).save(directory / f'{index:03d}.png')
  (directory / 'bad.png').write_text('text')
  images, _ = image_files.find_images([str(directory)])
  return prediction_paths.plan(images, output_path='out', types=['color'])


def _key(**options):
  return DeepLabV3Inferencer(PixelModel(), options=PredictionOptions(**options)).batch_key


@pytest.mark.parametrize(
  'sizes,options,many',
  [
    ([(20, 30)] * 10, {}, False),
    ([(20 + index % 8, 30) for index in range(100)], {}, False),
    ([(20 + index % 9, 30) for index in range(100)], {}, True),
    ([(20 + index % 9, 30) for index in range(100)], dict(eval_pad='33x33'), False),
    ([(20 + index % 9, 30) for index in range(100)], dict(eval_pad='stride'), False),
    ([(90 + index % 9, 90) for index in range(20)], dict(max_size=16), False),
    ([(30 + index, 90) for index in range(20)], dict(eval_pad='33x33'), False),  # All too large.
  ],
)
def test_many_sizes_are_those_that_the_network_sees(tmp_path, sizes, options, many):
  assert gpu_tuning.has_many_sizes(_planned(tmp_path, sizes), _key(**options)) == many


def test_only_on_a_gpu_and_where_the_user_did_not_choose(tmp_path, monkeypatch):
  planned = _planned(tmp_path, [(10 + index, 9) for index in range(12)])
  monkeypatch.setattr(os, 'environ', dict(os.environ))
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: [])
  gpu_tuning.limit(planned, _key())
  assert 'TF_CUDNN_USE_AUTOTUNE' not in os.environ
  monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: ['a GPU'])
  os.environ['TF_CUDNN_USE_AUTOTUNE'] = '1'
  gpu_tuning.limit(planned, _key())
  assert os.environ.pop('TF_CUDNN_USE_AUTOTUNE') == '1'
  gpu_tuning.limit(planned[:3], _key())
  assert 'TF_CUDNN_USE_AUTOTUNE' not in os.environ
  gpu_tuning.limit(planned, _key())
  assert os.environ['TF_CUDNN_USE_AUTOTUNE'] == '0'
