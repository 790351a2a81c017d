"""Which part of each batch a worker makes, and how it is cut among the worker's devices."""

import dataclasses

import tensorflow as tf

from deeplab.errors import InputError


@dataclasses.dataclass(frozen=True)
class BatchShare:
  """One worker's part of each global batch.

  All workers go through the same records in the same order, whatever their number, and keep of each
  batch the examples of their part: the first worker the first ones, and so on. Only these are
  decoded.

  Attributes:
    worker: which worker this is.
    num_workers: how many there are.
    num_devices: that compute, on each of them.
  """

  worker: int = 0
  num_workers: int = 1
  num_devices: int = 1

  def of_device(self, batch_size: int) -> int:
    """Images in one device's part of a batch. Raises InputError where it cannot be divided."""
    devices = self.num_workers * self.num_devices
    if batch_size % devices:
      what = f'{devices}'
      if self.num_workers > 1:
        what += f' ({self.num_workers} workers with {self.num_devices} each)'
      nearest = -(-batch_size // devices) * devices
      raise InputError(
        f'--batch_size={batch_size}: must be a multiple of the number of devices, {what}; give '
        f'{nearest}, or another --num_devices'
      )
    return batch_size // devices

  def taken(self, examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Those of this worker's part, of a dataset whose first element begins a global batch."""
    if self.num_workers == 1:
      return examples
    part = self.of_device(batch_size) * self.num_devices

    def is_taken(index, _):
      return (index % batch_size) // part == self.worker

    as_written = tf.autograph.experimental.do_not_convert
    kept = examples.enumerate().filter(as_written(is_taken))
    return kept.map(as_written(lambda _, example: example))


WHOLE = BatchShare()
