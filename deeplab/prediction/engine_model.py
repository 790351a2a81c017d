"""An exported model in the place of the network."""

import tensorflow as tf

from deeplab.engines.opening import OpenedModel
from deeplab.export.description import LABELS, PROBABILITIES
from deeplab.operations.dispatch import Operations
from deeplab.prediction import image_padding, multi_scale

# The probabilities of int8 are multiples of 1 / 256, so 0 is all that is less than half of one: as
# 0 a single pixel would outweigh a hundred others in the loss.
_LEAST = {'int8': 1 / 512}


class EngineModel:
  """What evaluator and inferencer ask of a DeepLabV3PredictionModel, computed by an engine. It pads
  images to the network's sizes itself.

  Attributes:
    options: the ModelOptions of the network.
    operations: what is around the network computes with.
  """

  fill_padding = staticmethod(image_padding.fill_padding_with_bytes)

  def __init__(self, opened: OpenedModel):
    self.options = opened.description.model_options
    self.operations = Operations()
    self._runner, self._l2_loss = opened.runner, opened.description.l2_loss
    self._least = _LEAST.get(opened.description.weights, 0.0)

  @property
  def failure(self) -> Exception | None:
    """What the engine raised last, or None."""
    return self._runner.failure

  def predict(self, images: tf.Tensor, *, constant_weights: bool = False) -> tf.Tensor:
    """Logits of every pixel: the logarithm of the probabilities.

    Args:
      images: uint8 [B, H, W, 3], RGB.
      constant_weights: they are.

    Returns:
      float32 [B, H, W, num_classes].
    """
    probabilities = self._runner.run(PROBABILITIES, images)
    return multi_scale.log_probabilities(tf.maximum(probabilities, self._least))

  def predict_labels(self, images: tf.Tensor, *, constant_weights: bool = False) -> tf.Tensor:
    """The most probable class of every pixel, int32 [B, H, W]; arguments as `predict`."""
    return tf.cast(self._runner.run(LABELS, images), tf.int32)

  def l2_loss(self) -> tf.Tensor:
    """That of the checkpoint: float32 scalar."""
    return tf.constant(self._l2_loss, tf.float32)
