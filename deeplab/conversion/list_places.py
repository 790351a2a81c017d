"""Where the files are that a list names, on this machine."""

import collections
import os
from collections.abc import Iterable, Sequence

from deeplab.conversion.file_tree import FileTree, stem_of
from deeplab.conversion.problems import Problems


class Side:
  """The images of a list, or its labels.

  A name is `exact` where the line gives image and label: then a file of this very name is meant if
  there is one, whatever its ending. A name that stands for both may have the ending of either.
  """

  def __init__(self, tree: FileTree, *, endings: Sequence[str | None]):
    """
    Args:
      tree: the files.
      endings: that names of the list may have, those of images and labels; None is every image
        extension.
    """
    self.tree = tree
    self._endings = endings
    self._bases = collections.defaultdict(list)  # (directory of the list, exact) -> names in it.
    self._places = {}

  def matches(self, directory: str, name: str, *, exact: bool = False) -> list[str]:
    """The paths of the files in `directory` (a path here) that the last part of `name` may mean."""
    base = os.path.basename(name)
    files = self.tree.directory(directory)
    path = files.named(base, any_ending=exact)
    if path:
      return [path]
    for stem in (base, *(stem_of(base, ending=ending) for ending in self._endings)):
      paths = files.files(stem) if stem else []
      if paths:
        return paths
    return []

  def is_there(self, name: str, *, exact: bool, at_the_top: bool) -> bool:
    """Whether there is a file where `name` says, or (`at_the_top`) in the root."""
    directory = os.path.dirname(name)
    paths = {self._direct(directory)}
    if os.path.isabs(directory):
      paths.add(directory)
    if at_the_top:
      paths.add(self.tree.root)
    return any(self.matches(path, name, exact=exact) for path in paths)

  def take(self, names: Iterable[tuple[str, bool]]) -> None:
    """Takes all (name, exact) of the list: one directory of the list is one directory here."""
    for name, exact in names:
      self._bases[os.path.dirname(name), exact].append(os.path.basename(name))

  def directories(self, name: str, *, exact: bool) -> list[str]:
    """The directories here that may be meant by that of `name`, several where it is ambiguous.

    Where none has any of the names of the list, it is the one that a reader would look in.
    """
    key = os.path.dirname(name), exact
    if key not in self._places:
      self._places[key] = self._place(*key)
    return self._places[key]

  def add_missing(
    self, problems: Problems, line: str, directory: str, name: str, *, exact: bool
  ) -> None:
    """`name`, of `line`, is not in `directory`."""
    base = os.path.basename(name)
    if exact and os.path.splitext(base)[1]:
      path = os.path.join(directory, base)
      problems.add(
        f'{line}: no file {path} (--{self.tree.kind}_dir is {self.tree.root})',
        varying=(line, path),
      )
      return
    stems = (stem_of(base, ending=ending) for ending in self._endings)
    stem = next(filter(None, stems), base)
    problems.add_missing(line, os.path.join(directory, stem), self.tree)

  def _place(self, listed, exact):
    direct = self._direct(listed)
    # A name for both gives the directory of the image, not that of the label.
    as_it_is = os.path.isabs(listed) and (exact or self.tree.kind == 'images')
    for directory in [listed, direct] if as_it_is else [direct]:
      if self._has_some(directory, listed, exact):
        return [directory]
    best, best_count = [], 0
    parts = _parts(listed)
    for relative in self.tree.relative_directories():
      path = self.tree.below(relative).path
      count = _common_end(_parts(os.path.abspath(path)), parts)
      # The user pointed at the root; deeper directories must have at least the name.
      if count < best_count or (relative and not count):
        continue
      if self._has_some(path, listed, exact):
        best = [path] if count > best_count else [*best, path]
        best_count = count
    return best or [self.tree.root if os.path.isabs(listed) else direct]

  def _direct(self, listed):
    """Lists such as SBD's begin their paths with a slash, and mean the root of the data set."""
    return os.path.normpath(os.path.join(self.tree.root, listed.lstrip('/')))

  def _has_some(self, directory, listed, exact):
    return any(self.matches(directory, base, exact=exact) for base in self._bases[listed, exact])


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
