"""What is in the directory of a run, to compare it with another one."""

import hashlib
import json
import os
import re

import numpy as np

_TIMES = ('images_per_second', 'waiting_for_input')


def files(directory: str) -> dict[str, str]:
  """Name below it -> digest of the content, for all files; of the log without its times."""
  found = {}
  for path, _, names in os.walk(directory):
    for name in names:
      relative = os.path.relpath(os.path.join(path, name), directory)
      # Each run has its own, named by its time; each SavedModel has a number drawn at random.
      if name.startswith('events.out.tfevents.') or name == 'fingerprint.pb':
        continue
      found[relative] = digest(os.path.join(path, name))
  return found


def digest(path: str) -> str:
  """SHA-256 of a file; of the log without its times."""
  with open(path, 'rb') as file:
    content = file.read()
  if path.endswith('export.json'):  # It has the check sum of that number, too.
    content = re.sub(rb'fingerprint\.pb",\s*"bytes": \d+,\s*"sha256": "\w+', b'', content)
  if path.endswith('metrics.jsonl'):
    content = b'\n'.join(map(_without_times, content.splitlines()))
  return hashlib.sha256(content).hexdigest()


def _without_times(line):
  try:
    values = json.loads(line)
  except ValueError:  # Cut off by a kill.
    return line
  return json.dumps({name: values[name] for name in values if name not in _TIMES}).encode()


class Changes:
  """Counts how often the names in a directory were seen to change; `count`."""

  def __init__(self, directory: str):
    self.count, self._directory, self._names = 0, directory, None
    self.look()

  def look(self) -> None:
    """Looks once more."""
    names = set()
    for path, _, found in os.walk(self._directory):
      names.update(os.path.join(path, re.sub(r'tfevents.*', '', name)) for name in found)
    if self._names is not None and names != self._names:
      self.count += 1
    self._names = names


def differences(first: str, second: str) -> dict[str, float]:
  """Name -> largest difference of the two checkpoints in that variable, as a part of its largest
  value; 0.0 where they are equal to the bit.

  Raises:
    ValueError: they hold different variables.
  """
  from deeplab import checkpoints

  first, second = checkpoints.Reader(first), checkpoints.Reader(second)
  if first.shapes != second.shapes:
    raise ValueError('the checkpoints hold different variables')
  found = {}
  for name in first.shapes:
    one, other = first.get(name), second.get(name)
    found[name] = 0.0
    if not np.array_equal(one, other):
      found[name] = float(np.abs(one - other).max() / max(np.abs(one).max(), 1e-30))
  return found
