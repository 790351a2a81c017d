"""Lines of lists: one name, or the image and the label, between blanks, a tab or a comma. Names may
hold blanks and commas themselves.
"""

import dataclasses
import re
from collections.abc import Callable

_ENDS_IN_EXTENSION = re.compile(r'.\.\w{2,5}$')


@dataclasses.dataclass(frozen=True)
class Entry:
  """What a line names.

  Attributes:
    line: the line.
    image, label: paths as they are written there, but with slashes; label is None where the line is
      one name.
  """

  line: str
  image: str
  label: str | None = None

  @property
  def has_both(self) -> bool:
    """Whether the line gives image and label."""
    return self.label is not None


def entry_of(
  line: str, is_one_name: Callable[[str], bool], are_there: Callable[[str, str], bool]
) -> Entry | str:
  """What a line means.

  Args:
    line: without blanks at its ends.
    is_one_name, are_there: whether the line, or an image and a label, are names of files; they
      settle what blanks leave open.

  Returns:
    The entry, or what is wrong with the line.
  """
  if is_one_name(line):
    return Entry(line, line)  # Whatever it holds.
  separator = next((mark for mark in ('\t', ',', ';') if mark in line), None)
  fields = [_unquoted(field) for field in re.split(separator or r'\s+', line)]
  if len(fields) == 1:
    return Entry(line, _slashes(fields[0]))
  if separator:
    splits = [tuple(fields)] if len(fields) == 2 and all(fields) else []
  else:
    gaps = list(re.finditer(r'\s+', line))
    splits = [(_unquoted(line[: gap.start()]), _unquoted(line[gap.end() :])) for gap in gaps]
  splits = [tuple(map(_slashes, split)) for split in splits]
  complete = [split for split in splits if all(map(_ENDS_IN_EXTENSION.search, split))]
  there = [split for split in splits if are_there(*split)]
  for certain in (there, complete):
    if len(certain) == 1:
      return Entry(line, *certain[0])
  if len(splits) == 1 and (separator or not _looks_like_one(*splits[0])):
    return Entry(line, *splits[0])
  others = len(fields) > 2 and is_one_name(fields[0])  # Such as the class numbers of Oxford's pets.
  if separator or complete or others or any(map(_ENDS_IN_EXTENSION.search, fields[:-1])):
    columns = f'{len(fields)} columns' if all(fields) else 'an empty column'
    return f'has {columns}; a line is one name, or the image and its label'
  return Entry(line, _slashes(line))


def _looks_like_one(left, right):
  """Such as /My Data/a.png."""
  return not _ENDS_IN_EXTENSION.search(left) and bool(_ENDS_IN_EXTENSION.search(right))


def _unquoted(field):
  field = field.strip()
  return field[1:-1] if len(field) > 1 and field[0] == field[-1] == '"' else field


def _slashes(path):
  r"""Paths of Windows have backslashes."""
  return path.replace('\\', '/')
