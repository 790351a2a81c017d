"""The files that the lines of a list mean.

A line is a name, or an image and its label. Names may lack their ending, and paths may be those of
another machine: these are looked for by their last parts.
"""

import collections
import dataclasses
import os

from deeplab.data.file_tree import Directory, FileTree, stem_of
from deeplab.data.list_lines import Entry, entry_of
from deeplab.data.problems import Problems
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
  entries = []
  for line in dict.fromkeys(lines):
    entry = entry_of(line, finder.is_one_name, finder.are_there)
    if isinstance(entry, Entry):
      entries.append(_without_label_suffix(entry, labels.ending))
    else:
      problems.add(f'{line}: {entry}', varying=(line,))
  finder.prepare(entries)
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


def _without_label_suffix(entry, ending):
  """x for x_mask.png, which may lie beside its image."""
  directory, base = os.path.split(entry.image)
  if entry.label is not None or ending.startswith('.') or not stem_of(base, ending=ending):
    return entry
  return dataclasses.replace(entry, image=os.path.join(directory, stem_of(base, ending=ending)))


class _Finder:
  """Finds images and labels."""

  def __init__(self, images, labels):
    self._images, self._labels = images, labels
    self._endings = (images.ending, labels.ending, None)
    self._image_places = self._label_places = None

  def is_one_name(self, line: str) -> bool:
    """Whether there is an image where the whole line says."""
    return self._is_there(line, self._images, exact=False, at_the_top=False)

  def are_there(self, image: str, label: str) -> bool:
    """Whether both are where they are said to be, or at the top of their directories."""
    return self._is_there(image, self._images, exact=True, at_the_top=True) and self._is_there(
      label, self._labels, exact=True, at_the_top=True
    )

  def _is_there(self, name, tree, *, exact, at_the_top):
    directory, base = os.path.split(name)
    paths = {os.path.normpath(os.path.join(tree.root, directory.lstrip('/')))}
    if os.path.isabs(directory):
      paths.add(directory)
    if at_the_top:
      paths.add(tree.root)
    return any(_matches(tree.directory(path), base, self._endings, exact=exact) for path in paths)

  def prepare(self, entries: list[Entry]) -> None:
    """Takes all entries, since one directory of the list is one directory here."""
    self._image_places = _Places(
      self._images, self._endings, [(entry.image, entry.label is not None) for entry in entries]
    )
    self._label_places = _Places(
      self._labels,
      self._endings,
      [(entry.label or entry.image, entry.label is not None) for entry in entries],
    )

  def find(self, entry: Entry, problems: Problems) -> tuple[str, str] | None:
    """(image path, label path), or None after a problem was added."""
    exact = entry.label is not None
    name = entry.image if exact else entry.line
    image_directories, label_directories = self._directories(entry)
    image_paths, label_paths = (
      [
        path
        for directory in directories
        for path in _matches(
          tree.directory(directory), os.path.basename(written), self._endings, exact=exact
        )
      ]
      for tree, directories, written in (
        (self._images, image_directories, entry.image),
        (self._labels, label_directories, entry.label or entry.image),
      )
    )
    if len(image_paths) > 1 and len(label_paths) == 1:
      # Where images and labels lie in one directory.
      image_paths = [path for path in image_paths if not os.path.samefile(path, label_paths[0])]
    good = True
    for tree, paths, directories, written in (
      (self._images, image_paths, image_directories, entry.image),
      (self._labels, label_paths, label_directories, entry.label or entry.image),
    ):
      if not paths:
        self._add_missing(problems, name, directories[0], written, tree, exact=exact)
      elif len(paths) > 1:
        problems.add_ambiguous(name, paths, tree)
      good = good and len(paths) == 1
    if good and os.path.samefile(image_paths[0], label_paths[0]):
      problems.add(
        f'{name}: image and label would be one file, {image_paths[0]}; give --images_ext and '
        '--labels_ext, or both names in the list',
        varying=(name, image_paths[0]),
      )
      good = False
    return (image_paths[0], label_paths[0]) if good else None

  def _directories(self, entry):
    """(directories of the image, directories of the label): several where it is ambiguous."""
    if entry.label is not None:
      return (
        self._image_places.of(entry.image, exact=True),
        self._label_places.of(entry.label, exact=True),
      )
    image_directories = self._image_places.of(entry.image, exact=False)
    base = os.path.basename(entry.image)
    if base == entry.image and not any(
      _matches(tree.below(''), base, self._endings) for tree in (self._images, self._labels)
    ):
      # A bare name whose files are deeper, at one place below both, as in Cityscapes.
      deeper = [
        relative
        for relative in self._images.relative_directories()
        if _matches(self._images.below(relative), base, self._endings)
        and _matches(self._labels.below(relative), base, self._endings)
      ]
      if deeper:
        return tuple(
          [tree.below(relative).path for relative in deeper]
          for tree in (self._images, self._labels)
        )
    if len(image_directories) == 1:
      relative = os.path.relpath(image_directories[0], self._images.root)
      beside = os.path.normpath(os.path.join(self._labels.root, relative))
      if not relative.startswith(os.pardir) and _matches(
        self._labels.directory(beside), base, self._endings
      ):
        return image_directories, [beside]
    return image_directories, self._label_places.of(entry.image, exact=False)

  def _add_missing(self, problems, name, directory, written, tree, *, exact):
    base = os.path.basename(written)
    if exact and os.path.splitext(base)[1]:
      path = os.path.join(directory, base)
      problems.add(
        f'{name}: no file {path} (--{tree.kind}_dir is {tree.root})', varying=(name, path)
      )
      return
    stems = (stem_of(base, ending=ending) for ending in self._endings)
    stem = next(filter(None, stems), base)
    problems.add_missing(name, os.path.join(directory, stem), tree)


