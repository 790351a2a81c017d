"""Image and label files, checked and made ready for records. For worker processes: PIL and no
TensorFlow.

Files go into the records as they are. Only these are encoded again, without loss: labels stored as
colours or .mat or shifted by an offset, images that are neither JPEG nor PNG, and what an
orientation tag turns.
"""

import collections
import dataclasses
import os

import numpy as np

from deeplab import color_map as color_maps
from deeplab.data import labels, picture_files
from deeplab.data import orientation as orientations
from deeplab.errors import InputError
from deeplab.options import ConversionOptions

_TURNED = (
  'has an orientation tag and is turned or mirrored by it; the sizes do not tell whether the label '
  'was drawn on it that way, which is assumed: look with inspect_tfrecord.py --contact_sheet, and '
  'take the tag out of the image if it was not'
)


@dataclasses.dataclass(frozen=True)
class Pair:
  """An image file and its label file."""

  name: str
  image_path: str
  label_path: str


@dataclasses.dataclass(frozen=True)
class Converted:
  """What becomes of a pair: a problem, or the parts of its record.

  Attributes:
    name: the record's name.
    problem: None, or what is wrong, as a line; then nothing else is set.
    pair: the files.
    image, label: encoded bytes.
    orientation: what `image` is still to be turned by, 2 to 8, or 1: see `trial_decoding`.
    height, width: size in pixels.
    values, pixels: the label values present, and the number of pixels of each.
    image_encoded_again, label_encoded_again: whether the bytes differ from the files'.
    notes: what a user should know about the image, as clauses.
  """

  name: str
  problem: str | None = None
  pair: Pair | None = None
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


def list_pairs(options: ConversionOptions) -> tuple[list[Pair], list[str]]:
  """The pairs of files to convert.

  Returns:
    (list of Pair, list of problems as lines: duplicate names, missing files).

  Raises:
    InputError: a directory or the list is missing or empty.
  """
  for name in ('images_dir', 'labels_dir'):
    if not os.path.isdir(getattr(options, name)):
      raise InputError(f'--{name}={getattr(options, name)}: no such directory')
  names = _listed_names(options) if options.list_path else _names_in_directories(options)
  problems = [
    f'{name}: named {count} times in {options.list_path}; name it once'
    for name, count in collections.Counter(names).items()
    if count > 1
  ]
  pairs = []
  for name in dict.fromkeys(names):
    pair = Pair(
      name=name,
      image_path=os.path.join(options.images_dir, name + options.images_ext),
      label_path=os.path.join(options.labels_dir, name + options.labels_ext),
    )
    missing = [path for path in (pair.image_path, pair.label_path) if not os.path.isfile(path)]
    problems += [f'{name}: no file {path}{_extension_hint(name, options)}' for path in missing]
    if not missing:
      pairs.append(pair)
  return pairs, problems


def _listed_names(options):
  try:
    with open(options.list_path, encoding='utf-8-sig') as file:
      names = [line.strip() for line in file if line.strip()]
  except (OSError, UnicodeDecodeError) as error:
    raise InputError(
      f'--list_path={options.list_path}: cannot be read as text '
      f'({getattr(error, "strerror", None) or error})'
    ) from error
  if not names:
    raise InputError(
      f'--list_path={options.list_path}: no names in it; it needs one basename a line, such as '
      '2007_000032'
    )
  return names


def _extension_hint(name, options):
  if name.endswith((options.images_ext, options.labels_ext)):
    return ' (names in the list go without extension)'
  return ' (--images_ext and --labels_ext set the extensions)'


def _names_in_directories(options):
  names = {}
  for kind, directory, extension in (
    ('images', options.images_dir, options.images_ext),
    ('labels', options.labels_dir, options.labels_ext),
  ):
    names[kind] = sorted(
      entry.name[: -len(extension)]
      for entry in os.scandir(directory)
      if entry.name.endswith(extension) and entry.is_file()
    )
    if not names[kind]:
      raise InputError(
        f'--{kind}_dir={directory}: no *{extension} files in it; --{kind}_ext sets the extension'
      )
  # An image without label is common (VOC has thousands); a label without image is a mistake, and
  # reported as missing.
  return names['labels']


