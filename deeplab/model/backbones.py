"""One record for each backbone: all that is to be known of one beside its network.

Free of TensorFlow, because options, messages and `--help` read it too. A new backbone is one
network file in this directory and one record here.
"""

import dataclasses
import types
from collections.abc import Collection

# Batch norm of ASPP, decoder and logits, on every backbone.
HEAD_BATCH_NORM_DECAY = 0.9997
HEAD_BATCH_NORM_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Backbone:
  """What tells one backbone from another.

  Attributes:
    scope: variable scope, what the names of its variables start with; that of a beta ResNet is that
      of the ResNet.
    module, function: its network, a function in a module of this directory. It takes images float
      [B, H, W, 3], `output_stride`, `recompute`, the `settings` and the `own_options`, and returns
      features [B, H/output_stride, W/output_stride, D] and a dict of end points.
    low_level_features: the end point that the decoder reads, [B, H/4, W/4, D'].
    root: scope of the first convolution, below `scope`.
    classifier_scopes: what classification checkpoints have below `scope` behind the features.
    preprocess_images_option: the normalization that the published ImageNet weights were trained
      with, a value of ModelOptions.
    official_preprocess_images_option: the same of the official DeepLab weights; None where there
      are none of this backbone.
    batch_norm_decay, batch_norm_epsilon: of its batch norms.
    settings: arguments of `function` that are always the same.
    own_options: names of ModelOptions that this backbone has and not all have.
  """

  scope: str
  module: str
  function: str
  low_level_features: str
  root: str
  classifier_scopes: tuple[str, ...]
  preprocess_images_option: str
  official_preprocess_images_option: str | None
  batch_norm_decay: float
  batch_norm_epsilon: float
  settings: types.MappingProxyType
  own_options: tuple[str, ...] = ()


# Of all networks of the official DeepLab but the ResNets with a root of 7x7.
_UNIT_RANGE = 'zero_mean_unit_range'


def _resnet(version: int, num_layers: int) -> Backbone:
  return Backbone(
    scope=f'resnet_v{version}_{num_layers}',
    module='resnet',
    function='resnet',
    low_level_features=f'block1/unit_2/bottleneck_v{version}/conv3',
    root='conv1',
    classifier_scopes=('logits',),
    preprocess_images_option='subtract_imagenet_mean' if version == 1 else _UNIT_RANGE,
    official_preprocess_images_option='subtract_official_mean' if version == 1 else None,
    batch_norm_decay=HEAD_BATCH_NORM_DECAY,
    batch_norm_epsilon=HEAD_BATCH_NORM_EPSILON,
    settings=types.MappingProxyType({'version': version, 'num_layers': num_layers}),
    own_options=('multi_grid',),
  )


def _beta_resnet(num_layers: int) -> Backbone:
  """Research/deeplab's variant with another root, under the same scope."""
  usual = _resnet(1, num_layers)
  return dataclasses.replace(
    usual,
    root='conv1_1',
    preprocess_images_option=_UNIT_RANGE,
    official_preprocess_images_option=_UNIT_RANGE,
    batch_norm_decay=0.95,
    settings=types.MappingProxyType({**usual.settings, 'beta': True}),
  )


def _xception(num_layers: int, *, low_level_block: int) -> Backbone:
  return Backbone(
    scope=f'xception_{num_layers}',
    module='xception',
    function='xception',
    low_level_features=(
      f'entry_flow/block{low_level_block}/unit_1/xception_module/separable_conv2_pointwise'
    ),
    root='entry_flow/conv1_1',
    classifier_scopes=('logits',),
    preprocess_images_option=_UNIT_RANGE,
    official_preprocess_images_option=_UNIT_RANGE,
    batch_norm_decay=0.9997,
    batch_norm_epsilon=1e-3,
    settings=types.MappingProxyType({'num_layers': num_layers}),
    own_options=('multi_grid',),
  )


# model_variant -> its record.
BACKBONES = {
  'resnet_v1_50': _resnet(1, 50),
  'resnet_v1_101': _resnet(1, 101),
  'resnet_v1_50_beta': _beta_resnet(50),
  'resnet_v1_101_beta': _beta_resnet(101),
  'resnet_v2_50': _resnet(2, 50),
  'resnet_v2_101': _resnet(2, 101),
  'mobilenet_v2': Backbone(
    scope='MobilenetV2',
    module='mobilenet_v2',
    function='mobilenet_v2',
    low_level_features='layer_4/depthwise_output',
    root='Conv',
    classifier_scopes=('Conv_1', 'Logits', 'Predictions'),
    preprocess_images_option=_UNIT_RANGE,
    official_preprocess_images_option=_UNIT_RANGE,
    batch_norm_decay=0.997,
    batch_norm_epsilon=1e-3,
    settings=types.MappingProxyType({}),
    own_options=('depth_multiplier',),
  ),
  'xception_41': _xception(41, low_level_block=2),
  'xception_65': _xception(65, low_level_block=2),
  'xception_71': _xception(71, low_level_block=3),
}


def variants_with(option: str) -> tuple[str, ...]:
  """The model variants that have an option of their own, such as 'multi_grid'."""
  return tuple(name for name, backbone in BACKBONES.items() if option in backbone.own_options)


def variant_of_variables(names: Collection[str]) -> str | None:
  """The model variant that has variables of these names, or None; its first convolution tells."""
  return next(
    (name for name, each in BACKBONES.items() if f'{each.scope}/{each.root}/weights' in names), None
  )


def variant_of_scope(scope: str) -> str | None:
  """The model variant whose variables are in that scope, or None; of a ResNet and its beta variant,
  which share all but the root, the ResNet.
  """
  return next((name for name, each in BACKBONES.items() if each.scope == scope), None)


def is_of_backbone(variable_name: str) -> bool:
  """Whether a variable of that name belongs to a backbone, not to what is above it."""
  return variant_of_scope(variable_name.split('/')[0]) is not None
