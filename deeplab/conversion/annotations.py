"""Annotation files to images with the regions that make their labels: COCO JSON and labelme.

Class 0 is where there is no region. The categories follow in the order of their ids (labelme: the
names in alphabetical order), unless a list of class names says which class each is.
"""

import dataclasses
import json
import os
from collections.abc import Sequence

from deeplab import data_set_files
from deeplab.conversion import coco, labelme
from deeplab.conversion.annotated_images import IGNORED, AnnotatedImage
from deeplab.conversion.pairing import Pairing
from deeplab.conversion.problems import Problems
from deeplab.errors import InputError, shown
from deeplab.options import ConversionOptions

_BACKGROUND = ('background', '_background_', '__background__')  # Names of class 0.


@dataclasses.dataclass(frozen=True)
class Annotations:
  """What annotation files hold.

  Attributes:
    images: AnnotatedImages whose categories have no classes yet.
    problems: lines.
    class_names: of the classes where nobody else names them, background first.
  """

  images: tuple[AnnotatedImage, ...]
  problems: tuple[str, ...]
  class_names: tuple[str, ...]

  def pairing(
    self, names: Sequence[str], options: ConversionOptions, problems: Problems
  ) -> Pairing:
    """The images with a class for each category, in place of pairs of files.

    Args:
      names: of the classes.
      options: annotations and accept count here.
      problems: takes those of the files.

    Raises:
      InputError: a category is none of the classes, or class 0 is a category.
    """
    used = sorted({region.category for image in self.images for region in image.regions})
    classes = {category: _class_of(category, names) for category in used}
    missing = [category for category, index in classes.items() if index is None]
    if missing:
      raise InputError(
        f'{shown(options.annotations)}: no class for category {_shown_names(missing)}; the classes '
        f'are {_shown_names(names)}: add it to the list of --class_names'
      )
    categories = {*used, *self.class_names}  # Also those that no region of this file has.
    first = names[0] if names and names[0] in categories else None
    outside = 0
    if first is not None and first.lower() not in _BACKGROUND:
      if 'no_background' not in options.accept:
        raise InputError(
          f'class 0 of the class names is {shown(first)}, which would be everything that is in no '
          'region; put a line background first in --class_names, or give --accept=no_background '
          'to ignore what is in no region'
        )
      outside = IGNORED
    cut = 'outside' in options.accept
    images = [
      dataclasses.replace(image, classes=classes, outside=outside, cut=cut) for image in self.images
    ]
    for problem in self.problems:
      problems.add(problem, varying=(options.annotations,))
    return Pairing(images, num_items=len(images) + len(self.problems))


def read(options: ConversionOptions) -> Annotations:
  """Reads the files that `options.annotations` names.

  Raises:
    InputError: a directory or the file is missing or unknown, or pycocotools is not installed.
  """
  if not os.path.isdir(options.images_dir):
    raise InputError(f'--images_dir={shown(options.images_dir)}: no such directory')
  if os.path.isdir(options.annotations):
    return _read_labelme(options)
  if not os.path.isfile(options.annotations):
    raise InputError(f'--annotations={shown(options.annotations)}: no such file or directory')
  contents = _load(options.annotations)
  images, problems, names = coco.read(
    contents, path=options.annotations, images_dir=options.images_dir
  )
  try:
    import pycocotools.mask  # noqa: F401  # pylint: disable=unused-import
  except ImportError as error:
    raise InputError(
      '--annotations: a COCO JSON needs pycocotools to be drawn: pip install pycocotools'
    ) from error
  return Annotations(tuple(images), tuple(problems), _with_background(names))


def _read_labelme(options):
  paths = sorted(
    os.path.join(directory, name)
    for directory, _, names in os.walk(options.annotations)
    for name in names
    if name.lower().endswith('.json') and not name.startswith('.') and not _is_ours(name)
  )
  if not paths:
    raise InputError(f'--annotations={shown(options.annotations)}: no *.json files in it')
  images, problems, seen = [], [], {}
  for path in paths:
    try:
      image = labelme.read(_load(path), path=path, images_dir=options.images_dir)
    except InputError as error:
      problems.append(str(error))
      continue
    for key in (image.image_path, ('name', image.name)):
      if seen.setdefault(key, path) != path:
        problems.append(
          f'{shown(seen[key])} and {shown(path)}: both annotate {shown(image.image_path)}; an '
          'image has one file'
        )
        break
    else:
      images.append(image)
  names = {region.category for image in images for region in image.regions}
  return Annotations(
    tuple(images), tuple(problems), _with_background(sorted(names - {labelme.IGNORE_NAME}))
  )


def _is_ours(name):
  """Whether a conversion into the same directory wrote the file."""
  return name == data_set_files.FILE_NAME or name.endswith('-summary.json')


def _load(path):
  try:
    with open(path, encoding='utf-8-sig') as file:
      return json.load(file)
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be read ({error.strerror})') from error
  except (ValueError, RecursionError) as error:  # Undecodable bytes are ValueErrors, too.
    raise InputError(f'{shown(path)}: cannot be read as JSON ({error})') from error


def _with_background(names):
  return ('background', *(name for name in names if name.lower() not in _BACKGROUND))


def _class_of(category, names):
  """The class index of a category, IGNORED, or None for none."""
  if category in names:
    return list(names).index(category)
  if category == labelme.IGNORE_NAME:
    return IGNORED
  if category.lower() in _BACKGROUND and names and names[0].lower() in _BACKGROUND:
    return 0
  return None


def _shown_names(names):
  listed = ', '.join(shown(name) for name in list(names)[:8])
  return listed + (f' and {len(names) - 8} more' if len(names) > 8 else '')
