"""Pairs of files through worker processes."""

import collections
import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence

from deeplab import quiet_start
from deeplab.conversion import source_files
from deeplab.conversion.annotated_images import AnnotatedImage
from deeplab.conversion.pairing import Pair
from deeplab.options import ConversionOptions

# Of files that the workers are at or have been, until they are written.
_MOST_BYTES_AHEAD = 256 * 2**20


def convert_pairs(
  pairs: Sequence[Pair | AnnotatedImage],
  options: ConversionOptions,
  colors: dict[tuple, int] | None,
) -> Iterator[source_files.Converted]:
  """Yields `source_files.convert_pair` of each pair in order, made in processes; only some are made
  ahead, and fewer of large files, which bounds the memory.
  """
  num_workers = min(options.num_workers or os.cpu_count() or 1, len(pairs))
  if num_workers <= 1:
    yield from (source_files.convert_pair(pair, options, colors) for pair in pairs)
    return
  # Spawned, not forked: a fork of a process in which TensorFlow runs may hang.
  context = multiprocessing.get_context('spawn')
  with concurrent.futures.ProcessPoolExecutor(
    num_workers, mp_context=context, initializer=_start_worker
  ) as pool:
    waiting, sizes = collections.deque(), collections.deque()
    try:
      for pair in pairs:
        sizes.append(source_files.num_bytes(pair))
        while waiting and (len(waiting) > 8 * num_workers or sum(sizes) > _MOST_BYTES_AHEAD):
          sizes.popleft()
          yield waiting.popleft().result()
        waiting.append(pool.submit(source_files.convert_pair, pair, options, colors))
      while waiting:
        yield waiting.popleft().result()
    finally:
      # Waits: left to the end of the interpreter, closing it would race with itself.
      pool.shutdown(cancel_futures=True)


def _start_worker():
  """Ties a worker to its parent: an interrupt is the parent's to handle, and a killed parent leaves
  no worker behind.
  """
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  quiet_start.hide_warnings_of_pillow()
  parent = multiprocessing.parent_process()

  def end_with_parent():
    parent.join()
    os._exit(1)

  threading.Thread(target=end_with_parent, daemon=True).start()
