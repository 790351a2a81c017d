"""Random scale, window, flips, rotation and colours: an encoded image and its label to one training
crop.

The distribution is the 2019 reference's: scale the image, pad it centred to at least the crop, cut
a window at random, flip. The order of work is another one. The window is chosen first, from the
sizes in the file's header; then only the pixels under it are decoded and resized, straight to the
size they have in the crop.

Everything random about an example comes from one row of uniform numbers, so an example can be made
again from its row.
"""

import math
import typing

import tensorflow as tf

from deeplab import pixel_means
from deeplab.data import decoding
from deeplab.options import TrainingInputOptions

# The columns of a row of random numbers.
SCALE, ROW, COLUMN, HORIZONTAL_FLIP, VERTICAL_FLIP, ANGLE, BRIGHTNESS, CONTRAST, SATURATION = range(
  9
)
NUM_DRAWS = 9

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Window(typing.NamedTuple):
  """Which pixels become the crop, and how; all int32 [2] (rows, columns) but `flip`.

  Attributes:
    begin: first source pixel.
    size: number of source pixels.
    scaled_size: what they are resized to.
    pad_before, pad_after: padding around that; scaled_size and padding add up to the crop.
    flip: bool [2], upside down and left to right; padding counts after the flip.
  """

  begin: tf.Tensor
  size: tf.Tensor
  scaled_size: tf.Tensor
  pad_before: tf.Tensor
  pad_after: tf.Tensor
  flip: tf.Tensor


def draw_scale(draw: tf.Tensor, options: TrainingInputOptions) -> tf.Tensor:
  """The scale factor of a uniform number in [0, 1): uniform between the two factors, or one of
  equal steps.
  """
  smallest, largest = options.min_rescale_factor, options.max_rescale_factor
  if options.rescale_step_size is None:
    return smallest + draw * (largest - smallest)
  # As in the reference: the steps are stretched to end at the largest factor.
  num_steps = int((largest - smallest) / options.rescale_step_size + 1)
  step = tf.floor(draw * num_steps)
  return smallest + step * ((largest - smallest) / max(num_steps - 1, 1))


def choose_window(
  image_size: tf.Tensor, draws: tf.Tensor, options: TrainingInputOptions, *, crop_size: tf.Tensor
) -> Window:
  """Chooses the window of one example.

  Of the scaled image, padded to at least the crop, every place of the crop is equally likely. The
  window begins and ends at whole source pixels: its place and its scale are rounded to that, by
  less than one source pixel over the crop.

  Args:
    image_size: int32 [2], height and width.
    draws: float32 [NUM_DRAWS] in [0, 1).
    options: TrainingInputOptions.
    crop_size: int32 [2].

  Returns:
    Window.
  """
  scale = draw_scale(draws[SCALE], options)
  scaled = tf.maximum(tf.cast(tf.cast(image_size, tf.float32) * scale, tf.int32), 1)
  room = tf.maximum(scaled - crop_size, 0)
  place = tf.cast(tf.floor(draws[ROW : COLUMN + 1] * tf.cast(room + 1, tf.float32)), tf.int32)
  place = tf.minimum(place, room)
  scaled_size = tf.minimum(scaled, crop_size)
  ratio = tf.cast(image_size, tf.float32) / tf.cast(scaled, tf.float32)
  size = tf.where(room > 0, _round(tf.cast(crop_size, tf.float32) * ratio), image_size)
  size = tf.clip_by_value(size, 1, image_size)
  begin = tf.minimum(_round(tf.cast(place, tf.float32) * ratio), image_size - size)
  padding = crop_size - scaled_size
  smaller_half, larger_half = padding // 2, padding - padding // 2
  vertical = draws[VERTICAL_FLIP] < (0.5 if options.random_vertical_flip else 0.0)
  flip = tf.stack([vertical, draws[HORIZONTAL_FLIP] < 0.5])
  return Window(
    begin=begin,
    size=size,
    scaled_size=scaled_size,
    flip=flip,
    pad_before=tf.where(flip, larger_half, smaller_half),
    pad_after=tf.where(flip, smaller_half, larger_half),
  )


def augment(
  encoded_image: tf.Tensor, label: tf.Tensor, draws: tf.Tensor, options: TrainingInputOptions
) -> tuple[tf.Tensor, tf.Tensor]:
  """One training example.

  Args:
    encoded_image: string scalar, JPEG or PNG.
    label: uint8 or uint16 [height, width], of the image's size.
    draws: float32 [NUM_DRAWS], uniform in [0, 1).
    options: TrainingInputOptions.

  Returns:
    image: float32 [crop_size_height, crop_size_width, 3] in [0, 255].
    label: int32 [crop_size_height, crop_size_width].
  """
  crop_size = tf.constant([options.crop_size_height, options.crop_size_width])
  angle, cut_size = None, crop_size
  if options.max_rotation_degrees:
    angle = (2 * draws[ANGLE] - 1) * math.radians(options.max_rotation_degrees)
    cut_size = _size_to_rotate(crop_size, angle)
  window = choose_window(tf.shape(label), draws, options, crop_size=cut_size)
  pad_value = tf.constant(pixel_means.IMAGENET if options.pad_imagenet_mean else pixel_means.GREY)
  # Padding with zeros around the difference to the pad value allows another value for each channel.
  difference = options.pad_imagenet_mean or angle is not None
  image = _cut_image(encoded_image, window, draws, options, shift=pad_value if difference else None)
  label = _cut_label(label, window, ignore_label=options.ignore_label)
  if angle is not None:
    image, label = _rotate(image, label, angle, crop_size, ignore_label=options.ignore_label)
  if difference:
    image += pad_value
  image = tf.ensure_shape(image, [options.crop_size_height, options.crop_size_width, 3])
  label = tf.ensure_shape(label, [options.crop_size_height, options.crop_size_width])
  return image, tf.cast(label, tf.int32)


