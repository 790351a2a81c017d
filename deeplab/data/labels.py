"""Label files to class indices: palette, grey and colour PNGs and SBD's .mat files.

Without TensorFlow, for workers.
"""

import io
import struct
import zlib
from collections.abc import Iterable, Mapping

import numpy as np
from PIL import Image

from deeplab.data import interpolation, picture_faults, picture_limit
from deeplab.data.picture_faults import DamagedError
from deeplab.errors import InputError
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS

AMBIGUOUS = -1  # In place of an index: the colour stands for several classes.
INTERPOLATED = (
  'it looks resized with interpolation (or was a JPEG once), which invents classes at borders; '
  'export or resize labels with nearest neighbour'
)
_MOST_COLORS = 100  # More that no class has are not forgotten classes.
# MATLAB 5 files: the length of the header, and the type of an element that is compressed.
_MAT_HEADER, _MAT_COMPRESSED = 128, 15
_MAT_BYTES_PER_PIXEL, _MAT_BYTES_BESIDE = 4, 2**24
_MOST_LISTED = 8  # Values or colours named in an error.


def read_png(
  data: bytes,
  *,
  color_map: Mapping[tuple, int] | None = None,
  max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
) -> tuple[np.ndarray, bool]:
  """The class indices of a label PNG.

  Args:
    data: bytes of the file.
    color_map: dict from (r, g, b) to index for labels stored as colours, palette PNGs included;
      None: palette PNGs are read as the indices they hold, and other colour PNGs are refused.
    max_pixels: a larger picture is refused before it is decoded.

  Returns:
    (indices, stored): uint8 or uint16 [height, width], and whether these are what the file itself
    holds, so that it can go into a record as it is.

  Raises:
    InputError: a phrase that says what is wrong with the file; DamagedError where it is not whole.
  """
  if not data.startswith(b'\x89PNG'):
    raise InputError('is not a PNG')
  try:
    picture = picture_limit.open_within(data, max_pixels=max_pixels)
    picture_limit.load_within(picture, max_pixels=max_pixels)
  except picture_limit.TooLargeError:
    raise
  except Exception as error:  # pylint: disable=broad-except  # PIL raises many kinds, SyntaxError among them.
    raise DamagedError(picture_faults.damaged(data)) from error
  mode = picture.mode
  if mode in ('RGB', 'RGBA') or (mode in ('P', 'PA') and color_map is not None):
    if color_map is None:
      raise InputError(explain_colors(np.asarray(picture.convert('RGB'))))
    return indices_of_colors(np.asarray(picture.convert('RGB')), color_map), False
  indices = np.asarray(picture)
  if indices.ndim == 3:  # Grey and alpha, palette and alpha.
    indices = indices[:, :, 0]
  if mode == '1':
    return indices.astype(np.uint8), True
  if mode == 'L':
    # PIL stretches grey samples of 2 and 4 bits to 0..255; the stored values are meant.
    return indices // {2: 85, 4: 17}.get(data[24], 1), True
  return indices.astype(np.uint16 if indices.dtype.itemsize > 1 else np.uint8), True


def read_mat(data: bytes, *, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS) -> np.ndarray:
  """The class indices of an SBD label (.mat with GTcls.Segmentation), uint8 or uint16 [height,
  width].

  Args:
    data: bytes of the file.
    max_pixels: a file that unpacks to far more is refused before scipy unpacks it.

  Raises:
    InputError: a phrase that says what is wrong with the file.
  """
  try:
    from scipy import io as scipy_io
  except ImportError as error:
    raise InputError('needs scipy to be read: pip install scipy') from error
  most = _MAT_BYTES_PER_PIXEL * max_pixels + _MAT_BYTES_BESIDE
  if _unpacks_to_more(data, most):
    raise picture_limit.TooLargeError(
      f'unpacks to more than {most} bytes, {_MAT_BYTES_PER_PIXEL} for each pixel of '
      f'--max_image_pixels={max_pixels} and {_MAT_BYTES_BESIDE}; make it smaller, or raise that '
      'limit'
    )
  try:
    contents = scipy_io.loadmat(io.BytesIO(data))
    indices = np.asarray(contents['GTcls']['Segmentation'][0, 0])
  except Exception as error:
    raise InputError(f'is not an SBD label with GTcls.Segmentation ({error})') from error
  if indices.ndim != 2 or indices.dtype.kind not in 'ui':
    raise InputError(
      f'GTcls.Segmentation is {indices.dtype} {list(indices.shape)}; must be integers [height, '
      'width]'
    )
  return indices.astype(np.uint16 if indices.max(initial=0) > 255 else np.uint8)


def _unpacks_to_more(data, most):
  """Whether the compressed elements of a MATLAB 5 file hold more bytes than `most`."""
  order = '>' if data[126:128] == b'MI' else '<'
  place, total = _MAT_HEADER, 0
  while place + 8 <= len(data):
    kind, length = struct.unpack(f'{order}II', data[place : place + 8])
    if kind == _MAT_COMPRESSED:
      unpacker, packed = zlib.decompressobj(), data[place + 8 : place + 8 + length]
      while packed and not unpacker.eof:
        try:
          total += len(unpacker.decompress(packed, 2**20))
        except zlib.error:  # scipy says so.
          return False
        if total > most:
          return True
        packed = unpacker.unconsumed_tail
    place += 8 + length
  return False


