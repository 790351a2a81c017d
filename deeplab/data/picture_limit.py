"""The bound on the size of pictures, which is compared with their headers before they are decoded.

A PNG of 74 bytes may claim 65536 x 65536 pixels, which take 12 GB. Without TensorFlow, for workers.
"""

import io
import os
import re
import stat

from PIL import Image

from deeplab import ordinary_files, remote_files
from deeplab.errors import InputError, shown
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS

# A file may have so many bytes for each pixel that is allowed (16 bits of red, green, blue and
# alpha), and what is behind the picture, such as the video of a phone's moving photograph.
_BYTES_PER_PIXEL, _BYTES_BESIDE = 8, 2**26
# In memory, of one in a file: JPEG has 2 bits a pixel and more, mostly.
_BYTES_OF_ONE = 16
_TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 322, 323
_REMEDY = 'make it smaller, or raise that limit'


class TooLargeError(InputError):
  """More pixels than allowed, or more bytes; a phrase that continues the name of the picture."""


def open_within(data: bytes, *, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS) -> Image.Image:
  """Pillow's view of a picture, whose header was read and whose pixels were not.

  From here on Pillow refuses pictures inside of pictures (as in ICO) that are twice as large.

  Args:
    data: bytes of the file.
    max_pixels: the largest height * width.

  Raises:
    TooLargeError. Exception: of any kind, from Pillow, where the bytes are no picture.
  """
  Image.MAX_IMAGE_PIXELS = max_pixels
  try:
    picture = Image.open(io.BytesIO(data))
  except Image.DecompressionBombError as error:
    raise _too_large(error, max_pixels=max_pixels) from error
  prepare_opened(picture, max_pixels=max_pixels)
  return picture


def prepare_opened(picture: Image.Image, *, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS) -> None:
  """As `open_within`, for a picture that somebody else has opened. Raises TooLargeError."""
  Image.MAX_IMAGE_PIXELS = max_pixels
  check(height=picture.height, width=picture.width, max_pixels=max_pixels)
  # Of a TIFF whole tiles are decoded, which may be larger than the picture.
  tags = getattr(picture, 'tag_v2', {})
  tile = tags.get(_TIFF_TILE_HEIGHT), tags.get(_TIFF_TILE_WIDTH)
  if all(isinstance(side, int) for side in tile):
    check(height=tile[0], width=tile[1], max_pixels=max_pixels, what='tiles of ')


def load_within(picture: Image.Image, *, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS) -> None:
  """Decodes a picture of `open_within`. Raises as that."""
  try:
    picture.load()
  except Image.DecompressionBombError as error:
    raise _too_large(error, max_pixels=max_pixels) from error


def check(*, height: int, width: int, max_pixels: int, what: str = '') -> None:
  """Raises TooLargeError for more than `max_pixels`."""
  if height * width > max_pixels:
    raise TooLargeError(
      f'has {what}{width}x{height} pixels (width x height), more than '
      f'--max_image_pixels={max_pixels}; {_REMEDY}'
    )


def read_file(path: str, *, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS) -> bytes:
  """The bytes of a picture file.

  Raises:
    TooLargeError: more bytes than any picture of `max_pixels` has. InputError: no regular file.
    OSError: it cannot be read.
  """
  # Opening a named pipe would wait for somebody to write to it, for good if nobody does.
  if not ordinary_files.is_ordinary(path):
    raise InputError(f'{shown(path)}: is not a regular file; remove it from the inputs')
  most = max_pixels * _BYTES_PER_PIXEL + _BYTES_BESIDE
  with remote_files.open_file(path) as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > most:
      raise TooLargeError(
        f'is a file of {size} bytes, more than {most}, {_BYTES_PER_PIXEL} for each pixel of '
        f'--max_image_pixels={max_pixels} and {_BYTES_BESIDE}; {_REMEDY}'
      )
    return file.read()


def memory_of_file(path: str, *, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS) -> int:
  """About how many bytes a picture file takes while it is decoded; 0 where that is not known, of
  which `read_file` and `open_within` say what is wrong. Reads no more than the header of most.
  """
  if remote_files.is_remote(path):
    return _memory_of_remote_file(path)
  try:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
      return 0
    Image.MAX_IMAGE_PIXELS = max_pixels
    with Image.open(path) as picture:
      return status.st_size + 4 * picture.width * picture.height
  except Exception:  # pylint: disable=broad-except  # Pillow raises many kinds.
    return 0


def _memory_of_remote_file(path):
  """By its size alone: its header may cost as much as all of it, and one request more."""
  try:
    return _BYTES_OF_ONE * remote_files.size_of(path)
  except OSError:
    return 0


def _too_large(error, *, max_pixels):
  """The TooLargeError for Pillow's error, with width and height, which Pillow's own text lacks."""
  traceback = error.__traceback__
  while traceback.tb_next is not None:
    traceback = traceback.tb_next
  size = traceback.tb_frame.f_locals.get('size')  # What Pillow's check was called with.
  if isinstance(size, tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
    pixels = f'{size[0]}x{size[1]} pixels (width x height)'
  else:
    count = re.search(r'\d+', str(error))
    pixels = f'{count.group()} pixels' if count else 'pixels'
  return TooLargeError(f'has {pixels}, more than --max_image_pixels={max_pixels}; {_REMEDY}')
