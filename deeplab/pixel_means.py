"""Means of pixels that networks subtract, RGB in [0, 255]; free of TensorFlow."""

# Channel means of ImageNet: the 2019 program's, and those of the official resnet_v1_50 and _101.
IMAGENET = (122.67891434, 116.66876762, 104.00698793)
OFFICIAL = (123.15, 115.90, 103.06)
GREY = (127.5, 127.5, 127.5)

# ModelOptions.preprocess_images_option -> the pixel that it normalizes to zero.
OF_OPTION = {
  'subtract_imagenet_mean': IMAGENET,
  'subtract_official_mean': OFFICIAL,
  'zero_mean_unit_range': GREY,
}
