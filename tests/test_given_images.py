"""Images as programs hold them."""

import re

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import InputError
from deeplab.prediction import given_images

PIXELS = np.random.default_rng(0).integers(0, 256, [5, 7, 3], np.uint8)


def _pixels(image):
  (given,) = given_images.read([image], several=False)
  return given.pixels


@pytest.mark.parametrize(
  'array',
  [
    PIXELS,
    np.asfortranarray(PIXELS),
    np.repeat(PIXELS, 2, axis=1)[:, ::2],
    PIXELS[::-1][::-1],
    memoryview(PIXELS).obj,
  ],
)
def test_arrays_of_any_layout(array):
  pixels = _pixels(array)
  np.testing.assert_array_equal(pixels, PIXELS)
  assert pixels.flags.c_contiguous and not np.shares_memory(pixels, array)


def test_tensors():
  tf = pytest.importorskip('tensorflow')
  np.testing.assert_array_equal(_pixels(tf.constant(PIXELS)), PIXELS)


@pytest.mark.parametrize(
  'array, remedy',
  [
    (PIXELS / 255, "values from 0 to 1 become (255 * image).round().astype('uint8')"),
    (PIXELS.astype(np.float32), "image.round().astype('uint8')"),
    (PIXELS.astype(np.int64), "image.round().astype('uint8')"),
    (PIXELS.astype(np.int16) - 300, 'bring its values to 0 .. 255'),
    (np.full([2, 2, 3], np.nan), 'bring its values to 0 .. 255'),
    (PIXELS.astype(object), 'bring its values to 0 .. 255'),
    (PIXELS[..., 0], 'np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)'),
    (PIXELS[..., :1], 'np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)'),
    (np.concatenate([PIXELS, PIXELS[..., :1]], axis=2), 'image[:, :, :3]'),
    (PIXELS.transpose(2, 0, 1), 'image.transpose(1, 2, 0)'),
    (PIXELS[np.newaxis], 'give several images as a list'),
    (PIXELS[..., :2], 'the channels red, green, blue'),
    (np.uint8(3), 'the channels red, green, blue'),
    (PIXELS[:0], 'it has no pixels'),
    (PIXELS[:, :0], 'it has no pixels'),
  ],
)
def test_other_arrays_are_refused_with_a_remedy(array, remedy):
  with pytest.raises(InputError) as raised:
    given_images.read([array], several=True)
  message = str(raised.value)
  assert message.startswith(f'images[0]: an array {np.asarray(array).dtype} ')
  assert remedy in message and '\n' not in message


def test_the_remedies_help():
  for array, remedy in [
    (PIXELS / 255, "(255 * image).round().astype('uint8')"),
    (PIXELS.astype(np.float32), "image.round().astype('uint8')"),
    (PIXELS.transpose(2, 0, 1), 'image.transpose(1, 2, 0)'),
    (np.concatenate([PIXELS, PIXELS[..., :1]], axis=2), 'image[:, :, :3]'),
  ]:
    np.testing.assert_array_equal(eval(remedy, {'image': array}), PIXELS)
  grey = PIXELS[..., 0]
  remedy = 'np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)'
  made = eval(remedy, {'image': grey, 'np': np})
  np.testing.assert_array_equal(made, np.dstack([grey, grey, grey]))


@pytest.mark.parametrize('image', [None, 5, {}, [PIXELS], object()])
def test_other_things_are_refused(image):
  with pytest.raises(InputError, match=r'^image: \w+; must be an array uint8 .* a path, or a list'):
    _pixels(image)


