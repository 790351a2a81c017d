"""How the layers of a part of the network compute: one arg_scope for a backbone, one for the head.

The parts differ: MobileNetV2 has another batch norm decay and epsilon than the ResNets and than the
head on any backbone.
"""

import tensorflow as tf

from deeplab.model.backbones import HEAD_BATCH_NORM_DECAY, HEAD_BATCH_NORM_EPSILON, Backbone
from deeplab.model.layers import (
  batch_norm,
  concat_conv2d,
  conv2d,
  depthwise_conv2d,
  normalization,
)
from deeplab.model.slim_bridge import slim
from deeplab.operations.dispatch import Operations

_CONVOLUTIONS = [conv2d, concat_conv2d, depthwise_conv2d]


def arg_scope(*, operations: Operations, is_training: bool, decay: float, epsilon: float) -> dict:
  """Convolutions with batch norm and ReLU.

  Args:
    operations: what the layers compute with.
    is_training: batch norm uses the batch's statistics and updates the moving ones.
    decay: of the moving statistics.
    epsilon: added to variances.

  Returns:
    an arg_scope to enter with `slim.arg_scope`.
  """
  with slim.arg_scope([normalization], is_training=is_training, decay=decay, epsilon=epsilon):
    with slim.arg_scope([*_CONVOLUTIONS, batch_norm], operations=operations):
      with slim.arg_scope(
        _CONVOLUTIONS,
        activation_fn=tf.nn.relu,
        normalizer_fn=normalization,
        weights_initializer=slim.variance_scaling_initializer(),
      ) as scope:
        return scope


def backbone_arg_scope(
  backbone: Backbone,
  *,
  operations: Operations,
  is_training: bool,
  batch_norm_decay: float | None = None,
) -> dict:
  """That of a backbone; `batch_norm_decay` None for its own."""
  return arg_scope(
    operations=operations,
    is_training=is_training,
    decay=batch_norm_decay or backbone.batch_norm_decay,
    epsilon=backbone.batch_norm_epsilon,
  )


def head_arg_scope(
  *, operations: Operations, is_training: bool, batch_norm_decay: float | None = None
) -> dict:
  """That of ASPP, decoder and logits; `batch_norm_decay` None for the reference's."""
  return arg_scope(
    operations=operations,
    is_training=is_training,
    decay=batch_norm_decay or HEAD_BATCH_NORM_DECAY,
    epsilon=HEAD_BATCH_NORM_EPSILON,
  )
