"""The network on images that are larger than --max_size."""

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import PredictionOptions
from deeplab.prediction import image_padding, image_reduction, multi_scale
from deeplab.prediction.tile_predictor import TilePredictor


class ReducedPredictor:
  """Logits of shrunk images. What the other options say, tiles, scales, mirror images, padding, is
  done with the shrunk image.
  """

  def __init__(
    self,
    model: DeepLabV3PredictionModel,
    options: PredictionOptions,
    tiles: TilePredictor,
    *,
    jit_compile: bool = False,
    constant_weights: bool = False,
  ):
    """Prepares it.

    Args:
      tiles: for images that need tiles when they are shrunk, too.
      jit_compile: compile the network with XLA.
      constant_weights: the variables will not change any more after the first image.
    """
    self._model, self._options, self._tiles = model, options, tiles
    logits = multi_scale.logits_function(
      model, options, jit_compile=jit_compile, constant_weights=constant_weights
    )
    self._logits = multi_scale.AnySizeFunction(logits)

  @property
  def num_traces(self) -> int:
    """How often the network was traced, but for tiles."""
    return self._logits.num_traces

  def needs_reduction(self, image: np.ndarray) -> bool:
    """Whether `image` [H, W, ...] is larger than --max_size."""
    return self.size(image) != image.shape[:2]

  def size(self, image: np.ndarray) -> tuple[int, int]:
    """(height, width) that the network sees of `image` [H, W, ...]."""
    return image_reduction.reduced_size(*image.shape[:2], self._options.max_size)

  def logits(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Logits of images uint8 [H, W, 3] whose padded sizes are equal when they are shrunk: float32
    [h, w, C] each, at the shrunk size.
    """
    small = [image_reduction.shrink(image, self.size(image)) for image in images]
    if self._tiles.needs_tiles(small[0]):
      return [self._logits_by_tiles(image) for image in small]
    sizes = np.array([image.shape[:2] for image in small], np.int32)
    padded = image_padding.size_seen(*small[0].shape[:2], self._options, self._model.options)
    logits = self._logits(image_padding.stack_padded(small, size=padded, value=0), sizes).numpy()
    return [array[:height, :width] for array, (height, width) in zip(logits, sizes)]

  def probability_bands(
    self, images: Sequence[np.ndarray]
  ) -> Iterator[Iterator[tuple[int, np.ndarray]]]:
    """For each of the images, as in `logits`, what TilePredictor.bands yields: (first_row,
    probabilities float32 [rows, W, C]) at the image's own size, from top to bottom.
    """
    for image, logits in zip(images, self.logits(images)):
      yield (
        (first, tf.nn.softmax(band).numpy())
        for first, band in image_reduction.enlarged_bands(logits, image.shape[:2])
      )

  def _logits_by_tiles(self, image):
    """The logarithm of the probabilities: logits whose softmax they are."""
    probabilities = np.concatenate([band for _, band in self._tiles.bands(image)])
    return multi_scale.log_probabilities(probabilities).numpy()
