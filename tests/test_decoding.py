"""Encoded images and labels to tensors."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, PngImagePlugin

from deeplab.data import decoding


def png(array, *, mode=None, palette=None, **settings):
  picture = (
    Image.fromarray(array)
    if mode is None
    else Image.frombytes(mode, array.shape[1::-1], array.tobytes())
  )
  if palette is not None:
    picture.putpalette(palette)
  file = io.BytesIO()
  picture.save(file, format='PNG', **settings)
  return file.getvalue()


def random_indices(bits, *, shape=(11, 13)):
  dtype = np.uint16 if bits == 16 else np.uint8
  return np.random.default_rng(bits).integers(0, 2**bits, shape).astype(dtype)


def decode(encoded, *, num_classes=256, ignore_label=255):
  # In a tf.function, as in a pipeline: there the label's size is not known beforehand.
  function = tf.function(
    lambda data: decoding.decode_label(data, num_classes=num_classes, ignore_label=ignore_label),
    autograph=False,
    input_signature=[tf.TensorSpec([], tf.string)],
  )
  return function(tf.constant(encoded)).numpy()


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_palette_label_is_read_as_indices(bits):
  indices = random_indices(bits)
  palette = np.random.default_rng(0).integers(0, 256, 3 * 2**bits).tolist()
  encoded = png(indices, mode='P', palette=palette, bits=bits)
  # What it claims to test: bit depth, colour type palette.
  assert encoded[24:26] == bytes([bits, 3])
  np.testing.assert_array_equal(decode(encoded), indices)


def test_palette_label_with_transparency_and_text_chunks():
  indices = random_indices(4)
  text = PngImagePlugin.PngInfo()
  text.add_text('Comment', 'before the pixels')
  encoded = png(
    indices, mode='P', palette=list(range(48)), bits=8, transparency=3, pnginfo=text, dpi=(72, 72)
  )
  assert b'tRNS' in encoded and b'tEXt' in encoded and b'pHYs' in encoded
  np.testing.assert_array_equal(decode(encoded), indices)


def test_palette_label_of_many_bytes_in_many_chunks():
  indices = random_indices(8, shape=(400, 500))
  encoded = png(indices, mode='P', palette=[0] * 768)
  assert encoded.count(b'IDAT') > 1
  np.testing.assert_array_equal(decode(encoded), indices)


@pytest.mark.parametrize('text', ['IDAT', 'xxxxIDATxxxx', '\0\0\0\5IDAT', 'IDAT' * 300])
def test_palette_label_with_the_name_of_the_pixels_in_a_text(text):
  indices = random_indices(4)
  chunk = PngImagePlugin.PngInfo()
  chunk.add_text('IDAT', text)
  encoded = png(indices, mode='P', palette=list(range(48)), bits=4, pnginfo=chunk)
  assert encoded.index(b'IDAT') < encoded.index(b'tEXt') + 20 < encoded.rindex(b'IDAT')
  np.testing.assert_array_equal(decode(encoded), indices)


@pytest.mark.parametrize('length', [0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFF4, 100_000])
def test_palette_label_whose_chunks_lead_nowhere_is_refused(length):
  encoded = bytearray(png(random_indices(4), mode='P', palette=list(range(48)), bits=4))
  assert encoded[37:41] == b'PLTE'
  encoded[33:37] = length.to_bytes(4, 'big')
  with pytest.raises(tf.errors.InvalidArgumentError):
    decode(bytes(encoded))


def test_palette_label_makes_libpng_say_nothing(capfd):
  decode(png(random_indices(8), mode='P', palette=list(range(256)) * 3))
  assert 'PNG' not in capfd.readouterr().err


@pytest.mark.parametrize('bits', [2, 4])
def test_grey_label_of_few_bits_is_read_as_stored(bits):
  # PIL writes no grey PNGs of 2 and 4 bits: make one of a palette PNG, whose pixels are stored
  # alike.
  indices = random_indices(bits)
  encoded = decoding._palette_as_grey(
    tf.constant(png(indices, mode='P', palette=[0] * 3 * 2**bits, bits=bits)),
    decoding._png_header(tf.constant(png(indices, mode='P', palette=[0] * 3 * 2**bits, bits=bits))),
  ).numpy()
  assert encoded[24:26] == bytes([bits, 0])
  np.testing.assert_array_equal(decode(encoded), indices)


def test_grey_labels_of_1_8_and_16_bits():
  bits = random_indices(1)
  np.testing.assert_array_equal(decode(_one_bit(bits)), bits)
  indices = random_indices(8)
  np.testing.assert_array_equal(decode(png(indices)), indices)
  indices = random_indices(16)
  label = decode(png(indices), num_classes=65535, ignore_label=65535)
  assert label.dtype == np.uint16
  np.testing.assert_array_equal(label, indices)


def _one_bit(bits):
  file = io.BytesIO()
  Image.fromarray(bits.astype(bool)).save(file, format='PNG')
  assert file.getvalue()[24:26] == bytes([1, 0])
  return file.getvalue()


def test_16_bit_label_with_small_values_is_uint8():
  label = decode(png(np.array([[0, 20, 255]], np.uint16)), num_classes=21)
  assert label.dtype == np.uint8
  np.testing.assert_array_equal(label, [[0, 20, 255]])


def test_grey_label_with_alpha():
  pixels = np.array([[[3, 255], [7, 0]]], np.uint8)
  np.testing.assert_array_equal(decode(png(pixels, mode='LA')), [[3, 7]])


@pytest.mark.parametrize(
  'values, num_classes, ignore_label, good',
  [
    ([0, 20, 255], 21, 255, True),
    ([0, 21, 255], 21, 255, False),
    ([0, 254], 21, 255, False),
    ([0, 255], 256, 255, True),
    ([0, 255], 255, 255, True),
    ([254], 255, 255, True),
    ([255], 150, 0, False),
    ([0, 150], 151, 0, True),
    ([0, 151], 151, 0, False),
    ([30, 4], 5, 30, True),
    ([31, 4], 5, 30, False),
    ([5], 5, 30, False),
  ],
)
def test_label_values_are_checked(values, num_classes, ignore_label, good):
  encoded = png(np.array([values], np.uint8))
  if good:
    np.testing.assert_array_equal(
      decode(encoded, num_classes=num_classes, ignore_label=ignore_label), [values]
    )
  else:
    with pytest.raises(tf.errors.InvalidArgumentError, match='label value'):
      decode(encoded, num_classes=num_classes, ignore_label=ignore_label)


def test_values_of_16_bit_labels_are_checked_before_they_become_bytes():
  with pytest.raises(tf.errors.InvalidArgumentError, match='label value'):
    decode(png(np.array([[256 + 3]], np.uint16)), num_classes=21)


@pytest.mark.parametrize('mode, channels', [('RGB', 3), ('RGBA', 4)])
def test_colour_label_without_palette_is_refused(mode, channels):
  with pytest.raises(tf.errors.InvalidArgumentError, match='colour PNG without palette'):
    decode(png(np.zeros([2, 2, channels], np.uint8), mode=mode))


def test_jpeg_label_is_refused():
  file = io.BytesIO()
  Image.new('L', (8, 8)).save(file, format='JPEG')
  with pytest.raises(tf.errors.InvalidArgumentError):
    decode(file.getvalue())


def photo(image_format, *, size=(67, 45), mode='RGB'):
  noise = np.random.default_rng(1).integers(0, 256, [8, 8, 3], np.uint8)
  file = io.BytesIO()
  Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode).save(
    file, format=image_format
  )
  return file.getvalue()


@pytest.mark.parametrize('image_format', ['JPEG', 'PNG'])
def test_image_size_comes_from_the_header(image_format):
  assert decoding.image_size(tf.constant(photo(image_format)[:-99])).numpy().tolist() == [45, 67]


@pytest.mark.parametrize('image_format', ['JPEG', 'PNG'])
@pytest.mark.parametrize(
  'begin, size', [([0, 0], [45, 67]), ([7, 19], [30, 41]), ([44, 66], [1, 1])]
)
def test_window_is_a_piece_of_the_image(image_format, begin, size):
  encoded = photo(image_format)
  window = decoding.decode_image_window(
    tf.constant(encoded), begin=tf.constant(begin), size=tf.constant(size)
  )
  whole = decoding.decode_image(tf.constant(encoded)).numpy()
  expected = whole[begin[0] : begin[0] + size[0], begin[1] : begin[1] + size[1]].astype(int)
  np.testing.assert_array_equal(window[:-1, :-1], expected[:-1, :-1])
  # The colours of a JPEG's last row and column lack their neighbours outside the window.
  np.testing.assert_allclose(window, expected, atol=30 if image_format == 'JPEG' else 0)


@pytest.mark.parametrize(
  'image_format, mode',
  [('JPEG', 'L'), ('JPEG', 'CMYK'), ('PNG', 'L'), ('PNG', 'P'), ('PNG', 'RGBA')],
)
def test_image_of_any_mode_has_three_channels(image_format, mode):
  encoded = photo(image_format, mode=mode)
  expected = np.asarray(Image.open(io.BytesIO(encoded)).convert('RGB')).astype(int)
  # TensorFlow's default JPEG decoder is off from PIL's by some levels.
  np.testing.assert_allclose(decoding.decode_image(tf.constant(encoded)).numpy(), expected, atol=25)


def test_reference_decoding_of_jpegs():
  encoded = photo('JPEG')
  np.testing.assert_array_equal(
    decoding.decode_image(tf.constant(encoded)), tf.io.decode_jpeg(encoded, channels=3)
  )
