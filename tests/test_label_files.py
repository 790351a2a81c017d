"""Label files as annotation tools write them: formats, colours, transparency, masks."""

import io
import json
import os
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from deeplab import class_names, color_map, conversion_run
from deeplab.conversion import label_files, label_samples, source_files
from deeplab.data import interpolation, labels, tfrecord
from deeplab.errors import InputError
from deeplab.options import ConversionOptions

INDICES = np.zeros([20, 30], np.uint8)
INDICES[4:12, 5:15], INDICES[8:18, 18:28] = 1, 2
OPAQUE = np.full([20, 30], 255, np.uint8)
PALETTE = [0, 0, 0, 200, 10, 10, 10, 10, 200]


def options_of(**changes):
  return ConversionOptions(
    **{'labels_dir': 'labels', 'images_dir': 'images', 'split': 'train', **changes}
  )


def encoded(picture, kind, **settings):
  file = io.BytesIO()
  picture.save(file, format=kind, **settings)
  return file.getvalue()


def palette_picture(indices, palette=PALETTE):
  picture = Image.frombytes('P', indices.shape[::-1], indices.tobytes())
  picture.putpalette(palette)
  return picture


def npy(array):
  file = io.BytesIO()
  np.save(file, array)
  return file.getvalue()


def chunk(name, data):
  return len(data).to_bytes(4, 'big') + name + data + zlib.crc32(name + data).to_bytes(4, 'big')


def grey_alpha_16(values, alpha):
  """A PNG of 16-bit grey and alpha."""
  return png_16(np.stack([values, alpha], axis=-1), color_type=4)


def png_16(samples, *, color_type):
  """A PNG of several channels of 16 bits, [height, width, n], which Pillow does not write."""
  rows = b''.join(b'\0' + row.tobytes() for row in samples.astype('>u2'))
  header = samples.shape[1].to_bytes(4, 'big') + samples.shape[0].to_bytes(4, 'big')
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header + bytes([16, color_type, 0, 0, 0]))
    + chunk(b'IDAT', zlib.compress(rows))
    + chunk(b'IEND', b'')
  )


GREY = Image.fromarray(INDICES)
RGB = Image.fromarray(np.repeat(INDICES[..., None], 3, 2))


@pytest.mark.parametrize(
  'data',
  [
    encoded(GREY, 'TIFF'),
    encoded(GREY, 'TIFF', compression='tiff_lzw'),
    encoded(GREY, 'TIFF', compression='tiff_adobe_deflate'),
    encoded(palette_picture(INDICES), 'TIFF'),
    encoded(Image.fromarray(INDICES.astype(np.uint16)), 'TIFF'),
    encoded(Image.fromarray(INDICES.astype(np.int32)), 'TIFF'),
    encoded(Image.fromarray(INDICES.astype(np.float32)), 'TIFF'),
    encoded(GREY, 'BMP'),
    encoded(palette_picture(INDICES), 'BMP'),
    encoded(GREY, 'GIF'),
    encoded(palette_picture(INDICES), 'GIF'),
    encoded(GREY, 'PPM'),
    encoded(RGB, 'WEBP', lossless=True),
    encoded(RGB, 'PNG'),
    encoded(RGB, 'BMP'),
    encoded(Image.fromarray(np.dstack([INDICES, OPAQUE])), 'PNG'),
    encoded(Image.fromarray(np.dstack([INDICES] * 3 + [OPAQUE])), 'PNG'),
    encoded(Image.fromarray(np.dstack([INDICES] * 3 + [OPAQUE])), 'WEBP', lossless=True),
    grey_alpha_16(INDICES, np.full(INDICES.shape, 65535)),
    npy(INDICES),
    npy(INDICES[..., None].astype(np.int64)),
    npy(INDICES.astype(np.float32)),
    npy(np.asfortranarray(INDICES)),
  ],
)
def test_lossless_files_of_any_kind_hold_the_indices(data):
  label = label_files.read(data, options_of())
  np.testing.assert_array_equal(label.indices, INDICES)
  assert not label.stored and not label.transparent
  # What is written in its place holds them, too.
  np.testing.assert_array_equal(labels.read_png(labels.write_png(label.indices))[0], INDICES)


@pytest.mark.parametrize(
  'data',
  [
    encoded(GREY, 'PNG'),
    encoded(palette_picture(INDICES), 'PNG'),
    encoded(palette_picture(INDICES), 'PNG', bits=2),
    # Transparency that no pixel has changes nothing.
    encoded(palette_picture(INDICES), 'PNG', transparency=bytes([255] * 3)),
    encoded(GREY, 'PNG', transparency=9),
  ],
)
def test_grey_and_palette_pngs_are_stored_as_they_are(data):
  label = label_files.read(data, options_of())
  np.testing.assert_array_equal(label.indices, INDICES)
  assert label.stored and not label.transparent


def test_values_beyond_a_byte():
  wide = INDICES.astype(np.uint16) * 150
  for data in (
    npy(wide),
    encoded(Image.fromarray(wide), 'TIFF'),
    encoded(Image.fromarray(wide), 'PNG'),
    grey_alpha_16(wide, np.full(wide.shape, 65535)),
  ):
    label = label_files.read(data, options_of())
    np.testing.assert_array_equal(label.indices, wide)
    assert label.indices.dtype == np.uint16


