"""The decoder of DeepLabv3+ (arXiv:1802.02611, section 3.1)."""

import tensorflow as tf

from deeplab.model.layers import conv2d, separable_conv2d
from deeplab.model.slim_bridge import variable_scope
from deeplab.operations.plain import resize_bilinear
from deeplab.operations.sizes import spatial_size

DEPTH = 256
LOW_LEVEL_DEPTH = 48
# Plain convolutions have these names in the checkpoints of the 2019 program, which named the
# separable ones only.
PLAIN_SCOPES = ('Conv', 'Conv_1')
SEPARABLE_SCOPES = ('decoder_conv0', 'decoder_conv1')


def decoder(
  features: tf.Tensor, low_level_features: tf.Tensor, *, separable: bool, align_corners: bool
) -> tf.Tensor:
  """Refines object boundaries with early features, inside an arg_scope of `head_arg_scope`.

  Args:
    features: float [B, h, w, 256] from ASPP.
    low_level_features: float [B, H, W, D'] from early in the backbone, at stride 4.
    separable: separable instead of plain 3x3 convolutions.
    align_corners: convention of the resize.

  Returns:
    [B, H, W, 256].
  """
  with variable_scope('decoder'):
    projected = conv2d(low_level_features, LOW_LEVEL_DEPTH, 1, scope='feature_projection0')
    features = resize_bilinear(features, spatial_size(projected), align_corners=align_corners)
    net = tf.concat([features, projected], axis=-1)
    for index in range(2):
      if separable:
        net = separable_conv2d(net, DEPTH, scope=SEPARABLE_SCOPES[index])
      else:
        net = conv2d(net, DEPTH, 3, scope=PLAIN_SCOPES[index])
  return net
