"""What is said of a picture file that cannot be decoded: the same wherever it is read. Free of
TensorFlow.
"""

from deeplab.errors import InputError


class NoPictureError(InputError):
  """The bytes are no picture of a known format."""


class DamagedError(InputError):
  """The picture is not whole."""


def no_picture(data: bytes) -> str:
  """A phrase that continues the name of a file whose bytes are no picture."""
  if not data:
    return 'is empty, not an image; remove it from the inputs'
  return f'is not an image ({len(data)} bytes); remove it from the inputs'


def damaged(data: bytes) -> str:
  """A phrase that continues the name of a picture file that is not whole."""
  return (
    f'is a damaged or truncated image ({len(data)} bytes); copy it again, or remove it from the '
    'inputs'
  )
