"""Every setting of batch norm, initializer and activation, one function for each part of the
network.

The parts differ: MobileNetV2 has another batch norm decay and epsilon than the ResNets and than the
  head on any backbone.
"""

import tensorflow as tf

from deeplab.model.layers import (
  affine_batch_norm,
  batch_norm,
  conv2d,
  depthwise_conv2d,
  expansion_batch_norm,
)
from deeplab.model.slim_bridge import slim

RESNET_BATCH_NORM_DECAY = 0.9997
MOBILENET_V2_BATCH_NORM_DECAY = 0.997


def resnet_arg_scope(*, is_training, batch_norm_decay=None):
  """Settings of the ResNet backbones, of ASPP, of the decoder and of the logits.

  Args:
    is_training: normalize with the batch's statistics.
    batch_norm_decay: None for the reference's 0.9997.

  Returns:
    an arg_scope to enter with `slim.arg_scope`.
  """
  return _arg_scope(
    is_training=is_training,
    decay=batch_norm_decay or RESNET_BATCH_NORM_DECAY,
    epsilon=1e-5,
    activation_fn=tf.nn.relu,
    weights_initializer=slim.variance_scaling_initializer(),
  )


head_arg_scope = resnet_arg_scope


def mobilenet_v2_arg_scope(*, is_training, batch_norm_decay=None):
  """Settings of the MobileNetV2 backbone; arguments as `resnet_arg_scope`, with decay 0.997 for
  None.
  """
  return _arg_scope(
    is_training=is_training,
    decay=batch_norm_decay or MOBILENET_V2_BATCH_NORM_DECAY,
    epsilon=1e-3,
    activation_fn=tf.nn.relu6,
    weights_initializer=tf.compat.v1.truncated_normal_initializer(stddev=0.09),
  )


def _arg_scope(*, is_training, decay, epsilon, activation_fn, weights_initializer):
  with slim.arg_scope(
    [batch_norm, affine_batch_norm, expansion_batch_norm],
    is_training=is_training,
    decay=decay,
    epsilon=epsilon,
  ):
    with slim.arg_scope(
      [conv2d, depthwise_conv2d],
      activation_fn=activation_fn,
      normalizer_fn=batch_norm,
      weights_initializer=weights_initializer,
    ) as scope:
      return scope
