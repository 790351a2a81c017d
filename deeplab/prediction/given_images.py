"""Images as Python programs hold them: arrays, PIL images, or where their files are."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from deeplab import remote_files
from deeplab.data import picture_files, picture_limit
from deeplab.errors import InputError, shown
from deeplab.failure_reasons import memory_shortage
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS
from deeplab.prediction import other_inputs, video_reader
from deeplab.prediction.image_files import read_image

_ALLOWED = 'give an array uint8 [height, width, 3], a PIL image or the path of an image file'


class GivenImage(NamedTuple):
  """An image to predict.

  Attributes:
    name: what messages call it.
    pixels: uint8 [H, W, 3], contiguous, of its own memory.
  """

  name: str
  pixels: np.ndarray


def read(
  images: 'Sequence[np.ndarray | Image.Image | str | os.PathLike]',
  *,
  several: bool,
  max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
) -> list[GivenImage]:
  """The pixels of images.

  Args:
    images: each an array uint8 [H, W, 3], RGB, or what numpy can make one of; a PIL image of any
      mode, which is turned upright if it says so; or the path of an image file, see `read_image`.
    several: whether the caller gave a list.
    max_pixels: larger ones are refused before they are read, decoded or converted.

  Raises:
    InputError: one is none of these, or empty, too large, or its values have another range.
  """
  given = []
  for position, image in enumerate(images):
    name = f'images[{position}]' if several else 'image'
    if isinstance(image, (str, bytes, os.PathLike)):
      name = _path(image, name=name)
    given.append(GivenImage(shown(name), _pixels(image, name=name, max_pixels=max_pixels)))
  return given


def _pixels(image, *, name, max_pixels):
  """uint8 [H, W, 3]; `name` is the path where the image is one."""
  if isinstance(image, (str, bytes, os.PathLike)):
    return _of_file(name, max_pixels=max_pixels)
  if isinstance(image, Image.Image):
    return _of_pillow(image, name=name, max_pixels=max_pixels)
  if not hasattr(image, '__array__'):
    raise InputError(
      f'{name}: {type(image).__name__}; must be an array uint8 [height, width, 3], a PIL image, '
      'a path, or a list of them'
    )
  shape = tuple(getattr(image, 'shape', ()))
  if len(shape) == 3:
    _check_size(height=shape[0], width=shape[1], name=name, max_pixels=max_pixels)
  array = np.asarray(image)
  _check(array, name=name)
  return np.array(array, np.uint8, order='C')  # A copy: the caller's array may change.


def _check_size(*, height, width, name, max_pixels):
  try:
    picture_limit.check(height=height, width=width, max_pixels=max_pixels)
  except picture_limit.TooLargeError as error:
    raise InputError(f'{name}: {error}') from error


def _path(image, *, name):
  path = os.fsdecode(image)
  if not path:
    raise InputError(f'{name}: is empty; {_ALLOWED}')
  if isinstance(image, bytes) and '\0' not in path and not _is_named(path):
    raise InputError(f'{name}: bytes that name no file; {_ALLOWED}')
  if '\0' in path:  # As in the contents of every image file, and in no path.
    what = 'the contents of a file' if isinstance(image, bytes) else 'a text that is no path'
    raise InputError(
      f'{name}: {type(image).__name__}, {what}; give the path, an array uint8 [height, width, 3] '
      'or a PIL image'
    )
  return path


def _is_named(path):
  return remote_files.is_remote(path) or os.path.lexists(path)


def _of_file(path, *, max_pixels):
  """The pixels of an image file; what else people name is told what to do with it."""
  if os.path.isdir(path):
    raise InputError(
      f'{shown(path)}: is a directory; give a list of image files, or the directory to '
      'run_inferencer.py'
    )
  if video_reader.is_video(path):
    raise InputError(f'{shown(path)}: is a video; run_inferencer.py predicts videos')
  try:
    return read_image(path, max_pixels=max_pixels)
  except InputError as error:
    reason = other_inputs.why_not(path)
    if reason:
      raise InputError(f'{shown(path)}: {reason}') from error
    raise


def _check(array, *, name):
  """Raises InputError for an array that is not uint8 [H, W, 3] with pixels."""
  what = f'{name}: an array {array.dtype} {list(array.shape)}'
  remedy = None
  if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
    remedy = 'of one channel make three: np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)'
  elif array.ndim == 3 and array.shape[2] == 4:
    remedy = 'leave the fourth channel out: image[:, :, :3]'
  elif array.ndim == 3 and array.shape[2] != 3 and array.shape[0] == 3:
    remedy = 'channels come last: image.transpose(1, 2, 0)'
  elif array.ndim == 4:
    remedy = 'give several images as a list: list(images)'
  elif array.ndim != 3 or array.shape[2] != 3:
    remedy = 'height, width, and the channels red, green, blue'
  elif array.size == 0:
    remedy = 'it has no pixels'
  elif array.dtype != np.uint8:
    remedy = _remedy_for_type(array)
  if remedy:
    raise InputError(f'{what}; must be uint8 [height, width, 3]: {remedy}')


def _remedy_for_type(array):
  if array.dtype.kind in 'iuf':
    low, high = array.min(), array.max()  # NaN where one is in it, which no range holds.
    if array.dtype.kind == 'f' and low >= 0 and high <= 1:
      return "values from 0 to 1 become (255 * image).round().astype('uint8')"
    if low >= 0 and high <= 255:
      return "image.round().astype('uint8')"
  return "bring its values to 0 .. 255, then image.astype('uint8')"


def _of_pillow(picture, *, name, max_pixels):
  _check_size(height=picture.height, width=picture.width, name=name, max_pixels=max_pixels)
  try:
    picture_limit.prepare_opened(picture, max_pixels=max_pixels)
    picture_limit.load_within(picture, max_pixels=max_pixels)
  except picture_limit.TooLargeError as error:
    raise InputError(f'{name}: {error}') from error
  except Exception as error:  # Files that are closed, cut or gone raise almost anything.
    reason = str(error) or type(error).__name__
    raise InputError(
      f'{name}: a PIL image that is closed or damaged ({reason}); give the path, or open it again '
      'and keep it open'
    ) from error
  if 0 in picture.size:
    raise InputError(f'{name}: a PIL image of {picture.width} x {picture.height}; has no pixels')
  try:
    return np.array(picture_files.pixels_of_pillow(picture, name=f'{name}:'))
  except InputError:
    raise
  except Exception as error:
    raise InputError(
      f'{name}: a PIL image of mode {picture.mode} cannot become RGB ({error})'
    ) from error


@contextlib.contextmanager
def explaining_memory(image: GivenImage) -> Iterator[None]:
  """Turns an error for want of memory for `image` into an InputError."""
  import tensorflow as tf

  try:
    yield
  except (tf.errors.OpError, MemoryError) as error:
    shortage = memory_shortage(error)
    if shortage is None:
      raise
    height, width = image.pixels.shape[:2]
    raise InputError(
      f'{image.name}: {shortage} for height {height}, width {width}; give --max_size, '
      '--tile_size or smaller --eval_scales'
    ) from error
