"""Files that list classes, as this toolkit and annotation tools write them.

| file | a line | index of the class |
|---|---|---|
| ours | `index r g b [name]` | the first number |
| CVAT's labelmap.txt | `name:r,g,b:parts:actions` | the order of the lines, from 0 |
| Roboflow's _classes.csv | `index, name` below `Pixel Value, Class` | the first number |
| class_dict.csv, Kaggle's CamVid | `name,r,g,b` below these words | the order of the lines |
"""

import collections
import re

from deeplab.errors import InputError, shown
from deeplab.text_files import read_lines

# color is (r, g, b), or None where the file has no colours; name may be ''.
Entry = collections.namedtuple('Entry', ['index', 'color', 'name'])

_KINDS = 'give a text file with a line for each class, such as `index r g b name` or a name'
_OURS = re.compile(
  r'(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\d+)(?:[\s,]+(\S.*))?', flags=re.ASCII | re.DOTALL
)
_CVAT = re.compile(r'([^:]+):(?:(\d+),\s*(\d+),\s*(\d+))?:[^:]*:[^:]*', flags=re.ASCII)
_ROBOFLOW_HEADER = re.compile(r'pixel value\s*,\s*class', flags=re.IGNORECASE)
_ROBOFLOW = re.compile(r'(\d+)\s*,\s*(\S.*)', flags=re.ASCII)
_NAMES_HEADER = re.compile(r'(?:name|class)\s*,\s*r\s*,\s*g\s*,\s*b', flags=re.IGNORECASE)
_NAME_AND_COLOR = re.compile(
  r'([^,]+?)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)(?:\s*,.*)?', flags=re.ASCII
)


def lines_of(path: str, *, what: str) -> list[tuple[int, str]]:
  """(number, text) of the lines that count: neither empty nor beginning with #; see text_files.

  `what` names the file in messages. Raises InputError.
  """
  lines = read_lines(path, what=what, undecodable='replace', not_text=_KINDS)
  return [
    (number, line.strip())
    for number, line in enumerate(lines, start=1)
    if line.strip() and not line.lstrip().startswith('#')
  ]


def parse_entry(line: str) -> Entry | None:
  """The entry of one line `index r g b [name]`, or None where the line is not one."""
  match = _OURS.fullmatch(line.strip())
  return match and _entry(match[1], match.groups()[1:4], match[5])


def read_entries(path: str, *, what: str) -> list[Entry] | None:
  """The classes that a file lists, in the order of its lines.

  A class may have several lines, with several colours; its first is the colour it is painted in.

  Args:
    path: of the file.
    what: how messages name a file that cannot be read.

  Returns:
    list of Entry; None where the first line is of none of the kinds above.

  Raises:
    InputError: a line is of another kind than the first, or repeats another.
  """
  lines = lines_of(path, what=what)
  if not lines:
    return None
  first = lines[0][1]
  if _ROBOFLOW_HEADER.fullmatch(first):
    entries = _read(path, lines[1:], 'index, name', _roboflow_entry)
  elif _NAMES_HEADER.fullmatch(first):
    entries = _read(path, lines[1:], 'name,r,g,b', _named_entry(_NAME_AND_COLOR))
  elif _CVAT.fullmatch(first):
    entries = _read(path, lines, 'name:r,g,b:parts:actions', _named_entry(_CVAT))
  elif parse_entry(first):
    entries = _read(path, lines, 'index r g b [name]', lambda line, _: parse_entry(line))
  else:
    return None
  return entries


def _read(path, lines, kind, parse):
  """Entries of `lines`; `parse` makes one of a line and of the number of lines before it."""
  entries, seen = [], {}
  for position, (number, line) in enumerate(lines):
    entry = parse(line, position)
    if entry is None:
      raise InputError(
        f'{shown(path)}, line {number}: {line[:60]!r} is not `{kind}` with an index up to 65535 '
        'and colours from 0 to 255'
      )
    # A class may have several colours, but a line twice, or a name twice, is a slip.
    key = (entry.index, entry.color) if entry.color else entry.index
    if kind.startswith('name'):
      key = entry.name
    if key in seen:
      what = f'class {entry.name!r}' if kind.startswith('name') else f'index {entry.index}'
      raise InputError(
        f'{shown(path)}, line {number}: {what} appears twice, as in line {seen[key]}; each line is '
        'another class or another colour'
      )
    seen[key] = number
    entries.append(entry)
  return entries


def _roboflow_entry(line, _):
  match = _ROBOFLOW.fullmatch(line)
  if not match or int(match[1]) > 65535:
    return None
  return Entry(int(match[1]), None, match[2].strip())


def _named_entry(pattern):
  def parse(line, position):
    match = pattern.fullmatch(line)
    if not match:
      return None
    color = match.groups()[1:4]
    if color[0] is None:
      return Entry(position, None, match[1].strip())
    return _entry(position, color, match[1])

  return parse


def _entry(index, color, name):
  index, color = int(index), tuple(int(part) for part in color)
  if index > 65535 or max(color) > 255:
    return None
  return Entry(index, color, (name or '').strip())
