"""Trading time for memory: activations that are computed again for the gradients instead of kept (Chen et al., 2016)."""
import tensorflow as tf

from deeplab.model.layers import statistics_not_updated


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

  def run(inputs):
    # The second run is the one for the gradients: the batch has already moved the statistics once.
    if runs:
      with statistics_not_updated():
        return block(inputs)
    runs.append(True)
    return block(inputs)

  return tf.recompute_grad(run)
