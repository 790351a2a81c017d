"""When a float16 run is given up: its gradients overflow whatever the loss scale."""

from deeplab.errors import InputError
from deeplab.training.step_result import StepResult

# The loss scale is halved after each. From the first scale its floor is 15 halvings away, and about
# 40 from the largest that the smallest float16 gradients allow; so this many mean that the floor
# does not help.
_MOST_IN_A_ROW = 50


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
