"""tf-slim on TensorFlow 2: the only module that knows slim's oddities.

Networks here are plain functions in slim's style: nested `variable_scope`s name the variables,
`arg_scope`s set the defaults of a network part, `get_variable` asks for a variable. In TensorFlow 1
a global store answered. Here

* `create_variables` runs the function once in a scratch graph, notes what it asks for, and makes
  ordinary `tf.Variable`s,
* `variables_from` answers from that dictionary while the function runs inside a `tf.function`,

so the names are slim's, and there is no Session, no collection and no hidden state.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping

import tensorflow as tf
from tensorflow.python.framework import ops

# tf-slim 1.1.0 asks for ops.Tensor, which TensorFlow 2.15 moved.
if not hasattr(ops, 'Tensor'):
  ops.Tensor = tf.Tensor

import tf_slim as slim  # noqa: F401, E402
from tf_slim.ops.arg_scope import current_arg_scope  # noqa: F401, E402

variable_scope = tf.compat.v1.variable_scope
get_variable = tf.compat.v1.get_variable


def create_variables(build: Callable[[], object]) -> dict[str, tf.Variable]:
  """Makes the variables that a network function asks for, under the `tf.distribute` strategy in
  scope.

  Args:
    build: builds the network on placeholders of its own making.

  Returns:
    the variables by name, initialized, in the order of their first use.
  """
  requests = {}

  def record(getter, name, **kwargs):
    requests.setdefault(name, kwargs)
    return getter(name, **kwargs)

  with tf.Graph().as_default(), variable_scope('', custom_getter=record):
    # Nothing is run here; but where only deterministic operations are allowed, random ones are not
    # even built without a seed.
    tf.compat.v1.set_random_seed(0)
    build()
  return {name: _create_variable(name, request) for name, request in requests.items()}


def _create_variable(name, request):
  return tf.Variable(
    lambda: request['initializer'](request['shape'], dtype=request['dtype']),
    name=name,
    shape=request['shape'],
    trainable=request['trainable'] is not False,
    synchronization=request.get('synchronization') or tf.VariableSynchronization.AUTO,
    aggregation=request.get('aggregation') or tf.VariableAggregation.NONE,
  )


@contextlib.contextmanager
def variables_from(named_variables: Mapping[str, tf.Variable]) -> Iterator[None]:
  """While open, `get_variable` returns the variable of that full name from the dict.

  Raises KeyError for another name.
  """
  with variable_scope('', custom_getter=lambda getter, name, **kwargs: named_variables[name]):
    yield
