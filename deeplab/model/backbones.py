"""The table of backbones: which network, which arg_scope."""

import functools

from deeplab.model.arg_scopes import mobilenet_v2_arg_scope, resnet_arg_scope
from deeplab.model.mobilenet_v2 import mobilenet_v2
from deeplab.model.resnet import resnet
from deeplab.model.slim_bridge import slim

# model_variant -> (network, arg_scope, the options that only this network has)
BACKBONES = {
  'resnet_v1_50': (
    functools.partial(resnet, version=1, num_layers=50),
    resnet_arg_scope,
    ('multi_grid',),
  ),
  'resnet_v1_101': (
    functools.partial(resnet, version=1, num_layers=101),
    resnet_arg_scope,
    ('multi_grid',),
  ),
  'resnet_v2_50': (
    functools.partial(resnet, version=2, num_layers=50),
    resnet_arg_scope,
    ('multi_grid',),
  ),
  'resnet_v2_101': (
    functools.partial(resnet, version=2, num_layers=101),
    resnet_arg_scope,
    ('multi_grid',),
  ),
  'mobilenet_v2': (mobilenet_v2, mobilenet_v2_arg_scope, ('depth_multiplier',)),
}


def scope_name(model_variant):
  """The variable scope of a backbone: what the names of its checkpoint variables start with."""
  return 'MobilenetV2' if model_variant == 'mobilenet_v2' else model_variant


def build_backbone(images, options, *, is_training, batch_norm_decay=None, recompute=False):
  """Runs the backbone that `options` (a ModelOptions) names.

  Args:
    images: float [B, H, W, 3], normalized.
    options: ModelOptions.
    is_training: batch norm uses the batch's statistics.
    batch_norm_decay: None for the backbone's own.
    recompute: see `maybe_recompute`.

  Returns:
    features [B, H/output_stride, W/output_stride, D] and low_level_features [B, H/4, W/4, D'].
  """
  network, arg_scope, own_options = BACKBONES[options.model_variant]
  own = {name: getattr(options, name) for name in own_options}
  with slim.arg_scope(arg_scope(is_training=is_training, batch_norm_decay=batch_norm_decay)):
    return network(images, output_stride=options.output_stride, recompute=recompute, **own)
