"""JSON files that the program keeps beside records and checkpoints, read with distrust: they may be
damaged, edited or somebody else's.
"""

import json
import math
import re
from typing import Any

from deeplab import ordinary_files, remote_files

_MOST_BYTES = 2**26
_MOST_LEVELS = 50


def read(path: str) -> dict[str, Any]:
  """The object in a JSON file.

  Raises:
    ValueError: a phrase that says why it is none: no regular file, larger than 64 MiB, no UTF-8, no
      JSON or no object, deeply nested, a name that comes twice, a number that is not finite.
    OSError: it cannot be read.
  """
  return as_object(read_text(path))


def read_text(path: str) -> str:
  """The text of a file in UTF-8. Raises as `read`."""
  # Opening a named pipe would wait for somebody to write to it.
  if not ordinary_files.is_ordinary(path):
    raise ValueError(
      'is a directory' if remote_files.is_directory(path) else 'is not a regular file'
    )
  with remote_files.open_file(path) as file:
    content = file.read(_MOST_BYTES + 1)
  if len(content) > _MOST_BYTES:
    raise ValueError(f'has more than {_MOST_BYTES} bytes')
  try:
    return content.decode('utf-8')
  except UnicodeDecodeError as error:
    raise ValueError(f'byte {error.start} is no UTF-8') from error


def as_object(text: str) -> dict[str, Any]:
  """The object in a JSON text. Raises ValueError as `read`."""
  if not text.strip():
    raise ValueError('is empty')
  if _levels(text) > _MOST_LEVELS:  # Before Python's reader runs out of stack.
    raise ValueError(f'is nested more than {_MOST_LEVELS} levels deep')
  content = parsed(text)
  if not isinstance(content, dict):
    raise ValueError(f'holds {shown(content)}, not an object {{...}}')
  return content


def parsed(text: str | bytes) -> Any:
  """The value in a JSON text, which the caller has bounded.

  Raises ValueError for what is no JSON, a name that comes twice, a number that is not finite.
  """
  return json.loads(
    text, object_pairs_hook=_without_repetition, parse_constant=_refuse, parse_float=_finite
  )


def one_line(value: Any) -> str:
  """`value` as one line that `read` takes: null for numbers that are not finite."""
  return json.dumps(_with_finite(value), allow_nan=False) + '\n'


def _with_finite(value):
  if isinstance(value, dict):
    return {name: _with_finite(one) for name, one in value.items()}
  if isinstance(value, (list, tuple)):
    return [_with_finite(one) for one in value]
  return None if isinstance(value, float) and not math.isfinite(value) else value


def whole_number(value: Any, name: str, *, minimum: int = 0, maximum: int = 2**53) -> int:
  """`value`, if it is a whole number in these bounds; else raises ValueError, with its `name`."""
  if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
    to = 'on' if maximum == 2**53 else f'to {maximum}'
    raise ValueError(f'{name} is {shown(value)}, not a whole number from {minimum} {to}')
  return value


def number(value: Any, name: str) -> float:
  """`value`, if it is a number; else raises ValueError, with its `name`."""
  if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 2**53:
    raise ValueError(f'{name} is {shown(value)}, not a number')
  return value


def items(value: Any, name: str) -> list:
  """`value`, if it is a list; else raises ValueError, with its `name`."""
  if not isinstance(value, list):
    raise ValueError(f'{name} is {shown(value)}, not a list')
  return value


def texts(value: Any, name: str) -> list[str]:
  """`value`, if it is a list of texts, [] for None; else raises ValueError, with its `name`."""
  if value is None:
    return []
  if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
    raise ValueError(f'{name} is {shown(value)}, not a list of texts')
  return value


def mapping(value: Any, name: str) -> dict[str, Any]:
  """`value`, if it is an object, {} for None; else raises ValueError, with its `name`."""
  if value is None:
    return {}
  if not isinstance(value, dict):
    raise ValueError(f'{name} is {shown(value)}, not an object {{...}}')
  return value


def shown(value: Any) -> str:
  """A value as JSON has it, shortened."""
  text = json.dumps(value)
  return text if len(text) <= 40 else f'{text[:40]}...'


def _levels(text):
  """How deep objects and lists are nested."""
  level = deepest = 0
  for bracket in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
    if bracket in '[{':
      level += 1
      deepest = max(deepest, level)
    elif bracket in ']}':
      level -= 1
  return deepest


def _without_repetition(pairs):
  content = dict(pairs)
  if len(content) < len(pairs):
    names = [name for name, _ in pairs]
    repeated = next(name for name in names if names.count(name) > 1)
    raise ValueError(f'{shown(repeated)} comes twice')
  return content


def _refuse(text):
  raise ValueError(f'{text} is not a finite number')


def _finite(text):
  value = float(text)
  if not math.isfinite(value):
    raise ValueError(f'{text} is not a finite number')
  return value
