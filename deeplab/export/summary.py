"""`export.json`: what lies beside it, how large it is, and how it was checked. Free of
TensorFlow.
"""

import json
import os
from typing import Any

from deeplab import json_files
from deeplab.atomic_files import replacing
from deeplab.errors import InputError, shown
from deeplab.export.exported_files import SUMMARY

_VERSION = 1


def read(output_path: str) -> dict[str, dict]:
  """What the export.json of a directory says of each of its models that are there; {} without one.

  Raises:
    InputError: it is no summary of an export.
  """
  path = os.path.join(output_path, SUMMARY)
  if not os.path.lexists(path):
    return {}
  try:
    content = json_files.read(path)
    if content['format_version'] != _VERSION:
      raise ValueError(f'format_version {content["format_version"]}')
    models = {name: dict(entry) for name, entry in content['models'].items()}
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f'{shown(path)}: not the summary of an export ({shown(str(error))}); remove it, or choose '
      'another --output_path'
    ) from error
  return {
    name: entry for name, entry in models.items() if os.path.exists(os.path.join(output_path, name))
  }


def update(output_path: str, name: str, entry: dict[str, Any] | None) -> None:
  """Says of the model `name` what `entry` has, or nothing any more where that is None."""
  models = read(output_path)
  if entry is None and name not in models:
    return
  models.pop(name, None)
  if entry is not None:
    models[name] = entry
  with (
    replacing(os.path.join(output_path, SUMMARY)) as temporary,
    open(temporary, 'w', encoding='utf-8') as file,
  ):
    json.dump({'format_version': _VERSION, 'models': models}, file, indent=2)
    file.write('\n')
