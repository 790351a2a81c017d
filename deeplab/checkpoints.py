"""Name-based checkpoints: found, read, and written so that a kill leaves no half of one.

The format is that of TensorFlow 1's Saver (V2: PREFIX.index and PREFIX.data-00000-of-00001; V1, one
file, is read only), so TensorFlow 1 tools read ours and we read theirs.
"""

import contextlib
import glob
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from deeplab import foreign_files
from deeplab.atomic_files import replacing
from deeplab.errors import InputError

GLOBAL_STEP = 'global_step'
FINAL_NAME = 'model.ckpt'
# The text file in which TensorFlow lists the checkpoints of a directory.
STATE_NAME = 'checkpoint'
# The second name of a checkpoint while another one takes its place.
_PREVIOUS = '.previous'
# What TensorFlow's reader raises on damaged files depends on where it notices.
_READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, IndexError)


def find(path: str) -> str:
  """The checkpoint prefix that a user's path means.

  Args:
    path: a prefix (`run/model.ckpt-1000`), one of the files of a checkpoint, a V1 file, the file
      named `checkpoint` that lists a directory's checkpoints (its newest is meant), or a directory.
      Of a directory: `model.ckpt` if it is there, else the checkpoint of the highest step, else the
      only one there is.

  Returns:
    the prefix.

  Raises:
    InputError: there is no such checkpoint, a part of it is missing, or it is something else, such
      as an archive.
  """
  path = os.path.expanduser(path)
  if os.path.isdir(path):
    return _find_in_directory(path)
  prefix = (
    re.sub(r'\.(index|data-\d{5}-of-\d{5}|meta)$', '', path) if os.path.isfile(path) else path
  )
  if os.path.isfile(prefix + '.index'):
    _check_data_files(prefix)
    return prefix
  if os.path.isfile(prefix + _PREVIOUS + '.index'):
    return prefix + _PREVIOUS
  if os.path.isfile(prefix):
    return _find_in_file(prefix)
  if glob.glob(glob.escape(prefix) + '.data-*'):
    raise InputError(
      f'checkpoint {prefix}: {prefix}.index is missing; copy it beside the data file'
    )
  directory = os.path.dirname(prefix) or '.'
  if not os.path.isdir(directory):
    raise InputError(f'checkpoint {path}: no such file or directory')
  there = ', '.join(os.path.basename(other) for other in list_prefixes(directory)) or 'none'
  raise InputError(f'checkpoint {path}: not found; checkpoints in {directory}: {there}')


def list_prefixes(directory: str) -> list[str]:
  """The prefixes of all whole V2 checkpoints in `directory`, by step, those without one last."""
  prefixes = [
    name[: -len('.index')] for name in glob.glob(os.path.join(glob.escape(directory), '*.index'))
  ]
  prefixes = [prefix for prefix in prefixes if not prefix.endswith(_PREVIOUS)]
  return sorted(
    prefixes, key=lambda prefix: (step_of(prefix) is None, step_of(prefix) or 0, prefix)
  )


def step_of(prefix: str) -> int | None:
  """The step in a prefix such as `model.ckpt-1000`, or None."""
  match = re.search(r'-(\d+)$', prefix)
  return int(match.group(1)) if match else None


def _find_in_directory(directory):
  prefixes = list_prefixes(directory)
  final = os.path.join(directory, FINAL_NAME)
  if final in prefixes:
    return find(final)
  trained = [prefix for prefix in prefixes if os.path.basename(prefix).startswith(FINAL_NAME)]
  if trained:
    return find(trained[-1])
  if len(prefixes) == 1:
    return find(prefixes[0])
  v1_files = [
    name
    for name in glob.glob(os.path.join(glob.escape(directory), '*.ckpt'))
    if os.path.isfile(name)
  ]
  if not prefixes and len(v1_files) == 1:
    return v1_files[0]
  names = ', '.join(os.path.basename(name) for name in prefixes + v1_files)
  if not names:
    what = foreign_files.explain(directory) or 'holds no checkpoint (no *.index file)'
    raise InputError(f'checkpoint directory {directory}: {what}')
  raise InputError(
    f'checkpoint directory {directory}: holds several checkpoints ({names}); name one'
  )


def _find_in_file(path):
  """The prefix that a file means which is no part of a V2 checkpoint."""
  newest = _newest_in_state(path) if os.path.basename(path) == STATE_NAME else None
  if newest is None:
    what = foreign_files.explain(path)
    if what:
      raise InputError(f'checkpoint {path}: {what}')
    return path
  directory = os.path.dirname(path)
  # What it says may be the path on another machine.
  for prefix in (os.path.join(directory, newest), os.path.join(directory, _last_part(newest))):
    if os.path.isfile(prefix + '.index') or os.path.isfile(prefix):
      return find(prefix)
  there = ', '.join(os.path.basename(other) for other in list_prefixes(directory or '.')) or 'none'
  raise InputError(
    f'checkpoint {path}: is the list of the checkpoints of its directory, and the newest it names, '
    f'{newest}, is not there; checkpoints beside it: {there}'
  )


def _newest_in_state(path):
  """The prefix that a `checkpoint` file calls the newest, or None where it is no such file."""
  with open(path, encoding='utf-8', errors='surrogateescape') as file:
    match = re.match(r'\s*model_checkpoint_path:\s*("(?:[^"\\\n]|\\.)*")', file.read(1 << 16))
  try:
    return json.loads(match.group(1)) if match else None
  except ValueError:
    return None


def _last_part(path):
  return re.split(r'[/\\]', path)[-1]


