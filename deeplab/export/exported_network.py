"""The network as it is exported: pixels in, classes and probabilities out."""

import tensorflow as tf

from deeplab.export.description import INPUT, LABELS, PROBABILITIES
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.operations.sizes import Size, are_known, maximum, spatial_size
from deeplab.prediction import image_padding


class ExportedNetwork(tf.Module):
  """Normalization, padding, network and softmax in functions of one input.

  Attributes:
    serving_default: images uint8 [B, H, W, 3] -> dict of `SemanticPredictions`, int32 [B, H, W],
      and `SemanticProbabilities`, float32 [B, H, W, num_classes].
    predict_labels: images -> dict of the first alone.
  """

  def __init__(
    self,
    model: DeepLabV3PredictionModel,
    *,
    pad_size: str | tuple[int, int] | None,
    size: tuple[int, int] | None,
    batch_size: int | None = None,
  ):
    """Prepares the functions; they are traced when they are saved.

    Args:
      model: computing with PortableOperations, or what is exported is not portable.
      pad_size: as `PredictionOptions.pad_size` gives.
      size: (height, width) of all images, or None for any.
      batch_size: how many images at once, or None for any number.
    """
    super().__init__()
    self.model = model
    self._pad_size = pad_size
    images = tf.TensorSpec([batch_size, *(size or (None, None)), 3], tf.uint8, name=INPUT)
    self.serving_default, self.predict_labels = (
      tf.function(function, autograph=False, input_signature=[images])
      for function in (self._predict, self._predict_labels)
    )

  def _predict(self, images):
    logits = self._logits(images)
    return {
      LABELS: tf.argmax(logits, axis=-1, output_type=tf.int32),
      PROBABILITIES: tf.nn.softmax(logits),
    }

  def _predict_labels(self, images):
    return {LABELS: tf.argmax(self._logits(images), axis=-1, output_type=tf.int32)}

  def _logits(self, images):
    """float32 [B, H, W, num_classes] of images uint8 [B, H, W, 3]."""
    height, width = spatial_size(images)
    padded_height, padded_width = self._padded_size(height, width)
    is_right = are_known(height, width) and (height, width) == (padded_height, padded_width)
    if self._pad_size is not None and not is_right:
      images = self._padded(images, padded_height - height, padded_width - width)
    logits = self.model.predict_low_resolution(images)
    logits = self.model.upsample(logits, (padded_height, padded_width))
    return logits if self._pad_size is None else logits[:, :height, :width]

  def _padded_size(self, height: Size, width: Size) -> tuple[Size, Size]:
    if self._pad_size is None:
      return height, width
    if self._pad_size == 'stride':
      stride = self.model.options.output_stride
      return (
        image_padding.next_stride_size(height, stride),
        image_padding.next_stride_size(width, stride),
      )
    # A larger image goes through as it is: in a graph there is nobody to refuse it.
    return tuple(maximum(*sides) for sides in zip(self._pad_size, (height, width)))

  def _padded(self, images, below, right):
    height, width = spatial_size(images)
    images = tf.pad(tf.cast(images, tf.float32), [[0, 0], [0, below], [0, right], [0, 0]])
    return image_padding.fill_padding(
      images, tf.stack([[height, width]]), self.model.options.preprocess_images_option
    )
