"""Dynamic loss scaling for float16 (Micikevicius et al., Mixed Precision Training, ICLR 2018)."""

import tensorflow as tf

_FIRST = 2.0**15
_STEPS_TO_RAISE = 2000
# Where the loss itself overflows, scaling is not what is wrong; and from 0, where halving ends in
# the end, no doubling leads back.
_LEAST = 1.0


class LossScale:
  """A factor on the loss: halved where a gradient overflows, doubled after 2000 steps without;
  never below 1.

  Attributes:
    value: float32 scalar tf.Variable, the factor.
    slots: checkpoint name -> tf.Variable, all state.
  """

  def __init__(self):
    """Makes the variables; call it in the strategy's scope."""
    self.value = tf.Variable(_FIRST, trainable=False)
    self._steps = tf.Variable(0, trainable=False)  # Since the factor changed last.
    self.slots = {'loss_scale': self.value, 'loss_scale_steps': self._steps}

  def update(self, finite: tf.Tensor) -> None:
    """Follows a step; `finite`, bool scalar: whether its gradient was."""
    steps = tf.where(finite, self._steps + 1, 0)
    raised = tf.where(steps >= _STEPS_TO_RAISE, self.value * 2.0, self.value)
    self.value.assign(tf.where(finite, raised, tf.maximum(self.value / 2.0, _LEAST)))
    self._steps.assign(tf.where(steps >= _STEPS_TO_RAISE, 0, steps))