@pytest.mark.parametrize(
  'data, message',
  [
    (encoded(GREY, 'JPEG'), 'is stored as JPEG, which changes the values of pixels'),
    (encoded(RGB, 'WEBP'), 'is stored as lossy WebP'),
    (encoded(RGB, 'TIFF', compression='jpeg'), 'is stored as TIFF with lossy compression'),
    (encoded(GREY, 'ICO'), 'is ICO; labels are PNG, TIFF'),
    (encoded(GREY, 'TIFF', save_all=True, append_images=[GREY]), 'holds 2 pictures'),
    (encoded(GREY.convert('CMYK'), 'TIFF'), 'of mode CMYK'),
    (encoded(GREY, 'PNG')[:60], 'is a damaged or truncated image'),
    (encoded(GREY, 'BMP')[:-300], 'is a damaged or truncated image'),
    (b'text', 'is not an image .4 bytes.; remove it from the inputs'),
    (b'', 'is empty, not an image'),
    (npy(INDICES.astype(np.float32) / 2), 'holds fractions'),
    (npy(INDICES.astype(np.int16) - 1), 'holds values from -1 to 1; must be from 0 to 65535'),
    (npy(INDICES.astype(np.int64) + 70000), 'holds values from 70000'),
    (npy(np.full([2, 2], np.nan)), 'holds values from nan'),
    (npy(INDICES.astype(np.complex64)), 'of type complex64'),
    (npy(np.zeros([2, 2, 2], np.uint8)), r'is an array uint8 \[2, 2, 2\]'),
    (npy(np.array(['a'], object)), 'cannot be read as a NumPy array'),
    (npy(INDICES)[:100], 'cannot be read as a NumPy array'),
    (
      grey_alpha_16(INDICES.astype(int) * 256, np.full(INDICES.shape, 65535)),
      'is a 16-bit grey PNG with alpha whose values, up to 512, are those of 8 bits stretched',
    ),
  ],
)
def test_files_that_hold_no_indices_are_refused(data, message):
  with pytest.raises(InputError, match=message):
    label_files.read(data, options_of())


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'BMP', 'npy'])
def test_large_files_are_refused(kind):
  data = npy(INDICES) if kind == 'npy' else encoded(GREY, kind)
  with pytest.raises(InputError, match='has 30x20 pixels .width x height., more than --max'):
    label_files.read(data, options_of(max_image_pixels=599))


@pytest.mark.parametrize(
  'kind, mode', [('TIFF', 'L'), ('TIFF', 'I;16'), ('WEBP', 'RGB'), ('PNG', 'L')]
)
@pytest.mark.parametrize('tag', range(1, 9))
def test_orientation_tags_of_labels_turn_them_once(tmp_path, kind, mode, tag):
  picture = Image.fromarray(INDICES.astype(np.uint16)) if mode == 'I;16' else GREY.convert(mode)
  exif = Image.Exif()
  exif[0x0112] = tag
  settings = {'lossless': True} if kind == 'WEBP' else {}
  picture.save(tmp_path / 'a', format=kind, exif=exif, **settings)
  _, label, turned = source_files._read_label(str(tmp_path / 'a'), options_of(), None)
  plain = Image.fromarray(INDICES)
  plain.getexif()[0x0112] = tag
  np.testing.assert_array_equal(label.indices, np.asarray(ImageOps.exif_transpose(plain)))
  assert turned == (tag != 1)


def tiff_16(samples):
  """An uncompressed TIFF of RGB of 16 bits, which Pillow does not write."""
  height, width, channels = samples.shape
  bits = 8 + 2 + 9 * 12 + 4
  tags = [
    (256, 3, 1, width),
    (257, 3, 1, height),
    (258, 3, channels, bits),
    (259, 3, 1, 1),
    (262, 3, 1, 2),
    (273, 4, 1, bits + 2 * channels),
    (277, 3, 1, channels),
    (278, 3, 1, height),
    (279, 4, 1, 2 * samples.size),
  ]
  entries = b''.join(
    tag.to_bytes(2, 'little')
    + kind.to_bytes(2, 'little')
    + count.to_bytes(4, 'little')
    + value.to_bytes(4, 'little')
    for tag, kind, count, value in tags
  )
  directory = len(tags).to_bytes(2, 'little') + entries + bytes(4)
  depths = (16).to_bytes(2, 'little') * channels
  return b'II*\0' + (8).to_bytes(4, 'little') + directory + depths + samples.astype('<u2').tobytes()


