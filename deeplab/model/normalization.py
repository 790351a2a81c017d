"""Pixel normalization: inside the network, so that nobody can forget it or do it twice."""

import tensorflow as tf

from deeplab import pixel_means


def normalize(images: tf.Tensor, option: str) -> tf.Tensor:
  """Normalizes images.

  Args:
    images: uint8 or float32 [B, H, W, 3], RGB in [0, 255].
    option: a value of ModelOptions.preprocess_images_option.

  Returns:
    float32 [B, H, W, 3], centred on zero; in [-1, 1] for zero_mean_unit_range.
  """
  images = tf.cast(images, tf.float32)
  if option == 'zero_mean_unit_range':
    return images * 2.0 / 255.0 - 1.0
  return images - tf.constant(pixel_means.OF_OPTION[option])
