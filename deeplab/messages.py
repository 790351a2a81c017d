"""What a run tells whoever started it: lines, warnings, problems of files, and progress bars.

The user of a command reads them on the terminal. A program that calls the toolkit hears them its
own way: `heard_by` says which, for what is called meanwhile, in the same thread.
"""

import contextlib
import contextvars
import os
import sys
from collections.abc import Iterable, Iterator

from deeplab import phase_line, standard_streams
from deeplab.errors import shown


class Terminal:
  """Hears for a command: lines go to stdout, all else to stderr; control characters of names are
  shown escaped.
  """

  def say(self, line: str) -> None:
    """Takes a line on how the run goes, which scripts may read."""
    phase_line.clear()
    print(shown(line), flush=True)

  def warn(self, line: str) -> None:
    """Takes a line on what may not be meant; the run goes on."""
    phase_line.clear()
    print(f'warning: {shown(line)}', file=sys.stderr, flush=True)

  def problem(self, line: str) -> None:
    """Takes one of several faults, before the InputError that counts them."""
    phase_line.clear()
    print(f'problem: {shown(line)}', file=sys.stderr, flush=True)

  def shows_bars(self) -> bool:
    """Whether progress bars may be drawn on stderr."""
    return sys.stderr.isatty()


_TERMINAL = Terminal()
_hearer = contextvars.ContextVar('hearer', default=_TERMINAL)


@contextlib.contextmanager
def heard_by(hearer: Terminal) -> Iterator[None]:
  """Until it ends, `hearer`, an object with the methods of Terminal, hears this thread."""
  token = _hearer.set(hearer)
  try:
    yield
  finally:
    _hearer.reset(token)


def say(*lines: str) -> None:
  """Says how the run goes."""
  for line in lines:
    _hearer.get().say(line)


def say_in_any_case(line: str) -> None:
  """Says it on stdout or, where that cannot be written any more, on stderr; what was saved is not
  to be taken for a failure because nobody reads of it.
  """
  with standard_streams.when_lost(lambda _: None):
    say(line)
    if standard_streams.is_lost('stdout'):
      warn([line])


def warn(lines: Iterable[str]) -> None:
  """Warns, once for each line; the run goes on."""
  for line in lines:
    _hearer.get().warn(line)


def problem(line: str) -> None:
  """Names one of several faults."""
  _hearer.get().problem(line)


@contextlib.contextmanager
def phase(name: str, *, ticks: bool = True) -> Iterator[None]:
  """While open, a terminal shows what the run is at; see `phase_line.shown`."""
  if not shows_bars():
    yield
    return
  with phase_line.shown(shown(name), ticks=ticks):
    yield


def shows_bars() -> bool:
  """Whether progress bars may be drawn on stderr."""
  return _hearer.get().shows_bars()


def size_for_bars() -> dict[str, int]:
  """The arguments of tqdm for a terminal that says it has 0 columns or lines, as a serial one may:
  80 columns and 24 lines. Else {}: tqdm asks the terminal.
  """
  try:
    size = os.get_terminal_size(sys.stderr.fileno())
  except (OSError, ValueError):  # No terminal, or a stream that is no file.
    return {}
  if size.columns and size.lines:
    return {}
  return {'ncols': (size.columns or 80) - 1, 'nrows': size.lines or 24}