def test_greys_as_rgb_of_16_bits_are_refused_and_colours_are_read():
  greys = np.repeat(INDICES[..., None], 3, 2).astype(np.uint16)
  opaque = np.full([*INDICES.shape, 1], 65535, np.uint16)
  for data in (
    png_16(greys, color_type=2),
    png_16(np.concatenate([greys, opaque], axis=2), color_type=6),
    tiff_16(greys),
  ):
    for colors in (None, {(0, 0, 0): 0, (1, 1, 1): 1}):
      with pytest.raises(InputError, match='RGB of 16 bits, .*export it as an 8-bit grey PNG'):
        label_files.read(data, options_of(), color_map=colors)
  for data in (png_16(greys // 2 * 65535, color_type=2), tiff_16(greys // 2 * 65535)):
    label = label_files.read(data, options_of(binary=True))
    np.testing.assert_array_equal(label.indices, INDICES == 2)
  colors = np.array(PALETTE, np.uint16).reshape(3, 3)[INDICES] * 257
  for data in (png_16(colors, color_type=2), tiff_16(colors)):
    label = label_files.read(
      data, options_of(), color_map={(0, 0, 0): 0, (200, 10, 10): 1, (10, 10, 200): 2}
    )
    np.testing.assert_array_equal(label.indices, INDICES)


# Transparency


def half_transparent():
  alpha = OPAQUE.copy()
  alpha[10:, :5], alpha[15:, 5:8] = 0, 100  # Partly opaque pixels are no class either.
  return alpha, alpha < 255


def transparent_files():
  alpha, _ = half_transparent()
  yield encoded(Image.fromarray(np.dstack([INDICES, alpha])), 'PNG'), None
  yield grey_alpha_16(INDICES, alpha.astype(np.uint16) * 257), None
  yield encoded(Image.fromarray(np.dstack([INDICES] * 3 + [alpha])), 'PNG'), None
  colors = np.array(PALETTE, np.uint8).reshape(3, 3)[INDICES]
  colors[alpha == 0] = 77  # What cannot be seen may have any colour.
  yield (
    encoded(Image.fromarray(np.dstack([colors, alpha])), 'PNG'),
    {(0, 0, 0): 0, (200, 10, 10): 1, (10, 10, 200): 2},
  )


@pytest.mark.parametrize('data, colors', transparent_files())
def test_transparent_pixels_are_ignored_and_counted(data, colors):
  _, transparent = half_transparent()
  label = label_files.read(data, options_of(), color_map=colors)
  np.testing.assert_array_equal(label.indices, np.where(transparent, 255, INDICES))
  assert label.transparent == 10 * 5 + 5 * 3 and not label.stored


def test_transparent_values_of_palettes_and_greys():
  for data in (
    encoded(palette_picture(INDICES), 'PNG', transparency=1),
    encoded(palette_picture(INDICES), 'PNG', transparency=bytes([255, 128, 255])),
    encoded(palette_picture(INDICES), 'PNG', transparency=1, bits=2),
    encoded(palette_picture(INDICES), 'GIF', transparency=1),
    encoded(GREY, 'PNG', transparency=1),
  ):
    label = label_files.read(data, options_of(ignore_label=7))
    np.testing.assert_array_equal(label.indices, np.where(INDICES == 1, 7, INDICES))
    assert label.transparent == 80 and not label.stored


def test_a_label_that_is_all_transparent_is_refused():
  data = encoded(Image.fromarray(np.dstack([INDICES, 0 * OPAQUE])), 'PNG')
  with pytest.raises(InputError, match='has no opaque pixel'):
    label_files.read(data, options_of())


# Masks, greys and colours


@pytest.mark.parametrize(
  'data',
  [
    encoded(Image.fromarray(np.where(INDICES == 1, 255, 0).astype(np.uint8)), 'PNG'),
    encoded(Image.fromarray(np.where(INDICES == 1, 1, 0).astype(np.uint8)), 'PNG'),
    encoded(Image.fromarray(INDICES == 1), 'PNG'),
    encoded(
      Image.fromarray(np.array([[0, 0, 0], [0, 200, 0], [0, 0, 0]], np.uint8)[INDICES]), 'PNG'
    ),
  ],
)
def test_binary(data):
  label = label_files.read(data, options_of(binary=True))
  np.testing.assert_array_equal(label.indices, INDICES == 1)


def test_binary_options():
  assert options_of(binary=True).num_classes == 2
  for changes in (
    dict(num_classes=3),
    dict(colormap='voc'),
    dict(label_offset=-1),
    dict(ignore_label=1),
    dict(ignore_label=0),
  ):
    with pytest.raises(InputError, match='--binary'):
      options_of(binary=True, **changes)


def test_a_map_of_greys_reads_grey_files():
  data = encoded(Image.fromarray(np.where(INDICES == 1, 255, 0).astype(np.uint8)), 'PNG')
  colors = {(0, 0, 0): 0, (255, 255, 255): 1}
  for source in (data, encoded(Image.fromarray(INDICES == 1), 'PNG')):
    label = label_files.read(source, options_of(), color_map=colors)
    np.testing.assert_array_equal(label.indices, INDICES == 1)
    assert not label.stored
  # A map with colours leaves grey files as they are: they hold indices.
  label = label_files.read(encoded(GREY, 'PNG'), options_of(), color_map={(1, 2, 3): 0})
  assert label.stored


def test_indices_beyond_the_palette_have_no_colour():
  indices = INDICES.copy()
  indices[0, 0] = 5
  full = PALETTE + [0] * (3 * 256 - len(PALETTE))
  data = encoded(palette_picture(indices, full), 'PNG')
  data = data.replace(chunk(b'PLTE', bytes(full)), chunk(b'PLTE', bytes(PALETTE)))
  colors = {(0, 0, 0): 0, (200, 10, 10): 1, (10, 10, 200): 2}
  with pytest.raises(InputError, match='has the index 5, but its palette has 3 entries'):
    label_files.read(data, options_of(), color_map=colors)
  np.testing.assert_array_equal(label_files.read(data, options_of()).indices, indices)


GREYS = np.array([0, 5, 7], np.uint8)
GREY_PALETTE = np.repeat(GREYS, 3).tolist()


def test_greys_of_a_gif_are_the_indices():
  for picture in (Image.fromarray(GREYS[INDICES]), palette_picture(INDICES, GREY_PALETTE)):
    data = encoded(picture, 'GIF')
    assert Image.open(io.BytesIO(data)).mode == 'P'
    label = label_files.read(data, options_of())
    np.testing.assert_array_equal(label.indices, GREYS[INDICES])
    assert not label.palette
    by_color = label_files.read(
      data, options_of(), color_map={(i, i, i): i // 3 for i in GREYS.tolist()}
    )
    np.testing.assert_array_equal(by_color.indices, INDICES)
    as_indices = label_files.read(data, options_of(accept=('palettes',)))
    np.testing.assert_array_equal(as_indices.indices, INDICES)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_palettes_of_other_greys_are_refused(kind):
  # TIFF's palettes have 256 entries, which Pillow fills with black.
  data = encoded(palette_picture(INDICES, GREY_PALETTE), kind)
  with pytest.raises(
    InputError, match='index 1 is the grey 5, .*--colormap=FILE .*"1 5 5 5".*--accept=palettes'
  ):
    label_files.read(data, options_of())
  label = label_files.read(data, options_of(accept=('palettes',)))
  np.testing.assert_array_equal(label.indices, INDICES)
  by_color = label_files.read(
    data, options_of(), color_map={(i, i, i): i // 3 for i in GREYS.tolist()}
  )
  np.testing.assert_array_equal(by_color.indices, INDICES)
  mask = label_files.read(data, options_of(binary=True))  # Either reading is the same mask.
  np.testing.assert_array_equal(mask.indices, INDICES > 0)
  inverted = encoded(palette_picture(INDICES, [255] * 3 + [0] * 3 + [9] * 3), kind)
  with pytest.raises(InputError, match='index 0 is the grey 255'):
    label_files.read(inverted, options_of(binary=True))


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'GIF'])
def test_palettes_of_masks_and_with_colours_are_read_as_indices(kind):
  mask = (INDICES == 1).astype(np.uint8)
  for indices, palette in (
    (mask, [0] * 3 + [255] * 3),
    (mask | 1, [0] * 3 + [255] * 3),
    (INDICES, [value for index in range(9) for value in [index] * 3]),
    # As a picture of VOC with nothing but ground and cars, which are grey.
    (7 * mask, color_map.pascal_voc_color_map(21).ravel().tolist()),
  ):
    settings = {'optimize': False} if kind == 'GIF' else {}
    data = encoded(palette_picture(indices, palette), kind, **settings)
    np.testing.assert_array_equal(label_files.read(data, options_of()).indices, indices)


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_greys_of_few_bits_get_eight_for_the_official_layout(bits):
  values = INDICES % 2 if bits == 1 else INDICES
  width = (INDICES.shape[1] * bits + 7) // 8
  spread = (values[..., None] >> np.arange(bits)[::-1] & 1).reshape(len(values), -1)
  rows = b''.join(b'\0' + row[:width].tobytes() for row in np.packbits(spread, axis=1))
  header = INDICES.shape[1].to_bytes(4, 'big') + INDICES.shape[0].to_bytes(4, 'big')
  data = (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header + bytes([bits, 0, 0, 0, 0]))
    + chunk(b'IDAT', zlib.compress(rows))
    + chunk(b'IEND', b'')
  )
  basic = label_files.read(data, options_of())
  official = label_files.read(data, options_of(record_format='official'))
  np.testing.assert_array_equal(basic.indices, values)
  np.testing.assert_array_equal(official.indices, values)
  assert basic.stored and not official.stored
  written = tf.io.decode_png(labels.write_png(official.indices))[..., 0]
  np.testing.assert_array_equal(written, values)
  assert (tf.io.decode_png(data)[..., 0] != values).numpy().any()


def test_rgb_pictures_of_greys_that_are_no_indices():
  levels = np.array([0, 128, 200], np.uint8)[INDICES]
  data = encoded(Image.fromarray(np.repeat(levels[..., None], 3, 2)), 'PNG')
  with pytest.raises(InputError, match='RGB picture of the greys 0, 128, 200, which do not look'):
    label_files.read(data, options_of())
  np.testing.assert_array_equal(label_files.read(data, options_of(num_classes=201)).indices, levels)
  noise = np.random.default_rng(0).integers(0, 200, [50, 50, 1]).astype(np.uint8)
  data = encoded(Image.fromarray(np.repeat(noise, 3, 2)), 'PNG')
  with pytest.raises(InputError, match='like a photograph'):
    label_files.read(data, options_of())


# Labels that were resized with interpolation


def regions(values, shape=(120, 160), seed=0):
  """Discs of these values on a ground of the first."""
  label = np.full(shape, values[0], np.uint16)
  rows, columns = np.mgrid[: shape[0], : shape[1]]
  random = np.random.default_rng(seed)
  for value in [*values[1:]] * 3:
    row, column = random.uniform(0, shape[0]), random.uniform(0, shape[1])
    label[(rows - row) ** 2 + (columns - column) ** 2 < random.uniform(8, 20) ** 2] = value
  return label


@pytest.mark.parametrize('values', [(0, 255), (0, 1, 2, 15, 20), (0, 8, 16), (3, 60, 120)])
@pytest.mark.parametrize('scale', [0.37, 0.5, 1.3, 2, 4, 8])
@pytest.mark.parametrize('method', ['BILINEAR', 'BICUBIC', 'LANCZOS', 'BOX'])
def test_interpolated_greys_are_noticed(values, scale, method):
  if method == 'BOX' and scale > 1:
    pytest.skip('enlarges as nearest neighbour does, or nearly')
  if scale in (0.5, 2) and method == 'BOX':
    pytest.skip('means of few pixels')
  if (method, scale, values) == ('LANCZOS', 8, (0, 1, 2, 15, 20)):
    pytest.skip('waves beside the borders, of values that are regions elsewhere')
  picture = Image.fromarray(regions(values).astype(np.uint8))
  size = [max(3, round(side * scale)) for side in picture.size]
  resized = picture.resize(size, getattr(Image.Resampling, method))
  assert interpolation.invents_values(np.asarray(resized))
  nearest = picture.resize(size, Image.Resampling.NEAREST)
  assert not interpolation.invents_values(np.asarray(nearest))


def labels_with_many_classes():
  random = np.random.default_rng(0)
  yield np.arange(2400).reshape(40, 60) % 150  # Each class in columns of one pixel.
  yield np.arange(2400).reshape(40, 60) // 8
  yield np.repeat(np.repeat(np.arange(150).reshape(10, 15), 9, 0), 9, 1)
  yield np.repeat(np.arange(300)[None], 40, 0)
  yield random.integers(0, 150, [60, 80])
  yield random.integers(0, 21, [60, 80])
  yield regions(range(150), (300, 400))
  yield regions([0, *random.permutation(np.arange(1, 300))[:60]], (200, 300))
  strip = np.zeros([60, 200], int)  # A scale of classes on a wide ground.
  strip[0, :150] = np.arange(150)
  yield strip
  layers = np.repeat(np.repeat(np.arange(12), 4), 3)[:, None].repeat(80, 1)
  yield layers
  # Poles and wires, a pixel wide, of three classes between two others in number.
  street = np.full([100, 160], 2)
  street[:40] = 10
  street[10:60, 20:140:20], street[15, :], street[10:60, 30:140:20] = 5, 6, 7
  yield street


@pytest.mark.parametrize('label', labels_with_many_classes())
def test_true_labels_do_not_look_interpolated(label):
  assert not interpolation.invents_values(label.astype(np.uint16))


def test_true_labels_of_voc_and_camvid_do_not_look_interpolated():
  directory = os.environ.get('DEEPLAB_TEST_DATA')
  if not directory:
    pytest.skip('DEEPLAB_TEST_DATA is not set')
  paths = [
    os.path.join(root, name)
    for part in ('voc8/SegmentationClass', 'camvid')
    for root, _, names in os.walk(os.path.join(directory, part))
    for name in names
    if name.endswith('.png') and ('annot' in root or 'Class' in root)
  ]
  assert len(paths) > 20
  for path in paths:
    with open(path, 'rb') as file:
      indices = labels.read_png(file.read())[0]
    assert not interpolation.invents_values(indices), path


@pytest.mark.parametrize('num_classes', [3, 8])
@pytest.mark.parametrize('scale', [0.4, 0.9, 2])
def test_interpolated_borders_between_neighbouring_classes(scale, num_classes):
  """All values between are classes with regions of their own."""
  plain, resized = [], []
  for seed in range(5):
    picture = Image.fromarray(regions(range(num_classes), seed=seed).astype(np.uint8))
    size = [round(side * scale) for side in picture.size]
    resized.append(interpolation.count_borders(np.asarray(picture.resize(size, 2))))
    plain.append(interpolation.count_borders(np.asarray(picture.resize(size, 0))))
  assert interpolation.invents_borders(resized) and not interpolation.invents_borders(plain)


@pytest.mark.parametrize('smaller', [1, 2, 4])
def test_borders_of_camvid(smaller):
  directory = os.environ.get('DEEPLAB_TEST_DATA')
  if not directory:
    pytest.skip('DEEPLAB_TEST_DATA is not set')
  root = os.path.join(directory, 'camvid', 'trainannot')
  plain, resized = [], []
  for name in sorted(os.listdir(root))[::8]:
    picture = Image.open(os.path.join(root, name)).convert('L')
    picture = picture.resize([side // smaller for side in picture.size], Image.Resampling.NEAREST)
    plain.append(interpolation.count_borders(np.asarray(picture)))
    size = [round(0.9 * side) for side in picture.size]
    resized.append(
      interpolation.count_borders(np.asarray(picture.resize(size, Image.Resampling.BILINEAR)))
    )
  assert len(plain) > 5
  assert interpolation.invents_borders(resized) and not interpolation.invents_borders(plain)


@pytest.mark.parametrize('label', labels_with_many_classes())
def test_borders_of_true_labels(label):
  counts = interpolation.count_borders(label.astype(np.uint16))
  assert counts is None or not interpolation.invents_borders([counts] * 10)


def test_a_contour_around_objects_is_not_interpolation():
  objects = 2 * (regions([0, 5], (300, 300)) == 5)
  inner = np.pad(objects, 1)[1:-1, 1:-1] > 0
  edge = np.zeros_like(inner)
  edge[1:] |= inner[1:] != inner[:-1]
  edge[:, 1:] |= inner[:, 1:] != inner[:, :-1]
  contoured = np.where(edge, 1, objects).astype(np.uint8)
  assert not interpolation.invents_borders([interpolation.count_borders(contoured)])


def test_counted_borders():
  label = np.array([[0, 0, 1, 3, 3], [0, 0, 1, 3, 3], [0, 0, 0, 3, 3]], np.uint8)
  assert interpolation.count_borders(label) == interpolation.BorderCounts(
    border=8, values=((0, 7, 6, 0), (1, 2, 0, 2), (3, 6, 6, 0))
  )
  assert interpolation.count_borders(np.zeros([9, 9], np.uint8)) is None


def test_splits_with_invented_borders_stop(data):
  for name in 'ab':
    Image.new('RGB', (320, 240)).save(data / 'images' / f'{name}.jpg')
  picture = Image.fromarray(regions(range(8)).astype(np.uint8))
  write_both(data, *[picture.resize([320, 240], Image.Resampling.BILINEAR)] * 2)
  with pytest.raises(InputError, match='--split=train: .*looks resized with interpolation'):
    convert(data)
  assert not (data / 'out').exists()
  assert convert(data, accept=('interpolated',))['num_records'] == 2
  write_both(data, *[picture.resize([320, 240], Image.Resampling.NEAREST)] * 2)
  assert convert(data)['num_records'] == 2


@pytest.mark.parametrize('method', ['BILINEAR', 'BICUBIC'])
@pytest.mark.parametrize('scale', [0.4, 1.5, 3])
def test_interpolated_colours_are_named(method, scale):
  names = color_map.pascal_voc_color_map()
  picture = Image.fromarray(names[regions((0, 2, 5, 12))])
  size = [round(side * scale) for side in picture.size]
  data = encoded(picture.resize(size, getattr(Image.Resampling, method)), 'PNG')
  listed = {tuple(color): index for index, color in enumerate(names[:21].tolist())}
  with pytest.raises(InputError, match='colours that --colormap does not list.*looks resized'):
    label_files.read(data, options_of(), color_map=listed)
  # Regions of a colour that is missing in the map are something else.
  del listed[tuple(names[5].tolist())]
  with pytest.raises(InputError, match='does not list') as error:
    label_files.read(encoded(picture, 'PNG'), options_of(), color_map=listed)
  assert 'resized' not in str(error.value)


def test_interpolated_labels_can_be_taken():
  resized = Image.fromarray(regions((0, 200)).astype(np.uint8)).resize([90, 70])
  with pytest.raises(InputError, match='looks resized with interpolation.*--accept=interpolated'):
    label_files.read(encoded(resized, 'PNG'), options_of())
  label = label_files.read(encoded(resized, 'PNG'), options_of(accept=('interpolated',)))
  np.testing.assert_array_equal(label.indices, np.asarray(resized))


# Whole splits


@pytest.fixture
def data(tmp_path):
  """A directory with images a, b of 30x20 pixels, and an empty directory for labels."""
  for directory in ('images', 'labels'):
    (tmp_path / directory).mkdir()
  for name in 'ab':
    Image.new('RGB', (30, 20), (10, 100, 200)).save(tmp_path / 'images' / f'{name}.jpg')
  return tmp_path


def convert(data, given=(), **changes):
  options = options_of(
    **{
      'images_dir': str(data / 'images'),
      'labels_dir': str(data / 'labels'),
      'output_dir': str(data / 'out'),
      'num_workers': 1,
      **changes,
    }
  )
  return conversion_run.convert(options, given={*given, *changes})


def written_labels(data):
  path = data / 'out' / 'train' / 'train-00001-of-00001.tfrecord'
  records = [tfrecord.parts_of(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
  return [labels.read_png(record['label'])[0] for record in records]


def write_both(data, first, second, extension='.png'):
  for name, picture in (('a', first), ('b', second)):
    picture.save(data / 'labels' / f'{name}{extension}')


def test_masks_of_0_and_255_stop(data):
  mask = Image.fromarray(np.where(INDICES == 1, 255, 0).astype(np.uint8))
  write_both(data, mask, mask)
  with pytest.raises(
    InputError,
    match='one class, 0, and the ignored value 255, .*--binary .*"1 255 255 255".*one_class',
  ):
    convert(data)
  assert not (data / 'out').exists()
  assert convert(data, binary=True)['labels']['1']['pixels'] == 160
  np.testing.assert_array_equal(written_labels(data)[0], INDICES == 1)
  (data / 'map.txt').write_text('0 0 0 0 ground\n1 255 255 255 object\n')
  summary = convert(data, colormap=str(data / 'map.txt'), output_dir=str(data / 'mapped'))
  assert summary['labels']['1']['pixels'] == 160
  summary = convert(data, accept=('one_class',), output_dir=str(data / 'accepted'))
  assert sorted(summary['labels']) == ['0', '255']


def test_masks_of_0_and_1_and_borders_of_255_pass(data):
  bordered = INDICES.copy()
  bordered[3:5] = 255
  write_both(data, Image.fromarray(bordered), Image.fromarray(INDICES % 2))
  assert sorted(convert(data)['labels']) == ['0', '1', '2', '255']


def test_explain_one_class():
  for present in ([], [0], [0, 1], [0, 1, 255], [255]):
    assert labels.explain_one_class(present, ignore_label=255) is None
  assert 'one class, 3, and the ignored value 9' in labels.explain_one_class(
    {9: 5, 3: 5}, ignore_label=9
  )


def test_palettes_in_another_order_stop(data):
  other = PALETTE[:3] + PALETTE[6:] + PALETTE[3:6]
  write_both(data, palette_picture(INDICES), palette_picture(INDICES, other))
  with pytest.raises(
    InputError,
    match=r'labels/a.png and .*labels/b.png: index 1 has the colour \(200, 10, 10\) in one palette '
    r'and \(10, 10, 200\) in the other.*--colormap',
  ):
    convert(data)
  assert convert(data, accept=('palettes',))['num_records'] == 2
  (data / 'map.txt').write_text('0 0 0 0\n1 200 10 10\n2 10 10 200\n')
  convert(data, colormap=str(data / 'map.txt'))
  first, second = written_labels(data)
  np.testing.assert_array_equal(first, INDICES)
  np.testing.assert_array_equal(second, np.array([0, 2, 1])[INDICES])


def test_entries_of_palettes_that_no_pixel_has_do_not_count(data):
  write_both(data, palette_picture(INDICES), palette_picture(INDICES, PALETTE + [9, 9, 9]))
  assert convert(data)['labels_encoded_again'] == 0
  write_both(data, palette_picture(0 * INDICES), palette_picture(INDICES, PALETTE[:6] + [5] * 3))
  assert convert(data)['num_records'] == 2


def test_transparent_pixels_are_said(data, capsys):
  write_both(data, palette_picture(INDICES), palette_picture(INDICES))
  palette_picture(INDICES).save(data / 'labels' / 'b.png', transparency=1)
  summary = convert(data)
  assert summary['transparent_pixels'] == 80 and summary['labels']['255']['pixels'] == 80
  assert '80 transparent pixels in 1 labels became the ignored value 255' in capsys.readouterr().err


def test_masks_in_the_transparency_stop(data):
  mask = Image.fromarray(np.dstack([0 * INDICES + 9, np.where(INDICES == 1, 255, 0)]).astype('u1'))
  write_both(data, mask, mask)
  with pytest.raises(InputError, match='if the mask is the transparency, export it') as error:
    convert(data, binary=True)
  assert 'give --binary' not in str(error.value)
  assert convert(data, binary=True, accept=('one_class',))['num_records'] == 2


def test_masks_of_1_beside_masks_of_255_are_warned_about(data, capsys):
  ones, whites = (Image.fromarray(value * (INDICES == 1).astype('u1')) for value in (1, 255))
  write_both(data, ones, whites)
  convert(data, num_classes=2)
  message = capsys.readouterr().err
  assert 'b.png, others 0 and 1, such as ' in message and 'give --binary' in message
  convert(data, binary=True)
  assert 'others 0 and 1' not in capsys.readouterr().err
  write_both(data, ones, Image.fromarray(np.where(INDICES == 2, 255, INDICES).astype('u1')))
  convert(data, num_classes=2)
  write_both(data, Image.fromarray(INDICES), whites)
  convert(data, num_classes=3)
  assert 'others 0 and 1' not in capsys.readouterr().err


def test_values_out_of_range_that_interpolation_made(data):
  for name in 'ab':
    Image.new('RGB', (320, 240)).save(data / 'images' / f'{name}.jpg')
  picture = Image.fromarray(regions([*range(12), 14]).astype(np.uint8))
  picture = picture.point(lambda value: 255 if value == 14 else value)
  sharp = picture.resize([320, 240], Image.Resampling.NEAREST)
  soft = picture.resize([320, 240], Image.Resampling.BILINEAR)
  write_both(data, soft, soft)
  with pytest.raises(InputError, match='label value.*allowed are 0 to 11.*looks resized with'):
    convert(data, num_classes=12, accept=('interpolated',))
  write_both(data, sharp, sharp)
  assert convert(data, num_classes=12)['num_records'] == 2
  with pytest.raises(InputError, match='label value') as error:
    convert(data, num_classes=8)
  assert 'resized' not in str(error.value)


def test_many_unlisted_colours_come_from_interpolation_or_jpeg():
  pixels = np.random.default_rng(0).integers(0, 256, [20, 30, 3]).astype(np.uint8)
  with pytest.raises(InputError, match='does not list.*and 59[0-9] more; it looks resized'):
    labels.indices_of_colors(pixels, {(0, 0, 0): 0})
  with pytest.raises(InputError, match='does not list') as error:
    labels.indices_of_colors(pixels[:5, :20], {(0, 0, 0): 0})
  assert 'resized' not in str(error.value)


def test_colours_of_cityscapes_are_not_mapped_twice(data):
  flags = dict(colormap='cityscapes', label_map='cityscapes_ids')
  colors = Image.new('RGB', (30, 20), (70, 130, 180))
  write_both(data, colors, colors)
  with pytest.raises(
    InputError, match='training ids already; leave out --label_map=cityscapes_ids'
  ):
    convert(data, **flags)
  # Of grey label ids the map is what the classes look like.
  ids = Image.fromarray(np.array([7, 23, 26], np.uint8)[INDICES])
  write_both(data, ids, ids)
  assert sorted(map(int, convert(data, **flags)['labels'])) == [0, 10, 13]


def test_a_class_behind_ignore_label_stops(data):
  wide = INDICES.astype(np.uint16) * 149
  wide[0] = 255
  write_both(data, Image.fromarray(wide), Image.fromarray(wide))
  with pytest.raises(InputError, match='--num_classes=300: class 255 would be ignored'):
    convert(data, num_classes=300)
  with pytest.raises(InputError, match='label values up to 298: class 255 would be ignored'):
    convert(data)
  assert convert(data, num_classes=300, ignore_label=255)['num_records'] == 2
  assert convert(data, num_classes=300, ignore_label=65535)['ignore_label'] == 65535


def test_labels_that_count_from_1(data):
  write_both(data, Image.fromarray(INDICES + 1), Image.fromarray(INDICES + 1))
  (data / 'labels' / 'b.png').unlink()
  with pytest.raises(InputError, match='value 3: .*count from 1, give --label_offset=-1'):
    convert(data, num_classes=3)
  assert sorted(convert(data, num_classes=3, label_offset=-1)['labels']) == ['0', '1', '2']
  Image.fromarray(np.where(INDICES == 1, 0, INDICES + 1).astype(np.uint8)).save(
    data / 'labels' / 'a.png'
  )
  with pytest.raises(InputError, match='label value 3') as error:
    convert(data, num_classes=3)
  assert 'label_offset' not in str(error.value)


def test_labels_without_class_0_are_warned_about(data, capsys):
  write_both(data, Image.fromarray(INDICES + 1), Image.fromarray(INDICES + 1))
  convert(data)
  assert 'no pixel of any label is of class 0; if the labels count' in capsys.readouterr().err
  convert(data, label_offset=-1)
  assert 'count from 1' not in capsys.readouterr().err


def test_bmp_labels_become_records(data):
  write_both(data, GREY, palette_picture(INDICES), extension='.bmp')
  summary = convert(data, labels_ext='.bmp', accept=('palettes',))
  assert summary['labels_encoded_again'] == 2
  for label in written_labels(data):
    np.testing.assert_array_equal(label, INDICES)


# Class lists of tools


def test_labelmap_of_cvat(data):
  path = data / 'labelmap.txt'
  path.write_text('# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83:a,b:\n')
  colors = np.array([[0, 0, 0], [250, 50, 83], [250, 50, 83]], np.uint8)[INDICES]
  write_both(data, Image.fromarray(colors), Image.fromarray(colors))
  summary = convert(data, colormap=str(path))
  assert summary['class_names'] == ['background', 'cat'] and summary['num_classes'] == 2
  np.testing.assert_array_equal(written_labels(data)[0], INDICES > 0)
  assert class_names.load_class_names(str(path), 2) == ('background', 'cat')
  path.write_text('background:::\ncat:::\n')
  assert class_names.load_class_names(str(path), 2) == ('background', 'cat')
  with pytest.raises(InputError, match='no colour for class 0 .background.; .*--class_names'):
    color_map.load_color_map(str(path))


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_classes_of_roboflow(data, encoding):
  path = data / '_classes.csv'
  path.write_text('Pixel Value, Class\n0, background\n1, sea horse\n2, dog\n', encoding=encoding)
  write_both(data, GREY, GREY)
  assert convert(data, class_names=str(path))['class_names'] == ['background', 'sea horse', 'dog']
  path.write_text('Pixel Value, Class\n0, background\n2, dog\n', encoding=encoding)
  with pytest.raises(InputError, match='no name for class 1 of 3'):
    convert(data, class_names=str(path))
  path.write_text('Pixel Value, Class\n0, background\n0, dog\n', encoding=encoding)
  with pytest.raises(InputError, match='line 3: index 0 appears twice, as in line 2'):
    convert(data, class_names=str(path))


def test_class_dict_of_names_and_colours(tmp_path):
  path = tmp_path / 'class_dict.csv'
  path.write_text('name,r,g,b\nAnimal,64,128,64\nArchway, 192, 0, 128\n')
  np.testing.assert_array_equal(color_map.load_color_map(str(path)), [[64, 128, 64], [192, 0, 128]])
  assert class_names.load_class_names(str(path), 2) == ('Animal', 'Archway')


def test_several_colours_for_a_class_and_for_the_ignored_value(data):
  path = data / 'map.txt'
  path.write_text('0 1 1 1 road\n255 0 0 0 void\n0 2 2 200\n255 81 0 81 ground\n1 9 9 9 car\n')
  colors = np.array([[0, 0, 0], [1, 1, 1], [2, 2, 200]], np.uint8)[INDICES]
  colors[0], colors[-1] = [81, 0, 81], [9, 9, 9]
  write_both(data, Image.fromarray(colors), Image.fromarray(colors))
  convert(data, colormap=str(path))
  expected = np.where(INDICES > 0, 0, 255)
  expected[-1] = 1
  np.testing.assert_array_equal(written_labels(data)[0], expected)
  # Painted is a class in its first colour.
  assert color_map.load_color_map(str(path))[0].tolist() == [1, 1, 1]
  description = json.loads((data / 'out' / 'train' / 'dataset.json').read_text())
  assert description['num_classes'] == 2


def test_colours_of_cityscapes(data):
  # Colours of cityscapesScripts, helpers/labels.py: road, sky, and labels that are not evaluated.
  expected = {
    (128, 64, 128): 0,
    (70, 130, 180): 10,
    (153, 153, 153): 5,
    (0, 0, 142): 13,
    **dict.fromkeys(
      [
        (0, 0, 0),
        (111, 74, 0),
        (81, 0, 81),
        (250, 170, 160),
        (230, 150, 140),
        (180, 165, 180),
        (150, 100, 100),
        (150, 120, 90),
        (0, 0, 90),
        (0, 0, 110),
      ],
      200,
    ),
  }
  colors = np.array([list(expected)] * 20, np.uint8)
  picture = Image.fromarray(np.dstack([colors, np.full(colors.shape[:2], 255, np.uint8)]))
  for name in 'ab':
    Image.new('RGB', picture.size).save(data / 'images' / f'{name}.jpg')
  write_both(data, picture, picture)
  convert(data, colormap='cityscapes', ignore_label=200)
  np.testing.assert_array_equal(written_labels(data)[0], [list(expected.values())] * 20)
  assert color_map.load_color_map('cityscapes').shape == (19, 3)


@pytest.mark.parametrize('maximum', [1, 20, 300])
def test_pgm_that_pillow_would_stretch_is_refused(tmp_path, maximum):
  size = 2 if maximum > 255 else 1
  header = f'P5\n# drawn\n2 1\n{maximum}\n'.encode()
  data = header + (0).to_bytes(size, 'big') + (1).to_bytes(size, 'big')
  with pytest.raises(InputError, match=f'whose largest sample is {maximum}'):
    label_samples.read(data, max_pixels=100)


def test_pgm_of_8_and_16_bits_holds_its_samples(tmp_path):
  eight = label_samples.read(b'P5 2 1 255\n' + bytes([3, 7]), max_pixels=100)
  sixteen = label_samples.read(b'P5 2 1 65535\n' + bytes([0, 3, 1, 7]), max_pixels=100)
  assert eight.values.tolist() == [[3, 7]]
  assert sixteen.values.tolist() == [[3, 263]]


def test_indices_in_a_16_bit_ppm_are_refused():
  with pytest.raises(InputError, match='only the upper 8 can be read'):
    label_samples.read(b'P6 1 1 65535\n' + bytes([0, 5] * 3), max_pixels=100)
