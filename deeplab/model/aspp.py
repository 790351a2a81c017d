"""Atrous spatial pyramid pooling (DeepLabv3, arXiv:1706.05587, section 3.3)."""
import tensorflow as tf

from deeplab.model.layers import conv2d, resize_bilinear, separable_conv2d, spatial_size

DEPTH = 256
DROPOUT_RATE = 0.1


def atrous_spatial_pyramid_pooling(features, *, atrous_rates, separable, image_level, align_corners, dropout):
  """Looks at the features at several scales, inside an arg_scope of `head_arg_scope`.

  Args:
    features: float [B, h, w, D] from the backbone.
    atrous_rates: ints, one 3x3 branch each; may be empty.
    separable: separable instead of plain 3x3 convolutions.
    image_level: add the globally pooled branch.
    align_corners: convention of its resize.
    dropout: function applied to the result.

  Returns:
    [B, h, w, 256].
  """
  # The order of the branches is part of a checkpoint's meaning: concat_projection weighs them by position.
  branches = [conv2d(features, DEPTH, 1, scope='aspp0')]
  for index, rate in enumerate(atrous_rates, start=1):
    if separable:
      branches.append(separable_conv2d(features, DEPTH, rate=rate, scope=f'aspp{index}'))
    else:
      branches.append(conv2d(features, DEPTH, 3, rate=rate, scope=f'aspp{index}'))
  if image_level:
    branches.append(_image_level_features(features, align_corners=align_corners))
  return dropout(conv2d(tf.concat(branches, axis=-1), DEPTH, 1, scope='concat_projection'))


def _image_level_features(features, *, align_corners):
  # Summed in float32: a low-precision mean over thousands of positions drifts.
  pooled = tf.reduce_mean(tf.cast(features, tf.float32), axis=[1, 2], keepdims=True)
  pooled = conv2d(tf.cast(pooled, features.dtype), DEPTH, 1, scope='image_pooling')
  return resize_bilinear(pooled, spatial_size(features), align_corners=align_corners)
