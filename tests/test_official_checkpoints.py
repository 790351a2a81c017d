"""Import and export of official weights against the official network written down a second time
(official_network.py).
"""

import dataclasses
import importlib.util
import os
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from official_network import Official

from deeplab import checkpoints, restoring, saved_options
from deeplab.errors import InputError
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.official import official_checkpoints, official_names
from deeplab.options import ExportOptions, ImportOptions, ModelOptions

IMAGES = np.random.default_rng(0).uniform(0, 255, (1, 65, 81, 3)).astype(np.float32)
SMALL = Official(multiplier=0.5)
FULL = Official(rates=(6, 12, 18), separable=True, decoder='separable')


def script(name):
  path = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'scripts', name + '.py'
  )
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def import_weights(weights, directory, **options):
  """Writes an official checkpoint, imports it with the command's main; returns the model that the
  result makes.
  """
  source = str(directory / 'official' / 'model.ckpt-1234')
  checkpoints.write(source, weights)
  return import_source(source, directory / 'ours', **options)


def import_source(source, output_path, **options):
  script('import_official_checkpoint').main(
    ImportOptions(ckpt_path=str(source), output_path=str(output_path), **options)
  )
  return load(output_path)


def load(directory):
  prefix = checkpoints.find(str(directory))
  model = DeepLabV3PredictionModel(saved_options.read(prefix).model_options)
  restoring.restore(model.named_variables, prefix, require_all=True)
  return model


def assert_same_logits(actual, expected):
  # Fifty layers of float32 in another order of summation.
  np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-4 * np.std(expected))


@pytest.mark.parametrize(
  'official',
  [
    SMALL,
    FULL,
    Official(multiplier=0.5, rates=(6, 12, 18), decoder='plain', num_classes=21),
    Official(multiplier=0.35, pooled=False, output_stride=8),
    Official(
      backbone='resnet_v1_50',
      rates=(12, 24, 36),
      decoder='separable',
      output_stride=8,
      multi_grid=(1, 2, 4),
    ),
  ],
  ids=['small', 'full', 'plain', 'unpooled', 'resnet'],
)
def test_imported_weights_give_the_official_logits(official, tmp_path):
  weights = official.make_weights()
  flags = {'multi_grid': official.multi_grid} if official.multi_grid != (1, 1, 1) else {}
  model = import_weights(weights, tmp_path, output_stride=official.output_stride, **flags)
  assert model.options.num_classes == official.num_classes
  assert model.options.depth_multiplier == official.multiplier
  assert model.options.atrous_rates == official.rates
  assert model.options.use_image_level_feature == official.pooled
  assert model.options.use_decoder == bool(official.decoder)
  assert_same_logits(model.predict(IMAGES), official.logits(weights, IMAGES))


@pytest.mark.parametrize(
  'mistake',
  [
    dict(pooling_first=False),
    dict(backbone_epsilon=1e-5),
    dict(head_epsilon=1e-3),
    dict(align_corners=False),
    dict(normalization='mean'),
  ],
  ids=lambda mistake: next(iter(mistake)),
)
def test_each_mistake_would_change_the_logits(mistake):
  # Makes sure that the comparison above can fail, each reason by itself. The mean changes were, in
  # the order above, 4.4, 0.65, 0.23, 0.66 and 0.90, at logits with a standard deviation of 7: a
  # hundred times the tolerance at least.
  weights = SMALL.make_weights()
  right = SMALL.logits(weights, IMAGES).numpy()
  wrong = dataclasses.replace(SMALL, **mistake).logits(weights, IMAGES).numpy()
  assert np.abs(wrong - right).mean() > 0.02 * right.std()


@pytest.mark.parametrize(
  'official',
  [SMALL, Official(multiplier=0.5, rates=(6, 12, 18), separable=True, decoder='plain')],
  ids=['small', 'full'],
)
def test_round_trip_is_bit_identical(official, tmp_path, capsys):
  weights = official.make_weights()
  import_weights(weights, tmp_path)
  script('export_official_checkpoint').main(
    ExportOptions(ckpt_path=str(tmp_path / 'ours'), output_path=str(tmp_path / 'back'))
  )
  assert '0 others left out' in capsys.readouterr().out
  reader = checkpoints.Reader(str(tmp_path / 'back' / 'model.ckpt'))
  assert set(reader.shapes) == set(weights)
  for name, value in weights.items():
    assert reader.get(name).tobytes() == value.tobytes(), name
  there, back = tmp_path / 'official' / 'model.ckpt-1234', tmp_path / 'back' / 'model.ckpt'
  data = '.data-00000-of-00001'
  assert (there.parent / (there.name + data)).read_bytes() == (
    back.parent / (back.name + data)
  ).read_bytes()


