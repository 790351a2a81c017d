"""Picture files to pixels: what the bytes of a file look like, for conversion, training and
inference alike.

    JPEG, PNG           decoded by TensorFlow with its defaults, as the 2019 reference did and as
                        training decodes the records that hold these files
    any other format    decoded by Pillow; records hold it as PNG, so training sees the same array
    grey, palette, ...  become RGB; alpha is dropped, not laid over a background
    16 bits a sample    the upper 8 are taken, as libpng does
    orientation tags    applied once: EXIF of JPEG, PNG, TIFF, WebP and others, or XMP
    several frames      the first is taken, which is said
    refused             floating-point and 32-bit samples, 16-bit ones that would look black

Importing this does not import TensorFlow, nor does anything here but `decode`.
"""

import dataclasses
import io
from collections.abc import Collection

import numpy as np
from PIL import Image

from deeplab.data import orientation as orientations
from deeplab.data import picture_faults, picture_limit
from deeplab.data.picture_faults import DamagedError, NoPictureError
from deeplab.errors import InputError
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS

RECORD_FORMATS = ('JPEG', 'MPO', 'PNG')  # MPO: a JPEG with others behind it.

_TIFF_BITS_PER_SAMPLE = 258
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_PREMULTIPLIED = {'La': 'LA', 'RGBa': 'RGBA'}
_DRAWINGS = ('EPS', 'WMF')  # Pillow would have other programs draw them.
_PNG_BIT_DEPTH = 24  # Its place in the file.
_END_OF_JPEG = b'\xff\xd9'
# TensorFlow's decoders refuse more samples at once.
_TENSORFLOWS_LIMIT = 2**29
# Largest values of 16-bit samples that are refused (12 bits in 16: nearly black), and said.
_BLACK, _DARK = 2**12, 2**14

_RESCALE = 'bring the range of values that you want to see to 0 .. 255 and save it as an 8-bit PNG'


@dataclasses.dataclass(frozen=True)
class PictureFile:
  """A picture file that was looked through.

  Attributes:
    data: its bytes.
    format: Pillow's name of the format.
    stored_size: (height, width) without regard to the orientation.
    orientation: 1 to 8, what `upright` undoes; 1 is none.
    notes: what a user should know, as clauses about the picture.
    picture: Pillow's view of it.
    bits: of a sample, 8 to 16.
    turned_by_pillow: whether `picture` is upright already.
  """

  data: bytes
  format: str
  stored_size: tuple[int, int]
  orientation: int
  notes: tuple[str, ...]
  picture: Image.Image = dataclasses.field(repr=False)
  bits: int
  turned_by_pillow: bool

  @property
  def size(self) -> tuple[int, int]:
    """(height, width), upright."""
    return self.stored_size[::-1] if self.orientation >= 5 else self.stored_size

  @property
  def fits_records(self) -> bool:
    """Whether records may hold the bytes as they are."""
    return self.format in RECORD_FORMATS


def open_picture(
  data: bytes,
  *,
  name: str,
  max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
  formats: Collection[str] | None = None,
) -> Image.Image:
  """Opens a picture without decoding it.

  Args:
    data: bytes of the file.
    name: of the picture, begins the messages.
    max_pixels: the largest height * width.
    formats: Pillow's names of the formats that are taken; None: all.

  Raises:
    InputError: of another format, or too large. NoPictureError: no picture.
  """
  try:
    picture = picture_limit.open_within(data, max_pixels=max_pixels)
  except picture_limit.TooLargeError as error:
    raise picture_limit.TooLargeError(f'{name} {error}') from error
  except Exception as error:  # pylint: disable=broad-except  # PIL raises many kinds.
    if orientations.is_tiff(data):
      raise InputError(
        f'{name} is a TIFF of a kind that cannot be read ({len(data)} bytes), such as one of '
        f'floating-point colours; {_RESCALE}'
      ) from error
    if 'MAX_TEXT' in str(error):  # Pillow's bounds, of which it names the constants.
      raise InputError(
        f'{name} has texts beside its pixels that are too large to be unpacked; save it again '
        'without them (metadata)'
      ) from error
    raise NoPictureError(f'{name} {picture_faults.no_picture(data)}') from error
  if picture.format in _DRAWINGS:
    raise InputError(f'{name} is {picture.format}, a drawing without pixels; save it as PNG')
  if formats is not None and picture.format not in formats:
    raise InputError(f'{name} is {picture.format}; must be JPEG or PNG')
  return picture


