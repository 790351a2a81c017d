"""Trading time for memory: activations that are computed again for the gradients instead of kept
(Chen et al., 2016).
"""

from collections.abc import Callable

import tensorflow as tf

from deeplab.model.layers import normalization
from deeplab.model.slim_bridge import current_arg_scope, slim, variable_scope


def maybe_recompute(block: Callable, recompute: bool) -> Callable:
  """`block`, or with `recompute` a version that keeps only its inputs for the gradients.

  Args:
    block: callable from float tensors to a tensor or a tuple of tensors.

  Returns:
    a callable of the same kind, with the same results and the same gradients.
  """
  if not recompute:
    return block
  runs = []
  # The second run comes with the gradients, long after the network's scopes are closed.
  arg_scope, outer_scope = current_arg_scope(), tf.compat.v1.get_variable_scope()

  def run(*inputs):
    if runs:
      with slim.arg_scope(arg_scope), variable_scope(outer_scope):
        # The batch has already moved the statistics once.
        with slim.arg_scope([normalization], updates_statistics=False):
          return block(*inputs)
    runs.append(True)
    return block(*inputs)

  @tf.custom_gradient
  def recomputed(*inputs):
    def gradient(*upstream, variables=()):
      # `tf.recompute_grad` delays the second run by a data dependency that TensorFlow's graph
      # optimizer folds away; then both runs are merged, and everything is kept. It does not fold
      # away this one.
      with tf.control_dependencies(upstream):
        again = [tf.identity(one) for one in inputs]
      with tf.GradientTape() as tape:
        tape.watch([*again, *variables])
        outputs = run(*again)
      gradients = tape.gradient(outputs, [*again, *variables], output_gradients=upstream)
      return gradients[: len(inputs)], gradients[len(inputs) :]

    return run(*inputs), gradient

  return recomputed
