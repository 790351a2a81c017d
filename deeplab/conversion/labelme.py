"""Shapes of labelme's JSON files, one for each image, drawn as labelme itself draws them."""

import base64
import dataclasses
import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from deeplab.conversion.annotated_images import AnnotatedImage, corners, find_image, record_name
from deeplab.data import picture_limit
from deeplab.errors import InputError, shown

IGNORE_NAME = '__ignore__'  # labelme's name for regions that do not count.
_LEAST_POINTS = {'polygon': 3, 'rectangle': 2, 'oriented_rectangle': 4, 'circle': 2, 'mask': 2}
# Pillow's ellipses overflow beyond some 55,000 pixels across, and may then be drawn without end.
_LARGEST_DRAWN_RADIUS = 20_000


@dataclasses.dataclass(frozen=True)
class LabelmeShape:
  """A shape. Attributes: see `annotated_images.Region`; the others as the JSON has them."""

  where: str
  category: str
  kind: str
  points: Any
  encoded_mask: str | None = None

  def mask(self, *, height: int, width: int, cut: bool) -> np.ndarray:
    """bool [height, width]. Raises InputError."""
    points = corners(self.points, height=height, width=width, cut=cut)
    if self.kind == 'mask':
      return self._pasted(points, height=height, width=width, cut=cut)
    picture = Image.new('1', (width, height))
    draw = ImageDraw.Draw(picture)
    xy = [tuple(point) for point in points.tolist()]
    if self.kind == 'circle':  # Its centre and a point on it.
      (x, y), edge = xy
      radius = math.hypot(x - edge[0], y - edge[1])
      if radius > _LARGEST_DRAWN_RADIUS:
        rows, columns = np.ogrid[:height, :width]
        return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
      draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=1, fill=1)
    elif self.kind == 'rectangle':
      draw.rectangle([*points.min(axis=0), *points.max(axis=0)], outline=1, fill=1)
    else:
      draw.polygon(xy, outline=1, fill=1)
    return np.asarray(picture)

  def _pasted(self, points, *, height, width, cut):
    """The mask that the file holds as a PNG, between its first and its last point."""
    try:
      part = np.asarray(picture_limit.open_within(base64.b64decode(self.encoded_mask))) > 0
    except Exception as error:  # pylint: disable=broad-except  # PIL raises many kinds.
      raise InputError('its mask is no picture in base 64') from error
    left, top = points.min(axis=0).astype(int).tolist()
    if part.ndim != 2 or top < 0 or left < 0 or cut:
      part, top, left = _cut(part, top, left)
    whole = np.zeros([height, width], bool)
    room = whole[top : top + part.shape[0], left : left + part.shape[1]]
    if room.shape != part.shape and not cut:
      raise InputError(
        f'its mask of {part.shape[1]}x{part.shape[0]} pixels at ({left}, {top}) reaches out of its '
        f'picture of {width}x{height} pixels; --accept=outside cuts it off'
      )
    room |= part[: room.shape[0], : room.shape[1]]
    return whole


def _cut(part, top, left):
  if part.ndim != 2:
    raise InputError('its mask has several channels')
  return part[max(0, -top) :, max(0, -left) :], max(0, top), max(0, left)


def read(contents: Any, *, path: str, images_dir: str) -> AnnotatedImage:
  """The image of a labelme JSON with its shapes, without classes.

  Args:
    contents: the parsed JSON.
    path: its file, for messages.
    images_dir: where the image is.

  Raises:
    InputError: it is no labelme file, or the image is missing.
  """
  _refuse_other_kinds(contents, path)
  written = contents['imagePath']
  image_path = find_image(images_dir, written)
  if image_path is None:
    raise InputError(
      f'{shown(path)}: no file {shown(written)} in {shown(images_dir)}, the image that it annotates'
    )
  height, width = (
    value if isinstance(value := contents.get(side), int) and value > 0 else None
    for side in ('imageHeight', 'imageWidth')
  )
  return AnnotatedImage(
    name=record_name(written),
    image_path=image_path,
    label_path=path,
    height=height,
    width=width,
    regions=tuple(
      _shape(shape, number, path) for number, shape in enumerate(contents['shapes'], start=1)
    ),
  )


def _refuse_other_kinds(contents, path):
  if isinstance(contents, dict) and 'annotations' in contents and 'images' in contents:
    raise InputError(f'{shown(path)}: is a COCO JSON; give the file itself to --annotations')
  if (
    not isinstance(contents, dict)
    or not isinstance(contents.get('imagePath'), str)
    or not contents['imagePath']
    or not isinstance(contents.get('shapes'), list)
  ):
    raise InputError(f'{shown(path)}: is no labelme file, which has imagePath and a list of shapes')


def _shape(shape, number, path):
  where = f'{shown(path)}, shape {number}'
  label = shape.get('label') if isinstance(shape, dict) else None
  if not isinstance(label, str) or not label.strip():
    raise InputError(f'{where}: has no label')
  kind, points = shape.get('shape_type') or 'polygon', shape.get('points')
  if not isinstance(kind, str) or kind not in _LEAST_POINTS:
    raise InputError(
      f'{where} ({shown(label)}): a {shown(str(kind))} has no area; must be one of '
      f'{", ".join(_LEAST_POINTS)}'
    )
  least = _LEAST_POINTS[kind]
  if not isinstance(points, list) or len(points) < least:
    raise InputError(f'{where} ({shown(label)}): a {kind} has {least} points or more')
  if (
    kind in ('circle', 'rectangle')
    and len(points) != 2
    and not (kind, len(points)) == ('rectangle', 4)
  ):
    raise InputError(f'{where} ({shown(label)}): a {kind} has 2 points, not {len(points)}')
  return LabelmeShape(
    where=f'shape {number} ({label})',
    category=label,
    kind=kind,
    points=points,
    encoded_mask=shape.get('mask'),
  )
