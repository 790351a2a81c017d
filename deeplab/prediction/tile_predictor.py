"""The network on the tiles of a large image."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import PredictionOptions
from deeplab.prediction import image_padding, multi_scale, tiling


class TilePredictor:
  """Class probabilities of images that are larger than one tile."""

  def __init__(
    self,
    model: DeepLabV3PredictionModel,
    options: PredictionOptions,
    *,
    jit_compile: bool = False,
    constant_weights: bool = False,
  ):
    """Prepares it.

    Args:
      jit_compile: compile the network with XLA.
      constant_weights: the variables will not change any more after the first image.
    """
    self._model = model
    self._options = options
    # A GPU computes the next tiles while these are blended. A CPU would only hold more of them.
    self._ahead = 1 if tf.config.list_physical_devices('GPU') else 0
    logits = multi_scale.logits_function(
      model, options, jit_compile=jit_compile, constant_weights=constant_weights
    )
    self._probabilities = multi_scale.AnySizeFunction(
      lambda images, sizes: tf.nn.softmax(logits(images, sizes))
    )

  @property
  def num_traces(self) -> int:
    """How often the network was traced."""
    return self._probabilities.num_traces

  def needs_tiles(self, image: np.ndarray) -> bool:
    """Whether `image` [H, W, ...] is larger than a tile."""
    return tiling.needs_tiles(*image.shape[:2], self._options.tile_size)

  def bands(self, image: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (first_row, probabilities float32 [rows, W, C]) of an image uint8 [H, W, 3], from top
    to bottom.
    """
    return tiling.predict_in_tiles(
      image,
      self._predict,
      tile_size=self._options.tile_size,
      overlap=self._options.overlap,
      alignment=self._model.options.output_stride,
      batch_size=self._options.batch_size,
      ahead=self._ahead,
    )

  def _predict(self, tiles):
    height, width = tiles.shape[1:3]
    size = image_padding.size_seen(height, width, self._options, self._model.options)
    images = image_padding.stack_padded(list(tiles), size=size, value=0)
    sizes = np.tile(np.array([[height, width]], np.int32), [len(tiles), 1])
    probabilities = self._probabilities(images, sizes)
    # A GPU may be at them still; of a CPU no copy is made.
    array = probabilities if self._ahead else probabilities.numpy()
    return array[:, :height, :width]
