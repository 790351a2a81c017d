import os

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from deeplab.errors import InputError, shown
from deeplab.prediction import image_files


def _picture(height=6, width=9):
  rng = np.random.default_rng(0)
  return PIL.Image.fromarray(rng.integers(0, 256, [height, width, 3], np.uint8))


def _write(path, picture=None, **arguments):
  os.makedirs(os.path.dirname(path), exist_ok=True)
  (picture or _picture()).save(path, **arguments)
  return str(path)


def _paths(images):
  return [image.relative_path for image in images]


def test_plain_jpeg_has_the_values_of_tensorflows_decoder(tmp_path):
  path = _write(tmp_path / 'a.jpg', _picture(40, 30))
  np.testing.assert_array_equal(
    image_files.read_image(path), tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
  )


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
  exif = PIL.Image.Exif()
  exif[0x0112] = orientation
  path = _write(tmp_path / 'a.png', exif=exif)
  expected = PIL.ImageOps.exif_transpose(PIL.Image.open(path))
  np.testing.assert_array_equal(image_files.read_image(path), np.asarray(expected))


def test_exif_orientation_of_a_jpeg(tmp_path):
  exif = PIL.Image.Exif()
  exif[0x0112] = 6
  path = _write(tmp_path / 'a.jpg', _picture(8, 16), exif=exif)
  assert image_files.read_image(path).shape == (16, 8, 3)


@pytest.mark.parametrize('mode', ['L', 'LA', 'P', 'RGBA', '1'])
def test_other_modes_become_rgb(tmp_path, mode):
  picture = _picture().convert(mode)
  image = image_files.read_image(_write(tmp_path / 'a.png', picture))
  assert image.dtype == np.uint8
  np.testing.assert_array_equal(image, np.asarray(picture.convert('RGB')))


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path):
  path = str(tmp_path / 'a.png')
  PIL.Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)).save(path)
  assert image_files.read_image(path)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk_jpeg(tmp_path):
  path = _write(tmp_path / 'a.jpg', PIL.Image.new('CMYK', (16, 8), (0, 255, 255, 0)))
  image = image_files.read_image(path)
  assert image.shape == (8, 16, 3)
  assert image[0, 0, 0] > 200 and image[0, 0, 1] < 60


def test_bad_files_are_named(tmp_path):
  whole = _write(tmp_path / 'whole.jpg', _picture(50, 60))
  truncated = tmp_path / 'truncated.jpg'
  truncated.write_bytes(open(whole, 'rb').read()[:700])
  half_png = tmp_path / 'half.png'
  half_png.write_bytes(open(_write(tmp_path / 'w.png', _picture(50, 60)), 'rb').read()[:2000])
  text = tmp_path / 'text.jpg'
  text.write_text('no image')
  empty = tmp_path / 'empty.png'
  empty.touch()
  loop = tmp_path / 'loop.jpg'
  loop.symlink_to('loop.jpg')
  for path, words in [
    (truncated, 'truncated'),
    (half_png, 'truncated'),
    (text, 'not an image'),
    (empty, 'empty'),
    (loop, 'symbolic links'),
    (tmp_path / 'missing.jpg', 'No such file'),
  ]:
    with pytest.raises(InputError, match=words) as raised:
      image_files.read_image(str(path))
    assert str(path) in str(raised.value) and '\n' not in str(raised.value)


def test_a_named_pipe_is_a_bad_image(tmp_path):
  os.mkfifo(tmp_path / 'a.jpg')
  with pytest.raises(InputError, match='a.jpg: is not a regular file'):
    image_files.read_image(str(tmp_path / 'a.jpg'))


def test_a_truncated_jpeg_is_found_before_tensorflow_prints_about_it(tmp_path, capfd):
  data = open(_write(tmp_path / 'whole.jpg', _picture(50, 60)), 'rb').read()
  for missing in (1, 2, 500):
    (tmp_path / 'cut.jpg').write_bytes(data[:-missing])
    with pytest.raises(
      InputError,
      match=rf'cut.jpg: is a damaged or truncated image \({len(data) - missing} bytes\); copy it',
    ):
      image_files.read_image(str(tmp_path / 'cut.jpg'))
  assert not capfd.readouterr().err
  (tmp_path / 'more.jpg').write_bytes(data + b'what a camera adds')
  assert image_files.read_image(str(tmp_path / 'more.jpg')).shape == (50, 60, 3)


def test_list_ignores_blank_lines_and_keeps_spaces_inside(tmp_path):
  list_path = tmp_path / 'list.txt'
  list_path.write_bytes(b'\n a/one two.jpg \r\n\n   \nb/three.jpg')
  images = image_files.listed_images(str(list_path))
  assert [image.path for image in images] == ['a/one two.jpg', 'b/three.jpg']
  assert _paths(images) == ['a/one two.jpg', 'b/three.jpg']


def test_list_of_one_directory_has_bare_names(tmp_path):
  list_path = tmp_path / 'list.txt'
  list_path.write_text('/x/y/one.jpg\n/x/y/two.jpg\n')
  assert _paths(image_files.listed_images(str(list_path))) == ['one.jpg', 'two.jpg']


def test_a_list_may_begin_with_a_byte_order_mark_but_be_no_image(tmp_path):
  list_path = tmp_path / 'list.txt'
  list_path.write_bytes(b'\xef\xbb\xbfone.jpg\r\ntwo.jpg\r\n')
  assert _paths(image_files.listed_images(str(list_path))) == ['one.jpg', 'two.jpg']
  list_path.write_bytes(b'\x89PNG\r\n\x1a\n\0\0\0')
  with pytest.raises(
    InputError, match='is no text file; write one image path a line, or name an image with --input'
  ):
    image_files.listed_images(str(list_path))


