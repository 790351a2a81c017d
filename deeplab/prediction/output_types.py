"""What an inference can write: one record for each --output_type.

A new type is a function that writes it and a record in OUTPUT_TYPES; flags, file names, limits and
the inference itself read that. Importing this module imports neither TensorFlow nor numpy nor
Pillow, since the options read the names.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from deeplab.errors import InputError

if TYPE_CHECKING:
  import numpy as np

  from deeplab.prediction.contact_sheets import ContactSheets
  from deeplab.prediction.prediction_files import Prediction


@dataclasses.dataclass(frozen=True)
class FileType:
  """A type with one file for each image.

  Attributes:
    description: what it is, for --help.
    write: writes the file; called with its path and a Prediction.
    name_part: tells the file of NAME.jpg from those of other types: NAME.jpg + name_part +
      extension.
    draw: the picture in the file, uint8 [H, W', 3], of which a video can be made; None where the
      file is no such picture. Called with a Prediction.
    extension: of the file.
    needs_probabilities: the Prediction must have them.
    needs_foreground: the Prediction must have the probability of the classes to cut out.
    most_classes: that the file can hold, or None.
  """

  description: str
  write: Callable[[str, 'Prediction'], None]
  name_part: str
  draw: Callable[['Prediction'], 'np.ndarray'] | None = None
  extension: str = '.png'
  needs_probabilities: bool = False
  needs_foreground: bool = False
  most_classes: int | None = None


@dataclasses.dataclass(frozen=True)
class PageType:
  """A type with pages of many images each; they have names of their own.

  Attributes:
    description: what it is, for --help.
    pages: makes what collects the images and writes the pages; called with the arguments of
      ContactSheets and returns an object with its methods.
  """

  description: str
  pages: Callable[..., 'ContactSheets']


def _picture(description, draw, *, name_part):
  """The type of an RGB picture, which may be a frame of a video too."""
  return FileType(
    description,
    lambda path, prediction: _save_png(draw(prediction), path),
    name_part=name_part,
    draw=draw,
  )


def _write_ids(path, prediction):
  """Grey, the values are the classes."""
  _save_png(prediction.labels, path)


def _write_palette(path, prediction):
  """The values are the classes and viewers show the colours, like PASCAL VOC's own labels."""
  _save_png(prediction.labels, path, palette=prediction.color_map)


def _write_cutout(path, prediction):
  """RGBA: the chosen classes, and nothing around them."""
  _save_png(prediction.cutout(), path)


def _write_probabilities(path, prediction):
  """An npz with `probabilities` float16 [H, W, num_classes]."""
  import numpy as np

  with open(path, 'wb') as file:
    np.savez(file, probabilities=np.asarray(prediction.probabilities, np.float16))


def _contact_sheets(output_path, **settings):
  from deeplab.prediction.contact_sheets import ContactSheets

  return ContactSheets(output_path, **settings)


def _save_png(pixels, path, *, palette=None):
  """Writes uint8 [H, W, 3 or 4], or uint8 or uint16 [H, W], palette uint8 [num_colors, 3]."""
  from PIL import Image

  from deeplab import pictures

  picture = Image.fromarray(pixels)
  if palette is not None:
    picture.putpalette(palette[:256].tobytes())
  pictures.save_png(picture, path)


OUTPUT_TYPES = {
  # The colour of each pixel's class, as the 2019 program wrote it.
  'color': _picture('RGB PNG', lambda prediction: prediction.colors(), name_part=''),
  'ids': FileType(
    'grey PNG, values = classes, 16-bit above 256 classes', _write_ids, name_part='_ids'
  ),
  'palette': FileType('a PNG that is both', _write_palette, name_part='_palette', most_classes=256),
  'overlay': _picture(
    'colours over the image', lambda prediction: prediction.overlay(), name_part='_overlay'
  ),
  'side_by_side': _picture(
    'the image and its overlay',
    lambda prediction: prediction.side_by_side(),
    name_part='_side_by_side',
  ),
  'cutout': FileType(
    'RGBA PNG of the classes --cutout_classes, transparent elsewhere',
    _write_cutout,
    name_part='_cutout',
    needs_foreground=True,
  ),
  'probabilities': FileType(
    'npz, float16 [height, width, num_classes]',
    _write_probabilities,
    name_part='_probabilities',
    extension='.npz',
    needs_probabilities=True,
  ),
  'contact_sheet': PageType('pages of image, prediction and overlay', _contact_sheets),
}


def file_types(names: Iterable[str]) -> dict[str, FileType]:
  """Those of the types that have a file for each image, by name."""
  return {name: OUTPUT_TYPES[name] for name in names if isinstance(OUTPUT_TYPES[name], FileType)}


def page_types(names: Iterable[str]) -> dict[str, PageType]:
  """Those of the types that have pages of many images, by name."""
  return {name: OUTPUT_TYPES[name] for name in names if isinstance(OUTPUT_TYPES[name], PageType)}


def need_probabilities(names: Iterable[str]) -> bool:
  """Whether one of the types does."""
  return any(kind.needs_probabilities for kind in file_types(names).values())


def need_foreground(names: Iterable[str]) -> bool:
  """Whether one of the types does."""
  return any(kind.needs_foreground for kind in file_types(names).values())


def check_classes(names: Iterable[str], num_classes: int) -> None:
  """Raises InputError where one of the types cannot hold so many classes."""
  for name, kind in file_types(names).items():
    if kind.most_classes is not None and num_classes > kind.most_classes:
      raise InputError(
        f'--output_type={name} holds {kind.most_classes} classes, the network has {num_classes}; '
        'use ids and color'
      )
