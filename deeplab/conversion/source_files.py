"""Image and label files, checked and made ready for records. For worker processes: PIL and no
TensorFlow.

Files go into the records as they are. Only these are encoded again, without loss: labels that are
no grey or palette PNG, have transparent pixels, are shifted by an offset, or are greys of fewer
than 8 bits for the official layout, images that are neither JPEG nor PNG, and what an orientation
tag turns.
"""

import dataclasses
import os

import numpy as np

from deeplab import color_map as color_maps
from deeplab.conversion import cityscapes_ids, label_files
from deeplab.conversion.annotated_images import AnnotatedImage
from deeplab.conversion.pairing import Pair
from deeplab.data import interpolation, labels, picture_files, picture_limit
from deeplab.data import orientation as orientations
from deeplab.errors import InputError
from deeplab.options import ConversionOptions

_TURNED = (
  'has an orientation tag and is turned or mirrored by it; the sizes do not tell whether the label '
  'was drawn on it that way, which is assumed: look with inspect_tfrecord.py --contact_sheet, and '
  'take the tag out of the image if it was not'
)


@dataclasses.dataclass(frozen=True)
class Converted:
  """What becomes of a pair: a problem, or the parts of its record.

  Attributes:
    name: the record's name.
    problem: None, or what is wrong, as a line; then nothing else is set.
    image, label: encoded bytes.
    orientation: what `image` is still to be turned by, 2 to 8, or 1: see `trial_decoding`.
    height, width: size in pixels.
    values, pixels: the label values present, and the number of pixels of each.
    image_encoded_again, label_encoded_again: whether the bytes differ from the files'.
    notes: what a user should know about the image, as clauses.
    image_path, label_path: the files.
    palette: (index, colour) of the indices of a palette that are used.
    transparent: number of pixels that became ignored since they are not opaque.
    overlapping: number of pixels in annotated regions of several classes.
    borders: how the borders of the label look, or None.
  """

  name: str
  problem: str | None = None
  image: bytes = b''
  label: bytes = b''
  orientation: int = 1
  height: int = 0
  width: int = 0
  values: tuple[int, ...] = ()
  pixels: tuple[int, ...] = ()
  image_encoded_again: bool = False
  label_encoded_again: bool = False
  notes: tuple[str, ...] = ()
  image_path: str = ''
  label_path: str = ''
  palette: tuple[tuple[int, tuple[int, int, int]], ...] = ()
  transparent: int = 0
  overlapping: int = 0
  borders: interpolation.BorderCounts | None = None


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
    picture = picture_files.examine(
      _read(pair.image_path, options), name=pair.image_path, max_pixels=options.max_image_pixels
    )
    if isinstance(pair, AnnotatedImage):
      label, label_turned = _draw_label(pair, picture.size, options), False
      label_data = labels.write_png(label.indices)
    else:
      label_data, label, label_turned = _read_label(pair.label_path, options, colors)
  except (InputError, OSError) as error:
    reason = (
      f'{error.filename}: {error.strerror}'
      if isinstance(error, OSError) and error.strerror
      else error
    )
    return Converted(name=pair.name, problem=f'{pair.name}: {reason}')
  indices = label.indices
  size, orientation, notes = _fitting(picture, indices.shape, label_turned=label_turned)
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
      wrong += _explain_interpolated(label, options)
      return Converted(name=pair.name, problem=f'{pair.name}: {pair.label_path}: {wrong}')
  image, orientation, image_again = _image_for_record(picture, orientation)
  return Converted(
    name=pair.name,
    image=image,
    label=label_data,
    orientation=orientation,
    height=size[0],
    width=size[1],
    values=tuple(values.tolist()),
    pixels=tuple(pixels[values].tolist()),
    image_encoded_again=image_again,
    label_encoded_again=not label.stored,
    notes=notes,
    image_path=pair.image_path,
    label_path=pair.label_path,
    palette=label.palette,
    transparent=label.transparent,
    overlapping=label.overlapping,
    borders=label.borders,
  )


def num_bytes(pair: Pair | AnnotatedImage) -> int:
  """Size of the files of a pair together; 0 of those that are not there."""
  # A file of annotations is that of many images.
  paths = [pair.image_path, *([] if isinstance(pair, AnnotatedImage) else [pair.label_path])]
  return sum(os.path.getsize(path) for path in paths if os.path.exists(path))


def _explain_interpolated(label, options):
  """The end of a sentence about values that are no classes, if interpolation made them; or ''."""
  valid = (label.indices < options.num_classes) | (label.indices == options.ignore_label)
  if label.by_color or not interpolation.are_invented(label.indices, ~valid):
    return ''
  return f'; these are lines between regions of lower and higher values: {labels.INTERPOLATED}'


def _read(path, options):
  try:
    return picture_limit.read_file(path, max_pixels=options.max_image_pixels)
  except picture_limit.TooLargeError as error:
    raise InputError(f'{path} {error}') from error


def _fitting(picture, label_size, *, label_turned):
  """(size, orientation, notes) of the image that a label of `label_size` was drawn on.

  `label_turned`: the label has an orientation of its own, by which it was turned.
  """
  if label_turned or label_size != picture.stored_size or picture.orientation == 1:
    return picture.size, picture.orientation, picture.notes
  if picture.size != picture.stored_size:
    # Drawn on the image as it is stored, without the turn.
    return picture.stored_size, 1, picture.notes
  return picture.size, picture.orientation, (*picture.notes, _TURNED)


def _image_for_record(picture, orientation):
  """(encoded bytes, what they are still to be turned by, encoded again?) of a PictureFile.

  JPEGs and PNGs are turned where TensorFlow is at hand, whose decoder is the one that counts.
  """
  if picture.fits_records:
    return picture.data, orientation, orientation != 1
  as_stored = orientation != picture.orientation
  return picture_files.encode_png(picture, as_stored=as_stored), 1, True


def _read_label(path, options, colors):
  """(bytes for the record, label_files.Label, shifted, whether it was turned by its own tag)."""
  data = _read(path, options)
  try:
    label = label_files.read(data, options, color_map=colors, is_mat=path.lower().endswith('.mat'))
    if options.label_map == 'cityscapes_ids':
      if label.by_color and options.colormap == 'cityscapes':
        raise InputError(
          'holds colours, which --colormap=cityscapes reads as the 19 training ids already; leave '
          'out --label_map=cityscapes_ids'
        )
      indices = cityscapes_ids.to_train_ids(label.indices, ignore_label=options.ignore_label)
      label = dataclasses.replace(label, indices=indices, stored=False)
    if options.label_offset:
      indices = labels.shift(
        label.indices, offset=options.label_offset, ignore_label=options.ignore_label
      )
      label = dataclasses.replace(label, indices=indices, stored=False)
  except InputError as error:
    raise InputError(f'{path} {error}') from error
  orientation = orientations.of_file(data)
  if orientation != 1:
    indices = np.ascontiguousarray(orientations.turn(label.indices, orientation))
    label = dataclasses.replace(label, indices=indices, stored=False)
  encoded = data if label.stored else labels.write_png(label.indices)
  return encoded, label, orientation != 1


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
