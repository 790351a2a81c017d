"""Which image file belongs to which label file. Without TensorFlow.

Directories pair files of one name: labels_dir/SUB/NAME + labels_ext with images_dir/SUB/NAME +
images_ext, or with any image extension. Lists (listed_pairs.py) name the files.
"""

import collections
import dataclasses
import os

from deeplab.conversion import listed_pairs
from deeplab.conversion.file_tree import FileTree, stem_of
from deeplab.conversion.problems import Problems
from deeplab.errors import InputError, shown
from deeplab.options import ConversionOptions


@dataclasses.dataclass(frozen=True)
class Pair:
  """An image file and its label file."""

  name: str
  image_path: str
  label_path: str


@dataclasses.dataclass(frozen=True)
class Pairing:
  """What was found.

  Attributes:
    pairs: to convert, in the order of the list or of the labels' names.
    num_items: lines of the list, or labels in the directory.
    notes: lines about what was left out.
  """

  pairs: list[Pair]
  num_items: int
  notes: list[str] = dataclasses.field(default_factory=list)


def list_pairs(
  options: ConversionOptions, problems: Problems, *, list_lines: list[str] | None = None
) -> Pairing:
  """The pairs of files to convert.

  Args:
    options: the directories, the list and the endings.
    problems: takes duplicate names, missing and ambiguous files.
    list_lines: lines instead of those of options.list_path.

  Raises:
    InputError: a directory or the list is missing or empty.
  """
  images = FileTree(options.images_dir, ending=options.images_ext, kind='images')
  labels = FileTree(options.labels_dir, ending=options.labels_ext, kind='labels')
  notes = []
  if options.list_path or list_lines:
    lines = list_lines or listed_pairs.read_list(options.list_path)
    num_items = len(lines)
    found = listed_pairs.find_files(
      lines, images, labels, problems, list_path=options.list_path or 'the list'
    )
  else:
    found, num_items, notes = _pairs_in_directories(images, labels, problems)
  return Pairing(_named(found, images), num_items, notes)


def _named(found, images):
  """The Pairs of (image path, label path), under names that differ."""
  shortest = [_short_name(image_path, images) for image_path, _ in found]
  counts = collections.Counter(shortest)
  return [
    Pair(
      name=short if counts[short] == 1 else _long_name(image_path, images),
      image_path=image_path,
      label_path=label_path,
    )
    for short, (image_path, label_path) in zip(shortest, found)
  ]


def _short_name(image_path, images):
  """The path below the directory of the images, without the ending."""
  name = _long_name(image_path, images)
  if os.path.isabs(name):
    name = os.path.basename(name)
  directory, base = os.path.split(name)
  stem = stem_of(base, ending=images.ending) or os.path.splitext(base)[0]
  return os.path.join(directory, stem)


def _long_name(image_path, images):
  relative = os.path.relpath(image_path, images.root)
  return os.path.abspath(image_path) if relative.startswith(os.pardir + os.sep) else relative


def _pairs_in_directories(images, labels, problems):
  """([(image path, label path)], number of labels, notes).

  An image without label is common (VOC has thousands); a label without image is a mistake.
  """
  for tree in (labels, images):
    _refuse_empty(tree)
  found, num_labels, notes = [], 0, []
  some_at_the_top = bool(labels.below('').stems)
  for relative in labels.relative_directories():
    directory, image_directory = labels.below(relative), images.below(relative)
    stems = directory.stems
    previews = relative and stems and some_at_the_top
    if previews and not any(_images_of(stem, directory, image_directory) for stem in stems):
      # Beside the labels themselves, a directory of pictures that no image belongs to.
      notes.append(
        f'{shown(directory.path)}: {len(stems)} files *{labels.ending} left out; none has an '
        f'image in {shown(image_directory.path)}'
      )
      continue
    num_labels += len(stems)
    for stem in stems:
      name = os.path.join(relative, stem)
      label_paths = directory.files(stem)
      image_paths = _images_of(stem, directory, image_directory)
      if len(label_paths) > 1:
        problems.add_ambiguous(name, label_paths, labels)
      elif len(image_paths) > 1:
        problems.add_ambiguous(name, image_paths, images)
      elif not image_paths and image_directory.files(stem):
        problems.add_own_image(name, label_paths[0])
      elif not image_paths:
        problems.add_missing(name, os.path.join(image_directory.path, stem), images)
      else:
        found.append((image_paths[0], label_paths[0]))
  return found, num_labels, notes


def _images_of(stem, directory, image_directory):
  """The images for a label; where both lie in one directory, the label itself is none.

  The label of a.jpg may be a.jpg.png.
  """
  label_names = {os.path.basename(path): path for path in directory.files(stem)}
  paths = [
    path
    for path in image_directory.files(stem)
    if not (
      os.path.basename(path) in label_names
      and os.path.samefile(path, label_names[os.path.basename(path)])
    )
  ]
  whole = image_directory.named(stem)
  return paths or ([whole] if whole else [])


def _refuse_empty(tree):
  directories = tree.relative_directories()
  if any(tree.below(relative).stems for relative in directories):
    return
  there = collections.Counter(
    os.path.splitext(name)[1]
    for relative in directories
    for name in os.listdir(os.path.join(tree.root, relative))
    if not name.startswith('.')
  )
  there.pop('', None)
  hint = f' (most there are *{there.most_common(1)[0][0]})' if there else ''
  wanted = f'*{tree.ending}' if tree.ending else 'image'
  raise InputError(
    f'--{tree.kind}_dir={shown(tree.root)}: no {shown(wanted)} files in it{shown(hint)}; '
    f'--{tree.kind}_ext sets what their names end in'
  )