def _check_data_files(prefix):
  parts = [
    part
    for part in glob.glob(glob.escape(prefix) + '.data-*')
    if re.search(r'\.data-\d{5}-of-\d{5}$', part)
  ]
  counts = {part[-5:] for part in parts}
  if not parts:
    raise InputError(
      f'checkpoint {prefix}: {prefix}.data-00000-of-00001 is missing; copy it beside the index'
    )
  for count in counts:
    for number in range(int(count)):
      part = f'{prefix}.data-{number:05d}-of-{count}'
      if part not in parts:
        raise InputError(f'checkpoint {prefix}: {part} is missing; copy it beside the index')


class Reader:
  """Reads a checkpoint's variables; V1 and V2 format.

  Attributes:
    prefix: the checkpoint's prefix.
    shapes: dict of name -> list of ints.
  """

  def __init__(self, prefix: str):
    """Opens the checkpoint. Raises InputError where it is not one, or damaged."""
    self.prefix = prefix
    try:
      self._reader = tf.train.load_checkpoint(prefix)
      self.shapes = dict(self._reader.get_variable_to_shape_map())
    except _READ_ERRORS as error:
      raise InputError(
        f'checkpoint {prefix}: cannot be read, it is damaged or no TensorFlow checkpoint '
        f'({_first_line(error)})'
      ) from error

  def get(self, name: str) -> np.ndarray:
    """The value of variable `name`. Raises InputError where the data is damaged."""
    try:
      return self._reader.get_tensor(name)
    except _READ_ERRORS as error:
      raise InputError(
        f'checkpoint {self.prefix}: variable {name} cannot be read, the data file is damaged or '
        'truncated '
        f'({_first_line(error)})'
      ) from error

  @property
  def global_step(self) -> int | None:
    """The step the checkpoint was written at, or None."""
    return int(self.get(GLOBAL_STEP)) if GLOBAL_STEP in self.shapes else None


def write(prefix: str, tensors: Mapping[str, tf.Variable | tf.Tensor | np.ndarray]) -> None:
  """Writes a V2 checkpoint: whole or not at all, and never over the good one of that name before it
  is whole.

  Args:
    prefix: path without `.index`.
    tensors: by name.

  Raises:
    InputError: the disk is full, or the directory is gone or not writable; older checkpoints are as
      they were.
  """
  directory, name = os.path.split(os.path.abspath(prefix))
  try:
    os.makedirs(directory, exist_ok=True)
    aside = tempfile.mkdtemp(dir=directory, prefix='.unfinished-')
  except OSError as error:
    raise InputError(
      f'checkpoint {prefix}: cannot be written ({error.strerror}); older checkpoints are whole'
    ) from error
  try:
    temporary = os.path.join(aside, name)
    names = sorted(tensors)
    values = [tf.convert_to_tensor(tensors[each]) for each in names]
    with tf.device('CPU'):
      tf.raw_ops.SaveV2(
        prefix=temporary, tensor_names=names, shape_and_slices=[''] * len(names), tensors=values
      )
    _move_into_place(temporary, prefix)
  except (tf.errors.OpError, OSError) as error:
    raise InputError(
      f'checkpoint {prefix}: cannot be written ({_first_line(error)}); older checkpoints are '
      'whole; free '
      'space or choose another --output_path'
    ) from error
  finally:
    shutil.rmtree(aside, ignore_errors=True)


def _move_into_place(temporary, prefix):
  """Renames data and index; the index comes last and goes first, so an index always has its own
  data beside it.

  Two files cannot be replaced in one stroke, so the old pair keeps a second name until the new one
    is whole: after a kill
  in between, `find` takes that.
  """
  suffixes = ('.data-00000-of-00001', '.index')
  for suffix in suffixes:
    with open(temporary + suffix, 'rb') as written:
      os.fsync(written.fileno())
  if os.path.exists(prefix + '.index'):
    remove(prefix + _PREVIOUS)
    # Some file systems have no second names; the moment without one is short.
    with contextlib.suppress(OSError):
      for suffix in suffixes:
        os.link(prefix + suffix, prefix + _PREVIOUS + suffix)
    os.remove(prefix + '.index')
  for suffix in suffixes:
    os.replace(temporary + suffix, prefix + suffix)
  remove(prefix + _PREVIOUS)


def update_state(directory: str, prefixes: Sequence[str]) -> None:
  """Writes the `checkpoint` file that TensorFlow tools read: `prefixes` from old to new, the last
  is the latest.
  """
  # By hand, since TensorFlow's function changes names in relative directories. json.dumps quotes as
  # text protos do.
  names = [json.dumps(os.path.basename(prefix)) for prefix in prefixes]
  lines = [
    f'model_checkpoint_path: {names[-1]}',
    *(f'all_model_checkpoint_paths: {name}' for name in names),
  ]
  with (
    replacing(os.path.join(directory, STATE_NAME)) as temporary,
    open(temporary, 'w', encoding='utf-8') as file,
  ):
    file.write('\n'.join(lines) + '\n')


def remove(prefix: str) -> None:
  """Deletes a checkpoint, the index first."""
  for name in [prefix + '.index', *glob.glob(glob.escape(prefix) + '.data-*')]:
    if os.path.exists(name):
      os.remove(name)


def _first_line(error):
  line = (str(error).splitlines() or [type(error).__name__])[0]
  # TensorFlow puts the reason last, after the name of an operation and a path that may be long.
  return re.sub(r'\{\{.*?\}\} | \[Op:\w+\]$', '', line)[-200:]
