"""Image and label files, checked and made ready for records. For worker processes: PIL and no
TensorFlow.

Files go into the records as they are. Only these are encoded again, without loss: labels that are
no grey or palette PNG, have transparent pixels, or are shifted by an offset, and images that their
EXIF data turns.
"""

import dataclasses
import io
import os

import numpy as np
from PIL import ImageOps

from deeplab import color_map as color_maps
from deeplab.data import cityscapes_ids, label_files, labels
from deeplab.data.annotated_images import AnnotatedImage
from deeplab.data.encoded_pictures import open_picture
from deeplab.data.interpolation import BorderCounts
from deeplab.data.pairing import Pair
from deeplab.errors import InputError
from deeplab.options import ConversionOptions

_EXIF_ORIENTATION = 0x0112


@dataclasses.dataclass(frozen=True)
class Converted:
  """What becomes of a pair: a problem, or the parts of its record.

  Attributes:
    name: the record's name.
    problem: None, or what is wrong, as a line; then nothing else is set.
    image, label: encoded bytes.
    height, width: size in pixels.
    values, pixels: the label values present, and the number of pixels of each.
    image_encoded_again, label_encoded_again: whether the bytes differ from the files'.
    label_path: the label's file.
    palette: (index, colour) of the indices of a palette that are used.
    transparent: number of pixels that became ignored since they are not opaque.
    overlapping: number of pixels in annotated regions of several classes.
    borders: how the borders of the label look, or None.
  """

  name: str
  problem: str | None = None
  image: bytes = b''
  label: bytes = b''
  height: int = 0
  width: int = 0
  values: tuple[int, ...] = ()
  pixels: tuple[int, ...] = ()
  image_encoded_again: bool = False
  label_encoded_again: bool = False
  label_path: str = ''
  palette: tuple[tuple[int, tuple[int, int, int]], ...] = ()
  transparent: int = 0
  overlapping: int = 0
  borders: BorderCounts | None = None


def color_indices(name_or_path: str, *, ignore_label: int = 255) -> dict[tuple, int]:
  """dict from (r, g, b) to the class index of a colour map; labels.AMBIGUOUS for a colour that
  stands for several.
  """
  indices = {}
  for index, color in color_maps.label_colors(name_or_path, ignore_label=ignore_label):
    indices[color] = index if indices.get(color, index) == index else labels.AMBIGUOUS
  return indices


def convert_pair(
  pair: Pair | AnnotatedImage, options: ConversionOptions, colors: dict[tuple, int] | None
) -> Converted:
  """Reads and checks a pair of files.

  Never raises for what is wrong with them. Returns Converted.
  """
  try:
    image, size, image_again, raw_size = _read_image(
      pair.image_path, max_pixels=options.max_image_pixels
    )
    if isinstance(pair, AnnotatedImage):
      label = _draw_label(pair, size, options)
      label_data = labels.write_png(label.indices)
    else:
      label_data, label = _read_label(pair.label_path, options, colors)
  except (InputError, OSError) as error:
    reason = (
      f'{error.filename}: {error.strerror}'
      if isinstance(error, OSError) and error.strerror
      else error
    )
    return Converted(name=pair.name, problem=f'{pair.name}: {reason}')
  indices = label.indices
  if image_again and indices.shape == raw_size != size:
    # The label was drawn on the image as it is stored, without the turn.
    image, size, image_again = _read(pair.image_path), raw_size, False
  if indices.shape != size:
    return Converted(
      name=pair.name,
      problem=(
        f'{pair.name}: {pair.image_path} is {size[1]}x{size[0]} but {pair.label_path} is '
        f'{indices.shape[1]}x{indices.shape[0]} (width x height); they must be the same'
      ),
    )
  pixels = np.bincount(indices.ravel())
  values = np.flatnonzero(pixels)
  if options.num_classes is not None:
    wrong = labels.explain_values(
      values,
      num_classes=options.num_classes,
      ignore_label=options.ignore_label,
      one_based_remedy='' if options.label_offset else '--label_offset=-1',
    )
    if wrong:
      return Converted(name=pair.name, problem=f'{pair.name}: {pair.label_path}: {wrong}')
  return Converted(
    name=pair.name,
    image=image,
    label=label_data,
    height=size[0],
    width=size[1],
    values=tuple(values.tolist()),
    pixels=tuple(pixels[values].tolist()),
    image_encoded_again=image_again,
    label_encoded_again=not label.stored,
    label_path=pair.label_path,
    palette=label.palette,
    transparent=label.transparent,
    overlapping=label.overlapping,
    borders=label.borders,
  )


def _read(path):
  with open(path, 'rb') as file:
    return file.read()


def _read_image(path, *, max_pixels):
  """(bytes for the record, (height, width), encoded again?, (height, width) as stored)."""
  data = _read(path)
  picture = open_picture(data, name=path, max_pixels=max_pixels)
  try:
    picture.load()
  except Exception as error:
    raise InputError(f'{path} cannot be decoded ({error})') from error
  size = raw_size = (picture.height, picture.width)
  turned = picture.format != 'PNG' and picture.getexif().get(_EXIF_ORIENTATION, 1) in range(2, 9)
  if turned:
    # TensorFlow does not heed EXIF, but the tools in which labels are drawn do.
    picture = ImageOps.exif_transpose(picture).convert('RGB')
    size = (picture.height, picture.width)
    file = io.BytesIO()
    picture.save(file, format='PNG')
    data = file.getvalue()
  return data, size, turned, raw_size


def _read_label(path, options, colors):
  """label_files.Label, shifted, of a file."""
  data = _read(path)
  try:
    label = label_files.read(data, options, color_map=colors, is_mat=path.lower().endswith('.mat'))
    if options.label_map == 'cityscapes_ids':
      indices = cityscapes_ids.to_train_ids(label.indices, ignore_label=options.ignore_label)
      label = dataclasses.replace(label, indices=indices, stored=False)
    if options.label_offset:
      indices = labels.shift(
        label.indices, offset=options.label_offset, ignore_label=options.ignore_label
      )
      label = dataclasses.replace(label, indices=indices, stored=False)
  except InputError as error:
    raise InputError(f'{path} {error}') from error
  return data if label.stored else labels.write_png(label.indices), label


def _draw_label(image, size, options):
  """label_files.Label of an AnnotatedImage."""
  if (image.height or 0) * (image.width or 0) > options.max_image_pixels:
    raise InputError(
      f'{image.label_path} says that {os.path.basename(image.image_path)} has '
      f'{image.width}x{image.height} pixels, more than --max_image_pixels='
      f'{options.max_image_pixels}'
    )
  indices, overlapping = image.draw(size=size, ignore_label=options.ignore_label)
  return label_files.Label(indices=indices, overlapping=overlapping)
