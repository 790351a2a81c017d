"""What is wrong with the files of a conversion, said in as few lines as it takes."""

import collections
import os
import re
from collections.abc import Sequence
from typing import NoReturn

from deeplab import messages
from deeplab.conversion.file_tree import IMAGE_EXTENSIONS, FileTree
from deeplab.errors import InputError, shown

_MOST_LISTED = 20
_LONGEST = 1000  # Characters; a line of a file that is no list may be long.
_NUMBERS = re.compile(r's? \(?\d[\d., x()]*( and \d+ more)?')


class Problems:
  """Collects problems. One that every item has is said once, with the first as the example."""

  def __init__(self):
    self._texts = []
    self._kinds = []

  def __len__(self):
    return len(self._texts)

  @property
  def first_lines(self) -> list[str]:
    """Some of the problems, at most as many as are listed."""
    return self._texts[:_MOST_LISTED]

  def add(self, text: str, *, varying: tuple[str, ...] = ()) -> None:
    """Takes a problem.

    Args:
      text: a line without a period.
      varying: what in the text is the item's own: the name that it begins with, and paths. Problems
        that differ in these and in numbers alone are one fault.
    """
    kind = text
    for part in sorted(filter(None, varying), key=len, reverse=True):
      kind = kind.replace(part, '*') if '/' in part else kind.removeprefix(part)
    self._texts.append(_shortened(shown(text)))
    self._kinds.append(_NUMBERS.sub(' #', kind))

  def add_missing(self, name: str, stem_path: str, tree: FileTree) -> None:
    """`name` has no file in `tree`; `stem_path` is where it would be, without the ending."""
    if tree.ending is None:
      others = ', '.join(IMAGE_EXTENSIONS[1:])
      path, hint = f'{stem_path}{IMAGE_EXTENSIONS[0]}', f'nor {others}; --images_ext sets another'
    else:
      path, hint = f'{stem_path}{tree.ending}', '--images_ext and --labels_ext set the endings'
    self.add(f'{name}: no file {path} ({hint})', varying=(name, stem_path))

  def add_ambiguous(self, name: str, paths: Sequence[str], tree: FileTree) -> None:
    """`paths` are files of `tree` that `name` may mean."""
    what = 'image' if tree.kind == 'images' else 'label'
    remedy = (
      f'--{tree.kind}_ext says which, or leave one'
      if len({os.path.dirname(path) for path in paths}) == 1
      else f'point --{tree.kind}_dir at the directory of one'
    )
    self.add(
      f'{name}: {len(paths)} files may be its {what}: {" and ".join(paths[:3])}; {remedy}',
      varying=(name, *paths[:3]),
    )

  def add_own_image(self, name: str, path: str) -> None:
    """The one file at `path` would be image and label."""
    self.add(
      f'{name}: image and label would be one file, {path}; give the directories or the endings in '
      'which they differ, or a list of images and labels',
      varying=(name, path),
    )

  def raise_error(self, *, num_items: int) -> NoReturn:
    """Names the problems, up to 20 lines.

    Args:
      num_items: how many items (lines of a list, labels of a directory) there are.

    Raises:
      InputError: always. A single line is in it, and not named before.
    """
    counts = collections.Counter(self._kinds)
    shared = {kind for kind, count in counts.items() if count >= max(2, num_items)}
    lines, said = [], set()
    for text, kind in zip(self._texts, self._kinds):
      if kind not in shared:
        lines.append(text)
      elif kind not in said:
        said.add(kind)
        lines.append(f'all {counts[kind]} have the same fault; the first: {text}')
    if len(lines) == 1:
      raise InputError(f'{lines[0]}; nothing was written')
    for line in lines[:_MOST_LISTED]:
      messages.problem(line)
    if len(lines) > _MOST_LISTED:
      messages.problem(f'... and {len(lines) - _MOST_LISTED} more')
    raise InputError(f'{len(self._texts)} problems (listed above); nothing was written')


def _shortened(text):
  half = _LONGEST // 2
  return text if len(text) <= _LONGEST else f'{text[:half]} ... {text[-half:]}'
