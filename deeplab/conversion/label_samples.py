"""Label files of any lossless kind, told apart by their content, to the samples they hold.

PNG, TIFF, BMP, GIF, WebP, PGM and PPM by Pillow; NumPy's .npy; SBD's .mat. Without TensorFlow, for
workers.
"""

import dataclasses
import io
import re
import warnings
import zlib

import numpy as np
from PIL import Image

from deeplab.data import labels, orientation, picture_faults, picture_limit
from deeplab.errors import InputError

_FORMATS = ('PNG', 'TIFF', 'BMP', 'GIF', 'WEBP', 'PPM')
_LOSSY_TIFF = (6, 7, 34712, 34892, 50001, 50002)  # JPEG, JPEG 2000, lossy DNG, WebP, JPEG XL.
_TIFF_COMPRESSION = 259
_LOSSY = (
  'is stored as {kind}, which changes the values of pixels and so their classes; export labels as '
  'PNG'
)
_BITS_OF_TIFF = 258
_GREY, _COLORS, _PALETTE, _GREY_ALPHA, _COLORS_ALPHA = 0, 2, 3, 4, 6  # Colour types of PNG.


@dataclasses.dataclass(frozen=True)
class Samples:
  """Decoded samples: indices or greys [height, width], or colours uint8 [height, width, 3]."""

  values: np.ndarray
  opaque: np.ndarray | None = None  # bool [height, width]; None: all pixels are.
  palette: np.ndarray | None = None  # uint8 [n, 3].
  highest_grey: int = 255  # The sample that means white, where greys are colours.
  stored: bool = False
  is_gif: bool = False  # Which has no greys but those of a palette.


def read(data: bytes, *, max_pixels: int, is_mat: bool = False) -> Samples:
  """The samples of a label file, as they are stored: not turned by an orientation tag.

  Args:
    data: bytes of the file.
    max_pixels: a larger picture is refused, before it is decoded where that can be.
    is_mat: the file's name says that it is a .mat file.

  Raises:
    InputError: a phrase that says what is wrong with the file.
  """
  if data.startswith(b'MATLAB') or is_mat:
    samples = Samples(labels.read_mat(data, max_pixels=max_pixels))
  elif data.startswith(b'\x93NUMPY'):
    samples = _read_npy(data)
  else:
    return _read_picture(data, max_pixels=max_pixels)
  height, width = samples.values.shape[:2]
  picture_limit.check(height=height, width=width, max_pixels=max_pixels)
  return samples


def _read_npy(data):
  try:
    values = np.load(io.BytesIO(data), allow_pickle=False)
  except Exception as error:  # pylint: disable=broad-except  # Many kinds.
    raise InputError(f'cannot be read as a NumPy array ({error})') from error
  if values.ndim == 3 and values.shape[2] == 1:
    values = values[..., 0]
  if values.ndim == 3 and values.shape[2] == 3 and values.dtype == np.uint8:
    return Samples(values)
  if values.ndim != 2 or not values.size:
    raise InputError(
      f'is an array {values.dtype} {list(values.shape)}; must be integers [height, width]'
    )
  return Samples(_whole_numbers(values))


def _whole_numbers(values):
  """Numbers of any type as uint8 or uint16. Raises InputError where they are no indices."""
  if values.dtype.kind == 'b':
    return values.astype(np.uint8)
  if values.dtype.kind not in 'uif':
    raise InputError(f'holds values of type {values.dtype}; must be integers')
  lowest, highest = values.min(), values.max()
  if not (lowest >= 0 and highest <= 65535):
    raise InputError(f'holds values from {lowest} to {highest}; must be from 0 to 65535')
  if values.dtype.kind == 'f' and (values != np.floor(values)).any():
    raise InputError('holds fractions; class indices are whole numbers')
  return values.astype(np.uint16 if highest > 255 else np.uint8)


