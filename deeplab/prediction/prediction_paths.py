"""Which files the predictions of which images go to; decided, and checked, before the first image
is read.
"""

import dataclasses
import os

from deeplab.errors import InputError
from deeplab.prediction.image_files import InputImage, shown

# The part of the name that tells the types apart, and the extension. Sheets have many images each
# and names of their own.
_ENDINGS = {
  'color': ('', '.png'),
  'ids': ('_ids', '.png'),
  'palette': ('_palette', '.png'),
  'overlay': ('_overlay', '.png'),
  'probabilities': ('_probabilities', '.npz'),
}

LEGEND_NAME = 'legend.png'


@dataclasses.dataclass(frozen=True)
class PlannedPrediction:
  """One image and the files its prediction goes to.

  Attributes:
    image: InputImage.
    paths: dict of output type -> path; no entry for contact_sheet.
  """

  image: InputImage
  paths: dict

  @property
  def exists(self):
    """Whether all files are there.

    They are renamed into place when they are whole, so a file that exists is whole.
    """
    return bool(self.paths) and all(os.path.exists(path) for path in self.paths.values())


def plan(images, *, output_path, output_types, suffix=None, keep_structure=False):
  """Names the files of every image.

  Args:
    images: list of InputImage.
    output_path: directory.
    output_types: sequence of `options.OUTPUT_TYPES`.
    suffix: None names NAME.jpg's prediction NAME.jpg.png; otherwise NAME + suffix + .png.
    keep_structure: repeat the inputs' sub-directories below `output_path`.

  Returns:
    list of PlannedPrediction in the order of `images`.

  Raises:
    InputError: two images would write one file, or an image would be overwritten.
  """
  types = [kind for kind in output_types if kind in _ENDINGS]
  plain_names = suffix is not None and len(types) == 1
  planned = []
  for image in images:
    directory, name = os.path.split(image.relative_path)
    stem = name if suffix is None else os.path.splitext(name)[0] + suffix
    base = os.path.join(output_path, directory if keep_structure else '', stem)
    planned.append(
      PlannedPrediction(
        image=image,
        paths={
          kind: base + ('' if plain_names else _ENDINGS[kind][0]) + _ENDINGS[kind][1]
          for kind in types
        },
      )
    )
  _check_clashes(planned, output_path, keep_structure=keep_structure)
  return planned


def _check_clashes(planned, output_path, *, keep_structure):
  inputs = {os.path.realpath(one.image.path) for one in planned}
  writer = {os.path.join(output_path, LEGEND_NAME): None}
  for one in planned:
    for path in one.paths.values():
      if path in writer:
        remedy = 'rename one' if keep_structure else 'use --keep_structure, or rename one'
        other = 'the legend' if writer[path] is None else shown(writer[path])
        raise InputError(
          f'{other} and {shown(one.image.path)} would both write {shown(path)}; {remedy}'
        )
      if os.path.realpath(path) in inputs:
        raise InputError(
          f'the prediction of {shown(one.image.path)} would overwrite the image {shown(path)}; '
          'choose '
          'another --output_path or --output_suffix'
        )
      writer[path] = one.image.path
