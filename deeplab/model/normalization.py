"""Pixel normalization: inside the network, so that nobody can forget it or do it twice."""

import tensorflow as tf

# Channel means of ImageNet, RGB: the 2019 program's, and those of the official resnet_v1_50 and
# resnet_v1_101.
IMAGENET_MEAN = (122.67891434, 116.66876762, 104.00698793)
OFFICIAL_MEAN = (123.15, 115.90, 103.06)


def normalize(images, option):
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
  return images - tf.constant(
    {'subtract_imagenet_mean': IMAGENET_MEAN, 'subtract_official_mean': OFFICIAL_MEAN}[option]
  )
