"""Xception and the beta ResNets against the official ones written down a second time
(official_backbones.py): names, shapes, logits at all strides, gradients.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from official_network import Official

from deeplab.model import prediction_model, resnet, slim_bridge, xception
from deeplab.model.backbones import BACKBONES
from deeplab.model.feature_extractor import extract_features
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.official import official_names
from deeplab.operations.dispatch import Operations
from deeplab.options import ModelOptions

SLOW = pytest.mark.slow

# === Names and shapes, from the tables of research/deeplab's xception.py and resnet_v1_beta.py ===

# Blocks of one unit with a shortcut convolution: (scope, depth of the inputs, depths).
SHORT_ENTRY = (
  ('entry_flow/block1', 64, (128, 128, 128)),
  ('entry_flow/block2', 128, (256, 256, 256)),
  ('entry_flow/block3', 256, (728, 728, 728)),
)
LONG_ENTRY = (
  ('entry_flow/block1', 64, (128, 128, 128)),
  ('entry_flow/block2', 128, (256, 256, 256)),
  ('entry_flow/block3', 256, (256, 256, 256)),
  ('entry_flow/block4', 256, (728, 728, 728)),
  ('entry_flow/block5', 728, (728, 728, 728)),
)
# Variant: (entry flow, units of the middle flow, number of variables of the backbone).
XCEPTIONS = {
  'xception_41': (SHORT_ENTRY, 8, 420),
  'xception_65': (SHORT_ENTRY, 16, 660),
  'xception_71': (LONG_ENTRY, 16, 730),
}
# Variant: (scope, units of the four blocks, number of variables of the backbone).
BETA_RESNETS = {
  'resnet_v1_50_beta': ('resnet_v1_50', (3, 4, 6, 3), 275),
  'resnet_v1_101_beta': ('resnet_v1_101', (3, 4, 23, 3), 530),
}


def convolution(scope, kernel, inputs, outputs):
  """{name: shape} of a convolution with batch norm; without outputs it is a depthwise one."""
  kind, last = ('weights', outputs) if outputs else ('depthwise_weights', 1)
  statistics = ('gamma', 'beta', 'moving_mean', 'moving_variance')
  return {
    f'{scope}/{kind}': [kernel, kernel, inputs, last],
    **{f'{scope}/BatchNorm/{each}': [outputs or inputs] for each in statistics},
  }


def xception_variables(variant):
  entry, middle_units, _ = XCEPTIONS[variant]
  variables = {
    **convolution('entry_flow/conv1_1', 3, 3, 32),
    **convolution('entry_flow/conv1_2', 3, 32, 64),
  }
  blocks = [*entry, ('exit_flow/block1', 728, (728, 1024, 1024))]
  units = [(f'{scope}/unit_1', depth, depths) for scope, depth, depths in blocks]
  for scope, depth, depths in units:
    variables |= convolution(f'{scope}/xception_module/shortcut', 1, depth, depths[-1])
  for unit in range(1, middle_units + 1):
    units.append((f'middle_flow/block1/unit_{unit}', 728, (728, 728, 728)))
  units.append(('exit_flow/block2/unit_1', 1024, (1536, 1536, 2048)))
  for scope, depth, depths in units:
    for index, outputs in enumerate(depths, start=1):
      separable = f'{scope}/xception_module/separable_conv{index}'
      variables |= convolution(f'{separable}_depthwise', 3, depth, None)
      variables |= convolution(f'{separable}_pointwise', 1, depth, outputs)
      depth = outputs
  return {f'{variant}/{name}': shape for name, shape in variables.items()}


def beta_resnet_variables(variant):
  scope, units_of_blocks, _ = BETA_RESNETS[variant]
  variables = {
    **convolution('conv1_1', 3, 3, 64),
    **convolution('conv1_2', 3, 64, 64),
    **convolution('conv1_3', 3, 64, 128),
  }
  inputs = 128
  for block, (units, depth) in enumerate(zip(units_of_blocks, (64, 128, 256, 512)), start=1):
    for unit in range(1, units + 1):
      here = f'block{block}/unit_{unit}/bottleneck_v1'
      if unit == 1:
        variables |= convolution(f'{here}/shortcut', 1, inputs, 4 * depth)
      variables |= convolution(f'{here}/conv1', 1, inputs, depth)
      variables |= convolution(f'{here}/conv2', 3, depth, depth)
      variables |= convolution(f'{here}/conv3', 1, depth, 4 * depth)
      inputs = 4 * depth
  return {f'{scope}/{name}': shape for name, shape in variables.items()}


@pytest.mark.parametrize(
  'variant',
  [
    pytest.param(variant, marks=[] if variant in ('xception_65', 'resnet_v1_50_beta') else SLOW)
    for variant in (*XCEPTIONS, *BETA_RESNETS)
  ],
)
def test_variables_are_the_official_ones(variant, monkeypatch):
  if variant in XCEPTIONS:
    expected, count = xception_variables(variant), XCEPTIONS[variant][-1]
  else:
    expected, count = beta_resnet_variables(variant), BETA_RESNETS[variant][-1]
  # Without their values, which take longer.
  monkeypatch.setattr(slim_bridge, '_create_variable', lambda name, request: request['shape'])
  options = ModelOptions(model_variant=variant)
  depths = []

  def build():
    images = tf.compat.v1.placeholder(tf.float32, [1, 33, 33, 3])
    for features in extract_features(
      images, options, operations=Operations('plain'), is_training=False
    ):
      depths.append(features.shape[-1])

  assert slim_bridge.create_variables(build) == expected and len(expected) == count
  assert depths == [2048, 256]


# === Numbers, of short networks ===

IMAGES = np.random.default_rng(0).uniform(0, 255, (1, 65, 82, 3)).astype(np.float32)
OFFICIALS = {
  'xception_41': Official('xception_41', middle_units=1),
  'xception_71': Official('xception_71', middle_units=1),
  'resnet_v1_50_beta': Official('resnet_v1_50_beta', resnet_units=(2, 1, 2, 3)),
}
HEAD = dict(rates=(2, 4), separable=True, decoder='separable', multi_grid=(1, 2, 3))


@pytest.fixture(scope='module')
def short_backbones():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(xception, 'MIDDLE_UNITS', {41: 1, 71: 1})
    patch.setattr(resnet, 'UNITS', {50: (2, 1, 2, 3)})
    yield


@pytest.fixture(
  scope='module',
  params=['xception_71', 'resnet_v1_50_beta', pytest.param('xception_41', marks=SLOW)],
)
def pair(request, short_backbones):
  """(Official, its weights, our network with the same)."""
  official = dataclasses.replace(OFFICIALS[request.param], **HEAD)
  return official, official.make_weights(), ours(official)


def ours(official, **settings):
  """Our network of an Official, with its weights."""
  options = ModelOptions(
    model_variant=official.backbone,
    num_classes=official.num_classes,
    output_stride=official.output_stride,
    atrous_rates=official.rates,
    aspp_with_separable_conv=official.separable,
    use_decoder=True,
    align_corners=True,
    multi_grid=official.multi_grid,
    preprocess_images_option=BACKBONES[official.backbone].official_preprocess_images_option,
  )
  model = DeepLabV3PredictionModel(options, **settings)
  weights = official.make_weights()
  assert set(model.named_variables) == set(weights) - {'global_step'}
  for name, variable in model.named_variables.items():
    value = weights[name]
    if name == official_names.CONCAT_WEIGHTS:  # [image_pooling, aspp0, ...] there.
      value = np.concatenate([value[:, :, 256:], value[:, :, :256]], axis=2)
    variable.assign(value)
  return model


@pytest.mark.parametrize('output_stride', [8, 16, 32])
@pytest.mark.parametrize('constant_weights', [False, True])
def test_logits_are_the_official_ones(pair, output_stride, constant_weights):
  official, weights, model = pair
  model.options = model.options.replace(output_stride=output_stride)
  official = dataclasses.replace(official, output_stride=output_stride)
  expected = official.logits(weights, IMAGES).numpy()
  logits = model.predict(IMAGES, constant_weights=constant_weights)
  assert np.std(expected) > 0.1
  np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-4 * np.std(expected))


def test_gradients_are_those_through_space_to_batch(pair, monkeypatch):
  """At stride 8, where most depthwise convolutions are atrous ones; statistics are the stored."""
  official, weights, model = pair
  monkeypatch.setattr(prediction_model, '_dropout', lambda net, seed, share: net)
  model.options = model.options.replace(output_stride=8)
  official = dataclasses.replace(official, output_stride=8, space_to_batch=True)

  def loss_of(logits):
    return tf.reduce_mean(logits * tf.cos(tf.range(float(official.num_classes))))

  names = list(model.trainable)
  theirs = {name: tf.constant(value) for name, value in weights.items()}
  with tf.GradientTape() as tape:
    tape.watch([theirs[name] for name in names])
    loss = loss_of(official.logits(theirs, tf.constant(IMAGES)))
  expected = tape.gradient(loss, [theirs[name] for name in names])
  with tf.GradientTape() as tape:
    loss = loss_of(model.predict(IMAGES, is_training=True, fine_tune_batch_norm=False))
  actual = tape.gradient(loss, [model.trainable[name] for name in names])
  largest = max(np.linalg.norm(gradient) for gradient in expected)
  for name, one, other in zip(names, actual, expected):
    if name == official_names.CONCAT_WEIGHTS:
      other = np.concatenate([other[:, :, 256:], other[:, :, :256]], axis=2)
    # Rectifiers that flip by rounding; a wrong gradient would differ by as much as its norm.
    norm = max(np.linalg.norm(other), 1e-3 * largest)
    assert np.linalg.norm(one - other) <= 0.01 * norm, name
