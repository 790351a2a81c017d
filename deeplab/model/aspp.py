"""Atrous spatial pyramid pooling (DeepLabv3, arXiv:1706.05587, section 3.3)."""

import tensorflow as tf

from deeplab.model.layers import conv2d, separable_conv2d
from deeplab.model.projection import as_projection, spatial_mean

DEPTH = 256
DROPOUT_RATE = 0.1


def atrous_spatial_pyramid_pooling(features, *, atrous_rates, separable, image_level, dropout):
  """Looks at the features at several scales, inside an arg_scope of `head_arg_scope`.

  Args:
    features: float [B, h, w, D] from the backbone.
    atrous_rates: ints, one 3x3 branch each; may be empty.
    separable: separable instead of plain 3x3 convolutions.
    image_level: add the globally pooled branch.
    dropout: function applied to the result.

  Returns:
    [B, h, w, 256].
  """
  if not atrous_rates:
    features = as_projection(features, depth=DEPTH)
  # The order of the branches is part of a checkpoint's meaning: concat_projection weighs them by
  # position, the pooled one last.
  branches = [conv2d(features, DEPTH, 1, scope='aspp0')]
  for index, rate in enumerate(atrous_rates, start=1):
    if separable:
      branches.append(separable_conv2d(features, DEPTH, rate=rate, scope=f'aspp{index}'))
    else:
      branches.append(conv2d(features, DEPTH, 3, rate=rate, scope=f'aspp{index}'))
  pooled = _image_level_features(features) if image_level else None
  net = branches[0] if len(branches) == 1 else tf.concat(branches, axis=-1)
  return dropout(conv2d(net, DEPTH, 1, constant=pooled, scope='concat_projection'))


def _image_level_features(features):
  """[B, 1, 1, 256]: resized to the size of the map, as the paper says, one pixel is the same
  everywhere.
  """
  return conv2d(spatial_mean(features), DEPTH, 1, scope='image_pooling')
