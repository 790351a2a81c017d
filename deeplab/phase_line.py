"""The line on a terminal that says what a command is at while nothing else moves, such as `reading
the first batch, 3 s`. It is the last line, and goes when the phase ends or another line is written.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from deeplab.standard_streams import OutputLost

_ERASE = '\r\x1b[K'
_lock = threading.RLock()
_is_shown = False


@contextlib.contextmanager
def shown(name: str, *, ticks: bool = True) -> Iterator[None]:
  """While open, stderr, which must be a terminal, shows `name` and the seconds since.

  Args:
    ticks: draw it anew each second. False where what happens meanwhile must have stderr alone.
  """
  started, over = time.monotonic(), threading.Event()

  def draw():
    global _is_shown
    with _lock:
      if over.is_set():
        return
      seconds = time.monotonic() - started
      text = f'{name}, {seconds:.0f} s' if seconds >= 1 else f'{name} ...'
      sys.stderr.write(_ERASE + text)
      sys.stderr.flush()
      _is_shown = True

  def tick():
    with contextlib.suppress(OutputLost):  # Of a terminal that has gone; the next line tells.
      while not over.wait(1.0):
        draw()

  draw()
  if ticks:
    threading.Thread(target=tick, daemon=True).start()
  try:
    yield
  finally:
    with _lock:
      over.set()
      clear()


def clear() -> None:
  """Removes the line, so that another one can be written in its place."""
  global _is_shown
  with _lock:
    if _is_shown:
      sys.stderr.write(_ERASE)
      sys.stderr.flush()
      _is_shown = False
