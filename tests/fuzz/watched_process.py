"""A process that runs cases and is ended where one takes too much time or memory."""

import json
import os
import resource
import select
import signal
import time
from typing import TYPE_CHECKING

from .result import Result

if TYPE_CHECKING:
  from .campaign import Campaign

_PAGE = resource.getpagesize()
_TICKS = os.sysconf('SC_CLK_TCK')
_WALL_FOR_CPU = 15  # Processes wait for each other and for the disk; one that only waits ends too.


class WatchedProcess:
  """A process that runs cases, replaced when it dies or must be killed.

  Attributes:
    number: of the case it is at, or None.
    answers: descriptor that can be read when the case has ended.
  """

  def __init__(self, campaign: 'Campaign'):
    self._campaign, self._pid = campaign, None
    self.number, self.answers = None, None

  def start(self, number: int) -> None:
    """Begins a case."""
    target = self._campaign.target_of(number)
    if self._pid is None:
      self._fork()
    self.number, self._target = number, target
    self._since, self._processor_time = time.monotonic(), _processor_time(self._pid)
    self._memory = _memory(self._pid)
    os.write(self._questions, b'%d\n' % number)

  def look(self) -> Result | None:
    """The Result of the case if it has ended, of itself or because it must."""
    if select.select([self.answers], [], [], 0)[0]:
      line = self._buffered.readline()
      number, self.number = self.number, None
      if line.endswith(b'\n'):
        if self._target.own_process:
          self.end()
        return Result(**json.loads(line))
      status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
      self._pid = None
      self.end()
      return Result(
        number, self._target.name, 'crash', f'exit status {status}: {self._printed(number)}'
      )
    spent = _processor_time(self._pid) - self._processor_time
    waited = time.monotonic() - self._since
    grown = (_memory(self._pid) - self._memory) / 1e6
    outcome = None
    if spent > self._target.seconds or waited > _WALL_FOR_CPU * self._target.seconds:
      outcome = 'hang'
    elif grown > 2 * self._target.megabytes:
      outcome = 'memory'
    if outcome is None:
      return None
    detail = f'{spent:.1f} s of processor time, {waited:.1f} s, {grown:.0f} MB'
    result = Result(self.number, self._target.name, outcome, detail, seconds=spent, megabytes=grown)
    self.number = None
    self.end()
    return result

  def end(self) -> None:
    """Ends the process, if there is one."""
    if self._pid is not None:
      os.kill(self._pid, signal.SIGKILL)
      os.waitpid(self._pid, 0)
      self._pid = None
    if self.answers is not None:
      os.close(self._questions)
      self._buffered.close()
      self.answers = None

  def _fork(self):
    questions, self._questions = os.pipe()
    self.answers, answers = os.pipe()
    self._buffered = os.fdopen(self.answers, 'rb', buffering=1 << 16)
    self._pid = os.fork()
    if self._pid:
      os.close(questions)
      os.close(answers)
      return
    status = 1
    try:
      os.close(self._questions)
      self._campaign.serve(questions, answers)
      status = 0
    finally:
      os._exit(status)

  def _printed(self, number):
    try:
      with open(self._campaign.directory_of(number) + '.output', 'rb') as file:
        return file.read()[-1500:].decode(errors='backslashreplace')
    except OSError:
      return ''


def _memory(pid):
  """Bytes of memory of a process; 0 where it is gone."""
  try:
    with open(f'/proc/{pid}/statm', encoding='ascii') as file:
      return _PAGE * int(file.read().split()[1])
  except OSError:
    return 0


def _processor_time(pid):
  """Seconds of a process; 0 where it is gone."""
  try:
    with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
      fields = file.read().rsplit(')', 1)[1].split()
  except OSError:
    return 0.0
  return (int(fields[11]) + int(fields[12])) / _TICKS
