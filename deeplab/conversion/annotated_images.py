"""Images whose labels are drawn from annotated regions. For workers, without TensorFlow."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from deeplab.errors import InputError, shown

IGNORED = -1  # In place of a class: the region's pixels do not count.
_TOLERANCE = 1.0  # Pixels by which a corner may lie outside; tools round and clamp differently.


class Region(Protocol):
  """One annotated region."""

  where: str  # Names it in messages, such as `annotation 12 (cat)`.
  category: str

  def mask(self, *, height: int, width: int, cut: bool) -> np.ndarray:
    """bool [height, width], where the region is.

    `cut`: cut off what lies outside. Raises InputError for a region that cannot be drawn.
    """


@dataclasses.dataclass(frozen=True)
class AnnotatedImage:
  """An image file and the regions that make its label; stands for a pair of files.

  Attributes:
    name: of the record.
    image_path: of the picture.
    label_path: the file that holds the annotations.
    height, width: size of the picture according to that file, or None.
    regions: in the order of the file.
    classes: class index, or IGNORED, of each category that a region has.
    outside: class index, or IGNORED, of pixels in no region.
    cut: regions may reach over the border of the picture.
  """

  name: str
  image_path: str
  label_path: str
  height: int | None
  width: int | None
  regions: tuple[Region, ...]
  classes: Mapping[str, int] = dataclasses.field(default_factory=dict)
  outside: int = 0
  cut: bool = False

  def draw(self, *, size: tuple[int, int], ignore_label: int) -> tuple[np.ndarray, int]:
    """The label: smaller regions lie on larger ones, of equal ones the later lies on top.

    Args:
      size: (height, width) of the picture, which counts where the annotations do not say it.
      ignore_label: what IGNORED pixels get.

    Returns:
      (uint8 or uint16 [height, width], number of pixels that lie in regions of several classes).

    Raises:
      InputError: a region cannot be drawn; the message names it.
    """
    height, width = size if self.height is None or self.width is None else (self.height, self.width)
    # Drawn twice, so that not all masks are in memory at once.
    areas = [int(self._mask(region, height, width).sum()) for region in self.regions]
    indices = np.full([height, width], self.outside, np.int32)
    painted = np.zeros([height, width], bool)
    overlapping = np.zeros([height, width], bool)
    for position in sorted(range(len(areas)), key=lambda position: -areas[position]):
      region = self.regions[position]
      mask, index = self._mask(region, height, width), self.classes[region.category]
      overlapping |= mask & painted & (indices != index)
      painted |= mask
      indices[mask] = index
    indices[indices == IGNORED] = ignore_label
    dtype = np.uint16 if indices.max(initial=0) > 255 else np.uint8
    return indices.astype(dtype), int(overlapping.sum())

  def _mask(self, region, height, width):
    try:
      return region.mask(height=height, width=width, cut=self.cut)
    except InputError as error:
      raise InputError(f'{shown(self.label_path)}, {shown(region.where)}: {error}') from error


def corners(numbers: Sequence, *, height: int, width: int, cut: bool) -> np.ndarray:
  """Checks the corners of a polygon or of another shape.

  Args:
    numbers: pairs (x, y).
    height, width: of the picture.
    cut: corners may lie anywhere.

  Returns:
    float64 [n, 2].

  Raises:
    InputError: no pairs of finite numbers, or a corner more than a pixel outside of the picture.
  """
  try:
    points = np.array(numbers, np.float64)
  except (TypeError, ValueError, OverflowError) as error:
    raise InputError('its points are not numbers') from error
  if points.ndim != 2 or points.shape[1:] != (2,) or not np.isfinite(points).all():
    raise InputError('its points are not pairs of finite numbers')
  lowest, highest = points.min(axis=0), points.max(axis=0)
  inside = (lowest >= -_TOLERANCE).all() and (highest <= np.add([width, height], _TOLERANCE)).all()
  if not inside and not cut:
    raise InputError(
      f'it reaches from ({lowest[0]:g}, {lowest[1]:g}) to ({highest[0]:g}, {highest[1]:g}), out of '
      f'its picture of {width}x{height} pixels; give the picture that was annotated, or '
      '--accept=outside to cut it off at the border'
    )
  # Nobody draws a picture a million pixels wide, and rasterizers overflow.
  return np.clip(points, -1e6, 1e6)


def find_image(images_dir: str, written: str) -> str | None:
  """The file in `images_dir` that an annotation calls `written`, which may be a path of another
  machine: with all its directories, or else as many of the last as there are; None for none.
  """
  parts = [part for part in written.replace('\\', '/').split('/') if part not in ('', '.', '..')]
  for start in range(len(parts)):
    path = os.path.join(images_dir, *parts[start:])
    if os.path.isfile(path):
      return path
  return None


def record_name(written: str) -> str:
  """The name of the record of an image that an annotation calls `written`."""
  parts = [part for part in written.replace('\\', '/').split('/') if part not in ('', '.', '..')]
  return os.path.splitext('/'.join(parts))[0]