@pytest.mark.parametrize(
  'mode', ['RGB', 'RGBA', 'L', 'LA', 'P', '1', 'CMYK', 'YCbCr', 'HSV', 'LAB']
)
def test_pillow_images_of_any_mode(mode):
  picture = Image.fromarray(PIXELS)
  picture = picture.convert('RGB').convert(mode) if mode != 'LAB' else Image.new('LAB', (7, 5))
  pixels = _pixels(picture)
  assert pixels.shape == (5, 7, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous
  if mode in ('RGB', 'RGBA'):
    np.testing.assert_array_equal(pixels, PIXELS)


def test_pillow_images_of_16_bits_and_of_no_range():
  deep = PIXELS[..., 0].astype(np.uint16) << 8 | 7
  np.testing.assert_array_equal(_pixels(Image.fromarray(deep)), np.dstack([PIXELS[..., 0]] * 3))
  for samples in (PIXELS[..., 0].astype(np.float32), PIXELS[..., 0].astype(np.int32)):
    with pytest.raises(InputError, match='have no fixed black and white'):
      _pixels(Image.fromarray(samples))


@pytest.mark.parametrize('extension', ['png', 'tif', 'webp'])
def test_a_picture_opened_with_pillow_is_the_same_as_its_path(extension, tmp_path):
  path, exif = tmp_path / f'turned.{extension}', Image.Exif()
  exif[0x0112] = 6  # A quarter to the right.
  Image.fromarray(PIXELS).save(
    path, exif=exif, **({'lossless': True} if extension == 'webp' else {})
  )
  by_path = _pixels(path)
  np.testing.assert_array_equal(by_path, np.rot90(PIXELS, -1))
  np.testing.assert_array_equal(_pixels(str(path)), by_path)
  np.testing.assert_array_equal(_pixels(Image.open(path)), by_path)
  loaded = Image.open(path)
  loaded.load()
  np.testing.assert_array_equal(_pixels(loaded), by_path)


def test_closed_and_damaged_pillow_images(tmp_path):
  path = tmp_path / 'a.png'
  Image.fromarray(PIXELS).save(path)
  closed = Image.open(path)
  closed.close()
  with Image.open(path) as left:
    pass
  path.write_bytes(path.read_bytes()[:80])
  cut = Image.open(path)
  for picture in (closed, left, cut):
    with pytest.raises(InputError, match=r'^image: a PIL image that is closed or damaged \(.+\);'):
      _pixels(picture)
  with pytest.raises(InputError, match=r'^image: a PIL image of 0 x 4; has no pixels'):
    _pixels(Image.new('RGB', (0, 4)))


def test_contents_of_a_file_are_no_path(tmp_path):
  path = tmp_path / 'a.png'
  Image.fromarray(PIXELS).save(path)
  with pytest.raises(InputError, match=r'^image: bytes, the contents of a file; give the path, an'):
    _pixels(path.read_bytes())
  with pytest.raises(InputError, match=r'^image: str, a text that is no path; give the path'):
    _pixels('a\0b')
  np.testing.assert_array_equal(_pixels(str(path).encode()), PIXELS)
  with pytest.raises(InputError, match=r'^image: bytes that name no file; give an array uint8'):
    _pixels(b'x')
  with pytest.raises(InputError, match=r'^image: is empty; give an array uint8 \['):
    _pixels('')


@pytest.mark.parametrize(
  'name, message',
  [
    ('x.heic', 'x.heic: HEIC is not read; convert it to JPEG, with its full size'),
    ('x.mp4', 'x.mp4: is a video; run_inferencer.py predicts videos'),
    ('https://a.b/c.jpg', 'https://a.b/c.jpg: an address is not read; download it first, and'),
    ('.', r'\.: is a directory; give a list of image files, or the directory to run_inferencer'),
  ],
)
def test_other_inputs_and_what_to_do(name, message):
  with pytest.raises(InputError, match='^' + message):
    _pixels(name)


def test_a_picture_is_read_whatever_its_name(tmp_path):
  Image.fromarray(PIXELS).save(tmp_path / 'a.heic', format='PNG')
  np.testing.assert_array_equal(_pixels(tmp_path / 'a.heic'), PIXELS)


def test_names_of_images(tmp_path):
  path = tmp_path / 'a\nb.png'
  Image.fromarray(PIXELS).save(path)
  images = given_images.read([PIXELS, path], several=True)
  assert [image.name for image in images] == ['images[0]', f'{tmp_path}/a\\nb.png']
  with pytest.raises(
    InputError, match=re.escape(f'{tmp_path}/absent.png: cannot be read: No such')
  ):
    given_images.read([PIXELS, tmp_path / 'absent.png'], several=True)
