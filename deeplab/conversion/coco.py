"""Instances of COCO JSON files: polygons and run-length encoded masks, drawn by pycocotools."""

import collections
import dataclasses
from typing import Any

import numpy as np

from deeplab.conversion.annotated_images import AnnotatedImage, corners, find_image, record_name
from deeplab.errors import InputError, shown


@dataclasses.dataclass(frozen=True)
class CocoRegion:
  """An annotation. Attributes: see `annotated_images.Region`; segmentation as the JSON has it."""

  where: str
  category: str
  segmentation: Any

  def mask(self, *, height: int, width: int, cut: bool) -> np.ndarray:
    """bool [height, width]. Raises InputError."""
    from pycocotools import mask as coco_mask

    if isinstance(self.segmentation, dict):
      runs = _checked_runs(self.segmentation, height=height, width=width)
    else:
      polygons = _checked_polygons(self.segmentation, height=height, width=width, cut=cut)
      runs = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    try:
      if isinstance(runs['counts'], list):
        runs = coco_mask.frPyObjects(runs, height, width)
      return coco_mask.decode(runs).astype(bool)
    except (ValueError, TypeError, OverflowError) as error:
      raise InputError(f'its run lengths cannot be decoded ({error})') from error


def read(
  contents: Any, *, path: str, images_dir: str
) -> tuple[list[AnnotatedImage], list[str], list[str]]:
  """The images of a COCO JSON with their regions.

  Args:
    contents: the parsed JSON.
    path: its file, for messages.
    images_dir: where the images are.

  Returns:
    (images in the order of the file, without classes; problems as lines; names of the categories
    in the order of their ids).

  Raises:
    InputError: it is no COCO JSON of instances, or its categories cannot be told apart.
  """
  _refuse_other_kinds(contents, path)
  names = _category_names(contents['categories'], path)
  problems = []
  regions = collections.defaultdict(list)
  known_images = {
    entry['id'] for entry in contents['images'] if isinstance(entry.get('id'), (int, str))
  }
  for position, annotation in enumerate(contents['annotations']):
    region, problem = _region(annotation, position, names, known_images)
    if problem:
      problems.append(f'{shown(path)}, {shown(problem)}')
    else:
      regions[annotation['image_id']].append(region)
  images, image_problems = _images(contents['images'], regions, path=path, images_dir=images_dir)
  return images, problems + image_problems, list(names.values())


def _refuse_other_kinds(contents, path):
  kind = None
  if isinstance(contents, dict) and 'shapes' in contents:
    kind = 'a labelme file: give its directory'
  elif not isinstance(contents, dict):
    kind = f'a JSON {type(contents).__name__}'
  else:
    parts = ('images', 'annotations', 'categories')
    missing = [part for part in parts if not isinstance(contents.get(part), list)]
    if missing:
      kind = f'a JSON without a list {", ".join(map(repr, missing))}'
    elif any(
      isinstance(entry, dict) and 'segments_info' in entry for entry in contents['annotations']
    ):
      kind = 'a COCO JSON of panoptic segments'
    elif not contents['images']:
      kind = 'a JSON without images'
    elif not all(isinstance(entry, dict) for part in parts for entry in contents[part]):
      kind = 'a JSON whose images, annotations or categories are no objects'
  if kind:
    raise InputError(
      f'--annotations={shown(path)}: {kind}; must be a COCO JSON of instances, with images, '
      'annotations and categories, or a directory of labelme JSON files'
    )


def _category_names(categories, path):
  """dict from id to name, in the order of the ids."""
  names = {}
  for category in categories:
    number, name = category.get('id'), category.get('name')
    if not _is_integer(number) or not isinstance(name, str) or not name.strip():
      raise InputError(f'{shown(path)}: a category has no whole id or no name: {category!r:.80}')
    if number in names or name in names.values():
      raise InputError(
        f'{shown(path)}: two categories have the id {number} or the name {name!r}; each is one '
        'class'
      )
    names[number] = name
  return {number: names[number] for number in sorted(names)}