def color_indices(name_or_path: str) -> dict[tuple, int]:
  """dict from (r, g, b) to the class index of a colour map; labels.AMBIGUOUS for a colour that
  stands for several.
  """
  if name_or_path in color_maps.NAMES:
    entries = [
      (index, tuple(color))
      for index, color in enumerate(color_maps.load_color_map(name_or_path).tolist())
    ]
  else:
    entries = [
      (entry.index, entry.color) for entry in color_maps.read_entries(name_or_path, flag='colormap')
    ]
  indices = {}
  for index, color in entries:
    indices[color] = index if color not in indices else labels.AMBIGUOUS
  return indices


def convert_pair(
  pair: Pair, options: ConversionOptions, colors: dict[tuple, int] | None
) -> Converted:
  """Reads and checks a pair of files.

  Never raises for what is wrong with them. Returns Converted.
  """
  try:
    picture = picture_files.examine(
      _read(pair.image_path), name=pair.image_path, max_pixels=options.max_image_pixels
    )
    label, indices, label_again, label_turned = _read_label(pair.label_path, options, colors)
  except (InputError, OSError) as error:
    reason = (
      f'{error.filename}: {error.strerror}'
      if isinstance(error, OSError) and error.strerror
      else error
    )
    return Converted(name=pair.name, problem=f'{pair.name}: {reason}')
  size, orientation, notes = picture.size, picture.orientation, picture.notes
  if not label_turned and indices.shape == picture.stored_size:
    if size != picture.stored_size:
      # The label was drawn on the image as it is stored, without the turn.
      size, orientation = picture.stored_size, 1
    elif orientation != 1:
      notes += (_TURNED,)
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
      values, num_classes=options.num_classes, ignore_label=options.ignore_label
    )
    if wrong:
      return Converted(name=pair.name, problem=f'{pair.name}: {pair.label_path}: {wrong}')
  image, orientation, image_again = _image_for_record(picture, orientation)
  return Converted(
    name=pair.name,
    pair=pair,
    image=image,
    label=label,
    orientation=orientation,
    height=size[0],
    width=size[1],
    values=tuple(values.tolist()),
    pixels=tuple(pixels[values].tolist()),
    image_encoded_again=image_again,
    label_encoded_again=label_again,
    notes=notes,
  )


def _read(path):
  with open(path, 'rb') as file:
    return file.read()


def _image_for_record(picture, orientation):
  """(encoded bytes, what they are still to be turned by, encoded again?) of a PictureFile.

  JPEGs and PNGs are turned where TensorFlow is at hand, whose decoder is the one that counts.
  """
  if picture.fits_records:
    return picture.data, orientation, orientation != 1
  as_stored = orientation != picture.orientation
  return picture_files.encode_png(picture, as_stored=as_stored), 1, True


def _read_label(path, options, colors):
  """(bytes for the record, indices [height, width], encoded again?, turned by its own tag?)."""
  data = _read(path)
  orientation = orientations.of_file(data)
  try:
    if options.labels_ext == '.mat':
      indices, stored = labels.read_mat(data), False
    else:
      indices, stored = labels.read_png(data, color_map=colors, max_pixels=options.max_image_pixels)
    if options.label_offset:
      indices, stored = (
        labels.shift(indices, offset=options.label_offset, ignore_label=options.ignore_label),
        False,
      )
  except InputError as error:
    raise InputError(f'{path} {error}') from error
  if orientation != 1:
    indices, stored = np.ascontiguousarray(orientations.turn(indices, orientation)), False
  return data if stored else labels.write_png(indices), indices, not stored, orientation != 1
