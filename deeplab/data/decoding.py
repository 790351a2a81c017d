"""Encoded images and labels to tensors, inside TensorFlow graphs.

Images are decoded with TensorFlow's defaults, as the 2019 reference did, so that its numbers come
out. Labels are PNGs of class indices: palette PNGs (PASCAL VOC's SegmentationClass) and grey PNGs
of any bit depth are both read as the stored index, never as a brightness.
"""

import zlib

import tensorflow as tf

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_JPEG_SIGNATURE = b'\xff\xd8'
# Offsets of the fields of a PNG's first chunk (IHDR), which are the same in every PNG.
_WIDTH, _HEIGHT, _BIT_DEPTH, _COLOR_TYPE, _CHECKSUM, _HEADER_END = 16, 20, 24, 25, 29, 33
# A chunk is 4 bytes of length, 4 of name, what it holds, and 4 of check sum.
_LENGTH_AND_NAME, _CHECKSUM_SIZE = 8, 4
_PLACES = (1 << 24, 1 << 16, 1 << 8, 1)
_PALETTE = 3
_COLOR_BIT = 2  # Set in colour types 2 (RGB), 3 (palette) and 6 (RGB and alpha).
# What brings a sample of 1, 2, 4, 8 bits, which libpng stretches to 0..255, back to its stored
# value.
_STRETCH = (1, 255, 85, 1, 17, 1, 1, 1, 1)


def _grey_checksum_change():
  """The XOR that turns the check sum of a palette header into that of the same header with colour
  type grey.

  CRC-32 is affine: changing one byte at a fixed distance from the end changes it by the same bits,
  whatever the rest.
  """
  palette, grey = (
    zlib.crc32(b'IHDR' + bytes(9) + bytes([kind]) + bytes(3)) for kind in (_PALETTE, 0)
  )
  return list((palette ^ grey).to_bytes(4, 'big'))


_GREY_CHECKSUM_CHANGE = _grey_checksum_change()
_ONE_BYTE_STRINGS = [bytes([value]) for value in range(256)]


def is_png(encoded: tf.Tensor) -> tf.Tensor:
  """Whether a string scalar holds a PNG, as a bool scalar."""
  return tf.equal(tf.strings.substr(encoded, 0, len(PNG_SIGNATURE)), PNG_SIGNATURE)


def image_size(encoded: tf.Tensor) -> tf.Tensor:
  """int32 [2], height and width, of a JPEG or PNG, read from its header alone."""

  def jpeg_size():
    # libjpeg would complain on stderr before TensorFlow raises its error.
    is_jpeg = check(
      tf.equal(tf.strings.substr(encoded, 0, len(_JPEG_SIGNATURE)), _JPEG_SIGNATURE),
      'the image is neither JPEG nor PNG',
    )
    with tf.control_dependencies([is_jpeg]):
      return tf.image.extract_jpeg_shape(encoded)[:2]

  return tf.cond(is_png(encoded), lambda: _png_size(_png_header(encoded)), jpeg_size)


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
  """uint8 [height, width, 3] of a JPEG or PNG."""
  image = tf.cond(
    is_png(encoded),
    lambda: tf.io.decode_png(encoded, channels=3),
    lambda: tf.io.decode_jpeg(encoded, channels=3),
  )
  return tf.ensure_shape(image, [None, None, 3])


