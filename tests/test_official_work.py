"""Each backbone of the official DeepLab at work: from an ImageNet checkpoint through two training
steps, evaluation and prediction, out to the official program and in again, and as a frozen graph.
"""

import dataclasses
import importlib.util
import pathlib

import numpy as np
import pytest
import record_makers
import tensorflow as tf
from official_network import Official

import deeplab
from deeplab import checkpoints, metrics, saved_options
from deeplab.model.backbones import BACKBONES
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.official import official_architectures, official_checkpoints
from deeplab.official.frozen_graphs import FrozenGraph
from deeplab.official.official_architectures import recognize
from deeplab.options import ExportOptions, ImportOptions

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
SLOW = pytest.mark.slow
# Short networks; and, by hand, whole ones.
OFFICIALS = [
  Official('xception_65', middle_units=1),
  pytest.param(Official('xception_71', middle_units=1), marks=SLOW),
  pytest.param(Official('resnet_v1_50_beta', resnet_units=(2, 1, 2, 3)), marks=SLOW),
  pytest.param(Official('xception_41'), marks=SLOW),
  pytest.param(Official('xception_65'), marks=SLOW),
  pytest.param(Official('xception_71'), marks=SLOW),
  pytest.param(Official('resnet_v1_50_beta'), marks=SLOW),
  pytest.param(Official('resnet_v1_101_beta'), marks=SLOW),
]


def shown(official):
  short = official.middle_units or official.resnet_units
  return official.backbone + ('_short' if short else '')


@pytest.fixture
def official(request, monkeypatch):
  """The Official of the test; our network of its backbone has as many units."""
  from deeplab.model import resnet, xception

  chosen = request.param
  # Short and whole networks have the same options.
  official_architectures.variable_shapes.cache_clear()
  request.addfinalizer(official_architectures.variable_shapes.cache_clear)
  if chosen.middle_units:
    units = {**xception.MIDDLE_UNITS, int(chosen.backbone[-2:]): chosen.middle_units}
    monkeypatch.setattr(xception, 'MIDDLE_UNITS', units)
  if chosen.resnet_units:
    monkeypatch.setattr(resnet, 'UNITS', {**resnet.UNITS, 50: chosen.resnet_units})
  return dataclasses.replace(chosen, decoder='separable', num_classes=3)