def examine(
  data: bytes, *, name: str, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS, whole: bool = True
) -> PictureFile:
  """Looks through a picture file: format, size, orientation, and what is refused.

  Args:
    data: bytes of the file.
    name: of the picture, begins the messages.
    max_pixels: the largest height * width.
    whole: decode it with Pillow to see whether it is whole. Else only where the header does not
      tell what is asked here, or a JPEG lacks its end.

  Raises:
    InputError: a picture that is not taken, which says what to do. NoPictureError, DamagedError.
  """
  picture = open_picture(data, name=name, max_pixels=max_pixels)
  _refuse_samples(picture, name=name)
  notes = _frames(picture)
  bits = _bits_per_sample(picture, data)
  orientation = orientations.of_picture(picture, data)
  if (
    whole
    or bits > 8
    or picture.format not in RECORD_FORMATS
    or (picture.format != 'PNG' and not data.endswith(_END_OF_JPEG))
  ):
    try:
      picture_limit.load_within(picture, max_pixels=max_pixels)
    except picture_limit.TooLargeError as error:
      raise picture_limit.TooLargeError(f'{name} {error}') from error
    except Exception as error:
      raise DamagedError(f'{name} {picture_faults.damaged(data)}') from error
  # Pillow turns a TIFF while it loads it (not every version does), and takes out the tag.
  turned = picture.format == 'TIFF' and orientations.TAG not in _tiff_tags(picture)
  size = picture.height, picture.width
  if bits == 16:
    notes += _darkness(picture, name=name)
  return PictureFile(
    data=data,
    format=picture.format,
    stored_size=size[::-1] if turned and orientation >= 5 else size,
    orientation=orientation,
    notes=notes,
    picture=picture,
    bits=bits,
    turned_by_pillow=turned,
  )


def decode(file: PictureFile) -> np.ndarray:
  """The pixels of a picture, upright: uint8 [H, W, 3].

  Imports TensorFlow for JPEG and PNG.

  Raises:
    Exception: of any kind, from a decoder that finds the data damaged.
  """
  return np.ascontiguousarray(orientations.turn(_decode_as_stored(file), file.orientation))


def pixels_of_pillow(picture: Image.Image, *, name: str) -> np.ndarray:
  """The pixels of a picture that Pillow holds, loaded, by the same rules: uint8 [H, W, 3].

  Raises InputError for samples that are refused; `name` begins the message.
  """
  _refuse_samples(picture, name=name)
  deep = picture.mode.startswith('I')
  if deep:
    _darkness(picture, name=name)
  orientation = picture.getexif().get(orientations.TAG, 1)
  pixels = _decode_by_pillow(picture, bits=_bits_per_sample(picture, None) if deep else 8)
  return np.ascontiguousarray(orientations.turn(pixels, orientation))


def encode_png(file: PictureFile, *, as_stored: bool = False) -> bytes:
  """The pixels of a picture that Pillow decodes, upright or `as_stored`, as the bytes of a PNG."""
  pixels = _decode_as_stored_by_pillow(file)
  if not as_stored:
    pixels = orientations.turn(pixels, file.orientation)
  encoded = io.BytesIO()
  Image.fromarray(np.ascontiguousarray(pixels)).save(encoded, format='PNG')
  return encoded.getvalue()


