"""The output of several processes as one: whole lines, each with the number of its process."""

import os
import sys

_LONGEST_LINE = 2**16  # Bytes; a longer one is shown in parts.
_ERASE = '\r\x1b[K'


class Lines:
  """Cuts what a process writes into lines.

  A line that was written over and over, such as a progress bar, is what it was last.
  """

  def __init__(self):
    self._rest = b''

  def take(self, data: bytes) -> list[str]:
    """The lines that are whole with `data`, without their ends."""
    *lines, self._rest = (self._rest + data).split(b'\n')
    if len(self._rest) > _LONGEST_LINE:
      self._rest = _last_state(self._rest)
    if len(self._rest) > _LONGEST_LINE:
      lines.append(self._rest)
      self._rest = b''
    return [_text(_last_state(line)) for line in lines]

  def end(self) -> list[str]:
    """The last line, if it has no end."""
    last, self._rest = _last_state(self._rest), b''
    return [_text(last)] if last else []

  @property
  def progress(self) -> str:
    """What stands in the line that is written over and over now; '' without one."""
    return _text(_last_state(self._rest)) if b'\r' in self._rest else ''


def _last_state(line):
  return line.rstrip(b'\r').rpartition(b'\r')[2].replace(b'\x1b[K', b'')


def _text(line):
  return line.decode('utf-8', 'surrogateescape')


class MarkedOutput:
  """Writes lines to stdout and stderr with `[NUMBER] ` before each.

  On a terminal the progress of the first process stays in the last line, below the lines of all.
  """

  def __init__(self):
    self._progress = ''
    self._shows_progress = sys.stderr.isatty()

  def lines(self, number: int, lines: list[str], *, to_stderr: bool) -> None:
    """Writes lines of one process."""
    self._write(''.join(f'[{number}] {line}\n' for line in lines), to_stderr=to_stderr)

  def own(self, line: str) -> None:
    """Writes a line of the launcher itself to stderr."""
    self._write(f'{os.path.basename(sys.argv[0])}: {line}\n', to_stderr=True)

  def progress(self, text: str) -> None:
    """Shows what the first process is at; '' for nothing."""
    if not self._shows_progress or text == self._progress:
      return
    self._progress = text
    sys.stderr.write(_ERASE + self._fitting())
    sys.stderr.flush()

  def _write(self, text, *, to_stderr):
    if not text:
      return
    if self._progress:
      sys.stderr.write(_ERASE)
      sys.stderr.flush()
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(text)
    stream.flush()
    if self._progress:
      sys.stderr.write(self._fitting())
      sys.stderr.flush()

  def _fitting(self):
    """The progress as far as it fits into the line, which it must not leave."""
    if not self._progress:
      return ''
    try:
      columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
      columns = 0
    return f'[0] {self._progress}'[: (columns or 80) - 1]
