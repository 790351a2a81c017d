import io
import os
import tracemalloc

import numpy as np
import picture_bombs
import pytest
from PIL import Image

from deeplab.conversion import source_files
from deeplab.conversion.pairing import Pair
from deeplab.data import picture_limit
from deeplab.errors import InputError
from deeplab.options import ConversionOptions
from deeplab.prediction import given_images, image_files

_FILES = picture_bombs.files()


@pytest.mark.parametrize('name', _FILES)
def test_no_reader_decodes_a_bomb(tmp_path, name):
  path, good = tmp_path / name, tmp_path / 'good.png'
  path.write_bytes(_FILES[name])
  good.write_bytes(_png(6, 8))
  options = ConversionOptions(labels_dir='labels', images_dir='images', split='train')
  why = 'are too large to be unpacked' if name == 'text.png' else 'more than --max_image_pix'
  tracemalloc.start()
  with pytest.raises(InputError, match=f'{name}.*{why}'):
    image_files.read_image(str(path))
  as_image = source_files.convert_pair(Pair('a', str(path), str(good)), options, None)
  assert name in as_image.problem and why in as_image.problem
  as_label = source_files.convert_pair(Pair('a', str(good), str(path)), options, None)
  assert name in as_label.problem
  assert tracemalloc.get_traced_memory()[1] < 20e6
  tracemalloc.stop()


def test_files_of_nothing_and_no_files(tmp_path):
  sparse, pipe = tmp_path / 'sparse.png', tmp_path / 'pipe.png'
  with open(sparse, 'wb') as file:
    file.truncate(2**30)
  os.mkfifo(pipe)
  with pytest.raises(InputError, match='is a file of 1073741824 bytes, more than 867108864'):
    image_files.read_image(str(sparse))
  options = ConversionOptions(labels_dir='labels', images_dir='images', split='train')
  for path in (sparse, pipe):
    assert path.name in source_files.convert_pair(Pair('a', str(path), ''), options, None).problem
  assert picture_limit.memory_of_file(str(pipe)) == 0
  assert picture_limit.memory_of_file(str(tmp_path / 'none.png')) == 0


def test_the_limit_is_a_number_of_pixels(tmp_path, monkeypatch):
  path = tmp_path / 'a.png'
  path.write_bytes(_png(6, 8))
  assert image_files.read_image(str(path), max_pixels=48).shape == (6, 8, 3)
  with pytest.raises(InputError, match=r'has 8x6 pixels \(width x height\), more than --'):
    image_files.read_image(str(path), max_pixels=47)
  assert picture_limit.memory_of_file(str(path)) == len(_png(6, 8)) + 4 * 48
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)  # A program's own.
  with Image.open(path) as lazy, Image.open(path) as decoded:
    decoded.load()
    for picture in (lazy, decoded, np.zeros([6, 8, 3], np.uint8)):
      with pytest.raises(InputError, match=r'^image: has 8x6 pixels \(width x height\), more than'):
        given_images.read([picture], several=False, max_pixels=47)
    assert lazy.tile  # Not decoded.
    (given,) = given_images.read([lazy], several=False, max_pixels=48)
  assert given.pixels.shape == (6, 8, 3)


def test_arrays_of_nothing_from_python():
  array = np.broadcast_to(np.uint8(0), [60000, 60000, 3])
  with pytest.raises(InputError, match=r'^images\[0\]: has 60000x60000 pixels \(width x height\)'):
    given_images.read([array], several=True)


def _png(height, width):
  encoded = io.BytesIO()
  Image.fromarray(np.zeros([height, width], np.uint8)).save(encoded, format='PNG')
  return encoded.getvalue()
