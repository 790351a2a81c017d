"""Opening encoded pictures with the checks that records and source files have in common."""

import io

from PIL import Image

from deeplab.errors import InputError


def open_picture(encoded: bytes, *, name: str, max_pixels: int) -> Image.Image:
  """Opens a JPEG or PNG without decoding it.

  Args:
    encoded: bytes of the file.
    name: of the picture, in messages.
    max_pixels: the largest height * width.

  Returns:
    PIL.Image.Image.

  Raises:
    InputError: no picture, of another format, or too large.
  """
  Image.MAX_IMAGE_PIXELS = None  # Ours is the limit that counts.
  try:
    picture = Image.open(io.BytesIO(encoded))
  except Exception as error:  # pylint: disable=broad-except  # PIL raises many kinds.
    raise InputError(f'{name} is no picture that can be read ({len(encoded)} bytes)') from error
  if picture.format not in ('JPEG', 'MPO', 'PNG'):
    raise InputError(f'{name} is {picture.format}; must be JPEG or PNG')
  if picture.width * picture.height > max_pixels:
    raise InputError(
      f'{name} has {picture.width}x{picture.height} pixels (width x height), more than '
      f'--max_image_pixels={max_pixels}'
    )
  return picture
