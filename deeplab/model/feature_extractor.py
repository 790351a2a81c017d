"""Images to the features of the backbone that the options name."""

import importlib

import tensorflow as tf

from deeplab.model.arg_scopes import backbone_arg_scope
from deeplab.model.backbones import BACKBONES
from deeplab.model.slim_bridge import slim
from deeplab.operations.dispatch import Operations
from deeplab.options import ModelOptions


def extract_features(
  images: tf.Tensor,
  options: ModelOptions,
  *,
  operations: Operations,
  is_training: bool,
  batch_norm_decay: float | None = None,
  recompute: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Runs the backbone.

  Args:
    images: float [B, H, W, 3], normalized.
    operations: what to compute with.
    is_training: batch norm uses the batch's statistics.
    batch_norm_decay: None for the backbone's own.
    recompute: see `maybe_recompute`.

  Returns:
    features [B, H/output_stride, W/output_stride, D] and low_level_features [B, H/4, W/4, D'].
  """
  backbone = BACKBONES[options.model_variant]
  # Only the network that is needed is imported.
  network = getattr(importlib.import_module(f'deeplab.model.{backbone.module}'), backbone.function)
  own = {name: getattr(options, name) for name in backbone.own_options}
  with slim.arg_scope(
    backbone_arg_scope(
      backbone, operations=operations, is_training=is_training, batch_norm_decay=batch_norm_decay
    )
  ):
    features, end_points = network(
      images,
      output_stride=options.output_stride,
      recompute=recompute,
      **backbone.settings,
      **own,
    )
  return features, end_points[backbone.low_level_features]
