"""Inference: images and a network, which does not change any more, to class indices or
probabilities.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab.errors import InputError
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import PredictionOptions
from deeplab.prediction import image_padding, multi_scale
from deeplab.prediction.tile_predictor import TilePredictor

# Above this, an activation, up to 24 values a pixel, may have more than 2 ** 31 values, at which
# TensorFlow's CPU kernels crash.
_MAX_PIXELS = 80_000_000


class DeepLabV3Inferencer:
  """Predicts images of any size; nothing is traced twice."""

  def __init__(
    self,
    model: DeepLabV3PredictionModel,
    *,
    options: PredictionOptions | None = None,
    with_probabilities: bool = False,
    jit_compile: bool = False,
  ):
    """Prepares the prediction.

    Args:
      options: None for the network as it is.
      with_probabilities: `predict` returns probabilities too.
      jit_compile: compile the network with XLA. A new image size then costs a compilation.
    """
    self._model = model
    self._options = options or PredictionOptions()
    self._options.check_against(model.options)
    self._with_probabilities = with_probabilities
    self._tiles = TilePredictor(
      model, self._options, jit_compile=jit_compile, constant_weights=True
    )
    self._logits = multi_scale.logits_function(
      model, self._options, jit_compile=jit_compile, constant_weights=True
    )
    # The shorter way to labels serves where nobody needs all logits.
    self._needs_logits = (
      with_probabilities or jit_compile or not multi_scale.is_single_pass(self._options)
    )
    self._step = tf.function(
      self._predict_batch,
      autograph=False,
      input_signature=[
        tf.TensorSpec([None, None, None, 3], tf.uint8),
        tf.TensorSpec([None, 2], tf.int32),
      ],
    )

  @property
  def num_traces(self) -> int:
    """How often the network was traced."""
    return self._step.experimental_get_tracing_count() + self._tiles.num_traces

  def batch_key(self, image: np.ndarray) -> tuple:
    """Images uint8 [H, W, 3] with equal keys may be predicted together.

    Raises:
      InputError: the image is larger than a fixed padding, or too large for the network at once.
    """
    height, width = image.shape[:2]
    if self._tiles.needs_tiles(image):
      return 'tiles', height, width
    scale = max(1.0, *self._options.eval_scales)
    if height * width * scale**2 > _MAX_PIXELS:
      at = f' at scale {scale:g}' if scale > 1 else ''
      raise InputError(
        f'height {height}, width {width}{at} is more than {_MAX_PIXELS} pixels, too many at once; '
        'give '
        '--tile_size, such as 1025'
      )
    return image_padding.padded_size(
      height,
      width,
      pad_size=self._options.pad_size(self._model.options),
      output_stride=self._model.options.output_stride,
    )

  def predict(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Predicts images with equal `batch_key`.

    Args:
      images: uint8 [H, W, 3] each.

    Returns:
      (labels int32 [H, W], probabilities float32 [H, W, num_classes] or None), one for each image.
    """
    if self._tiles.needs_tiles(images[0]):
      return [self._predict_by_tiles(image) for image in images]
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    labels, probabilities = self._step(
      image_padding.stack_padded(images, size=self.batch_key(images[0]), value=0), sizes
    )
    labels = [array[:height, :width] for array, (height, width) in zip(labels.numpy(), sizes)]
    if not self._with_probabilities:
      return [(array, None) for array in labels]
    return [
      (array, probability[:height, :width])
      for array, probability, (height, width) in zip(labels, probabilities.numpy(), sizes)
    ]

  def _predict_batch(self, images, sizes):
    """Traced: labels int32 [B, H, W], and probabilities float32 [B, H, W, C], empty where nobody
    wants them.
    """
    if not self._needs_logits:
      labels = multi_scale.predict_labels(
        self._model, images, sizes, self._options, constant_weights=True
      )
      return labels, tf.zeros([0])
    logits = self._logits(images, sizes)
    labels = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return labels, tf.nn.softmax(logits) if self._with_probabilities else tf.zeros([0])

  def _predict_by_tiles(self, image):
    labels = np.empty(image.shape[:2], np.int32)
    kept = []
    for top, probabilities in self._tiles.bands(image):
      labels[top : top + len(probabilities)] = probabilities.argmax(axis=-1)
      if self._with_probabilities:
        kept.append(probabilities)
    return labels, np.concatenate(kept) if kept else None
