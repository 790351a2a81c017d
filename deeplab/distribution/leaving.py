"""How a process ends that was one of several workers."""

import contextlib
import os
from typing import Any

from deeplab import standard_streams

_at_once = False
_kept = []


def without_delay() -> None:
  """From now on `finish` ends the process at once. TensorFlow's own end waits for the other workers
  for half a minute or for ever, though everybody has done its part, or is gone.
  """
  global _at_once
  _at_once = True


def keep(value: Any) -> None:
  """Keeps an object until the process ends, if that is at once: where there are several workers,
  the end of a data set's iterator can take TensorFlow half a minute.
  """
  if _at_once:
    _kept.append(value)


def finish(status: int | str | None) -> None:
  """Ends the process with this exit status if it is to end at once; else does nothing."""
  if not _at_once:
    return
  with contextlib.suppress(standard_streams.OutputLost):
    standard_streams.flush()
  os._exit(status if isinstance(status, int) else int(status is not None))
