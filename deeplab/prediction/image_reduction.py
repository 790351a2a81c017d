"""Large images shrunk for the network, and its logits enlarged to the images' own sizes.

A network knows things at the sizes it saw while it was trained: a cat of 3000 pixels is no cat to
one that was trained on crops of 513. Sizes are those of areas: pixel (0, 0) of the shrunk image
covers the first pixels of the large one, so nothing is shifted on the way there and back.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab.options import PredictionOptions

# Logits of this many bytes are enlarged at once: at full size those of a photograph of 12 million
# pixels and 21 classes are a gigabyte.
_BAND_BYTES = 32 * 2**20


def reduced_size(height: int, width: int, max_size: int | None) -> tuple[int, int]:
  """(height, width) of an image whose longer side is shrunk to `max_size`, in its own proportions;
  an image that is not longer, and any where `max_size` is None, keeps its size.
  """
  longer = max(height, width)
  if max_size is None or longer <= max_size:
    return height, width
  return max(1, round(height * max_size / longer)), max(1, round(width * max_size / longer))


def shrink(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
  """An image uint8 [H, W, 3] at a smaller size (height, width), each pixel a weighted mean of all
  those that it covers (anti-aliased, bicubic).
  """
  height, width = size
  if image.shape[:2] == (height, width):
    return image
  # Pillow widens the filter by the factor of reduction, which is what keeps it free of aliases.
  return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


class SizeAdvice:
  """Says once in a run that images are far larger than what the network was trained on."""

  def __init__(self, trained_size: tuple[int, int] | None, options: PredictionOptions):
    """Prepares it; `trained_size` is (height, width) of the crops, None where nobody knows."""
    # Who chose tiles or other sizes has thought about it.
    chosen = options.max_size is not None or options.tile_size is not None
    self._trained_size = None if chosen else trained_size
    self._scale = min(options.eval_scales)

  def line(self, name: str, image: np.ndarray) -> str | None:
    """A warning about the image uint8 [H, W, 3] called `name`, or None."""
    height, width = image.shape[:2]
    if self._trained_size is None or self._scale * max(height, width) <= 2 * max(
      self._trained_size
    ):
      return None
    trained_height, trained_width = self._trained_size
    self._trained_size = None
    return (
      f'{name}: height {height}, width {width} is more than twice the {trained_height} x '
      f'{trained_width} pixels that the network was trained on, so it may know nothing at this '
      f'size; --max_size={max(trained_height, trained_width)} predicts such images smaller'
    )


def enlarged_bands(logits: np.ndarray, size: Sequence[int]) -> Iterator[tuple[int, tf.Tensor]]:
  """Enlarges logits bilinearly, band by band from top to bottom.

  Args:
    logits: float32 [h, w, C].
    size: (height, width) of the result.

  Yields:
    (first_row, logits float32 [rows, width, C]); the bands cover the image once.
  """
  height, width = size
  logits = tf.convert_to_tensor(logits)
  rows = max(1, _BAND_BYTES // (4 * width * logits.shape[2]))
  for first in range(0, height, rows):
    yield first, _enlarged_rows(logits, first, min(first + rows, height), height, width)


def enlarged_labels(logits: np.ndarray, size: Sequence[int]) -> np.ndarray:
  """The class of every pixel of an image of `size` (height, width), int32 [height, width], from
  logits float32 [h, w, C].
  """
  return np.concatenate(
    [
      tf.argmax(band, axis=-1, output_type=tf.int32).numpy()
      for _, band in enlarged_bands(logits, size)
    ]
  )


@tf.function(
  autograph=False,
  input_signature=[tf.TensorSpec([None, None, None], tf.float32)]
  + [tf.TensorSpec([], tf.int32)] * 4,
)
def _enlarged_rows(logits, first, end, height, width):
  """Rows `first` to `end` - 1 of logits [h, w, C] enlarged to [height, width, C]."""
  in_height = tf.shape(logits)[0]
  scale = tf.cast(in_height, tf.float32) / tf.cast(height, tf.float32)
  # Centres of pixels: the first is half a pixel from the border, in both images.
  positions = (tf.cast(tf.range(first, end), tf.float32) + 0.5) * scale - 0.5
  positions = tf.clip_by_value(positions, 0.0, tf.cast(in_height - 1, tf.float32))
  above = tf.cast(tf.floor(positions), tf.int32)
  share = (positions - tf.floor(positions))[:, tf.newaxis, tf.newaxis]
  upper = tf.gather(logits, above)
  lower = tf.gather(logits, tf.minimum(above + 1, in_height - 1))
  rows = upper + (lower - upper) * share
  return tf.raw_ops.ResizeBilinear(
    images=rows[tf.newaxis], size=tf.stack([end - first, width]), half_pixel_centers=True
  )[0]
