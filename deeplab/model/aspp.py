"""Atrous spatial pyramid pooling (DeepLabv3, arXiv:1706.05587, section 3.3)."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from deeplab.model.layers import concat_conv2d, conv2d, separable_conv2d
from deeplab.operations.plain import spatial_mean

DEPTH = 256
DROPOUT_RATE = 0.1


def atrous_spatial_pyramid_pooling(
  features: tf.Tensor,
  *,
  atrous_rates: Sequence[int],
  separable: bool,
  image_level: bool,
  dropout: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
  """Looks at the features at several scales, inside an arg_scope of `head_arg_scope`.

  Args:
    features: float [B, h, w, D] from the backbone.
    atrous_rates: one 3x3 branch each; may be empty.
    separable: separable instead of plain 3x3 convolutions.
    image_level: add the globally pooled branch.
    dropout: applied to the result.

  Returns:
    [B, h, w, 256].
  """
  # The order of the branches is part of a checkpoint's meaning: concat_projection weighs them by
  # position, the pooled one last.
  branches = [conv2d(features, DEPTH, 1, scope='aspp0')]
  for index, rate in enumerate(atrous_rates, start=1):
    branches.append(_atrous_branch(features, rate, separable=separable, scope=f'aspp{index}'))
  if image_level:
    branches.append(_image_level_branch(features))
  return dropout(concat_conv2d(branches, DEPTH, scope='concat_projection'))


def _atrous_branch(features, rate, *, separable, scope):
  if separable:
    return separable_conv2d(features, DEPTH, rate=rate, scope=scope)
  return conv2d(features, DEPTH, 3, rate=rate, scope=scope)


def _image_level_branch(features):
  """[B, 1, 1, 256]: resized to the size of the map, as the paper says, one pixel is everywhere."""
  return conv2d(spatial_mean(features), DEPTH, 1, scope='image_pooling')
