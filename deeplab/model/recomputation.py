"""Trading time for memory: activations that are computed again for the gradients instead of kept (Chen et al., 2016)."""
import tensorflow as tf

from deeplab.model.layers import statistics_not_updated
from deeplab.model.slim_bridge import current_arg_scope, slim


def maybe_recompute(block, recompute):
  """`block`, or with `recompute` a version that keeps only its inputs for the gradients.

  Args:
    block: callable from one float tensor to a tensor or a tuple of tensors.
    recompute: bool.

  Returns:
    a callable of the same kind, with the same results and the same gradients.
  """
  if not recompute:
    return block
  runs = []
  # The second run comes with the gradients, long after the network's arg_scopes are closed.
  arg_scope = current_arg_scope()

  def run(inputs):
    if runs:
      # The batch has already moved the statistics once.
      with statistics_not_updated(), slim.arg_scope(arg_scope):
        return block(inputs)
    runs.append(True)
    return block(inputs)

  return tf.recompute_grad(run)