def _read_picture(data, *, max_pixels):
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      picture = picture_limit.open_within(data, max_pixels=max_pixels)
  except picture_limit.TooLargeError:
    raise
  except Exception as error:  # pylint: disable=broad-except  # PIL raises many kinds.
    raise InputError(picture_faults.no_picture(data)) from error
  _refuse_lossy(picture, data)
  if getattr(picture, 'n_frames', 1) > 1:
    raise InputError(f'holds {picture.n_frames} pictures; a label file has one')
  if picture.format == 'PPM':
    _refuse_other_maximum(data)
  if picture.format == 'PNG' and data[25] in (_GREY, _PALETTE):
    return _read_stored_png(picture, data, max_pixels=max_pixels)
  if picture.format == 'PNG' and (data[24], data[25]) == (16, _GREY_ALPHA):
    return _read_16_bit_grey_and_alpha(data)
  if picture.format == 'TIFF':
    return _read_tiff(picture, data)
  _load(picture, data)
  samples = _samples_of(picture)
  is_16_bit_png = picture.format == 'PNG' and data[24] == 16
  if (is_16_bit_png and data[25] in (_COLORS, _COLORS_ALPHA)) or _is_16_bit_ppm(data):
    _refuse_greys_cut_to_8_bits(samples)
  return samples


def _maximum_of_ppm(data):
  """The largest sample that a PGM or PPM says it may have, or None of another file or a bitmap."""
  words = re.sub(rb'#[^\n]*', b'', data[:4096]).split(None, 4)
  says_it = words[:1] and words[0] in (b'P2', b'P3', b'P5', b'P6') and len(words) > 3
  return int(words[3]) if says_it and words[3].isdigit() else None


def _is_16_bit_ppm(data):
  return data[:2] in (b'P3', b'P6') and (_maximum_of_ppm(data) or 0) > 255


def _refuse_other_maximum(data):
  """Pillow stretches samples up to their maximum, which makes other indices of them."""
  maximum = _maximum_of_ppm(data)
  if maximum not in (None, 255, 65535):
    raise InputError(
      f'is a PGM or PPM whose largest sample is {maximum}, to which it would be stretched; export '
      'it as an 8-bit grey PNG'
    )


def _refuse_greys_cut_to_8_bits(samples):
  """Pillow keeps the upper 8 of 16 bits of a colour, by which every index below 256 becomes 0."""
  values = samples.values
  if values.ndim != 3 or not labels.are_greys(values):
    return
  if not (values.max() == 255 and np.isin(values, (0, 255)).all()):  # Black and white is a mask.
    raise InputError(
      'is a picture of greys as RGB of 16 bits, of which only the upper 8 can be read; export it '
      'as an 8-bit grey PNG'
    )


def _read_tiff(picture, data):
  """The samples as they are stored, which Pillow turns as the tag says (not every version does)."""
  asked = orientation.of_file(data)
  _load(picture, data)
  samples = _samples_of(picture)
  if max(picture.tag_v2.get(_BITS_OF_TIFF, (8,))) > 8:
    _refuse_greys_cut_to_8_bits(samples)
  if asked == 1 or orientation.TAG in picture.tag_v2:
    return samples
  values, opaque = (
    part if part is None else np.ascontiguousarray(orientation.turn_back(part, asked))
    for part in (samples.values, samples.opaque)
  )
  return dataclasses.replace(samples, values=values, opaque=opaque)


def _load(picture, data):
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      picture.load()
  except Exception as error:  # pylint: disable=broad-except  # PIL raises many kinds, SyntaxError among them.
    raise InputError(picture_faults.damaged(data)) from error


def _refuse_lossy(picture, data):
  if picture.format in ('JPEG', 'MPO', 'JPEG2000', 'AVIF'):
    raise InputError(_LOSSY.format(kind='JPEG' if picture.format == 'MPO' else picture.format))
  if picture.format not in _FORMATS:
    raise InputError(
      f'is {picture.format}; labels are PNG, TIFF, BMP, GIF, lossless WebP, .npy or .mat'
    )
  if picture.format == 'WEBP' and b'VP8 ' in _webp_chunks(data):
    raise InputError(_LOSSY.format(kind='lossy WebP'))
  if picture.format == 'TIFF' and picture.tag_v2.get(_TIFF_COMPRESSION) in _LOSSY_TIFF:
    raise InputError(_LOSSY.format(kind='TIFF with lossy compression'))


