"""Image files to predict: which ones are meant, and their pixels.

Inputs are files, directories, globs or a list, and may be remote. Names may hold any byte the file
system allows: they are Python's surrogate-escaped strings everywhere, and `errors.shown` makes one
line of them.
"""

import dataclasses
import glob
import os
from collections.abc import Sequence

import numpy as np

from deeplab import remote_files
from deeplab.data import picture_faults, picture_files, picture_limit
from deeplab.errors import InputError, shown
from deeplab.messages import warn
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS
from deeplab.prediction import other_inputs, video_reader
from deeplab.text_files import read_lines

# In a directory these are taken and the rest is left alone; a file named by the user is tried
# whatever its name.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.gif', '.avif')


@dataclasses.dataclass(frozen=True)
class InputImage:
  """One image to predict.

  Attributes:
    path: where to read it.
    relative_path: its place below the directory, glob or list that named it.
  """

  path: str
  relative_path: str


def listed_images(list_path: str, *, problems: list[str] | None = None) -> list[InputImage]:
  """The images of a text file with one path a line, relative to the working directory; blank lines
  do not matter.

  Args:
    list_path: the text file.
    problems: as of `find_images`.

  Returns:
    A list of InputImage; `relative_path` starts below the directory that all of them share.

  Raises:
    InputError: the list cannot be read or names nothing that may be an image.
  """
  lines = read_lines(
    list_path,
    what=f'--input_file_list={list_path}',
    remedy='write one image path a line, or name an image with --input',
  )
  paths = [_listed_path(line) for line in lines if line.strip()]
  if not paths:
    raise InputError(
      f'--input_file_list={shown(list_path)}: it is empty; write one image path a line'
    )
  paths = _without_problems(
    paths, lambda path: other_inputs.check(path, flag='input_file_list'), problems
  )
  directories = [os.path.dirname(os.path.abspath(path)) for path in paths]
  root = os.path.commonpath(directories)
  return [
    InputImage(path=path, relative_path=os.path.relpath(os.path.abspath(path), root))
    for path in paths
  ]


def find_images(
  patterns: Sequence[str],
  *,
  recursive: bool = False,
  excluded_directory: str | None = None,
  problems: list[str] | None = None,
) -> tuple[list[InputImage], list[str]]:
  """The images that files, directories and globs mean.

  A directory gives its image files by extension, in the order of their names, those below it too if
  `recursive`; a link to a directory is followed, but no directory is entered twice, so loops end. A
  glob gives the files it matches, and the directories it matches only if `recursive`.

  Args:
    patterns: paths and globs. A path that exists is taken as it is, even if it looks like a glob.
    recursive: look into sub-directories.
    excluded_directory: a directory that is not entered, the one the predictions go to.
    problems: gets a line for each pattern that is wrong where others are not; None: the first one
      is an InputError.

  Returns:
    (list of InputImage, list of lines that say what was left out).

  Raises:
    InputError: a path does not exist, a glob matches nothing, or nothing in them is an image.
  """
  finder = _Finder(recursive=recursive, excluded_directory=excluded_directory)
  _without_problems(patterns, finder.add, problems)
  if not finder.images:
    where = ', '.join(shown(pattern) for pattern in patterns)
    remedy = '' if recursive else '; --recursive looks into sub-directories too'
    raise InputError(f'--input={where}: no image file ({", ".join(EXTENSIONS)}) in it{remedy}')
  return finder.images, finder.notes


def without_duplicates(images: Sequence[InputImage]) -> tuple[list[InputImage], int]:
  """(`images` with each file once, number left out): what two inputs name is predicted once."""
  first = {}
  for image in images:
    first.setdefault(os.path.abspath(image.path), image)
  return list(first.values()), len(images) - len(first)


def _without_problems(given, check, problems):
  """The texts for which `check` raises no InputError; the others' messages go to `problems`. The
  first is raised where `problems` is None or nothing is left.
  """
  left, errors = [], []
  for one in given:
    try:
      check(one)
      left.append(one)
    except InputError as error:
      errors.append(error)
  if errors and (problems is None or not left):
    raise errors[0]
  if errors:
    problems.extend(map(str, errors))
  return left


def read_image(path: str, *, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS) -> np.ndarray:
  """The pixels of an image file, as they are meant to be looked at.

  They are what training sees of the same file: `data.picture_files` says what is made of which
  format. What a user should know about the picture is printed as a warning.

  Args:
    path: of the file.
    max_pixels: a picture of more is refused before it is decoded.

  Returns:
    uint8 [H, W, 3].

  Raises:
    InputError: the file cannot be read, is no whole image, or would look black.
  """
  try:
    data = picture_limit.read_file(path, max_pixels=max_pixels)
  except picture_limit.TooLargeError as error:
    raise InputError(f'{shown(path)}: {error}') from error
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be read: {error.strerror}') from error
  return decode_image(data, path, max_pixels=max_pixels)


