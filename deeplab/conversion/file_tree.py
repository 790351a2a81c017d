"""The files below a directory, by directory and by name without ending."""

import errno
import os
from collections.abc import Iterator, Sequence

from deeplab.errors import InputError, shown

# Case does not matter. What cannot be decoded is said when it is opened.
IMAGE_EXTENSIONS = (
  '.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.jpe', '.jfif', '.ppm',
  '.pgm', '.avif',
)  # fmt: skip

# A line of a list may name anything.
_NO_DIRECTORY = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class Directory:
  """The files of one directory, hidden ones (`._a.jpg`, `.DS_Store`) left out."""

  def __init__(self, path: str, names: Sequence[str], *, ending: str | None):
    """
    Args:
      path: of the directory.
      names: of its files.
      ending: what the names of the wanted files end in, or None for every image extension.
    """
    self.path = path
    self._ending = ending
    self._all = frozenset(names)
    self._names = {}  # stem -> names
    for name in names:
      stem = stem_of(name, ending=ending)
      if stem:
        self._names.setdefault(stem, []).append(name)

  @property
  def stems(self) -> list[str]:
    """The names of the wanted files without their ending, sorted."""
    return sorted(self._names)

  def files(self, stem: str) -> list[str]:
    """The paths of the files that `stem` may mean: several where it is ambiguous. The ending as it
    was given wins over one in another case.
    """
    names = self._names.get(stem, [])
    if self._ending is not None and stem + self._ending in names:
      names = [stem + self._ending]
    return [os.path.join(self.path, name) for name in names]

  def named(self, name: str, *, any_ending: bool = False) -> str | None:
    """The path of the wanted file `name`, or None; with `any_ending` of any file not hidden."""
    stem = stem_of(name, ending=self._ending)
    names = self._all if any_ending else self._names.get(stem, ())
    return os.path.join(self.path, name) if name in names else None


class FileTree:
  """The wanted files below a directory. Directories are read when they are first asked for."""

  def __init__(self, root: str, *, ending: str | None, kind: str):
    """
    Args:
      root: a directory.
      ending: what the names of the wanted files end in, or None for every image extension.
      kind: 'images' or 'labels'.

    Raises:
      InputError: there is no such directory.
    """
    if not os.path.isdir(root):
      raise InputError(f'--{kind}_dir={shown(root)}: no such directory')
    self.root = root
    self.ending = ending
    self.kind = kind
    self._directories = {}
    self._below = None

  def directory(self, path: str) -> Directory:
    """The directory `path`, which need not be below the root; without files where there is none."""
    if path not in self._directories:
      names = []
      try:
        with os.scandir(path) as entries:
          names = [entry.name for entry in entries if _counts(entry) and _is_file(entry)]
      except OSError as error:
        if error.errno not in _NO_DIRECTORY:
          raise InputError(f'{shown(path)}: {error.strerror}') from error
      self._directories[path] = Directory(path, sorted(names), ending=self.ending)
    return self._directories[path]

  def relative_directories(self) -> list[str]:
    """The directories below the root, relative to it, '' (the root) first."""
    if self._below is None:
      self._below = list(_walk(self.root, '', set()))
    return self._below

  def below(self, relative: str) -> Directory:
    """The directory at `relative` below the root; '' is the root."""
    return self.directory(os.path.join(self.root, relative) if relative else self.root)


def stem_of(name: str, *, ending: str | None) -> str:
  """`name` without `ending` (None: without its image extension), whatever the case of the ending;
  '' where it does not end so.
  """
  if ending is not None:
    return name[: -len(ending)] if name.lower().endswith(ending.lower()) else ''
  stem, extension = os.path.splitext(name)
  return stem if extension.lower() in IMAGE_EXTENSIONS else ''


def _counts(entry):
  return not entry.name.startswith('.')


def _is_file(entry):
  # A link to nothing is one too: its data was not fetched, which reading it will say.
  return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))


def _walk(root: str, relative: str, visited: set) -> Iterator[str]:
  """Follows links, but enters no directory twice, so loops end."""
  path = os.path.join(root, relative) if relative else root
  try:
    status = os.stat(path)
    if (status.st_dev, status.st_ino) in visited:
      return
    visited.add((status.st_dev, status.st_ino))
    with os.scandir(path) as entries:
      names = sorted(entry.name for entry in entries if _counts(entry) and entry.is_dir())
  except OSError as error:
    raise InputError(f'{shown(path)}: {error.strerror}') from error
  yield relative
  for name in names:
    yield from _walk(root, os.path.join(relative, name), visited)
