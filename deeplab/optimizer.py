"""Optimizers with TensorFlow 1's formulas and slot names, for any tf.distribute strategy.

Slots are ordinary variables in a dictionary keyed by their name in checkpoints, such as
`aspp0/weights/Momentum`.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from deeplab.model.backbones import is_of_backbone
from deeplab.options import TrainingOptions

LAST_LAYER_SCOPE = 'logits/semantic/'

_ADAM_BETA1, _ADAM_BETA2, _ADAM_EPSILON = 0.9, 0.999, 1e-8


def make(
  options: TrainingOptions, trainable: Mapping[str, tf.Variable], *, weight_decay: float = 0.0
) -> 'Momentum | Adam':
  """The optimizer that the options name.

  Args:
    trainable: by checkpoint name.
    weight_decay: decay of variables ending in `/weights`, for adamw only.

  Call it in the scope of the strategy that the variables were made in.
  """
  if options.optimizer == 'momentum':
    return Momentum(options, trainable)
  return Adam(
    options, trainable, weight_decay=weight_decay if options.optimizer == 'adamw' else 0.0
  )


class _Optimizer:
  """What optimizers share: gradient multipliers, clipping, and an update that runs on every
  replica.

  Attributes:
    slots: dict checkpoint name -> tf.Variable, all state beside the trained variables.
  """

  def __init__(self, options: TrainingOptions, trainable: Mapping[str, tf.Variable]):
    self._options = options
    self._trainable = trainable
    self.slots = {}

  def apply(
    self,
    gradients: Mapping[str, tf.Tensor],
    learning_rate: tf.Tensor,
    *,
    finite: tf.Tensor | None = None,
  ) -> None:
    """Updates the trained variables; call it in replica context with equal arguments on every
    replica.

    Args:
      gradients: by name, already summed over replicas; names without a gradient are left as they
        are.
      learning_rate: float32 scalar.
      finite: bool scalar, or None; where it is False nothing changes (a step that loss scaling
        gives up).
    """
    gradients = {
      name: gradient * self._gradient_multiplier(name)
      if self._gradient_multiplier(name) != 1.0
      else gradient
      for name, gradient in gradients.items()
      if self._rate_multiplier(name) > 0.0
    }
    if self._options.clip_gradient_norm is not None:
      gradients = clip_by_norm(gradients, self._options.clip_gradient_norm)
    names = list(gradients)
    context = tf.distribute.get_replica_context()
    # Mirrored variables can only be assigned where all their copies are in reach: outside the
    # replicas.
    context.merge_call(
      self._update_all, args=(names, [gradients[name] for name in names], learning_rate, finite)
    )

  def _gradient_multiplier(self, name):
    return (
      self._options.last_layer_gradient_multiplier if name.startswith(LAST_LAYER_SCOPE) else 1.0
    )

  def _rate_multiplier(self, name):
    return self._options.backbone_learning_rate_multiplier if is_of_backbone(name) else 1.0

  def _update_all(self, strategy, names, gradients, learning_rate, finite):
    raise NotImplementedError

  def _zeros_like_trainable(self, suffix):
    for name, variable in self._trainable.items():
      self.slots[f'{name}/{suffix}'] = tf.Variable(
        tf.zeros(variable.shape, variable.dtype), trainable=False, name=f'{name}/{suffix}'
      )


class Momentum(_Optimizer):
  """TensorFlow 1's momentum: accumulator = momentum * accumulator + gradient; variable -= rate *
  accumulator.

  The rate is outside the accumulator, which is another trajectory than Keras's when the rate
  changes.
  """

  def __init__(self, options: TrainingOptions, trainable: Mapping[str, tf.Variable]):
    super().__init__(options, trainable)
    self._zeros_like_trainable('Momentum')

  def _update_all(self, strategy, names, gradients, learning_rate, finite):
    for name, gradient in zip(names, gradients):

      def update(
        variable,
        accumulator,
        gradient,
        learning_rate,
        finite,
        multiplier=self._rate_multiplier(name),  # noqa: B008
      ):
        rate = learning_rate * multiplier if multiplier != 1.0 else learning_rate
        if finite is None:  # One pass over all three arrays.
          tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=accumulator.handle,
            lr=rate,
            grad=gradient,
            momentum=self._options.momentum,
          )
          return
        new = self._options.momentum * accumulator + gradient
        accumulator.assign(_keep_unless(finite, new, accumulator))
        variable.assign_sub(_keep_unless(finite, rate * new, 0.0))

      strategy.extended.update(
        self._trainable[name],
        update,
        args=(self.slots[f'{name}/Momentum'], gradient, learning_rate, finite),
      )


class Adam(_Optimizer):
  """TensorFlow 1's Adam (Kingma and Ba, 2015), and with a weight decay AdamW (Loshchilov and
  Hutter, 2019).

  Slots are named as in TensorFlow 1: `VAR/Adam`, `VAR/Adam_1`, `beta1_power`, `beta2_power`. The
    decay shrinks each
  variable ending in `/weights` by rate * weight_decay, apart from the gradient.
  """

  def __init__(
    self,
    options: TrainingOptions,
    trainable: Mapping[str, tf.Variable],
    *,
    weight_decay: float = 0.0,
  ):
    super().__init__(options, trainable)
    self._weight_decay = weight_decay
    self._zeros_like_trainable('Adam')
    self._zeros_like_trainable('Adam_1')
    for name, beta in (('beta1_power', _ADAM_BETA1), ('beta2_power', _ADAM_BETA2)):
      self.slots[name] = tf.Variable(beta, dtype=tf.float32, trainable=False, name=name)

  def _update_all(self, strategy, names, gradients, learning_rate, finite):
    powers = self.slots['beta1_power'], self.slots['beta2_power']
    for name, gradient in zip(names, gradients):

      def update(
        variable,
        mean,
        square,
        gradient,
        learning_rate,
        finite,
        beta1_power,
        beta2_power,
        multiplier=self._rate_multiplier(name),  # noqa: B008
        decay=self._weight_decay if name.endswith('/weights') else 0.0,  # noqa: B008
      ):
        new_mean = _ADAM_BETA1 * mean + (1.0 - _ADAM_BETA1) * gradient
        new_square = _ADAM_BETA2 * square + (1.0 - _ADAM_BETA2) * tf.square(gradient)
        corrected = learning_rate * multiplier * tf.sqrt(1.0 - beta2_power) / (1.0 - beta1_power)
        step = corrected * new_mean / (tf.sqrt(new_square) + _ADAM_EPSILON)
        if decay:
          step += learning_rate * multiplier * decay * variable
        mean.assign(_keep_unless(finite, new_mean, mean))
        square.assign(_keep_unless(finite, new_square, square))
        variable.assign_sub(_keep_unless(finite, step, 0.0))

      strategy.extended.update(
        self._trainable[name],
        update,
        args=(
          self.slots[f'{name}/Adam'],
          self.slots[f'{name}/Adam_1'],
          gradient,
          learning_rate,
          finite,
          *powers,
        ),
      )
    for power, beta in zip(powers, (_ADAM_BETA1, _ADAM_BETA2)):

      def advance(power, finite, beta=beta):
        power.assign(_keep_unless(finite, power * beta, power))

      strategy.extended.update(power, advance, args=(finite,))


class MovingAverage:
  """An exponential moving average of variables, as TensorFlow 1's with `num_updates`.

  average += (1 - d) * (variable - average) with d = min(decay, (1 + step) / (10 + step)), so the
  start does not linger.

  Attributes:
    slots: dict `VAR/ExponentialMovingAverage` -> tf.Variable.
  """

  def __init__(self, variables: Mapping[str, tf.Variable], *, decay: float):
    """Starts at the present values of `variables`, which are given by name.

    Call it in the strategy's scope.
    """
    self._variables = variables
    self._decay = decay
    self.slots = {
      f'{name}/ExponentialMovingAverage': tf.Variable(
        variable.read_value(), trainable=False, name=f'{name}/ExponentialMovingAverage'
      )
      for name, variable in variables.items()
    }

  def restart(self) -> None:
    """Sets the averages to the present values, after the variables were restored from elsewhere."""
    for name, variable in self._variables.items():
      self.slots[f'{name}/ExponentialMovingAverage'].assign(variable.read_value())

  def update(self, step: int | tf.Tensor) -> None:
    """Follows the variables; call it in cross-replica context after the update that followed `step`
    updates.
    """
    step = tf.cast(step, tf.float32)
    share = 1.0 - tf.minimum(self._decay, (1.0 + step) / (10.0 + step))
    for name, variable in self._variables.items():
      average = self.slots[f'{name}/ExponentialMovingAverage']
      average.assign_add(share * (variable.read_value() - average.read_value()))

  def averaged(self) -> dict[str, np.ndarray]:
    """The averages by variable name."""
    return {
      name: self.slots[f'{name}/ExponentialMovingAverage'].numpy() for name in self._variables
    }


def clip_by_norm(gradients: Mapping[str, tf.Tensor], largest_norm: float) -> dict[str, tf.Tensor]:
  """The gradients scaled so that the norm over all of them together is at most `largest_norm`."""
  norm = tf.linalg.global_norm(list(gradients.values()))
  scale = largest_norm / tf.maximum(norm, largest_norm)
  return {name: gradient * scale for name, gradient in gradients.items()}


def _keep_unless(finite, new, old):
  """`new`, or `old` where `finite` is given and False."""
  return new if finite is None else tf.where(finite, new, tf.zeros_like(new) + old)