def decode_image(
  data: bytes, path: str, *, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
) -> np.ndarray:
  """As `read_image`, of the bytes `data` that somebody read from `path`."""
  if not data:
    raise InputError(f'{shown(path)}: {picture_faults.no_picture(data)}')
  try:
    picture = picture_files.examine(
      data, name=f'{shown(path)}:', max_pixels=max_pixels, whole=False
    )
    pixels = picture_files.decode(picture)
  except InputError:
    raise
  except MemoryError as error:
    raise InputError(
      f'{shown(path)}: out of memory while it is decoded; make it smaller, or give a smaller '
      '--max_image_pixels to leave such images out'
    ) from error
  except Exception as error:  # Decoders raise almost anything on damaged files.
    raise InputError(f'{shown(path)}: {picture_faults.damaged(data)}') from error
  warn(f'{shown(path)}: {note}' for note in picture.notes)
  return pixels


def _listed_path(line):
  """Spaces around a path are not meant, nor backslashes in it, unless a file is named so."""
  if remote_files.is_remote(line.strip()):  # Each question would be a request.
    return line.strip()
  paths = (line, line.strip(), line.strip().replace('\\', '/'))
  return next((path for path in paths if os.path.lexists(path)), paths[1])


class _Finder:
  """Collects images and remembers the directories it has been in."""

  def __init__(self, *, recursive, excluded_directory):
    self.images = []
    self.notes = []
    self._recursive = recursive
    self._visited = set()
    self._excluded = None if excluded_directory is None else os.path.realpath(excluded_directory)

  def add(self, pattern):
    if remote_files.is_remote(pattern):
      other_inputs.check(pattern, flag='input')
    if remote_files.is_directory(pattern):
      self._add_directory(pattern, root=pattern)
    elif os.path.lexists(pattern) or remote_files.exists(pattern):
      other_inputs.check(pattern, flag='input')
      self.images.append(InputImage(path=pattern, relative_path=os.path.basename(pattern)))
    elif glob.has_magic(pattern):
      self._add_glob(pattern)
    elif video_reader.is_camera(pattern):
      self.images.append(InputImage(path=pattern, relative_path=f'camera-{pattern}'))
    else:
      other_inputs.check(pattern, flag='input')
      raise InputError(f'--input={shown(pattern)}: no such file or directory')

  def _add_glob(self, pattern):
    matches = remote_files.matching(pattern)
    if not matches:
      raise InputError(f'--input={shown(pattern)}: no file matches')
    fixed_part = pattern
    while glob.has_magic(fixed_part):
      fixed_part = remote_files.parent(fixed_part)
    are_directories = remote_files.each(remote_files.is_directory, matches)
    directories = {match: None for match, is_one in zip(matches, are_directories) if is_one}
    for match in matches:
      if other_inputs.why_not(match):
        self.notes.append(f'{shown(match)}: left out: {other_inputs.why_not(match)}')
      elif match not in directories:
        self.images.append(
          InputImage(path=match, relative_path=os.path.relpath(match, fixed_part or os.curdir))
        )
    if self._recursive:
      for directory in directories:
        self._add_directory(directory, root=fixed_part or os.curdir)
    elif directories and len(directories) < len(matches):
      self.notes.append(
        f'{shown(pattern)}: {len(directories)} directories left out; --recursive looks into them'
      )

  def _add_directory(self, directory, *, root):
    identity = _identity(directory)
    if identity in self._visited:
      return
    self._visited.add(identity)
    try:
      entries = remote_files.entries(directory)
    except OSError as error:
      raise InputError(f'--input={shown(directory)}: {error.strerror}') from error
    others = videos = 0
    unread = []
    sub_directories = []
    for name, is_directory in entries:
      path = os.path.join(directory, name)
      if is_directory:
        sub_directories.append(path)
      elif name.lower().endswith(EXTENSIONS) and not name.startswith('.'):
        self.images.append(InputImage(path=path, relative_path=os.path.relpath(path, root)))
      elif other_inputs.why_not(name):
        unread.append(name)
      elif video_reader.is_video(name):
        videos += 1
      else:
        others += 1
    if videos:
      self.notes.append(
        f'{shown(directory)}: {videos} video{"s" if videos > 1 else ""} left out; name them with '
        '--input'
      )
    if unread:
      self.notes.append(
        f'{shown(directory)}: {len(unread)} file{"s" if len(unread) > 1 else ""} left out, such as '
        f'{shown(unread[0])}: {other_inputs.why_not(unread[0])}'
      )
    if others:
      self.notes.append(
        f'{shown(directory)}: {others} file{"s" if others > 1 else ""} without an image extension '
        'left out'
      )
    for path in sub_directories if self._recursive else ():
      if os.path.realpath(path) == self._excluded:
        self.notes.append(f'{shown(path)}: left out, the predictions go there')
      else:
        self._add_directory(path, root=root)


def _identity(directory):
  """The same for all names of a directory, links to it too."""
  if remote_files.is_remote(directory):
    return directory.rstrip('/')
  status = os.stat(directory)
  return status.st_dev, status.st_ino
