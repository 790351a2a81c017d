"""What stops a training that has gone wrong, before anything of it is saved."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from deeplab.errors import InputError
from deeplab.messages import warn
from deeplab.training.step_result import StepResult

# The loss scale is halved after each. From the first scale its floor is 15 halvings away, and about
# 40 from the largest that the smallest float16 gradients allow; so this many mean that the floor
# does not help.
_MOST_IN_A_ROW = 50
_CALMER = 'Try a lower --init_learning_rate, --warmup_steps or --clip_gradient_norm'


class Guards:
  """Looks at what each update tells of itself, in their order."""

  def __init__(self, *, num_classes: int, ignore_label: int, num_steps: int):
    """Has seen nothing yet; arguments are those of the run."""
    self._num_classes, self._ignore_label = num_classes, ignore_label
    self._num_steps = num_steps
    self._labels_seen = False
    self._overflows = Overflows()

  def check(
    self, result: StepResult, *, step: int, learning_rate: float, names: Callable[[], list[bytes]]
  ) -> None:
    """Looks at the `step`-th update.

    Args:
      names: called only where something is wrong: the names of the records of its batches.

    Raises:
      InputError: a label is out of range, loss or gradient is not finite, or the float16 gradient
        overflows again and again.
    """
    if result.wrong_labels:
      raise InputError(
        f'step {step}: {result.wrong_labels} pixels of the batch have a label that is neither '
        f'below --num_classes={self._num_classes} nor --ignore_label={self._ignore_label}; labels '
        f'from {result.label_range[0]} to {result.label_range[1]}; records: {_listed(names())}'
      )
    self._overflows.follow(result, step=step)
    broken = []
    if not np.isfinite(result.total_loss):
      broken.append(f'the loss is {result.total_loss}')
    if not np.isfinite(result.gradient_norm) and not result.overflowed:
      broken.append(f'the gradient norm is {result.gradient_norm}')
    if broken:
      seen = (
        f'labels from {result.label_range[0]} to {result.label_range[1]}'
        if result.label_range
        else 'no label counts'
      )
      raise InputError(
        f'step {step}: {" and ".join(broken)} at learning rate {learning_rate:g}; {seen}; records: '
        f'{_listed(names())}. Nothing was saved since the last checkpoint, which is whole. '
        f'{_CALMER}'
      )

  def warn_if_nothing_counts(self, result: StepResult, *, step: int, log_per_steps: int) -> None:
    """Warns once where no pixel of any batch so far has counted: the loss then falls by the L2 term
    alone.
    """
    self._labels_seen = self._labels_seen or result.label_range is not None
    if not self._labels_seen and step in (log_per_steps, self._num_steps):
      warn(
        [
          f'every pixel of the batches up to step {step} has --ignore_label={self._ignore_label}: '
          'nothing is learnt; check the labels'
        ]
      )


def check_variables(variables: Mapping[str, tf.Variable], *, step: int) -> None:
  """Stops before something is saved that is worthless: a huge rate can break the variables after a
  finite loss.

  Raises:
    InputError: one has a value that is not finite after `step` updates.
  """
  for name, variable in variables.items():
    if variable.dtype.is_floating and not np.isfinite(tf.reduce_sum(tf.abs(variable.read_value()))):
      raise InputError(
        f'step {step}: variable {name} is no longer finite; nothing was saved since the last '
        f'checkpoint, which is whole. {_CALMER}'
      )


class Overflows:
  """Counts the updates in a row that did nothing, because the float16 gradient overflowed."""

  def __init__(self):
    self._in_a_row = 0

  def follow(self, result: StepResult, *, step: int) -> None:
    """Counts one update, the `step`-th.

    Raises:
      InputError: too many in a row; the variables are still those before the first of them.
    """
    self._in_a_row = self._in_a_row + 1 if result.overflowed else 0
    if self._in_a_row < _MOST_IN_A_ROW:
      return
    raise InputError(
      f'step {step}: the float16 gradient overflowed in the last {self._in_a_row} updates, which '
      'did nothing, although the loss scale was halved after each. Nothing was saved since the '
      'last checkpoint, which is whole: --load_ckpt_path it with --compute_dtype=bfloat16, which '
      'has the range of float32, or begin again with a lower --init_learning_rate'
    )


def _listed(names):
  return ', '.join(name.decode('utf-8', 'replace') for name in names)