def decode_image_window(encoded: tf.Tensor, *, begin: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
  """A window of a JPEG or PNG; of a JPEG, little more than the window is decoded.

  It equals the same part of the whole image, but for the colours of a JPEG's last row and column:
  there the neighbours that they are interpolated with may be outside the window.

  Args:
    encoded: string scalar.
    begin: int32 [2], row and column of the window's first pixel.
    size: int32 [2], height and width; the window lies within the image.

  Returns:
    uint8 [size[0], size[1], 3].
  """
  image = tf.cond(
    is_png(encoded),
    lambda: tf.slice(
      tf.io.decode_png(encoded, channels=3), tf.pad(begin, [[0, 1]]), tf.concat([size, [3]], axis=0)
    ),
    lambda: tf.image.decode_and_crop_jpeg(encoded, tf.concat([begin, size], axis=0), channels=3),
  )
  return tf.ensure_shape(image, [None, None, 3])


def label_dtype(*, num_classes: int, ignore_label: int) -> tf.DType:
  """The smallest type that holds every allowed label value: tf.uint8, or tf.uint16."""
  return tf.uint8 if max(num_classes - 1, ignore_label) < 256 else tf.uint16


def decode_label(encoded: tf.Tensor, *, num_classes: int, ignore_label: int) -> tf.Tensor:
  """A label PNG as class indices, checked.

  Args:
    encoded: string scalar, a palette or grey PNG with 1 to 16 bits a pixel.
    num_classes: values below it are classes.
    ignore_label: the other value allowed.

  Returns:
    `label_dtype` [height, width].

  Raises (when run):
    tf.errors.InvalidArgumentError: not a PNG, a colour PNG without palette, or a value that is not
    allowed.
  """
  dtype = label_dtype(num_classes=num_classes, ignore_label=ignore_label)
  header = _png_header(encoded)
  color_type, bit_depth = header[_COLOR_TYPE], header[_BIT_DEPTH]
  is_palette = tf.equal(color_type, _PALETTE)
  checks = [
    check(is_png(encoded), 'the label is not a PNG'),
    check(
      is_palette
      | tf.equal(tf.bitwise.bitwise_and(color_type, tf.constant(_COLOR_BIT, tf.uint8)), 0),
      'the label is a colour PNG without palette',
    ),
  ]
  with tf.control_dependencies(checks):
    encoded = tf.cond(is_palette, lambda: _palette_as_grey(encoded, header), lambda: encoded)

  def decode(sample_dtype):
    values = tf.io.decode_png(encoded, channels=1, dtype=sample_dtype)[:, :, 0]
    if sample_dtype == tf.uint8:
      stretch = tf.gather(
        tf.constant(_STRETCH, tf.uint8), tf.minimum(tf.cast(bit_depth, tf.int32), 8)
      )
      values = tf.cond(bit_depth < 8, lambda: values // stretch, lambda: values)
    allowed = check(
      _in_range(values, num_classes=num_classes, ignore_label=ignore_label),
      'a label value is neither a class nor ignore_label',
    )
    with tf.control_dependencies([allowed]):
      return tf.cast(values, dtype) if sample_dtype != dtype else tf.identity(values)

  label = tf.cond(tf.equal(bit_depth, 16), lambda: decode(tf.uint16), lambda: decode(tf.uint8))
  return tf.ensure_shape(label, [None, None])


def label_size(encoded: tf.Tensor) -> tf.Tensor:
  """int32 [2], height and width, of a label PNG, read from its header alone."""
  return _png_size(_png_header(encoded))


def check_pair(
  encoded_image: tf.Tensor,
  encoded_label: tf.Tensor,
  *,
  num_classes: int,
  ignore_label: int,
  max_image_pixels: int,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Checks the sizes and the label values of an image and its label; only the label is decoded.

  Args:
    encoded_image: string scalar, JPEG or PNG.
    encoded_label: string scalar, as for `decode_label`.
    num_classes, ignore_label: the label values allowed.
    max_image_pixels: larger images are an error.

  Returns:
    (encoded image string scalar, label uint8 or uint16 [height, width]).

  Raises (when run):
    tf.errors.OpError: one of them is bad.
  """
  size = image_size(encoded_image)
  checks = [
    check_size(size, max_image_pixels=max_image_pixels),
    check(
      tf.reduce_all(tf.equal(size, label_size(encoded_label))), 'image and label differ in size'
    ),
  ]
  with tf.control_dependencies(checks):
    label = decode_label(encoded_label, num_classes=num_classes, ignore_label=ignore_label)
    # So that nobody decodes it before the checks.
    return tf.identity(encoded_image), label


def check_size(size: tf.Tensor, *, max_image_pixels: int) -> tf.Operation:
  """An operation that raises InvalidArgumentError where int32 [2], height and width, are not
  positive or too many pixels.
  """
  fits = tf.reduce_prod(tf.cast(size, tf.int64)) <= max_image_pixels
  return check(fits & tf.reduce_all(size > 0), 'the image is too large')


def decode_pair(
  encoded_image: tf.Tensor, encoded_label: tf.Tensor, **limits
) -> tuple[tf.Tensor, tf.Tensor]:
  """(image uint8 [height, width, 3], label uint8 or uint16 [height, width]), checked as by
  `check_pair`, of which `limits` are the arguments, and decoded wholly.
  """
  encoded_image, label = check_pair(encoded_image, encoded_label, **limits)
  image = decode_image(encoded_image)
  same = check(
    tf.reduce_all(tf.equal(tf.shape(image)[:2], tf.shape(label))), 'image and label differ in size'
  )
  with tf.control_dependencies([same]):
    return tf.identity(image), label


def _in_range(values, *, num_classes, ignore_label):
  """Whether all values are below num_classes or equal to ignore_label, as a bool scalar."""
  largest = values.dtype.max
  if ignore_label == largest and num_classes < largest:
    # Adding one wraps ignore_label to 0 and makes one range of what is allowed: the quickest of all
    # ways to ask.
    return tf.cast(tf.reduce_max(values + 1), tf.int32) <= num_classes
  if num_classes > largest:
    return tf.constant(True)
  outside = values >= tf.constant(num_classes, values.dtype)
  if num_classes <= ignore_label <= largest:
    outside &= tf.not_equal(values, tf.constant(ignore_label, values.dtype))
  return ~tf.reduce_any(outside)


def _palette_as_grey(encoded, header):
  """A palette PNG rewritten as a grey PNG, whose samples are then the palette indices; pixels are
  not touched.

  The colour type in the header becomes grey and its check sum follows; the chunks between header
  and pixels, of which only the palette and its transparency matter, are dropped. (libpng would
  ignore them with a warning for every image.)
  """
  checksum = tf.bitwise.bitwise_xor(
    header[_CHECKSUM:_HEADER_END], tf.constant(_GREY_CHECKSUM_CHANGE, tf.uint8)
  )
  checksum = tf.strings.reduce_join(
    tf.gather(tf.constant(_ONE_BYTE_STRINGS), tf.cast(checksum, tf.int32))
  )
  pixels = _from_first_pixels(encoded)
  before, after = (
    tf.strings.substr(encoded, 0, _COLOR_TYPE),
    tf.strings.substr(encoded, _COLOR_TYPE + 1, 3),
  )
  return tf.strings.join([before, b'\0', after, checksum, pixels])


def _from_first_pixels(encoded):
  """The bytes of a PNG from its first chunk of pixels (IDAT) on.

  Goes from chunk to chunk by their lengths: the letters IDAT may stand in a text before it, too.
  """
  total = tf.strings.length(encoded)

  def length_and_name(begin):
    return tf.strings.substr(encoded, begin, _LENGTH_AND_NAME)

  def next_chunk(begin, chunk):
    digits = tf.cast(tf.io.decode_raw(tf.strings.substr(chunk, 0, 4), tf.uint8), tf.int32)
    length = tf.reduce_sum(digits * tf.constant(_PLACES, tf.int32))
    # A length that leads behind the end, or is negative as int32, ends the walk there.
    length = tf.where(length < 0, total, tf.minimum(length, total))
    begin = tf.minimum(begin + length + _LENGTH_AND_NAME + _CHECKSUM_SIZE, total)
    return begin, length_and_name(begin)

  begin, chunk = tf.while_loop(
    lambda begin, chunk: (
      (begin + _LENGTH_AND_NAME <= total) & tf.not_equal(tf.strings.substr(chunk, 4, 4), b'IDAT')
    ),
    next_chunk,
    [tf.constant(_HEADER_END), length_and_name(_HEADER_END)],
    parallel_iterations=1,
  )
  return tf.strings.substr(encoded, begin, total)


def _png_header(encoded):
  """The first bytes of a PNG as uint8 [33]."""
  return tf.io.decode_raw(tf.strings.substr(encoded, 0, _HEADER_END), tf.uint8)


def _png_size(header):
  digits = tf.stack([header[_HEIGHT:_BIT_DEPTH], header[_WIDTH:_HEIGHT]])
  return tf.reduce_sum(tf.cast(digits, tf.int32) * tf.constant(_PLACES, tf.int32), axis=1)


def check(condition: tf.Tensor, message: str) -> tf.Operation:
  """An operation that raises InvalidArgumentError unless the bool scalar holds."""
  return tf.raw_ops.Assert(condition=condition, data=[tf.constant(message)], summarize=1)