def _webp_chunks(data):
  names, place = set(), 12
  while place + 8 <= len(data):
    names.add(data[place : place + 4])
    size = int.from_bytes(data[place + 4 : place + 8], 'little')
    place += 8 + size + size % 2
  return names


def _read_stored_png(picture, data, *, max_pixels):
  """A grey or palette PNG, which goes into a record as it is."""
  indices, stored = labels.read_png(data, max_pixels=max_pixels)
  palette = None
  if data[25] == _PALETTE:
    _load(picture, data)
    palette = _palette_of(picture)
  return Samples(
    indices,
    opaque=_opaque(indices, picture.info.get('transparency')),
    palette=palette,
    highest_grey=(1 << data[24]) - 1,
    stored=stored,
  )


def _opaque(indices, transparency):
  """Where palette indices or greys are opaque, of PIL's note of the transparent ones."""
  if transparency is None:
    return None
  if isinstance(transparency, int):
    return indices != transparency
  alphas = np.full([65536], 255, np.uint8)
  alphas[: len(transparency)] = np.frombuffer(transparency, np.uint8)
  return alphas[indices] == 255


def _palette_of(picture):
  return np.array(picture.getpalette('RGB'), np.uint8).reshape(-1, 3)


def _read_16_bit_grey_and_alpha(data):
  """Decoded as 8-bit RGBA, which has the same bytes; Pillow would keep their upper halves only."""
  header = data[12:24] + bytes([8, 6]) + data[26:29]
  if zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], 'big'):
    raise InputError(picture_faults.damaged(data))
  picture = Image.open(
    io.BytesIO(data[:12] + header + zlib.crc32(header).to_bytes(4, 'big') + data[33:])
  )
  _load(picture, data)
  parts = np.asarray(picture).astype(np.uint16)
  values = parts[..., 0] << 8 | parts[..., 1]
  if values.any() and not ((values % 256).any() and (values % 257).any()):
    raise InputError(
      'is a 16-bit grey PNG with alpha whose values, up to '
      f'{values.max()}, are those of 8 bits stretched; export it as an 8-bit grey PNG'
    )
  values = _whole_numbers(values)
  return Samples(values, opaque=(parts[..., 2:] == 255).all(axis=2), highest_grey=65535)


def _samples_of(picture):
  """Samples of a loaded picture of any other kind."""
  mode, transparency = picture.mode, picture.info.get('transparency')
  if mode == 'P':
    indices = np.asarray(picture)
    return Samples(
      indices,
      _opaque(indices, transparency),
      palette=_palette_of(picture),
      is_gif=picture.format == 'GIF',
    )
  if mode in ('1', 'L'):
    values = np.asarray(picture).astype(np.uint8)
    return Samples(values, _opaque(values, transparency), highest_grey=1 if mode == '1' else 255)
  if mode == 'LA':
    values = np.asarray(picture)
    return Samples(values[..., 0], opaque=values[..., 1] == 255)
  if mode in ('RGBA', 'PA'):
    values = np.asarray(picture.convert('RGBA'))
    return Samples(values[..., :3], opaque=values[..., 3] == 255)
  if mode == 'RGB':
    values, opaque = np.asarray(picture), None
    if isinstance(transparency, tuple):
      opaque = (values != np.array(transparency)).any(axis=2)
    return Samples(values, opaque)
  if mode.startswith('I') or mode == 'F':
    return Samples(_whole_numbers(np.asarray(picture)), highest_grey=65535)
  raise InputError(f'is a picture of mode {mode}; labels have one channel, or colours as RGB')