def _cut_image(encoded_image, window, draws, options, *, shift):
  """Decodes, recolours, flips, resizes and pads: float32 [rows, columns, 3], minus `shift` where
  that is given.
  """
  image = decoding.decode_image_window(encoded_image, begin=window.begin, size=window.size)
  # Flipping comes before resizing, when there are fewer pixels, and for the label alike.
  image = tf.raw_ops.Reverse(tensor=image, dims=tf.concat([window.flip, [False]], axis=0))
  image = tf.cast(image, tf.float32)
  if options.color_jitter:
    image = jitter_colors(image, draws, strength=options.color_jitter)
  if shift is not None:
    image -= shift
  # TensorFlow 1's resize_images, as in the reference: source = target * (source size / target
  # size), no half pixels.
  image = tf.raw_ops.ResizeBilinear(images=image[tf.newaxis], size=window.scaled_size)[0]
  return _pad(image, window, value=pixel_means.GREY[0] if shift is None else 0.0)


def _cut_label(label, window, *, ignore_label):
  """The label under the window, nearest neighbours, flipped and padded with `ignore_label`."""
  rows, columns = (_nearest(window, axis) for axis in (0, 1))
  # Gathering columns costs by the pixel and gathering rows next to nothing, so columns come where
  # there are fewer rows.
  label = tf.cond(
    window.size[0] < window.scaled_size[0],
    lambda: tf.gather(
      tf.gather(label[window.begin[0] : window.begin[0] + window.size[0]], columns, axis=1),
      rows - window.begin[0],
    ),
    lambda: tf.gather(tf.gather(label, rows), columns, axis=1),
  )
  return _pad(label, window, value=ignore_label)


def _nearest(window, axis):
  """The source rows (axis 0) or columns (axis 1) of the crop's, int32."""
  begin, size, scaled = window.begin[axis], window.size[axis], window.scaled_size[axis]
  source = tf.range(scaled) * size // scaled
  return begin + tf.where(window.flip[axis], size - 1 - source, source)


def _pad(tensor, window, *, value):
  paddings = tf.stack([window.pad_before, window.pad_after], axis=1)
  if tensor.shape.rank == 3:
    paddings = tf.pad(paddings, [[0, 1], [0, 0]])
  return tf.cond(
    tf.reduce_any(paddings > 0),
    lambda: tf.pad(tensor, paddings, constant_values=tf.constant(value, tensor.dtype)),
    lambda: tensor,
  )


def jitter_colors(image: tf.Tensor, draws: tf.Tensor, *, strength: float) -> tf.Tensor:
  """Multiplies brightness, contrast (around the mean brightness) and saturation (around grey) by
  factors 1 +- strength.

  Args:
    image: float32 [height, width, 3] in [0, 255].
    draws: float32 [NUM_DRAWS].
    strength: 0 to 1.

  Returns:
    float32 [height, width, 3] in [0, 255].
  """
  factors = 1 + (2 * draws[BRIGHTNESS : SATURATION + 1] - 1) * strength
  brightness, contrast, saturation = factors[0], factors[1], factors[2]
  image *= brightness
  grey = tf.tensordot(image, tf.constant(_LUMINANCE), axes=1)[..., tf.newaxis]
  mean = tf.reduce_mean(grey)
  # contrast and saturation in one expression: first away from grey, then away from the mean
  # brightness.
  image = contrast * saturation * image + contrast * (1 - saturation) * grey + (1 - contrast) * mean
  return tf.clip_by_value(image, 0.0, 255.0)


def _size_to_rotate(crop_size, angle):
  """The upright rectangle that holds the crop turned by `angle`, int32 [2]."""
  height, width = (tf.cast(side, tf.float32) for side in tf.unstack(crop_size))
  cosine, sine = tf.abs(tf.cos(angle)), tf.abs(tf.sin(angle))
  size = tf.stack([height * cosine + width * sine, width * cosine + height * sine])
  return tf.cast(tf.math.ceil(size - 1e-3), tf.int32)


def _rotate(image, label, angle, crop_size, *, ignore_label):
  """Turns image and label about their centre and cuts the crop out of the middle; what comes from
  outside is padded.
  """
  outer = tf.cast(tf.shape(label), tf.float32)
  inner = tf.cast(crop_size, tf.float32)
  cosine, sine = tf.cos(angle), tf.sin(angle)
  # Source x = cosine * x - sine * y + x0, y = sine * x + cosine * y + y0: the crop's centre falls
  # on the source's.
  x0 = (outer[1] - 1 - cosine * (inner[1] - 1) + sine * (inner[0] - 1)) / 2
  y0 = (outer[0] - 1 - sine * (inner[1] - 1) - cosine * (inner[0] - 1)) / 2
  transform = tf.stack([cosine, -sine, x0, sine, cosine, y0, 0.0, 0.0])[tf.newaxis]

  def turn(pixels, interpolation, fill):
    return tf.raw_ops.ImageProjectiveTransformV3(
      images=pixels[tf.newaxis],
      transforms=transform,
      output_shape=crop_size,
      fill_value=fill,
      interpolation=interpolation,
      fill_mode='CONSTANT',
    )[0]

  label = turn(tf.cast(label, tf.int32)[..., tf.newaxis], 'NEAREST', float(ignore_label))[..., 0]
  return turn(image, 'BILINEAR', 0.0), label


def _round(values):
  return tf.cast(tf.round(values), tf.int32)
