"""One command at a time in a directory: a lock, which a kill frees too."""

import contextlib
import os
import time
from collections.abc import Iterator

from deeplab import atomic_files
from deeplab.errors import InputError


@contextlib.contextmanager
def held(path: str, *, refusal: str, seconds: float = 0.0) -> Iterator[None]:
  """While open, no other process can have the directory's lock. Without any lock on a file system
  that has none.

  Args:
    path: a directory.
    refusal: message where another process has it.
    seconds: to wait for it.

  Raises:
    InputError: another process has it.
  """
  try:
    descriptor = os.open(path, os.O_RDONLY)
  except OSError:  # Windows opens no directory.
    yield
    return
  try:
    _take(descriptor, refusal, until=time.monotonic() + seconds)
    yield
  finally:
    os.close(descriptor)


def _take(descriptor, refusal, *, until):
  while True:
    try:
      return atomic_files.lock(descriptor)
    except BlockingIOError as error:
      if time.monotonic() >= until:
        raise InputError(refusal) from error
      time.sleep(0.1)
    except OSError:
      return None  # A file system without locks.