def test_archive_and_directory_with_a_frozen_graph(tmp_path):
  weights = SMALL.make_weights()
  checkpoints.write(str(tmp_path / 'zoo' / 'model.ckpt-1234'), weights)
  (tmp_path / 'graph').mkdir()
  (tmp_path / 'graph' / 'frozen_inference_graph.pb').write_bytes(
    SMALL.frozen_graph(weights).SerializeToString()
  )
  with tarfile.open(tmp_path / 'zoo.tar.gz', 'w:gz') as archive:
    archive.add(tmp_path / 'zoo', 'zoo')
  expected = SMALL.logits(weights, IMAGES)
  for source in ('zoo.tar.gz', 'graph'):
    assert_same_logits(
      import_source(tmp_path / source, tmp_path / 'ours' / source).predict(IMAGES), expected
    )


def test_blocks_move():
  weights = np.repeat(np.arange(3, dtype=np.float32), 256)[np.newaxis, np.newaxis, :, np.newaxis]
  moved = official_names.reorder_concatenation(
    weights, before=('image_pooling', 'aspp0', 'aspp1'), after=('aspp0', 'aspp1', 'image_pooling')
  )
  np.testing.assert_array_equal(moved[0, 0, ::256, 0], [1, 2, 0])


def test_the_other_names_of_a_plain_decoder_are_known():
  there = {'decoder/decoder_conv1/BatchNorm/gamma', 'decoder/decoder_conv1/weights'}
  assert (
    official_names.official_name('decoder/Conv_1/weights', there) == 'decoder/decoder_conv1/weights'
  )
  assert (
    official_names.official_name('decoder/Conv_1/BatchNorm/gamma', there)
    == 'decoder/decoder_conv1/BatchNorm/gamma'
  )
  assert (
    official_names.official_name('decoder/Conv_1/weights')
    == 'decoder/decoder_conv0/decoder_conv0_2/weights'
  )
  assert official_names.official_name('aspp0/BatchNorm/gamma') == 'aspp0/BatchNorm/gamma'


def test_every_variable_is_accounted_for(tmp_path, capsys):
  weights = SMALL.make_weights()
  extra = {
    'aspp0/weights/Momentum': weights['aspp0/weights'],
    'beta1_power': np.float32(0.9),
    'MobilenetV2/Conv/weights/ExponentialMovingAverage': weights['MobilenetV2/Conv/weights'],
    'MobilenetV2/Conv_1/weights': np.zeros([1, 1, 160, 1280], np.float32),
    'mystery': np.zeros([2], np.float32),
  }
  import_weights({**weights, **extra}, tmp_path)
  said = capsys.readouterr().out
  assert f'{len(weights) - 1} used, 3 of the optimizer left out, 2 others left out' in said
  assert 'left out: MobilenetV2/Conv_1/weights\n  left out: mystery\n' in said
  reader = checkpoints.Reader(str(tmp_path / 'ours' / 'model.ckpt'))
  assert set(reader.shapes) == set(weights)
  assert reader.global_step == 1234


@pytest.mark.parametrize(
  'change, flags, message',
  [
    (dict(), dict(num_classes=21), r'--num_classes=21: .* has 5; leave the flag out'),
    (dict(), dict(model_variant='resnet_v1_50'), 'has mobilenet_v2'),
    (dict(), dict(atrous_rates=(6, 12)), 'has 0 atrous branches; give no rates'),
    (
      {'logits/semantic/weights': None},
      {},
      'no logits/semantic/weights: a classification model; train from it',
    ),
    (
      {'MobilenetV2/expanded_conv_7/expand/weights': None},
      {},
      'lacks MobilenetV2/expanded_conv_7/expand/weights',
    ),
    (
      {'aspp0/BatchNorm/beta': np.zeros([128], np.float32)},
      {},
      r'aspp0/BatchNorm/beta has shape \[128\], .* needs \[256\]',
    ),
    (
      {'aspp0/BatchNorm/beta': np.full([256], np.nan, np.float32)},
      {},
      'aspp0/BatchNorm/beta holds values that are not',
    ),
    (
      {'MobilenetV2/Conv/weights': np.zeros([3, 3, 3, 20], np.float32)},
      {},
      r'has 20 channels; this toolkit has 11 \(mult',
    ),
    (
      {'decoder/feature_projection1/weights': np.zeros([2], np.float32)},
      {},
      'the first is decoder/feature_projection1',
    ),
    (
      {'logits/semantic_1/weights': np.zeros([2], np.float32)},
      {},
      'the first is logits/semantic_1/weights: an arch',
    ),
    (
      {'MobilenetV3/Conv/weights': np.zeros([2], np.float32)},
      {},
      'its backbone is MobilenetV3, which this toolkit does not have; it imports .*xception_65',
    ),
    (
      {'resnet_v1_18/conv1_1/weights': np.zeros([2], np.float32)},
      {},
      'its backbone is resnet_v1_18, which this',
    ),
    (
      {'FeatureExtractor/MobilenetV2/Conv/weights': np.zeros([2], np.float32)},
      {},
      'is an object detector',
    ),
    (
      {'save_counter/.ATTRIBUTES/VARIABLE_VALUE': np.zeros([2], np.float32)},
      {},
      'object-based checkpoint',
    ),
  ],
)
def test_refuses(change, flags, message, tmp_path):
  weights = {
    name: value for name, value in {**SMALL.make_weights(), **change}.items() if value is not None
  }
  with pytest.raises(InputError, match=message) as caught:
    import_weights(weights, tmp_path, **flags)
  assert '\n' not in str(caught.value)
  assert not (tmp_path / 'ours').exists()


