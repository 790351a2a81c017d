"""Name-based checkpoints: read, and written so that a kill leaves no half of one.

The format is that of TensorFlow 1's Saver (V2: PREFIX.index and PREFIX.data-00000-of-00001; V1, one
file, is read only), so TensorFlow 1 tools read ours and we read theirs.
"""

import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from deeplab import checkpoint_files
from deeplab.atomic_files import replacing, unfinished_directory
from deeplab.checkpoint_files import (
  FINAL_NAME,  # noqa: F401
  STATE_NAME,
  find,  # noqa: F401
  list_prefixes,  # noqa: F401
  step_of,  # noqa: F401
)
from deeplab.checkpoint_replacement import remove, take_place  # noqa: F401
from deeplab.errors import InputError, shown
from deeplab.failure_reasons import reason_of

GLOBAL_STEP = 'global_step'
# What TensorFlow's reader raises on damaged files depends on where it notices.
_READ_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, IndexError)


class Reader:
  """Reads a checkpoint's variables; V1 and V2 format.

  Attributes:
    prefix: the checkpoint's prefix.
    shapes: dict of name -> list of ints.
  """

  def __init__(self, prefix: str, *, with_remedy: bool = True):
    """Opens the checkpoint.

    Args:
      with_remedy: errors say what to do; False where another checkpoint is taken anyway.

    Raises:
      InputError: it is no checkpoint, or damaged.
    """
    self.prefix, self._with_remedy = prefix, with_remedy
    try:
      # Not tf.train.load_checkpoint: to ram:// a prefix is a directory, and that one believes it.
      self._reader = tf.compat.v1.train.NewCheckpointReader(prefix)
      self.shapes = dict(self._reader.get_variable_to_shape_map())
    except _READ_ERRORS as error:
      raise InputError(
        f'checkpoint {prefix}: cannot be read, it is damaged or no TensorFlow checkpoint'
        f'{_beside_damage(error)}{self._remedy()}'
      ) from error

  def get(self, name: str) -> np.ndarray:
    """The value of variable `name`. Raises InputError where the data is damaged."""
    try:
      return self._reader.get_tensor(name)
    except _READ_ERRORS as error:
      raise InputError(
        f'checkpoint {self.prefix}: variable {name} cannot be read, the data file is damaged or '
        f'truncated{_beside_damage(error)}{self._remedy()}'
      ) from error

  @property
  def global_step(self) -> int | None:
    """The step the checkpoint was written at, or None. Raises InputError where it is no step."""
    if GLOBAL_STEP not in self.shapes:
      return None
    value = np.asarray(self.get(GLOBAL_STEP))
    if value.size != 1 or value.dtype.kind not in 'iu' or value.item() < 0:
      raise InputError(
        f'checkpoint {self.prefix}: its {GLOBAL_STEP} is {value.dtype} {list(value.shape)} '
        f'{str(value)[:40]}, not the number of a step'
      )
    return value.item()

  def _remedy(self):
    if not self._with_remedy:
      return ''
    other = checkpoint_files.another_than(self.prefix)
    such_as = f', such as {shown(other)}' if other else ''
    return f'; copy it again or restore it from a backup, or give another{such_as}'

  def check(self) -> None:
    """Reads all variables, whose check sums TensorFlow compares. Raises InputError for the first
    that is damaged.
    """
    for name in self.shapes:
      self.get(name)


def newest_whole(prefixes: Sequence[str]) -> tuple[tuple[str, int] | None, list[str]]:
  """The checkpoint of the highest step of which every tensor can be read.

  Args:
    prefixes: to choose from; those without a step do not count.

  Returns:
    ((prefix, step) or None, a line for each that is damaged and was looked at).
  """
  readers, damaged = [], []
  for prefix in prefixes:
    try:
      reader = Reader(find(prefix), with_remedy=False)
      if reader.global_step is not None:
        readers.append((reader.global_step, prefix, reader))
    except InputError as error:
      damaged.append(str(error))
  for step, prefix, reader in sorted(readers, key=lambda item: item[:2], reverse=True):
    try:
      reader.check()
      return (prefix, step), damaged
    except InputError as error:
      damaged.append(str(error))
  return None, damaged


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
  names = sorted(tensors)
  values = [tf.convert_to_tensor(tensors[each]) for each in names]
  try:
    os.makedirs(directory, exist_ok=True)
    with unfinished_directory(directory, name) as aside:
      with tf.device('CPU'):
        tf.raw_ops.SaveV2(
          prefix=os.path.join(aside, name),
          tensor_names=names,
          shape_and_slices=[''] * len(names),
          tensors=values,
        )
      take_place(aside, os.path.join(directory, name))
  except (tf.errors.OpError, OSError) as error:
    raise InputError(
      f'checkpoint {shown(prefix)}: cannot be written ({reason_of(error)}); older checkpoints are '
      'whole; free space or choose another --output_path'
    ) from error


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


def _beside_damage(error):
  """What the reader says of an error, in parentheses, where it is more than that it is damaged."""
  reason = reason_of(error)
  return '' if reason == 'damaged or truncated' else f' ({reason})'