def script(name):
  spec = importlib.util.spec_from_file_location(name, CHECKOUT / 'scripts' / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def write_classification_checkpoint(path, official):
  """What the ImageNet archives of research/deeplab hold."""
  scope = BACKBONES[official.backbone].scope
  weights = {
    name: value
    for name, value in official.make_weights().items()
    if name.startswith(scope + '/') or name == 'global_step'
  }
  weights[f'{scope}/logits/weights'] = np.ones([1, 1, 2048, 1001], np.float32)
  weights[f'{scope}/logits/biases'] = np.ones([1001], np.float32)
  checkpoints.write(str(path), weights)
  return weights


@pytest.mark.parametrize('official', OFFICIALS, ids=shown, indirect=True)
def test_from_imagenet_to_the_official_program_and_back(official, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  imagenet = write_classification_checkpoint(tmp_path / 'imagenet' / 'model.ckpt', official)
  random = np.random.default_rng(0)
  pixels = random.integers(0, 256, [33, 40, 3], np.uint8)
  label = random.integers(0, 3, [33, 40]).astype(np.uint8)
  image = record_makers.encode(pixels)
  record = record_makers.record(
    0, size=(33, 40), image=image, label=record_makers.encode(label), name='noise'
  )
  data = record_makers.write('train.tfrecord', [record])

  result = deeplab.train(
    filenames=data,
    load_ckpt_path='imagenet/model.ckpt',
    output_path='trained',
    model_variant=official.backbone,
    num_classes=3,
    use_decoder=True,
    align_corners=True,
    preprocess_images_option='zero_mean_unit_range',
    multi_grid=(1, 2, 1),
    num_steps=2,
    batch_size=2,
    crop_size_height=33,
    crop_size_width=33,
    init_learning_rate=1e-6,
    fine_tune_batch_norm=False,
  )
  assert result.outcome == 'finished'
  trained = checkpoints.Reader(result.checkpoint)
  first = f'{BACKBONES[official.backbone].scope}/{BACKBONES[official.backbone].root}/weights'
  moved = np.abs(trained.get(first) - imagenet[first]).max()
  assert 0 < moved < 1e-2 * np.abs(imagenet[first]).max()  # Restored, and trained on.
  report = deeplab.evaluate(filenames=data, ckpt_path='trained')
  assert 0 <= report.mean_iou <= 1

  script('export_official_checkpoint').main(
    ExportOptions(ckpt_path='trained', output_path='official')
  )
  flags = f'--model_variant={official.backbone} --output_stride=16'
  assert flags in capsys.readouterr().out
  script('import_official_checkpoint').main(
    ImportOptions(ckpt_path='official', output_path='again', multi_grid=(1, 2, 1))
  )
  again = checkpoints.Reader(checkpoints.find('again'))
  shared = [name for name in trained.shapes if not name.endswith('/Momentum')]
  assert set(again.shapes) == set(shared)
  for name in shared:
    np.testing.assert_array_equal(again.get(name), trained.get(name), err_msg=name)
  known = saved_options.read(checkpoints.find('trained')).model_options
  imported = saved_options.read(checkpoints.find('again')).model_options
  assert imported == known.replace(weight_decay=imported.weight_decay)
  prediction = deeplab.load('again').predict(pixels)
  # These are the pixels of the evaluation.
  confusion = metrics.confusion_matrix(
    label.astype(np.int32),
    prediction.class_ids.astype(np.int32),
    num_classes=3,
    ignore_label=255,
  )
  assert metrics.summarize(confusion.numpy()).mean_iou == pytest.approx(report.mean_iou, abs=0.01)


@pytest.mark.parametrize('official', OFFICIALS[:3], ids=shown, indirect=True)
@pytest.mark.parametrize('batch_norm', ['fused', pytest.param('folded', marks=SLOW)])
def test_frozen_graph(official, batch_norm, tmp_path):
  """As the archives have them: at stride 8, atrous convolutions by space to batch."""
  official = dataclasses.replace(
    official,
    output_stride=8,
    rates=(12, 24, 36),
    separable=True,
    multi_grid=(1, 2, 1),
    batch_norm=batch_norm,
    space_to_batch=True,
  )
  weights = official.make_weights()
  graph = official.frozen_graph(weights)
  path = tmp_path / 'frozen_inference_graph.pb'
  path.write_bytes(graph.SerializeToString())
  source = FrozenGraph(str(path))
  recognized = recognize(source, name='graph', given={})
  assert recognized.assumed == () and not recognized.unknown
  options = recognized.options
  assert options.model_variant == official.backbone and options.output_stride == 8
  assert options.multi_grid == (1, 2, 1) and options.atrous_rates == (12, 24, 36)
  assert options.align_corners and options.preprocess_images_option == 'zero_mean_unit_range'
  tensors = official_checkpoints.to_ours(source, recognized)
  if batch_norm == 'fused':
    for name, value in tensors.items():
      if name not in ('global_step', 'concat_projection/weights'):
        assert value.tobytes() == weights[name].tobytes(), name
  model = DeepLabV3PredictionModel(options)
  for name, variable in model.named_variables.items():
    variable.assign(tensors[name])
  pixels = np.random.default_rng(0).integers(0, 256, [1, 65, 65, 3], np.uint8)
  expected = official.logits(weights, tf.cast(pixels, tf.float32)).numpy()
  np.testing.assert_allclose(model.predict(pixels), expected, rtol=0, atol=3e-4 * expected.std())
