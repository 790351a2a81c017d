"""The files that the lines of a list mean.

A line is a name, or an image and its label. Names may lack their ending, and paths may be those of
another machine: these are looked for by their last parts.
"""

import collections
import dataclasses
import os

from deeplab.conversion.file_tree import FileTree, stem_of
from deeplab.conversion.list_lines import Entry, entry_of
from deeplab.conversion.list_places import Side
from deeplab.conversion.problems import Problems
from deeplab.errors import InputError, shown
from deeplab.text_files import read_lines


def read_list(list_path: str) -> list[str]:
  """The lines of a list that are not blank. Raises InputError where there are none."""
  what = f'--list_path={list_path}'
  needs = 'one name a line, such as 2007_000032, or an image and its label'
  lines = read_lines(list_path, what=what, remedy=f'it needs {needs}, in UTF-8')
  lines = [line.strip() for line in lines if line.strip()]
  if not lines:
    raise InputError(f'{shown(what)}: no names in it; it needs {needs}')
  return lines


def find_files(
  lines: list[str], images: FileTree, labels: FileTree, problems: Problems, *, list_path: str
) -> list[tuple[str, str]]:
  """(image path, label path) of each line that has both files; `problems` takes the others."""
  for line, count in collections.Counter(lines).items():
    if count > 1:
      problems.add(f'{line}: named {count} times in {list_path}; name it once', varying=(line,))
  finder = _Finder(images, labels)
  entries = finder.entries(dict.fromkeys(lines), problems)
  label_of, line_of = {}, {}
  for entry in entries:
    paths = finder.find(entry, problems)
    if not paths:
      continue
    image_path, label_path = paths
    if image_path not in label_of:
      label_of[image_path], line_of[image_path] = label_path, entry.line
    elif label_of[image_path] == label_path:
      problems.add(
        f'{entry.line}: the same as {line_of[image_path]} in {list_path}; name it once',
        varying=(entry.line, line_of[image_path]),
      )
    else:
      problems.add(
        f'{entry.line}: two labels for {image_path} in {list_path}, {label_of[image_path]} and '
        f'{label_path}; name one',
        varying=(entry.line, image_path, label_of[image_path], label_path),
      )
  return list(label_of.items())


class _Finder:
  """Finds images and labels."""

  def __init__(self, images: FileTree, labels: FileTree):
    endings = (images.ending, labels.ending, None)
    self._images, self._labels = (Side(tree, endings=endings) for tree in (images, labels))

  def entries(self, lines, problems: Problems) -> list[Entry]:
    """What the lines name; `problems` takes those that are no such lines."""
    entries = []
    for line in lines:
      entry = entry_of(line, self._is_one_name, self._are_there)
      if isinstance(entry, Entry):
        entries.append(_without_label_suffix(entry, self._labels.tree.ending))
      else:
        problems.add(f'{line}: {entry}', varying=(line,))
    self._images.take((entry.image, entry.has_both) for entry in entries)
    self._labels.take((entry.label or entry.image, entry.has_both) for entry in entries)
    return entries

  def _is_one_name(self, line):
    return self._images.is_there(line, exact=False, at_the_top=False)

  def _are_there(self, image, label):
    return self._images.is_there(image, exact=True, at_the_top=True) and self._labels.is_there(
      label, exact=True, at_the_top=True
    )

  def find(self, entry: Entry, problems: Problems) -> tuple[str, str] | None:
    """(image path, label path), or None after a problem was added."""
    name = entry.image if entry.has_both else entry.line
    written = (entry.image, entry.label or entry.image)
    sides = (self._images, self._labels)
    directories = self._directories(entry)
    image_paths, label_paths = (
      [
        path
        for directory in directories[index]
        for path in side.matches(directory, written[index], exact=entry.has_both)
      ]
      for index, side in enumerate(sides)
    )
    if len(image_paths) > 1 and len(label_paths) == 1:
      # Where images and labels lie in one directory.
      image_paths = [path for path in image_paths if not os.path.samefile(path, label_paths[0])]
    for index, paths in enumerate((image_paths, label_paths)):
      if not paths:
        sides[index].add_missing(
          problems, name, directories[index][0], written[index], exact=entry.has_both
        )
      elif len(paths) > 1:
        problems.add_ambiguous(name, paths, sides[index].tree)
    if not len(image_paths) == len(label_paths) == 1:
      return None
    if os.path.samefile(image_paths[0], label_paths[0]):
      problems.add_own_image(name, image_paths[0])
      return None
    return image_paths[0], label_paths[0]

  def _directories(self, entry):
    """(directories of the image, directories of the label): several where it is ambiguous."""
    if entry.has_both:
      return (
        self._images.directories(entry.image, exact=True),
        self._labels.directories(entry.label, exact=True),
      )
    deeper = self._deeper_directories(entry.image)
    if deeper:
      return deeper
    image_directories = self._images.directories(entry.image, exact=False)
    if len(image_directories) == 1:
      relative = os.path.relpath(image_directories[0], self._images.tree.root)
      beside = os.path.normpath(os.path.join(self._labels.tree.root, relative))
      if not relative.startswith(os.pardir) and self._labels.matches(beside, entry.image):
        return image_directories, [beside]
    return image_directories, self._labels.directories(entry.image, exact=False)

  def _deeper_directories(self, name):
    """The directories of a bare name whose image and label lie deeper, at one place below both
    roots, such as in the city directories of Cityscapes; None where it is another name.
    """
    sides = (self._images, self._labels)
    if '/' in name or any(side.matches(side.tree.root, name) for side in sides):
      return None
    places = (
      [side.tree.below(relative).path for side in sides]
      for relative in self._images.tree.relative_directories()
    )
    found = [
      paths for paths in places if all(side.matches(path, name) for side, path in zip(sides, paths))
    ]
    return tuple(map(list, zip(*found))) or None


def _without_label_suffix(entry, ending):
  """x for x_mask.png, which may lie beside its image."""
  directory, base = os.path.split(entry.image)
  if entry.has_both or ending.startswith('.') or not stem_of(base, ending=ending):
    return entry
  return dataclasses.replace(entry, image=os.path.join(directory, stem_of(base, ending=ending)))
