"""stdout and stderr of a command: closed, full, without a reader, or of a terminal that has gone.

What cannot be written is dropped from then on, so that the end of the command is no second failure.
Who has work to save hears of it (`when_lost`); otherwise it ends the command, as OutputLost.
"""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator


class OutputLost(Exception):
  """A stream takes no more, and this is the first notice of it. No OSError, since those are
  explained as failures of the files that a command writes.

  Attributes:
    stream: 'stdout' or 'stderr'.
    reason: an OSError.
  """

  def __init__(self, stream: str, reason: OSError):
    super().__init__(
      f'{stream}: cannot be written ({reason.strerror}); free space, or send it elsewhere'
    )
    self.stream, self.reason = stream, reason

  @property
  def is_unread(self) -> bool:
    """Whether nobody reads it any more, since `head` or a pager has ended."""
    return isinstance(self.reason, BrokenPipeError)


_lost = set()
_listeners: list[Callable[[OutputLost], None]] = []


def prepare() -> None:
  """Makes sys.stdout and sys.stderr such streams; at the start of a command."""
  for descriptor in range(3):  # Else the next file that is opened is what a closed one was.
    _open_if_closed(descriptor)
  for name, descriptor in (('stdout', 1), ('stderr', 2)):
    stream = getattr(sys, name)
    try:
      is_file = stream is None or stream.fileno() == descriptor
    except (OSError, ValueError):  # Not a file: in another program.
      is_file = False
    if is_file:
      setattr(sys, name, _text_stream(name, descriptor, stream))


@contextlib.contextmanager
def when_lost(listener: Callable[[OutputLost], None]) -> Iterator[None]:
  """While open, `listener` is called where a stream takes no more, and the work goes on. It may be
  called in any thread, and must not write to the stream that is lost.
  """
  _listeners.append(listener)
  try:
    yield
  finally:
    _listeners.remove(listener)


def is_lost(name: str) -> bool:
  """Whether 'stdout' or 'stderr' has been lost."""
  return name in _lost


def flush() -> None:
  """Writes out what is buffered. Raises OutputLost."""
  sys.stdout.flush()
  sys.stderr.flush()


class _File(io.FileIO):
  """A descriptor that becomes the null device where it cannot be written."""

  def __init__(self, name, descriptor):
    super().__init__(descriptor, 'w', closefd=False)
    self._stream = name

  def write(self, data):
    try:
      return super().write(data)
    except OSError as error:
      if isinstance(error, BlockingIOError):
        raise
      _drop(self.fileno())
      _lost.add(self._stream)
      lost = OutputLost(self._stream, error)
      if not _listeners:
        raise lost from None
      for listener in tuple(_listeners):
        listener(lost)
      return len(data)


def _text_stream(name, descriptor, stream):
  raw = _File(name, descriptor)
  settings = {'encoding': 'utf-8'}
  if stream is not None:
    settings = {
      'encoding': stream.encoding,
      'line_buffering': stream.line_buffering,
      'write_through': stream.write_through,
    }
  # Python's -u: nothing is held back.
  buffer = raw if settings.get('write_through') else io.BufferedWriter(raw)
  return io.TextIOWrapper(buffer, errors='backslashreplace', **settings)


def _open_if_closed(descriptor):
  try:
    os.fstat(descriptor)
  except OSError:
    _drop(descriptor)


def _drop(descriptor):
  null = os.open(os.devnull, os.O_RDWR)
  if null == descriptor:
    os.set_inheritable(null, True)
  else:
    os.dup2(null, descriptor)
    os.close(null)
