"""An engine that knows no tensors as a part of a TensorFlow function."""

import numpy as np
import tensorflow as tf

from deeplab.engines.interface import Runner
from deeplab.export.description import (
  LABELS,
)


class InGraph:
  """Calls a Runner while a tf.function runs.

  Attributes:
    engine, batch_size: of the Runner.
    num_classes: of the probabilities.
    failure: what the Runner raised last, of which TensorFlow itself keeps only a text; or None.
  """

  def __init__(self, runner: Runner, *, num_classes: int):
    self._runner = runner
    self.engine, self.num_classes = runner.engine, num_classes
    self.batch_size = runner.batch_size
    self.failure = None

  def run(self, output: str, images: tf.Tensor) -> tf.Tensor:
    """As `Runner.run`, of tensors; labels are int32.

    Raises:
      tf.errors.OpError, when it runs: the Runner failed; tf.errors.ResourceExhaustedError for want
      of memory.
    """
    if output == LABELS:
      dtype, shape = tf.int32, [None] * 3
    else:
      dtype, shape = tf.float32, [None] * 3 + [self.num_classes]

    def compute(array):
      try:
        # No copy where the engine gives this type.
        return self._runner.run(output, array).astype(dtype.as_numpy_dtype, copy=False)
      except Exception as error:
        self.failure = error
        if _wants_memory(error):
          raise MemoryError from error
        raise

    result = tf.numpy_function(compute, [images], dtype)
    result.set_shape(shape)
    return result


def _wants_memory(error: Exception) -> bool:
  """Engines say so in a text."""
  words = str(error).lower()
  return isinstance(error, MemoryError) or any(
    sign in words for sign in ('bad alloc', 'bad_alloc', 'out of memory', 'failed to allocate')
  )


def try_out(runner: Runner, *, size: tuple[int, int], num_classes: int) -> str | None:
  """What is wrong with what a Runner makes of a black image of `size` (height, width); None:
  nothing. Finds a damaged file before work depends on it.

  Raises whatever the engine raises.
  """
  labels = runner.run(LABELS, np.zeros([1, *size, 3], np.uint8))
  if labels.shape != (1, *size) or labels.dtype.kind not in 'iu':
    return f'it gives {labels.dtype} {list(labels.shape)} for an image of {size[0]}x{size[1]}'
  if labels.min() < 0 or labels.max() >= num_classes:
    return f'it gives class {labels.max()}, and it has {num_classes}'
  return None
