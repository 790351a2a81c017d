"""Sums over the micro-batches of one update."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from deeplab.training import label_facts


class Accumulators:
  """Gradients, parts of the loss and label facts, summed by each replica for itself; empty between
  updates, so no part of a checkpoint.
  """

  def __init__(self, trainable: Mapping[str, tf.Variable], part_names: Sequence[str]):
    """Makes the variables; call it in the strategy's scope.

    Args:
      trainable: name -> trained variable.
      part_names: names of the parts of the loss.
    """
    starts = {name: tf.zeros(variable.shape) for name, variable in trainable.items()}
    starts.update((name, tf.constant(0.0)) for name in part_names)
    starts.update((name, tf.constant(start)) for name, start in label_facts.START.items())
    self._groups = (tuple(trainable), tuple(part_names), tuple(label_facts.START))
    self._variables = {
      name: tf.Variable(
        start,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
      )
      for name, start in starts.items()
    }

  def add(
    self,
    gradients: Mapping[str, tf.Tensor],
    parts: Mapping[str, tf.Tensor],
    facts: Mapping[str, tf.Tensor],
  ) -> None:
    """Adds those of one micro-batch; call it in replica context, as `take`."""
    for name, value in {**gradients, **parts}.items():
      self._variables[name].assign_add(value)
    for name, value in facts.items():
      combine = label_facts.COMBINE[name]
      self._variables[name].assign(combine(self._variables[name], value))

  def take(self) -> tuple[dict, dict, dict]:
    """(gradients, parts, facts) of all micro-batches since the last call; empties the sums."""
    read = {name: tf.identity(variable) for name, variable in self._variables.items()}
    with tf.control_dependencies(list(read.values())):
      for name, variable in self._variables.items():
        start = label_facts.START.get(name, 0.0)
        variable.assign(tf.fill(variable.shape, tf.cast(start, variable.dtype)))
    return tuple({name: read[name] for name in group} for group in self._groups)