def _decode_as_stored(file):
  height, width = file.stored_size
  if not file.fits_records or 3 * height * width >= _TENSORFLOWS_LIMIT:
    return _decode_as_stored_by_pillow(file)
  import tensorflow as tf  # Late, so that conversion's workers do not wait for it.

  if file.format == 'PNG':
    return tf.io.decode_png(file.data, channels=3).numpy()
  return tf.io.decode_jpeg(file.data, channels=3).numpy()


def _decode_as_stored_by_pillow(file):
  """uint8 [height, width, 3]."""
  pixels = _decode_by_pillow(file.picture, bits=file.bits)
  return orientations.turn_back(pixels, file.orientation) if file.turned_by_pillow else pixels


def _decode_by_pillow(picture, *, bits):
  """uint8 [height, width, 3], turned as Pillow has it."""
  if picture.mode.startswith('I'):
    grey = (_deep_grey(picture, bits=bits) >> (bits - 8)).astype(np.uint8)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
  if picture.mode in _PREMULTIPLIED:
    picture = picture.convert(_PREMULTIPLIED[picture.mode])
  return np.asarray(picture.convert('RGB'))


def _deep_grey(picture, *, bits):
  """int32 [height, width] in [0, 2^bits) of a picture of one channel of more than 8 bits."""
  values = np.clip(np.asarray(picture).astype(np.int32), 0, (1 << bits) - 1)
  if _tiff_tags(picture).get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
    values = (1 << bits) - 1 - values  # Pillow leaves these as they are, from 16 bits on.
  return values


def _refuse_samples(picture, *, name):
  """Raises InputError for samples that have no range of their own to be shown in."""
  if picture.mode == 'F':
    kind = 'floating-point samples'
  elif picture.mode == 'I' and picture.format not in ('PNG', 'PPM'):  # There it is 16 bits.
    kind = 'signed or 32-bit integer samples'
  else:
    return
  raise InputError(
    f'{name} is a {picture.format or "PIL image"} of {kind}, which have no fixed black and '
    f'white; {_RESCALE}'
  )


def _bits_per_sample(picture, data):
  """8, 12 or 16; fewer than 8 count as 8, which they become. `data`: None without a file."""
  if picture.format == 'PNG' and data is not None:
    return max(8, data[_PNG_BIT_DEPTH])
  bits = _tiff_tags(picture).get(_TIFF_BITS_PER_SAMPLE)
  if bits is not None:
    return max(8, *bits) if isinstance(bits, tuple) else max(8, bits)
  return 16 if picture.mode.startswith('I') else 8


def _darkness(picture, *, name):
  """Notes about a loaded picture of 16 bits; raises InputError where it would be read as black."""
  if picture.mode.startswith('I'):
    largest = int(_deep_grey(picture, bits=16).max(initial=0))
    if largest == 0:
      return ()  # Black it is.
  else:
    # Pillow keeps the upper bytes of colours.
    bands = [picture.getchannel(band) for band in picture.getbands() if band != 'A']
    largest = max(int(np.asarray(band).max(initial=0)) for band in bands) << 8 | 255
  if largest < _BLACK:
    raise InputError(
      f'{name} has 16 bits a sample but none is above {largest} of 65535, so it would be read as '
      f'black; {_RESCALE}'
    )
  if largest < _DARK:
    return (
      'uses less than a quarter of the range of its 16 bits and is read as dark as that; '
      f'{_RESCALE} if it is not meant to be',
    )
  return ()


def _frames(picture):
  if picture.format in RECORD_FORMATS and picture.format != 'PNG':
    return ()
  try:
    several = getattr(picture, 'is_animated', False)
  except Exception:  # pylint: disable=broad-except  # What comes behind does not count.
    return ()
  return ('holds several frames or pages, of which the first is read',) if several else ()


def _tiff_tags(picture):
  return getattr(picture, 'tag_v2', {})
