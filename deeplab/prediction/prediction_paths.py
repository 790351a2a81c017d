"""Which files the predictions of which images go to; decided, and checked, before the first image
is read.
"""

import dataclasses
import os
from collections.abc import Sequence

from deeplab.errors import InputError, shown
from deeplab.prediction import output_types
from deeplab.prediction.image_files import InputImage

LEGEND_NAME = 'legend.png'


@dataclasses.dataclass(frozen=True)
class PlannedPrediction:
  """One image and the files its prediction goes to.

  Attributes:
    image: to predict.
    paths: output type -> path; types with pages of many images have no entry.
  """

  image: InputImage
  paths: dict[str, str]

  @property
  def exists(self) -> bool:
    """Whether all files are there.

    They are renamed into place when they are whole, so a file that exists is whole.
    """
    return bool(self.paths) and all(os.path.exists(path) for path in self.paths.values())


class Earlier:
  """The files that were at planned paths before the prediction."""

  def __init__(self, paths: Sequence[str]):
    self._states = {path: state for path in paths if (state := _state(path)) is not None}

  def num_replaced(self) -> int:
    """How many have become others since."""
    return sum(_state(path) not in (None, state) for path, state in self._states.items())


def _state(path):
  """What tells a file from a later one of its name; None where there is none."""
  try:
    status = os.stat(path)
  except OSError:
    return None
  return status.st_ino, status.st_mtime_ns


def plan(
  images: Sequence[InputImage],
  *,
  output_path: str,
  types: Sequence[str],
  suffix: str | None = None,
  keep_structure: bool = False,
) -> list[PlannedPrediction]:
  """Names the files of every image.

  Args:
    images: to predict.
    output_path: directory.
    types: names of output types.
    suffix: None names NAME.jpg's prediction NAME.jpg.png; otherwise NAME + suffix + .png.
    keep_structure: repeat the inputs' sub-directories below `output_path`.

  Returns:
    one for each image, in their order.

  Raises:
    InputError: two images would write one file, or an image would be overwritten.
  """
  file_types = output_types.file_types(types)
  plain_names = suffix is not None and len(file_types) == 1
  planned = []
  for image in images:
    directory, file_name = os.path.split(image.relative_path)
    stem = file_name if suffix is None else os.path.splitext(file_name)[0] + suffix
    base = os.path.join(output_path, directory if keep_structure else '', stem)
    planned.append(
      PlannedPrediction(
        image=image,
        paths={
          name: base + ('' if plain_names else kind.name_part) + kind.extension
          for name, kind in file_types.items()
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
          'choose another --output_path or --output_suffix'
        )
      writer[path] = one.image.path
