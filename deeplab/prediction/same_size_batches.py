"""Batches of items of one size, from a stream of items of many sizes."""

from collections.abc import Callable, Iterable, Iterator


def same_size_batches(
  items: Iterable,
  size_of: Callable,
  *,
  batch_size: int,
  look_ahead: int | None = None,
  bytes_of: Callable = lambda item: 0,
  most_bytes: int | None = None,
) -> Iterator[list]:
  """Groups items by size, so that no batch needs padding that the network would see.

  Args:
    items: iterable.
    size_of: callable, item -> hashable size; only items of one size share a batch.
    batch_size: the most items in a batch.
    look_ahead: how many items may wait for company; then the size that waited longest goes as it
      is. Default: four batches.
    bytes_of: callable, item -> what it takes in memory.
    most_bytes: of the items that wait together; None: any number.

  Yields:
    lists of 1 to `batch_size` items. Every item comes once; the order is that of the items where
    batch_size is 1.
  """
  look_ahead = 4 * batch_size if look_ahead is None else look_ahead
  waiting = {}  # Size -> items; a dict keeps the order in which sizes began to wait.
  num_waiting = bytes_waiting = 0
  for item in items:
    size = size_of(item)
    group = waiting.setdefault(size, [])
    group.append(item)
    num_waiting += 1
    bytes_waiting += bytes_of(item)
    are_few = num_waiting < look_ahead and (most_bytes is None or bytes_waiting < most_bytes)
    if len(group) < batch_size and are_few:
      continue
    full = size if len(group) == batch_size else next(iter(waiting))
    batch = waiting.pop(full)
    num_waiting -= len(batch)
    bytes_waiting -= sum(map(bytes_of, batch))
    yield batch
  yield from waiting.values()
