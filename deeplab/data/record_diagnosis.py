"""What is wrong with the bytes of one record, in the user's words."""

import numpy as np
import tensorflow as tf

from deeplab.data import decoding, labels, picture_files, png_chunks, tfrecord
from deeplab.errors import InputError
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS

# What reading a bad record raises: UnicodeDecodeError where TensorFlow's message quotes bytes that
# are no text.
UNREADABLE = (tf.errors.OpError, UnicodeDecodeError)


def diagnose(
  serialized: bytes,
  *,
  num_classes: int,
  ignore_label: int,
  max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
) -> tuple[str | None, str]:
  """What is wrong with the bytes of a record.

  Returns:
    (reason, name): a phrase or None where nothing was found, and the name in the record or ''.
  """
  try:
    layout = tfrecord.layout_of(serialized)
  except Exception:  # pylint: disable=broad-except  # The class of the error depends on protobuf's version.
    return _why_no_example(serialized), ''
  parts = tfrecord.parts_of(serialized)
  name = parts['name'].decode(errors='replace')
  if layout is None:
    return (
      'no features image and label, nor image/encoded and image/segmentation/class/encoded',
      name,
    )
  for part in ('image', 'label'):
    if not parts[part]:
      return f'no {part} in it', name
  try:
    size = _image_size(parts['image'], max_image_pixels=max_image_pixels)
    label = _label(parts['label'], max_pixels=max_image_pixels)
  except InputError as error:
    return str(error), name
  if size != label.shape:
    return (
      f'the image is {size[1]}x{size[0]} but the label {label.shape[1]}x{label.shape[0]} (width x '
      'height); they must be the same'
    ), name
  return labels.explain_values(
    np.unique(label), num_classes=num_classes, ignore_label=ignore_label
  ), name


def _why_no_example(serialized):
  """Why protobuf does not take the bytes of a record, as a phrase."""
  try:
    tf.io.parse_single_example(serialized, {'name': tf.io.VarLenFeature(tf.string)})
  except UNREADABLE:
    return 'not a tf.train.Example'
  return 'a feature has a name that is no UTF-8'


def undecodable_part(*, image: bytes, label: bytes) -> tuple[str, str]:
  """Which of two pictures TensorFlow does not decode although Pillow does.

  Returns:
    ('image' or 'label', what is wrong with it, as a phrase).
  """
  try:
    decoding.decode_image(tf.constant(image))
  except UNREADABLE:
    part, encoded = 'image', image
  else:
    part, encoded = 'label', label
  damage = png_chunks.damage(encoded) if encoded.startswith(png_chunks.SIGNATURE) else None
  return part, (
    f'cannot be decoded in training ({damage or "its data is damaged"}); save it again from what '
    'it was made of'
  )


def _image_size(encoded, *, max_image_pixels):
  """(height, width) of a whole JPEG or PNG; InputError says what is wrong."""
  picture = _open(encoded, name='the image', max_pixels=max_image_pixels)
  try:
    picture.load()
  except Exception as error:
    raise InputError(f'the image cannot be decoded ({error})') from error
  return picture.size[1], picture.size[0]


def _label(encoded, *, max_pixels):
  _open(encoded, name='the label', max_pixels=max_pixels)
  try:
    return labels.read_png(encoded, max_pixels=max_pixels)[0]
  except picture_files.DamagedError as error:
    raise InputError(f'the label cannot be decoded ({error.__cause__})') from error
  except InputError as error:
    raise InputError(f'the label {error}') from error


def _open(encoded, *, name, max_pixels):
  try:
    return picture_files.open_picture(
      encoded, name=name, max_pixels=max_pixels, formats=picture_files.RECORD_FORMATS
    )
  except picture_files.NoPictureError as error:  # It says what to do with a file.
    raise InputError(f'{name} is no picture that can be read ({len(encoded)} bytes)') from error