@pytest.mark.parametrize('content', [b'', b'\n  \n\r\n'])
def test_empty_list(tmp_path, content):
  list_path = tmp_path / 'list.txt'
  list_path.write_bytes(content)
  with pytest.raises(InputError, match='empty'):
    image_files.listed_images(str(list_path))
  with pytest.raises(InputError, match='No such file'):
    image_files.listed_images(str(tmp_path / 'missing'))


def test_directory_takes_images_only_and_goes_deeper_only_when_asked(tmp_path):
  for name in ['b.PNG', 'a.jpg', 'notes.txt', 'deep/c.jpeg', 'deep/deeper/d.tif', '.hidden.jpg']:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
  images, notes = image_files.find_images([str(tmp_path)])
  assert _paths(images) == ['a.jpg', 'b.PNG']
  assert '2 files' in notes[0]
  images, _ = image_files.find_images([str(tmp_path)], recursive=True)
  assert _paths(images) == ['a.jpg', 'b.PNG', 'deep/c.jpeg', 'deep/deeper/d.tif']
  images, notes = image_files.find_images(
    [str(tmp_path)], recursive=True, excluded_directory=str(tmp_path / 'deep' / 'deeper')
  )
  assert _paths(images) == ['a.jpg', 'b.PNG', 'deep/c.jpeg']
  assert 'deeper' in notes[-1]


def test_links_to_directories_are_followed_once(tmp_path):
  (tmp_path / 'a').mkdir()
  (tmp_path / 'a' / 'one.jpg').touch()
  (tmp_path / 'a' / 'up').symlink_to('..')
  (tmp_path / 'loop').symlink_to('loop')
  images, _ = image_files.find_images([str(tmp_path)], recursive=True)
  assert _paths(images) == ['a/one.jpg']


def test_glob(tmp_path):
  for name in ['x/a.jpg', 'y/b.jpg', 'y/b.txt']:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  images, _ = image_files.find_images([f'{tmp_path}/*/*.jpg'])
  assert _paths(images) == ['x/a.jpg', 'y/b.jpg']
  with pytest.raises(InputError, match='no file matches'):
    image_files.find_images([f'{tmp_path}/*.gif'])


def test_an_existing_file_is_no_glob(tmp_path):
  (tmp_path / 'a[1].jpg').touch()
  images, _ = image_files.find_images([str(tmp_path / 'a[1].jpg')])
  assert _paths(images) == ['a[1].jpg']


def test_nothing_there(tmp_path):
  with pytest.raises(InputError, match='no image file.*--recursive'):
    image_files.find_images([str(tmp_path)])
  with pytest.raises(InputError, match='no such file'):
    image_files.find_images([str(tmp_path / 'missing')])


def test_repeated_files_are_taken_once(tmp_path):
  (tmp_path / 'a.jpg').touch()
  images, _ = image_files.find_images([str(tmp_path), f'{tmp_path}/*.jpg', f'{tmp_path}/./a.jpg'])
  once, repeated = image_files.without_duplicates(images)
  assert _paths(once) == ['a.jpg'] and repeated == 2


def test_names_of_any_bytes(tmp_path):
  name = os.fsdecode(b'caf\xe9 \n.png')
  path = _write(os.path.join(str(tmp_path), 'plain.png'))
  os.rename(path, os.path.join(str(tmp_path), name))
  images, _ = image_files.find_images([str(tmp_path)])
  assert _paths(images) == [name]
  assert image_files.read_image(images[0].path).shape == (6, 9, 3)
  assert shown(name) == os.fsdecode(b'caf\xe9 \\n.png')


@pytest.mark.parametrize(
  'name, message',
  [
    ('https://example.org/a.jpg', 'an address is not read; download it first, and give the file'),
    ('a.HEIC', 'HEIC is not read; convert it to JPEG, with its full size'),
    ('a.nef', 'raw photographs are not read; convert it to JPEG or PNG'),
    ('a.pdf', 'PDF is not read; convert its pages to PNG'),
  ],
)
def test_other_inputs_and_what_to_do(tmp_path, monkeypatch, name, message):
  monkeypatch.chdir(tmp_path)
  if '/' not in name:
    (tmp_path / name).write_bytes(b'x')
  with pytest.raises(InputError, match=f'^--input={name}: {message}$'):
    image_files.find_images([name])
  (tmp_path / 'list.txt').write_text(name)
  with pytest.raises(InputError, match=f'^--input_file_list={name}: {message}$'):
    image_files.listed_images('list.txt')


def test_avif_is_tried_like_other_pictures(tmp_path):
  (tmp_path / 'a.avif').write_bytes(b'x')
  for given in (tmp_path, tmp_path / 'a.avif', tmp_path / '*.avif'):
    images, notes = image_files.find_images([str(given)])
    assert _paths(images) == ['a.avif'] and notes == []


def test_other_inputs_of_a_directory_and_a_glob_are_left_out(tmp_path):
  for name in ('a.heic', 'b.heic', 'c.mp4', 'd.txt'):
    (tmp_path / name).write_bytes(b'x')
  _picture().save(tmp_path / 'e.png')
  images, notes = image_files.find_images([str(tmp_path)])
  assert [image.relative_path for image in images] == ['e.png']
  assert notes == [
    f'{tmp_path}: 1 video left out; name them with --input',
    f'{tmp_path}: 2 files left out, such as a.heic: HEIC is not read; convert it to '
    'JPEG, with its full size',
    f'{tmp_path}: 1 file without an image extension left out',
  ]
  images, notes = image_files.find_images([f'{tmp_path}/[abe]*'])
  assert [image.relative_path for image in images] == ['e.png']
  assert len(notes) == 2 and notes[0].startswith(f'{tmp_path}/a.heic: left out: HEIC')
