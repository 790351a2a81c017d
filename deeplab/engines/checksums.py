"""Exported files against the checksums in the `export.json` beside them.

A flipped bit in the weights crashes no engine; it only makes wrong pictures.
"""

import os
from collections.abc import Iterator

from deeplab import file_digests, json_files
from deeplab.errors import InputError, shown

_SUMMARY = 'export.json'


def refuse_changed(path: str) -> None:
  """Raises InputError where an exported model is not as export.json beside it says; without that,
  or where it does not name the model, nothing is known.

  Args:
    path: of a file, or of the directory of a SavedModel.
  """
  directory, name = os.path.split(os.path.normpath(path))
  for known in _known_files(os.path.join(directory, _SUMMARY)):
    if known['name'] != name and not known['name'].startswith(f'{name}/'):
      continue
    file = os.path.join(directory, known['name'])
    if _sha256(file) != known['sha256']:
      raise InputError(
        f'{shown(file)}: is not the file that {_SUMMARY} beside it describes (another checksum): '
        f'damaged, or of another export; copy it again, or move it away from {_SUMMARY}'
      )


def _known_files(path):
  """The {'name': ..., 'sha256': ...} in a JSON file, wherever they are in it."""
  try:
    return list(_described_files(json_files.read(path)))
  except (OSError, ValueError):
    return []


def _described_files(content) -> Iterator[dict]:
  if isinstance(content, dict):
    if isinstance(content.get('name'), str) and isinstance(content.get('sha256'), str):
      yield content
    content = list(content.values())
  for each in content if isinstance(content, list) else ():
    yield from _described_files(each)


def _sha256(path):
  """None without a file."""
  try:
    return file_digests.sha256_of(path)
  except FileNotFoundError:
    return None
