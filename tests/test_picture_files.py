"""What the bytes of a picture file look like, the same in conversion, training and inference."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import PIL.features
import pytest
import tensorflow as tf
from PIL import Image, PngImagePlugin

from deeplab import conversion_run
from deeplab.data import decoding, orientation, picture_files, png_chunks, tfrecord
from deeplab.errors import InputError
from deeplab.options import ConversionOptions
from deeplab.prediction import image_files

_CASES = os.path.join(os.environ.get('DEEPLAB_TEST_DATA', ''), os.pardir, 'cases', 'image_formats')
_SIZE = (26, 40)  # Height and width.


_LOSSLESS = {'WEBP': {'lossless': True}}


def colors(height=_SIZE[0], width=_SIZE[1]):
  """uint8 [height, width, 3], smooth with noise."""
  random = np.random.default_rng(5)
  coarse = Image.fromarray(random.integers(0, 256, [4, 5, 3], np.uint8))
  smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
  return np.clip(smooth + random.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)


def picture(mode='RGB'):
  return Image.fromarray(colors()).convert(mode)


def encoded(image, **settings):
  file = io.BytesIO()
  image.save(file, **settings)
  return file.getvalue()


def oriented(value, **settings):
  exif = Image.Exif()
  exif[orientation.TAG] = value
  return encoded(picture(), exif=exif, **settings)


def deep_png(values, *, color_type):
  """A PNG of 16 bits of uint16 [height, width, channels], which Pillow does not write in colour."""

  def chunk(name, content):
    checksum = zlib.crc32(name + content)
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', checksum)

  height, width = values.shape[:2]
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
  header = struct.pack('>IIBBBBB', width, height, 16, color_type, 0, 0, 0)
  return (
    png_chunks.SIGNATURE
    + chunk(b'IHDR', header)
    + chunk(b'IDAT', zlib.compress(rows))
    + chunk(b'IEND', b'')
  )


def deep_pgm(values):
  """A PGM of 16 bits of uint16 [height, width]."""
  return b'P5\n%d %d\n65535\n' % values.shape[::-1] + values.astype('>u2').tobytes()


def deep(channels=1):
  return np.random.default_rng(6).integers(0, 65536, [*_SIZE, channels]).astype(np.uint16)


def make_pair(directory, data, *, label=None, name='a'):
  """Writes an image and a label, all 0 and of the size of the upright image if not given."""
  for kind in ('images', 'labels'):
    os.makedirs(directory / kind, exist_ok=True)
  path = directory / 'images' / f'{name}.jpg'  # Whatever the format: it shows in the content.
  path.write_bytes(data)
  if label is None:
    file = picture_files.examine(data, name='it')
    label = encoded(Image.fromarray(np.zeros(file.size, np.uint8)), format='PNG')
  (directory / 'labels' / f'{name}.png').write_bytes(label)
  return str(path)


def convert(directory, **changes):
  return conversion_run.convert(
    ConversionOptions(
      images_dir=str(directory / 'images'),
      labels_dir=str(directory / 'labels'),
      split='train',
      output_dir=str(directory / 'out'),
      num_workers=1,
      **changes,
    )
  )


def record_parts(directory):
  """The parts of the records by the names of their pairs."""
  path = str(directory / 'out' / 'train' / 'train-00001-of-00001.tfrecord')
  parts = [tfrecord.parts_of(record.numpy()) for record in tf.data.TFRecordDataset(path)]
  return {part['name'].decode(): part for part in parts}


def assert_one_picture(directory, path):
  """Training, a window of training, and inference see the same pixels; returns them."""
  parts = record_parts(directory)[os.path.splitext(os.path.basename(path))[0]]
  trained = decoding.decode_image(tf.constant(parts['image'])).numpy()
  predicted = image_files.read_image(path)
  np.testing.assert_array_equal(trained, predicted, err_msg=path)
  window = decoding.decode_image_window(
    tf.constant(parts['image']), begin=tf.constant([3, 4]), size=tf.constant([9, 11])
  ).numpy()
  np.testing.assert_array_equal(window[:-1, :-1], trained[3:11, 4:14], err_msg=path)
  return predicted


_FILES = {
  'jpeg': (lambda: encoded(picture(), format='JPEG'), False),
  'jpeg_grey': (lambda: encoded(picture('L'), format='JPEG'), False),
  'jpeg_progressive': (lambda: encoded(picture(), format='JPEG', progressive=True), False),
  'jpeg_not_subsampled': (lambda: encoded(picture(), format='JPEG', subsampling=0), False),
  'jpeg_rgb': (lambda: encoded(picture(), format='JPEG', keep_rgb=True), False),
  'jpeg_cmyk': (lambda: encoded(picture('CMYK'), format='JPEG'), False),
  'jpeg_cmyk_not_adobe': (lambda: _without_adobe(encoded(picture('CMYK'), format='JPEG')), False),
  'mpo': (
    lambda: encoded(picture(), format='MPO', save_all=True, append_images=[picture()]),
    False,
  ),
  'png': (lambda: encoded(picture(), format='PNG'), False),
  'png_1_bit': (lambda: encoded(picture('1'), format='PNG'), False),
  'png_grey': (lambda: encoded(picture('L'), format='PNG'), False),
  'png_palette': (lambda: encoded(picture('P'), format='PNG', transparency=7), False),
  'png_palette_4_bits': (
    lambda: encoded(picture('P').quantize(16), format='PNG', bits=4),
    False,
  ),
  'png_grey_transparent': (lambda: encoded(picture('L'), format='PNG', transparency=7), False),
  'png_alpha': (lambda: encoded(_with_alpha('RGBA'), format='PNG'), False),
  'png_grey_alpha': (lambda: encoded(_with_alpha('LA'), format='PNG'), False),
  'png_16_grey': (lambda: deep_png(deep(1), color_type=0), False),
  'png_16_grey_alpha': (lambda: deep_png(deep(2), color_type=4), False),
  'png_16_colours': (lambda: deep_png(deep(3), color_type=2), False),
  'png_16_alpha': (lambda: deep_png(deep(4), color_type=6), False),
  'bmp': (lambda: encoded(picture(), format='BMP'), True),
  'gif': (lambda: encoded(picture('P'), format='GIF', transparency=7), True),
  'tiff': (lambda: encoded(picture(), format='TIFF'), True),
  'tiff_compressed': (lambda: encoded(picture(), format='TIFF', compression='tiff_lzw'), True),
  'tiff_alpha': (lambda: encoded(_with_alpha('RGBA'), format='TIFF'), True),
  'tiff_cmyk': (lambda: encoded(picture('CMYK'), format='TIFF'), True),
  'tiff_ycbcr': (lambda: encoded(picture('YCbCr'), format='TIFF'), True),
  'tiff_16_grey': (lambda: encoded(Image.fromarray(deep()[:, :, 0]), format='TIFF'), True),
  'webp': (lambda: encoded(picture(), format='WEBP'), True),
  'webp_alpha': (lambda: encoded(_with_alpha('RGBA'), format='WEBP', lossless=True), True),
  'pgm_16': (lambda: deep_pgm(deep()[:, :, 0]), True),
  'tga': (lambda: encoded(picture(), format='TGA'), True),
}


def _with_alpha(mode):
  image = picture('RGBA')
  image.putalpha(Image.fromarray(colors()[:, :, 1]))
  return image.convert(mode)


def _without_adobe(data):
  begin = data.index(b'\xff\xee')
  end = begin + 2 + int.from_bytes(data[begin + 2 : begin + 4], 'big')
  assert data[begin + 4 : begin + 9] == b'Adobe'
  return data[:begin] + data[end:]


def test_training_and_inference_see_the_same_pixels(tmp_path):
  kinds = {kind for kind in _FILES if kind != 'tiff_ycbcr' or _is_read(_FILES[kind][0]())}
  files = {kind: _FILES[kind][0]() for kind in kinds}
  paths = {kind: make_pair(tmp_path, data, name=kind) for kind, data in files.items()}
  summary = convert(tmp_path)
  assert summary['images_encoded_again'] == sum(_FILES[kind][1] for kind in kinds)
  parts = record_parts(tmp_path)
  for kind, path in paths.items():
    assert_one_picture(tmp_path, path)
    assert (parts[kind]['image'] != files[kind]) == _FILES[kind][1], kind


def _is_read(data):
  try:
    picture_files.examine(data, name='it')
  except InputError:  # Old Pillows.
    return False
  return True


def test_avif_where_pillow_reads_it(tmp_path):
  if not PIL.features.check('avif'):
    pytest.skip('this Pillow reads no AVIF')
  path = make_pair(tmp_path, encoded(picture(), format='AVIF'))
  convert(tmp_path)
  assert_one_picture(tmp_path, path)


@pytest.mark.skipif(not os.path.isdir(_CASES), reason='DEEPLAB_TEST_DATA is not set')
def test_the_shared_pictures_in_many_formats(tmp_path):
  names = sorted(os.listdir(_CASES))
  refused = set()
  paths = []
  for number, name in enumerate(names):
    data = open(os.path.join(_CASES, name), 'rb').read()
    try:
      paths.append(make_pair(tmp_path, data, name=str(number)))
    except InputError:
      refused.add(name)
      os.remove(tmp_path / 'images' / f'{number}.jpg')
  convert(tmp_path)
  for path in paths:
    assert_one_picture(tmp_path, path)
  # Old Pillows read neither AVIF nor all YCbCr.
  assert refused - {'x.avif', 'ycc.tif'} == {'int32.tif'} and len(names) > 20


def read(data):
  return picture_files.decode(picture_files.examine(data, name='it'))


def test_16_bits_become_the_upper_8_in_every_format():
  values = deep(3)
  np.testing.assert_array_equal(read(deep_png(values, color_type=2)), values >> 8)
  grey = np.repeat(values[:, :, :1] >> 8, 3, axis=2)
  np.testing.assert_array_equal(read(deep_png(values[:, :, :1], color_type=0)), grey)
  np.testing.assert_array_equal(read(deep_pgm(values[:, :, 0])), grey)
  for image_format in ('PNG', 'TIFF'):
    image = Image.fromarray(values[:, :, 0])
    np.testing.assert_array_equal(read(encoded(image, format=image_format)), grey)


def test_grey_tiff_of_16_bits_in_which_white_is_0():
  data = encoded(Image.fromarray(deep()[:, :, 0]), format='TIFF', tiffinfo={262: 0})
  assert Image.open(io.BytesIO(data)).tag_v2[262] == 0
  np.testing.assert_array_equal(read(data)[:, :, 1], (65535 - deep()[:, :, 0].astype(int)) >> 8)


def test_alpha_is_dropped_and_not_laid_over_a_background():
  image = Image.fromarray(np.full([2, 2, 4], [10, 20, 30, 0], np.uint8))
  for image_format in ('PNG', 'TIFF'):
    assert read(encoded(image, format=image_format))[0, 0].tolist() == [10, 20, 30]


def test_red_of_a_cmyk_jpeg_is_red():
  pixel = read(encoded(Image.new('CMYK', (16, 16), (0, 255, 255, 0)), format='JPEG'))[8, 8]
  assert pixel[0] > 240 and max(pixel[1:]) < 15


# What each tag stands for, by hand: the stored rows and columns of a picture that shows
#   1 2
#   3 4
#   5 6
_STORED = {
  1: [[1, 2], [3, 4], [5, 6]],
  2: [[2, 1], [4, 3], [6, 5]],
  3: [[6, 5], [4, 3], [2, 1]],
  4: [[5, 6], [3, 4], [1, 2]],
  5: [[1, 3, 5], [2, 4, 6]],
  6: [[2, 4, 6], [1, 3, 5]],
  7: [[6, 4, 2], [5, 3, 1]],
  8: [[5, 3, 1], [6, 4, 2]],
}


@pytest.mark.parametrize('value', range(1, 9))
def test_turn_and_back(value):
  stored, shown = np.array(_STORED[value]), np.array(_STORED[1])
  np.testing.assert_array_equal(orientation.turn(stored, value), shown)
  np.testing.assert_array_equal(orientation.turn_back(shown, value), stored)


def test_every_orientation_is_applied_once_everywhere(tmp_path):
  cases = [(kind, value) for kind in ('JPEG', 'PNG', 'TIFF', 'WEBP') for value in range(1, 9)]
  paths = [
    make_pair(
      tmp_path, oriented(value, format=kind, **_LOSSLESS.get(kind, {})), name=f'{kind}{value}'
    )
    for kind, value in cases
  ]
  convert(tmp_path)
  for (kind, value), path in zip(cases, paths):
    shown = orientation.turn(colors(), value).astype(int)
    np.testing.assert_allclose(
      assert_one_picture(tmp_path, path).astype(int),
      shown,
      atol=60 if kind == 'JPEG' else 0,
      err_msg=path,
    )


def test_turned_jpeg_is_turned_after_the_reference_decoded_it(tmp_path):
  data = oriented(6, format='JPEG')
  path = make_pair(tmp_path, data)
  convert(tmp_path)
  decoded = tf.io.decode_jpeg(data, channels=3).numpy()
  np.testing.assert_array_equal(assert_one_picture(tmp_path, path), np.rot90(decoded, -1))


def test_orientation_in_xmp(tmp_path):
  xmp = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Orientation="8"/></rdf:RDF></x:xmpmeta>'
  )
  info = PngImagePlugin.PngInfo()
  info.add_itxt('XML:com.adobe.xmp', xmp.decode())
  path = make_pair(tmp_path, encoded(picture(), format='PNG', pnginfo=info))
  convert(tmp_path)
  assert assert_one_picture(tmp_path, path).shape == (_SIZE[1], _SIZE[0], 3)


@pytest.mark.parametrize('tag', [b'Exif\0\0II*\0\xff\xff\xff\xff', b'Exif\0\0nonsense'])
def test_damaged_tags_are_no_tags(tmp_path, tag):
  path = make_pair(tmp_path, encoded(picture(), format='JPEG', exif=tag))
  convert(tmp_path)
  assert assert_one_picture(tmp_path, path).shape == (*_SIZE, 3)


def test_a_label_of_the_stored_size_keeps_the_image_as_it_is_stored(tmp_path, capsys):
  label = encoded(Image.fromarray(np.zeros(_SIZE, np.uint8)), format='PNG')
  files = {
    f'{kind}{value}': oriented(value, format=kind, **_LOSSLESS.get(kind, {}))
    for kind in ('JPEG', 'PNG', 'TIFF', 'WEBP')
    for value in (5, 6, 7, 8)
  }
  for name, data in files.items():
    make_pair(tmp_path, data, label=label, name=name)
  convert(tmp_path)
  for name, parts in record_parts(tmp_path).items():
    expected = tf.io.decode_jpeg(files[name]).numpy() if name.startswith('JPEG') else colors()
    pixels = decoding.decode_image(tf.constant(parts['image']))
    np.testing.assert_array_equal(pixels, expected, err_msg=name)
  assert 'orientation' not in capsys.readouterr().err


def test_what_sizes_do_not_tell_about_a_turn_is_said_once(tmp_path, capsys):
  for name, value in [('a', 3), ('b', 2), ('c', 4), ('d', 6), ('e', 1)]:
    make_pair(tmp_path, oriented(value, format='JPEG'), name=name)
  convert(tmp_path)
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith(f'warning: {tmp_path}/images/a.jpg (and 2 other images) has an orient')


def test_a_label_is_turned_by_its_own_tag(tmp_path, capsys):
  indices = np.arange(_SIZE[0] * _SIZE[1]).reshape(_SIZE).astype(np.uint8) % 20
  exif = Image.Exif()
  for value in range(2, 9):
    exif[orientation.TAG] = value
    for kind in ('PNG', 'TIFF', 'WEBP'):
      label = encoded(Image.fromarray(indices), format=kind, exif=exif, **_LOSSLESS.get(kind, {}))
      name = f'{value}_{kind}'
      make_pair(tmp_path, oriented(value, format='JPEG'), label=label, name=name)
  assert convert(tmp_path)['labels_encoded_again'] == 21
  for name, parts in record_parts(tmp_path).items():
    label = decoding.decode_label(tf.constant(parts['label']), num_classes=20, ignore_label=255)
    np.testing.assert_array_equal(label, orientation.turn(indices, int(name[0])), err_msg=name)
  assert 'warning' not in capsys.readouterr().err


def test_a_turned_label_that_does_not_fit_is_refused(tmp_path):
  exif = Image.Exif()
  exif[orientation.TAG] = 6
  upright = np.zeros([_SIZE[1], _SIZE[0]], np.uint8)
  label = encoded(Image.fromarray(upright), format='PNG', exif=exif)
  make_pair(tmp_path, oriented(6, format='JPEG'), label=label)
  with pytest.raises(InputError, match='is 26x40 but .* is 40x26'):
    convert(tmp_path)


@pytest.mark.parametrize(
  'data, words',
  [
    (
      lambda: encoded(Image.fromarray(np.ones(_SIZE, np.float32)), format='TIFF'),
      'a TIFF of float',
    ),
    (lambda: encoded(Image.fromarray(np.ones(_SIZE, np.int32)), format='TIFF'), '32-bit integer'),
    (lambda: deep_png(deep(1) >> 4, color_type=0), 'none is above 409[0-5] of 65535'),
    (lambda: deep_png(deep(3) >> 4, color_type=2), 'none is above 409[0-5] of 65535'),
    (lambda: deep_png(deep(1) >> 8, color_type=0), 'none is above 255 of 65535'),
    (
      lambda: encoded(Image.fromarray(deep()[:, :, 0] >> 4), format='TIFF'),
      'none is above 409[0-5] of 65535',
    ),
    (lambda: b'II*\0\x08\0\0\0\0\0\0\0\0\0', 'is a TIFF of a kind that cannot be read'),
  ],
)
def test_pictures_that_would_be_read_as_black_are_refused_everywhere(tmp_path, data, words):
  label = encoded(Image.fromarray(np.zeros(_SIZE, np.uint8)), format='PNG')
  path = make_pair(tmp_path, data(), label=label)
  for act in (lambda: convert(tmp_path), lambda: image_files.read_image(path)):
    with pytest.raises(InputError, match=words) as raised:
      act()
    assert path in str(raised.value) and 'save it as an 8-bit PNG' in str(raised.value)


def test_drawings_are_refused(tmp_path):
  path = tmp_path / 'a.png'
  path.write_bytes(encoded(picture(), format='EPS'))
  with pytest.raises(InputError, match='a.png: is EPS, a drawing without pixels; save it as PNG'):
    image_files.read_image(str(path))


def test_dark_pictures_of_16_bits_are_taken_and_said(tmp_path, capsys):
  path = make_pair(tmp_path, deep_png(deep(1) >> 2, color_type=0))
  convert(tmp_path)
  assert assert_one_picture(tmp_path, path).max() == 63
  for line in capsys.readouterr().err.splitlines():
    assert path in line and 'less than a quarter of the range of its 16 bits' in line
  black = deep_png(np.zeros([3, 4, 1], np.uint16), color_type=0)
  assert read(black).max() == 0  # Black under every window.


@pytest.mark.parametrize('image_format', ['GIF', 'TIFF', 'WEBP', 'PNG'])
def test_of_several_frames_the_first_is_read_and_said(tmp_path, capsys, image_format):
  other = Image.fromarray(255 - colors())
  settings = {'save_all': True, 'append_images': [other], **_LOSSLESS.get(image_format, {})}
  data = encoded(picture(), format=image_format, **settings)
  path = make_pair(tmp_path, data)
  convert(tmp_path)
  pixels = assert_one_picture(tmp_path, path)
  assert abs(pixels.astype(int) - colors()).mean() < 20
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 2 and all('of which the first is read' in line for line in lines)


def test_no_tensorflow_for_what_workers_import():
  code = (
    'import sys; from deeplab.data import picture_files; '
    'from deeplab.conversion import source_files, trial_decoding; '
    'sys.exit("tensorflow" in sys.modules)'
  )
  assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_larger_pictures_than_tensorflow_takes_are_decoded_alike_by_pillow(monkeypatch):
  files = [deep_png(deep(channels), color_type=kind) for kind, channels in ((0, 1), (2, 3), (6, 4))]
  files += [encoded(picture(mode), format='PNG') for mode in ('RGB', 'P', 'L')]
  expected = [read(data) for data in files]
  monkeypatch.setattr(picture_files, '_TENSORFLOWS_LIMIT', 0)
  monkeypatch.setattr(tf.io, 'decode_png', None)
  for data, pixels in zip(files, expected):
    np.testing.assert_array_equal(read(data), pixels)


def test_damage_of_a_png_is_named():
  data = encoded(picture(), format='PNG')
  assert png_chunks.damage(data) is None
  assert png_chunks.damage(data[:-5]) == 'it ends before its last chunk, IEND'
  begin = data.index(b'IDAT') - 4
  wrong = data[: begin + 20] + bytes([data[begin + 20] ^ 1]) + data[begin + 21 :]
  assert png_chunks.damage(wrong) == f"wrong check sum in chunk 'IDAT' at byte {begin}"


def test_what_only_tensorflow_refuses_is_a_problem_of_the_conversion(tmp_path):
  data = bytearray(encoded(picture('L'), format='PNG'))
  # Behind the pixels, where Pillow does not look any more.
  data[-1] ^= 1
  path = make_pair(tmp_path, bytes(data), label=_label())
  with pytest.raises(InputError) as raised:
    convert(tmp_path)
  assert str(raised.value) == (
    f"a: {path} cannot be decoded in training (wrong check sum in chunk 'IEND' at byte "
    f'{len(data) - 12}); save it again from what it was made of; nothing was written'
  )
  assert not (tmp_path / 'out').exists()


def _label():
  return encoded(Image.fromarray(np.zeros(_SIZE, np.uint8)), format='PNG')
