"""The class of every pixel from coarse logits, without logits of every pixel in memory at once.

At full size the logits are by far the largest thing that a prediction needs: 84 bytes a pixel for
  21
classes, as much as 21 of the images. So they are made and reduced to classes in bands of rows.
"""

from collections.abc import Sequence

import tensorflow as tf

from deeplab.operations import plain
from deeplab.operations.sizes import Size

# Larger bands are not faster; this is a photograph of 630 x 630 pixels with 21 classes.
_BAND_BYTES = 32 * 2**20
# TensorFlow's resize runs on one core.
_BANDS_AT_ONCE = 2


def resized_argmax(logits: tf.Tensor, size: Sequence[Size], *, align_corners: bool) -> tf.Tensor:
  """As `plain.resized_argmax`."""
  batch, in_height = tf.unstack(tf.shape(logits)[:2])
  height, width = size
  bytes_of_a_row = 4 * logits.shape[3] * tf.cast(width, tf.int64)
  rows_of_a_band = tf.cast(tf.maximum(_BAND_BYTES // bytes_of_a_row, 1), tf.int32)
  rows_of_a_band = tf.minimum(rows_of_a_band, -(-height // _BANDS_AT_ONCE))
  bands_of_an_image = -(-height // rows_of_a_band)
  num_bands = batch * bands_of_an_image
  labels = tf.TensorArray(tf.int32, size=num_bands, infer_shape=False, element_shape=[None, None])

  def add_band(index, labels):
    image = index // bands_of_an_image
    first = index % bands_of_an_image * rows_of_a_band
    rows = tf.range(first, tf.minimum(first + rows_of_a_band, height))
    band = logits[image : image + 1]
    band = _resized_rows(band, rows, height, in_height, align_corners=align_corners)
    band = plain.resized_argmax(band, (tf.size(rows), width), align_corners=align_corners)
    return index + 1, labels.write(index, band[0])

  _, labels = tf.while_loop(
    lambda index, _: index < num_bands, add_band, (0, labels), parallel_iterations=_BANDS_AT_ONCE
  )
  labels = tf.reshape(labels.concat(), tf.stack([batch, height, width]))
  known = [size if isinstance(size, int) else None for size in (height, width)]
  return tf.ensure_shape(labels, [logits.shape[0], *known])


def _resized_rows(logits, rows, height, in_height, *, align_corners):
  """Rows of `logits` resized along that side only: [B, len(rows), w, C]."""
  if align_corners:
    last, out_last = tf.maximum(in_height - 1, 0), tf.maximum(height - 1, 1)
    scale = tf.cast(last, tf.float32) / tf.cast(out_last, tf.float32)
  else:
    scale = tf.cast(in_height, tf.float32) / tf.cast(height, tf.float32)
  positions = tf.cast(rows, tf.float32) * scale
  above = tf.floor(positions)
  share = (positions - above)[:, tf.newaxis, tf.newaxis]
  above = tf.cast(above, tf.int32)
  upper = tf.gather(logits, above, axis=1)
  lower = tf.gather(logits, tf.minimum(above + 1, in_height - 1), axis=1)
  return upper + (lower - upper) * share
