"""The orientation that a picture file asks for, and turning pixels by it.

It stands in a tag of TIFF and EXIF (CIPA DC-008, tag 0x0112), in files of any format, or in XMP.
Without TensorFlow, for workers.
"""

import io

import numpy as np
from PIL import Image

TAG = 0x0112
_INVERSES = {6: 8, 8: 6}  # The others undo themselves.
# One of them stands in every PNG with an orientation: a chunk, or the name of a text.
_PNG_MARKS = (b'eXIf', b'Raw profile type', b'XML:com.adobe.xmp')

_TIFF_SIGNATURES = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
  """[H, W, ...] as it is meant to be looked at, given one of the eight orientations (CIPA DC-008,
  tag 0x0112); others mean nothing.
  """
  if orientation in (5, 6, 7, 8):
    pixels = pixels.swapaxes(0, 1)
  if orientation in (3, 4, 7, 8):
    pixels = pixels[::-1]
  if orientation in (2, 3, 6, 7):
    pixels = pixels[:, ::-1]
  return pixels


def turn_back(pixels: np.ndarray, orientation: int) -> np.ndarray:
  """Undoes `turn`."""
  return turn(pixels, _INVERSES.get(orientation, orientation))


def of_file(data: bytes) -> int:
  """The orientation tag, 1 to 8, of the bytes of any file; 1 where there is none."""
  try:
    picture = Image.open(io.BytesIO(data))
  except Exception:  # pylint: disable=broad-except  # No picture has no orientation.
    return 1
  return of_picture(picture, data)


def is_tiff(data: bytes) -> bool:
  """Whether the bytes of a file begin as those of a TIFF, which Pillow turns while it loads it."""
  return data.startswith(_TIFF_SIGNATURES)


def of_picture(picture: Image.Image, data: bytes) -> int:
  """The same of a picture that Pillow opened, and the bytes of its file.

  Of a TIFF that is loaded there is none left: Pillow has turned it.
  """
  if picture.format == 'PNG' and not any(mark in data for mark in _PNG_MARKS):
    return 1  # Pillow would decode the whole picture to look behind the pixels.
  try:
    tag = picture.getexif().get(TAG)
  except Exception:  # pylint: disable=broad-except  # Damaged tags are no tags.
    return 1
  return int(tag) if isinstance(tag, int) and 1 <= tag <= 8 else 1