def _region(annotation, position, names, known_images):
  """(CocoRegion, None), or (None, what is wrong)."""
  where = f'annotation {annotation.get("id", f"number {position + 1}")}'
  category = annotation.get('category_id')
  if not _is_integer(category) or category not in names:
    return None, f'{where}: category_id {category!r:.40} is none of the categories'
  where = f'{where} ({names[category]})'
  image = annotation.get('image_id')
  if not isinstance(image, (int, str)) or image not in known_images:
    return None, f'{where}: image_id {image!r:.40} is none of the images'
  segmentation = annotation.get('segmentation')
  if segmentation in (None, [], {}):
    return None, f'{where}: has no segmentation (a box alone says no pixel)'
  if not isinstance(segmentation, (list, dict)):
    return None, f'{where}: segmentation is neither polygons nor run lengths'
  return CocoRegion(where=where, category=names[category], segmentation=segmentation), None


def _images(entries, regions, *, path, images_dir):
  """(AnnotatedImages, problems)."""
  images, problems, seen = [], [], set()
  for entry in entries:
    number, written = entry.get('id'), entry.get('file_name')
    if not isinstance(number, (int, str)) or not isinstance(written, str) or not written:
      problems.append(f'{shown(path)}: an image has no id or file_name: {entry!r:.80}')
      continue
    name, image_path = record_name(written), find_image(images_dir, written)
    if image_path is None:
      problems.append(
        f'{shown(name)}: no file {shown(written)} in {shown(images_dir)}, which image {number} of '
        f'{shown(path)} needs'
      )
      continue
    if {number, ('path', image_path), ('name', name)} & seen:
      problems.append(
        f'{shown(path)}: image {number} ({shown(written)}) is listed twice, or another one has its '
        'id or name'
      )
      continue
    seen |= {number, ('path', image_path), ('name', name)}
    height, width = (
      value if _is_integer(value := entry.get(side)) and value > 0 else None
      for side in ('height', 'width')
    )
    images.append(
      AnnotatedImage(
        name=name,
        image_path=image_path,
        label_path=path,
        height=height,
        width=width,
        regions=tuple(regions.get(number, ())),
      )
    )
  return images, problems


def _is_integer(value):
  return isinstance(value, int) and not isinstance(value, bool)


def _checked_polygons(segmentation, *, height, width, cut):
  """Lists of x, y, x, y, ..., as pycocotools takes them."""
  if segmentation and not isinstance(segmentation[0], list):
    segmentation = [segmentation]  # One polygon that is not in a list of polygons.
  polygons = []
  for polygon in segmentation:
    if not isinstance(polygon, list) or len(polygon) % 2 or len(polygon) < 6:
      raise InputError('a polygon of it is not a list of 3 or more points x, y')
    points = corners(list(zip(polygon[::2], polygon[1::2])), height=height, width=width, cut=cut)
    polygons.append(points.ravel().tolist())
  return polygons


def _checked_runs(segmentation, *, height, width):
  """{'size': ..., 'counts': list or bytes}, of which the runs fill the picture."""
  size, counts = segmentation.get('size'), segmentation.get('counts')
  if size != [height, width]:
    raise InputError(
      f'its run lengths are for size {size!r:.40} (height, width), but the picture is '
      f'[{height}, {width}]'
    )
  if isinstance(counts, str):
    lengths = _lengths(counts)
    counts = counts.encode()
  elif isinstance(counts, list) and all(_is_integer(count) for count in counts):
    lengths = counts
  else:
    raise InputError('its run lengths are neither a text nor a list of whole numbers')
  if sum(lengths) != height * width or min(lengths, default=0) < 0:
    raise InputError(
      f'its run lengths add up to {sum(lengths)}, but the picture has {height * width} pixels'
    )
  return {'size': [height, width], 'counts': counts}


def _lengths(text):
  """The run lengths of COCO's compressed text (cocoapi, common/maskApi.c, rleFrString): 5 bits a
  character, the 6th says whether more follow; from the fourth on differences to the last but one.

  Only to check their sum, which pycocotools does not do.
  """
  lengths, value, shift = [], 0, 0
  for character in text:
    bits = ord(character) - 48
    if not 0 <= bits < 64:
      raise InputError(f'its run lengths have the character {character!r}, which none has')
    value |= (bits & 31) << shift
    shift += 5
    if bits & 32:
      continue
    if bits & 16:
      value -= 1 << shift
    lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
    value, shift = 0, 0
  if shift:
    raise InputError('its run lengths end in the middle of a number')
  return lengths
