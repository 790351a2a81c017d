"""Padding whole images before the network, for evaluation and inference.

A network with output stride s samples features at every s-th pixel; sizes of s * k + 1 put a
feature on the first and on the last pixel. Weights trained on such crops with corner-aligned
resizes lose accuracy on other sizes, so those are padded.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab import pixel_means
from deeplab.errors import InputError
from deeplab.options import ModelOptions, PredictionOptions


def next_stride_size(size: int | tf.Tensor, output_stride: int) -> int | tf.Tensor:
  """The smallest k * output_stride + 1 that is at least `size`; for ints and integer tensors."""
  return (size + output_stride - 2) // output_stride * output_stride + 1


def advice(model_options: ModelOptions, pad_size: str | tuple[int, int] | None) -> list[str]:
  """Lines of warning where this padding does not suit the network.

  `pad_size` is what PredictionOptions.pad_size gives for this network.
  """
  if model_options.align_corners and pad_size is None:
    return [
      'the resizes of this network align corners, which costs several points of mIOU at sizes that '
      f'are not a multiple of {model_options.output_stride} plus 1; leave --eval_pad=none out'
    ]
  return []


def size_seen(
  height: int, width: int, options: PredictionOptions, model_options: ModelOptions
) -> tuple[int, int]:
  """`padded_size` of an image of height x width, for this network and --eval_pad."""
  return padded_size(
    height,
    width,
    pad_size=options.pad_size(model_options),
    output_stride=model_options.output_stride,
  )


def padded_size(
  height: int, width: int, *, pad_size: str | tuple[int, int] | None, output_stride: int
) -> tuple[int, int]:
  """The size an image is padded to.

  Args:
    height, width: ints, of the image.
    pad_size: None, 'stride' or (height, width), as `PredictionOptions.pad_size` gives.
    output_stride: int.

  Returns:
    (height, width).

  Raises:
    InputError: the image is larger than a fixed size.
  """
  if pad_size is None:
    return height, width
  if pad_size == 'stride':
    return next_stride_size(height, output_stride), next_stride_size(width, output_stride)
  if height > pad_size[0] or width > pad_size[1]:
    raise InputError(
      f'height {height}, width {width} is larger than --eval_pad={pad_size[0]}x{pad_size[1]} '
      '(height x width), or than the size that the model was exported for; '
      f'--max_size={min(pad_size)} predicts it smaller; a checkpoint also takes a larger '
      '--eval_pad, or stride'
    )
  return pad_size


def stack_padded(arrays: Sequence[np.ndarray], *, size: tuple[int, int], value: int) -> np.ndarray:
  """Stacks arrays of different sizes, each at the top left.

  Args:
    arrays: [h, w] or [h, w, channels] ndarrays of one dtype.
    size: (height, width), at least that of each.
    value: what fills the rest.

  Returns:
    [B, height, width] or [B, height, width, channels].
  """
  if all(array.shape[:2] == tuple(size) for array in arrays):
    return arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)
  stacked = np.full([len(arrays), *size, *arrays[0].shape[2:]], value, arrays[0].dtype)
  for index, array in enumerate(arrays):
    stacked[index, : array.shape[0], : array.shape[1]] = array
  return stacked


def fill_padding(images: tf.Tensor, sizes: tf.Tensor, preprocess_images_option: str) -> tf.Tensor:
  """Gives the padding of stacked images the value that normalizes to zero, which is what
  convolutions pad with.

  That is 127.5 for zero_mean_unit_range, as in the official evaluation, and the mean for the
  options that subtract one.

  Args:
    images: uint8 or float32 [B, H, W, 3].
    sizes: int32 [B, 2], height and width of each image, or [1, 2] of all.
    preprocess_images_option: as in ModelOptions.

  Returns:
    float32 [B, H, W, 3].
  """
  return tf.where(
    _inside(images, sizes),
    tf.cast(images, tf.float32),
    tf.constant(pixel_means.OF_OPTION[preprocess_images_option], tf.float32),
  )


def _inside(images, sizes):
  """Which pixels are the images' own: bool [B, H, W, 1]."""
  # In float32, since a GPU's host would compare int32.
  height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float32))
  sizes = tf.cast(sizes, tf.float32)
  rows = tf.range(height)[tf.newaxis, :] < sizes[:, :1]
  columns = tf.range(width)[tf.newaxis, :] < sizes[:, 1:]
  return rows[:, :, tf.newaxis, tf.newaxis] & columns[:, tf.newaxis, :, tf.newaxis]


def fill_padding_with_bytes(
  images: tf.Tensor, sizes: tf.Tensor, preprocess_images_option: str
) -> tf.Tensor:
  """As `fill_padding`, of images uint8, which stay so: the value is rounded."""
  height, width = tf.unstack(tf.shape(images)[1:3])
  mean = np.round(pixel_means.OF_OPTION[preprocess_images_option]).astype(np.uint8)

  def fill():
    return tf.where(_inside(images, sizes), images, tf.constant(mean))

  # Where there is no padding, which is often, looking at each pixel would take a part of the time
  # of a small network.
  return tf.cond(tf.reduce_all(sizes == [height, width]), lambda: images, fill)


def pad_to_stride(
  images: tf.Tensor, output_stride: int, preprocess_images_option: str
) -> tf.Tensor:
  """Pads float32 images [B, H, W, 3] at the bottom and right to the next multiple of the stride
  plus one.
  """
  height, width = tf.unstack(tf.shape(images)[1:3])
  below = next_stride_size(height, output_stride) - height
  right = next_stride_size(width, output_stride) - width
  padded = tf.pad(images, [[0, 0], [0, below], [0, right], [0, 0]])
  return fill_padding(padded, tf.stack([[height, width]]), preprocess_images_option)
