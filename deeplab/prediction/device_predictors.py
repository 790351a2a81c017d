"""Batches through one device or several: while one is computed the next is begun, and what came out
of the last is written.
"""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from deeplab.inferencer import DeepLabV3Inferencer, Predicted

Batch = TypeVar('Batch')
# Of each device: what it computes, and what waits for it, so that it need not wait.
_UNDER_WAY = 2
_MOST_BYTES = 256 * 2**20


class DevicePredictors:
  """Inferencers of one network, one for each device.

  Attributes:
    num_devices: how many.
  """

  def __init__(self, inferencers: Sequence[DeepLabV3Inferencer]):
    """Prepares it.

    Args:
      inferencers: alike, with their models each on a device of its own.
    """
    self._inferencers = list(inferencers)
    self.num_devices = len(self._inferencers)

  @property
  def num_traces(self) -> int:
    """How often the network was traced, on the device where it was most often."""
    return max(inferencer.num_traces for inferencer in self._inferencers)

  def batch_key(self, image: np.ndarray) -> tuple:
    """As of DeepLabV3Inferencer."""
    return self._inferencers[0].batch_key(image)

  def outcomes(
    self,
    batches: Iterable[Batch],
    images_of: Callable[[Batch], list[np.ndarray]],
    *,
    one_at_a_time: bool = False,
    most_bytes: int = _MOST_BYTES,
  ) -> Iterator[tuple[Batch, Callable[[], list[Predicted]]]]:
    """Predicts batches; close the iterator where it is not used up.

    Args:
      batches: taken when a device is about to need them.
      images_of: batch -> images with equal `batch_key`.
      one_at_a_time: nothing waits for a device, for large images.
      most_bytes: of the images under way together; of larger ones one is.

    Yields:
      (batch, outcome) in the order of the batches. outcome() waits for what
      `DeepLabV3Inferencer.predict_with_foreground` returns, or raises what that raises.
    """
    most = self.num_devices * (1 if one_at_a_time else _UNDER_WAY)
    threads = [
      concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix='predict')
      for _ in self._inferencers
    ]
    under_way = collections.deque()  # (batch, future, device, bytes), oldest first.
    try:
      for batch in batches:
        images = images_of(batch)
        device = _least_busy(under_way, self.num_devices)
        future = threads[device].submit(self._inferencers[device].start, images)
        under_way.append((batch, future, device, sum(image.nbytes for image in images)))
        del batch, images, future  # Large ones are not to be held twice.
        while len(under_way) >= most or sum(entry[3] for entry in under_way) > most_bytes:
          yield _outcome(under_way.popleft())
      while under_way:
        yield _outcome(under_way.popleft())
    finally:
      # What a device is at ends; nothing that waits is begun.
      for thread in threads:
        thread.shutdown(cancel_futures=True)


def _least_busy(under_way, num_devices):
  """Index of the device that has the fewest batches to do."""
  waiting = [0] * num_devices
  for _, future, device, _ in under_way:
    waiting[device] += not future.done()
  return waiting.index(min(waiting))


def _outcome(entry):
  batch, future, _, _ = entry
  # The computing may still be under way when `start` has returned.
  return batch, lambda: future.result()()
