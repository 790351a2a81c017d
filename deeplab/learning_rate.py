"""Learning rate schedules, as functions of the number of updates made so far."""

import bisect
import math

from deeplab.options import TrainingOptions


def learning_rate(options: TrainingOptions, step: int) -> float:
  """The learning rate of the update that follows `step` updates.

  Args:
    step: number of updates made so far; 0 at the first.

  Returns:
    With init_learning_rate r, num_steps n, slow_start_step s and t = min(max(step - s, 0) /
    (n - s), 1):

      poly     r * (1 - t) ** learning_power
      cosine   r * (1 + cos(pi * t)) / 2
      manual   r below boundaries[0], and rates[i] from boundaries[i] on, counted in all steps

    During the first s steps it is slow_start_learning_rate (as in official DeepLab); with
    warmup_steps w, whatever it is is multiplied by (step + 1) / w while that is below 1.
  """
  slow = step < options.slow_start_step
  rate = options.slow_start_learning_rate if slow else _scheduled_rate(options, step)
  if step + 1 < options.warmup_steps:
    rate *= (step + 1) / options.warmup_steps
  return rate


def _scheduled_rate(options, step):
  if options.man_step_lr:
    passed = bisect.bisect_right(options.boundaries, step)
    return options.rates[passed - 1] if passed else options.init_learning_rate
  done = min((step - options.slow_start_step) / (options.num_steps - options.slow_start_step), 1.0)
  if options.learning_policy == 'cosine':
    return options.init_learning_rate * (1.0 + math.cos(math.pi * done)) / 2.0
  return options.init_learning_rate * (1.0 - done) ** options.learning_power
