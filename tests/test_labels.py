"""Label files to class indices, without TensorFlow."""

import io

import numpy as np
import pytest
from PIL import Image

from deeplab.data import labels
from deeplab.errors import InputError

INDICES = np.array([[0, 1, 2], [3, 200, 255]], np.uint8)


def png(picture, **settings):
  file = io.BytesIO()
  picture.save(file, format='PNG', **settings)
  return file.getvalue()


def palette_png(indices, palette, **settings):
  picture = Image.fromarray(indices).convert('L')
  picture = Image.frombytes('P', picture.size, picture.tobytes())
  picture.putpalette(palette)
  return png(picture, **settings)


def test_palette_and_grey_png_are_read_as_stored():
  for data in (palette_png(INDICES, [7] * 768), png(Image.fromarray(INDICES))):
    indices, stored = labels.read_png(data)
    np.testing.assert_array_equal(indices, INDICES)
    assert stored and indices.dtype == np.uint8


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_palette_png_of_few_bits(bits):
  expected = np.arange(2**bits, dtype=np.uint8)[np.newaxis]
  data = palette_png(expected, [5, 6, 7] * 2**bits, bits=bits)
  assert data[24] == bits
  np.testing.assert_array_equal(labels.read_png(data)[0], expected)


def test_one_bit_and_16_bit_grey_png():
  np.testing.assert_array_equal(
    labels.read_png(png(Image.fromarray(np.array([[True, False]]))))[0], [[1, 0]]
  )
  indices, stored = labels.read_png(png(Image.fromarray(np.array([[0, 3, 60000]], np.uint16))))
  np.testing.assert_array_equal(indices, [[0, 3, 60000]])
  assert indices.dtype == np.uint16 and stored


def test_colours_are_mapped():
  pixels = np.array([[[0, 0, 0], [128, 0, 0]], [[0, 128, 0], [0, 0, 0]]], np.uint8)
  indices, stored = labels.read_png(
    png(Image.fromarray(pixels)), color_map={(0, 0, 0): 0, (128, 0, 0): 1, (0, 128, 0): 255}
  )
  np.testing.assert_array_equal(indices, [[0, 1], [255, 0]])
  assert not stored and indices.dtype == np.uint8


def test_with_a_map_the_colours_of_a_palette_count_not_its_order():
  data = palette_png(np.array([[0, 1]], np.uint8), [128, 0, 0, 0, 0, 0])
  np.testing.assert_array_equal(
    labels.read_png(data, color_map={(0, 0, 0): 0, (128, 0, 0): 1})[0], [[1, 0]]
  )


@pytest.mark.parametrize(
  'pixels, color_map, message',
  [
    ([[[1, 2, 3]]], None, 'RGB picture, not a map of class indices'),
    ([[[7, 7, 7]]], None, 'RGB picture of greys'),
    (
      [[[1, 2, 3], [1, 2, 4], [0, 0, 0]]],
      {(0, 0, 0): 0},
      r'has 2 pixels of colours .*: \(1, 2, 3\), \(1, 2, 4\)',
    ),
    (
      [[[1, 2, 3]]],
      {(1, 2, 3): labels.AMBIGUOUS},
      r'colour \(1, 2, 3\), which --colormap gives to several classes',
    ),
  ],
)
def test_colours_that_are_no_class_are_refused(pixels, color_map, message):
  with pytest.raises(InputError, match=message):
    labels.read_png(png(Image.fromarray(np.array(pixels, np.uint8))), color_map=color_map)


def test_files_that_are_no_png_are_refused():
  with pytest.raises(InputError, match='is not a PNG'):
    labels.read_png(b'text')
  with pytest.raises(InputError, match='is a damaged or truncated image'):
    labels.read_png(
      png(Image.fromarray(np.random.default_rng(0).integers(0, 9, [50, 50]).astype(np.uint8)))[
        :-200
      ]
    )
  with pytest.raises(
    InputError, match=r'has 3x2 pixels \(width x height\), more than --max_image_pixels=5'
  ):
    labels.read_png(png(Image.fromarray(INDICES)), max_pixels=5)


@pytest.mark.parametrize(
  'offset, ignore_label, expected',
  [
    (-1, 255, [[255, 0, 1], [2, 199, 255]]),
    (1, 255, [[1, 2, 3], [4, 201, 255]]),
    (-3, 0, [[0, 0, 0], [0, 197, 252]]),
  ],
)
def test_shift(offset, ignore_label, expected):
  shifted = labels.shift(INDICES, offset=offset, ignore_label=ignore_label)
  np.testing.assert_array_equal(shifted, expected)
  assert shifted.dtype == np.uint8


def test_shift_beyond_a_byte_and_beyond_two():
  assert labels.shift(INDICES, offset=100, ignore_label=255).tolist() == [
    [100, 101, 102],
    [103, 300, 255],
  ]
  with pytest.raises(InputError, match='above 65535'):
    labels.shift(np.array([[65535]], np.uint16), offset=1, ignore_label=255)


@pytest.mark.parametrize('indices', [INDICES, np.array([[0, 300]], np.uint16)])
def test_written_png_is_read_back(indices):
  read, stored = labels.read_png(labels.write_png(indices))
  np.testing.assert_array_equal(read, indices)
  assert stored and read.dtype == indices.dtype


def test_explain_values():
  assert labels.explain_values([0, 20, 255], num_classes=21, ignore_label=255) is None
  assert labels.explain_values([0, 21], num_classes=21, ignore_label=255) == (
    'label value 21: allowed are 0 to 20 and ignore_label 255'
  )
  assert 'values 2, 3, 4, 5, 6, 7, 8, 9 and 1 more:' in labels.explain_values(
    range(11), num_classes=2, ignore_label=0
  )


def test_sbd_labels():
  scipy_io = pytest.importorskip('scipy.io')
  file = io.BytesIO()
  segmentation = np.array(
    [[(INDICES, 0)]], dtype=[('Segmentation', object), ('Boundaries', object)]
  )
  scipy_io.savemat(file, {'GTcls': segmentation})
  np.testing.assert_array_equal(labels.read_mat(file.getvalue()), INDICES)
  for data in (b'text', _mat(scipy_io, {'other': INDICES})):
    with pytest.raises(InputError, match='GTcls.Segmentation'):
      labels.read_mat(data)


def _mat(scipy_io, contents):
  file = io.BytesIO()
  scipy_io.savemat(file, contents)
  return file.getvalue()


def test_mat_files_that_unpack_to_much_are_refused():
  scipy_io = pytest.importorskip('scipy.io')
  file = io.BytesIO()
  content = {'GTcls': {'Segmentation': np.zeros([5000, 5000], np.uint8)}}
  scipy_io.savemat(file, content, do_compression=True)
  assert len(file.getvalue()) < 100_000
  assert labels.read_mat(file.getvalue(), max_pixels=5000**2).shape == (5000, 5000)
  with pytest.raises(InputError, match='unpacks to more than 16777220 bytes, .*_pixels=1 and'):
    labels.read_mat(file.getvalue(), max_pixels=1)
