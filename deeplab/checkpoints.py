"""Name-based checkpoints: read, and written so that a kill leaves no half of one.

The format is that of TensorFlow 1's Saver (V2: PREFIX.index and PREFIX.data-00000-of-00001; V1, one
file, is read only), so TensorFlow 1 tools read ours and we read theirs.
"""

import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

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

  def __init__(self, prefix: str):
    """Opens the checkpoint. Raises InputError where it is not one, or damaged."""
    self.prefix = prefix
    try:
      self._reader = tf.train.load_checkpoint(prefix)
      self.shapes = dict(self._reader.get_variable_to_shape_map())
    except _READ_ERRORS as error:
      raise InputError(
        f'checkpoint {prefix}: cannot be read, it is damaged or no TensorFlow checkpoint '
        f'({reason_of(error)})'
      ) from error

  def get(self, name: str) -> np.ndarray:
    """The value of variable `name`. Raises InputError where the data is damaged."""
    try:
      return self._reader.get_tensor(name)
    except _READ_ERRORS as error:
      raise InputError(
        f'checkpoint {self.prefix}: variable {name} cannot be read, the data file is damaged or '
        'truncated '
        f'({reason_of(error)})'
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
