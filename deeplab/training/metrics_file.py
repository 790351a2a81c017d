"""`metrics.jsonl`, the log of a run as JSON lines, when the run goes on."""

import os
import stat
from typing import Any

from deeplab import json_files, messages
from deeplab.atomic_files import replacing
from deeplab.errors import InputError, shown


def rewind(path: str, step: int) -> list[dict[str, Any]]:
  """Drops the lines after `step` and a last line that a kill cut, and with a warning the damaged
  ones.

  Returns:
    the rest as dicts.

  Raises:
    InputError: it is no file, or cannot be read.
  """
  if not os.path.exists(path):
    return []
  try:
    if not stat.S_ISREG(os.stat(path).st_mode):
      raise InputError(f'{shown(path)}: is not a regular file; remove it')
    with open(path, encoding='utf-8', errors='surrogateescape') as file:
      texts = file.readlines()
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be read ({error.strerror})') from error
  kept, damaged = [], []
  for number, text in enumerate(texts, 1):
    try:
      line = _checked(json_files.as_object(text))
      if line['step'] <= step:
        kept.append(line)
    except ValueError as error:
      if number < len(texts) or text.endswith('\n'):  # Else a kill cut it off.
        damaged.append(f'line {number} ({shown(str(error))})')
  if damaged:
    are = f'and {len(damaged) - 1} more lines are' if len(damaged) > 1 else 'is'
    messages.warn([f'{shown(path)}: {damaged[0]} {are} damaged, and left out from now on'])
  with replacing(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
    file.writelines(json_files.one_line(line) for line in kept)
  return kept


def _checked(line):
  """A line of the log; raises ValueError where it is none."""
  json_files.whole_number(line.get('step'), 'step')
  if line.get('mean_iou') is not None:
    json_files.number(line['mean_iou'], 'mean_iou')
  return line