def test_refuses_something_else(tmp_path):
  checkpoints.write(str(tmp_path / 'model.ckpt'), {'dense/kernel': np.zeros([2], np.float32)})
  with pytest.raises(
    InputError, match=r'not an official DeepLab model: no backbone among its scopes \(dense\)'
  ):
    import_source(tmp_path, tmp_path / 'ours')
  with pytest.raises(InputError, match='no such file or directory|not found'):
    import_source(tmp_path / 'absent', tmp_path / 'ours')


def test_names_the_flags(tmp_path, capsys):
  with pytest.raises(InputError, match='^--ckpt_path=.*absent/x: no such file or directory$'):
    import_source(tmp_path / 'absent' / 'x', tmp_path / 'ours')
  export = script('export_official_checkpoint').main
  with pytest.raises(InputError, match='^--ckpt_path=.*: holds no checkpoint'):
    export(ExportOptions(ckpt_path=str(tmp_path), output_path=str(tmp_path / 'back')))
  (tmp_path / 'file').touch()
  with pytest.raises(
    InputError,
    match='^--output_path: the directory .*file/x cannot be made .Not a directory.; choose another',
  ):
    import_source(tmp_path / 'absent', tmp_path / 'file' / 'x')
  assert not capsys.readouterr().out and os.listdir(tmp_path) == ['file']


def test_refuses_an_index_without_data(tmp_path):
  checkpoints.write(str(tmp_path / 'official' / 'model.ckpt'), {'global_step': np.int64(1)})
  (tmp_path / 'official' / 'model.ckpt.data-00000-of-00001').unlink()
  with pytest.raises(InputError, match='data-00000-of-00001 is missing; copy it beside the index'):
    import_source(tmp_path / 'official', tmp_path / 'ours')


def test_rates_of_other_than_three_branches_must_be_given(tmp_path):
  weights = Official(multiplier=0.5, rates=(6, 12)).make_weights()
  with pytest.raises(
    InputError, match='has 2 atrous branches, whose rates are not in a checkpoint'
  ):
    import_weights(weights, tmp_path)
  assert import_weights(weights, tmp_path, atrous_rates=(4, 8)).options.atrous_rates == (4, 8)


def test_output_directory_is_not_overwritten(tmp_path):
  weights = SMALL.make_weights()
  import_weights(weights, tmp_path)
  with pytest.raises(
    InputError, match='holds model.ckpt already; give another directory, or --overwrite'
  ):
    import_weights(weights, tmp_path)
  import_weights(weights, tmp_path, overwrite=True)
  with pytest.raises(InputError, match='holds the source'):
    import_source(tmp_path / 'official', tmp_path / 'official', overwrite=True)
  with pytest.raises(InputError, match='says that it is one of this toolkit; it needs no import'):
    import_source(tmp_path / 'ours', tmp_path / 'again')
  checkpoints.write(str(tmp_path / 'run' / 'model.ckpt-10'), {'global_step': np.int64(10)})
  with pytest.raises(InputError, match='holds model.ckpt-10; give another directory'):
    import_source(tmp_path / 'official', tmp_path / 'run', overwrite=True)
  assert sorted(os.listdir(tmp_path / 'ours')) == [
    'checkpoint',
    'model.ckpt.data-00000-of-00001',
    'model.ckpt.index',
    'model_options.json',
  ]


def test_export_over_an_import_leaves_no_architecture(tmp_path):
  # Else the official order would be taken for ours.
  import_weights(SMALL.make_weights(), tmp_path)
  os.rename(tmp_path / 'ours', tmp_path / 'first')
  import_source(tmp_path / 'official', tmp_path / 'second')
  script('export_official_checkpoint').main(
    ExportOptions(
      ckpt_path=str(tmp_path / 'first'), output_path=str(tmp_path / 'second'), overwrite=True
    )
  )
  assert not (tmp_path / 'second' / saved_options.FILE_NAME).exists()