class _Places:
  """Which directory here a directory of the list is."""

  def __init__(self, tree, endings, written):
    self._tree, self._endings = tree, endings
    self._bases = collections.defaultdict(list)  # (directory of the list, exact) -> names in it.
    for path, exact in written:
      directory, base = os.path.split(path)
      self._bases[directory, exact].append(base)
    self._found = {}

  def of(self, path: str, *, exact: bool) -> list[str]:
    """The directories that may be meant by that of `path`; where none has any of its files, the one
    that comes first to mind.
    """
    key = os.path.dirname(path), exact
    if key not in self._found:
      self._found[key] = self._find(*key)
    return self._found[key]

  def _find(self, listed, exact):
    root = self._tree.root
    direct = os.path.normpath(os.path.join(root, listed.lstrip('/')))
    # A list of names gives the directory of the images, not that of the labels.
    as_it_is = os.path.isabs(listed) and (exact or self._tree.kind == 'images')
    for directory in [listed, direct] if as_it_is else [direct]:
      if self._has_some(directory, listed, exact):
        return [directory]
    best, best_count = [], 0
    parts = _parts(listed)
    for relative in self._tree.relative_directories():
      path = self._tree.below(relative).path
      count = _common_end(_parts(os.path.abspath(path)), parts)
      # The user pointed at the root; deeper directories must have at least the name.
      if count < best_count or (relative and not count) or not self._has_some(path, listed, exact):
        continue
      best = [path] if count > best_count else [*best, path]
      best_count = count
    return best or [root if os.path.isabs(listed) else direct]

  def _has_some(self, directory, listed, exact):
    directory = self._tree.directory(directory)
    return any(
      _matches(directory, base, self._endings, exact=exact) for base in self._bases[listed, exact]
    )


def _matches(
  directory: Directory, base: str, endings: tuple[str | None, ...], *, exact: bool = False
) -> list[str]:
  """The paths of the files in `directory` that `base` may mean, as it is or with another ending.

  Args:
    exact: a file of this very name is meant, whatever its ending.
  """
  path = directory.named(base, any_ending=exact)
  if path:
    return [path]
  for stem in (base, *(stem_of(base, ending=ending) for ending in endings)):
    paths = directory.files(stem) if stem else []
    if paths:
      return paths
  return []


def _parts(path):
  return [part.casefold() for part in path.split('/') if part not in ('', '.')]


def _common_end(one, other):
  """How many of the last parts are the same."""
  count = 0
  for left, right in zip(reversed(one), reversed(other)):
    if left != right:
      break
    count += 1
  return count