def shift(indices: np.ndarray, *, offset: int, ignore_label: int) -> np.ndarray:
  """Adds `offset` to all indices but `ignore_label`; what falls below 0 becomes `ignore_label`.

  uint8 or uint16.
  """
  shifted = indices.astype(np.int64) + offset
  shifted[(indices == ignore_label) | (shifted < 0)] = ignore_label
  if shifted.max(initial=0) > 65535:
    raise InputError(f'value {shifted.max()} after --label_offset={offset} is above 65535')
  return shifted.astype(np.uint16 if shifted.max(initial=0) > 255 else np.uint8)


def write_png(indices: np.ndarray) -> bytes:
  """The bytes of a grey PNG of 8 or 16 bits that holds uint8 or uint16 [height, width]."""
  file = io.BytesIO()
  Image.fromarray(indices).save(file, format='PNG')
  return file.getvalue()


def explain_one_class(present: Iterable[int], *, ignore_label: int) -> str | None:
  """None, or a phrase about labels that hold one class and the ignored value and nothing else.

  There is nothing to learn from those. Masks of 0 and 255 are such labels.

  Args:
    present: all label values of the split.
    ignore_label: the value that does not count.
  """
  values = sorted(set(map(int, present)))
  classes = [value for value in values if value != ignore_label]
  if len(classes) != 1 or ignore_label not in values:
    return None
  return (
    f'the labels hold one class, {classes[0]}, and the ignored value {ignore_label}, nothing else; '
    f'masks of {classes[0]} and {ignore_label} look so'
  )


def explain_values(
  present: Iterable[int], *, num_classes: int, ignore_label: int, one_based_remedy: str = ''
) -> str | None:
  """None, or a phrase that names the label values that are neither below num_classes nor
  ignore_label.

  Args:
    present: label values, sorted, without repetition.
    num_classes, ignore_label: what is allowed.
    one_based_remedy: what to give if the values are 1 to num_classes, which is how some tools
      count; '' for none.
  """
  present = [int(value) for value in present]
  wrong = [value for value in present if value >= num_classes and value != ignore_label]
  if not wrong:
    return None
  one_based = one_based_remedy and wrong == [num_classes] and 0 not in present
  return (
    f'label value{"s" if len(wrong) > 1 else ""} {_listed(wrong)}: allowed are 0 to '
    f'{num_classes - 1} and ignore_label {ignore_label}'
    + (f'; if its classes count from 1, give {one_based_remedy}' if one_based else '')
  )


def explain_colors(pixels: np.ndarray) -> str:
  """Why uint8 [height, width, 3] cannot be read as indices without a colour map, as a phrase."""
  if are_greys(pixels):
    return 'is an RGB picture of greys, not a map of class indices; save it with one channel'
  return (
    'is an RGB picture, not a map of class indices; say which colour is which class with '
    '--colormap=voc, cityscapes, ade20k or a file of lines "index r g b"'
  )


def are_greys(pixels: np.ndarray) -> bool:
  """Whether all pixels of [height, width, 3] have three equal channels."""
  return bool((pixels[..., :1] == pixels).all())


def indices_of_colors(pixels: np.ndarray, color_map: Mapping[tuple, int]) -> np.ndarray:
  """uint8 or uint16 [height, width], the indices of uint8 [height, width, 3].

  Raises InputError for a colour that `color_map` does not list or lists as AMBIGUOUS.
  """
  codes = pixels.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
  known = np.array(
    sorted((r * 65536 + g * 256 + b, index) for (r, g, b), index in color_map.items())
  )
  places = np.minimum(np.searchsorted(known[:, 0], codes), len(known) - 1)
  unknown = known[places, 0] != codes
  if unknown.any():
    colors = np.unique(codes[unknown])
    invented = len(colors) > _MOST_COLORS or interpolation.invents_colors(pixels, unknown)
    reason = f'; {INTERPOLATED}' if invented else ''
    raise InputError(
      f'has {int(unknown.sum())} pixels of colours that --colormap does not list: '
      + _listed([_color(code) for code in colors.tolist()])
      + reason
    )
  indices = known[places, 1]
  if indices.min(initial=0) < 0:
    code = int(codes[indices == AMBIGUOUS][0])
    raise InputError(
      f'has the colour {_color(code)}, which --colormap gives to several classes; use a file '
      'with one class for each colour'
    )
  return indices.astype(np.uint16 if known[:, 1].max() > 255 else np.uint8)


def _color(code):
  return f'({code >> 16}, {code >> 8 & 255}, {code & 255})'


def _listed(values):
  shown = ', '.join(str(value) for value in values[:_MOST_LISTED])
  return shown + (f' and {len(values) - _MOST_LISTED} more' if len(values) > _MOST_LISTED else '')