def test_export_says_what_the_official_program_does_otherwise(tmp_path, capsys):
  options = ModelOptions(model_variant='mobilenet_v2', depth_multiplier=0.35, num_classes=2)
  tensors = {
    **DeepLabV3PredictionModel(options).named_variables,
    'aspp0/weights/Momentum': np.zeros([2], np.float32),
  }
  checkpoints.write(str(tmp_path / 'ours' / 'model.ckpt'), tensors)
  export = ExportOptions(ckpt_path=str(tmp_path / 'ours'), output_path=str(tmp_path / 'official'))
  with pytest.raises(InputError, match='no model_options.json beside it'):
    script('export_official_checkpoint').main(export)
  saved_options.write(str(tmp_path / 'ours'), options)
  script('export_official_checkpoint').main(export)
  said = capsys.readouterr()
  assert '--align_corners=False' in said.err and 'subtract_imagenet_mean' in said.err
  assert 'left out: aspp0/weights/Momentum' in said.out and '--depth_multiplier=0.35' in said.out


def test_export_refuses_what_the_official_program_does_not_have(tmp_path):
  checkpoints.write(str(tmp_path / 'model.ckpt'), {'global_step': np.int64(1)})
  with pytest.raises(InputError, match='resnet_v2_50 is not a backbone of the official DeepLab'):
    official_checkpoints.to_official(
      checkpoints.Reader(str(tmp_path / 'model.ckpt')), ModelOptions(model_variant='resnet_v2_50')
    )


needs_data = pytest.mark.skipif(
  'DEEPLAB_TEST_DATA' not in os.environ, reason='DEEPLAB_TEST_DATA is not set'
)


@needs_data
def test_published_weights_with_their_batch_norm_unfolded(tmp_path):
  # The published weights have batch norm folded; here random statistics are taken out of them
  # again.
  source = os.path.join(os.environ['DEEPLAB_TEST_DATA'], 'deeplabv3_mnv2_dm05_pascal')
  reader = checkpoints.Reader(checkpoints.find(source))
  weights = {name: reader.get(name) for name in reader.shapes}
  rng = np.random.default_rng(0)
  for variance_name in [name for name in weights if name.endswith('/moving_variance')]:
    scope = variance_name[: -len('/BatchNorm/moving_variance')]
    depth = weights[variance_name].size
    gamma, mean, variance = (
      rng.uniform(low, high, depth).astype(np.float32)
      for low, high in ((0.5, 2), (-1, 1), (0.01, 1))
    )
    inverse = gamma / np.sqrt(variance + official_names.batch_norm_epsilon(scope))
    if f'{scope}/weights' in weights:
      weights[f'{scope}/weights'] = weights[f'{scope}/weights'] / inverse
    else:
      weights[f'{scope}/depthwise_weights'] = (
        weights[f'{scope}/depthwise_weights'] / inverse[:, np.newaxis]
      )
    weights[f'{scope}/BatchNorm/beta'] = weights[f'{scope}/BatchNorm/beta'] + mean * inverse
    weights.update(
      {
        f'{scope}/BatchNorm/gamma': gamma,
        f'{scope}/BatchNorm/moving_mean': mean,
        variance_name: variance,
      }
    )
  unfolded = import_weights(
    {
      name: np.asarray(value, np.float32 if name != 'global_step' else np.int64)
      for name, value in weights.items()
    },
    tmp_path,
  )
  folded = import_source(source, tmp_path / 'folded')
  np.testing.assert_allclose(unfolded.predict(IMAGES), folded.predict(IMAGES), rtol=0, atol=1e-3)


@needs_data
def test_published_weights_reach_their_mean_iou(tmp_path):
  from PIL import Image

  from deeplab import metrics

  data = os.environ['DEEPLAB_TEST_DATA']
  model = import_source(os.path.join(data, 'deeplabv3_mnv2_dm05_pascal'), tmp_path / 'ours')
  predict = tf.function(model.predict_labels, autograph=False)
  confusion = np.zeros([21, 21], np.int64)
  with open(os.path.join(data, 'voc8', 'list.txt'), encoding='utf-8') as names:
    for name in names.read().split():
      image = np.asarray(Image.open(os.path.join(data, 'voc8', 'JPEGImages', name + '.jpg')))
      labels = np.asarray(
        Image.open(os.path.join(data, 'voc8', 'SegmentationClass', name + '.png'))
      )
      height, width = labels.shape
      padded = np.full([513, 513, 3], 127.5, np.float32)
      padded[:height, :width] = image
      predictions = predict(padded[np.newaxis])[0, :height, :width]
      confusion += metrics.confusion_matrix(
        labels.astype(np.int32), predictions, num_classes=21, ignore_label=255
      ).numpy()
  summary = metrics.summarize(confusion)
  # Wrong order of the concatenation: 0.05; resizes that do not align corners: 0.79.
  assert summary.mean_iou == pytest.approx(0.8589, abs=0.002)
  assert summary.pixel_accuracy == pytest.approx(0.9605, abs=0.001)
