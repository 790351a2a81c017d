"""One case: what it is given, how it may end, and what counts as a fault."""

import dataclasses
import os
import re
import traceback
from collections.abc import Callable

import numpy as np

from deeplab.errors import InputError

# What a case may come to. Only the first two are as they should be.
TAKEN = 'taken'  # Success.
REFUSED = 'refused'  # One line that says why.
FAULTS = (
  'traceback',  # Another exception than InputError.
  'crash',  # The process ended.
  'hang',  # It took too much time.
  'memory',  # It took too much memory.
  'silent',  # Damage was taken without a word.
  'lines',  # The message is empty, or several lines, or endless.
  'inner',  # The message quotes TensorFlow's or Python's inner workings.
  'control',  # A terminal would obey characters in what was printed.
)
OUTCOMES = (TAKEN, REFUSED, *FAULTS)
_INNER = re.compile(
  r'Graph execution error|Detected at node|\{\{(function_)?node |\[Op:|<tf\.Tensor|object at 0x'
  r'|Traceback \(most recent|errors_impl\.'
)
_LONGEST_LINE = 3000
_CONTROL = re.compile(r'[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]')


class Silent(Exception):
  """Damage was taken without a word, or what was read is not what is true."""


class Ended(Exception):
  """What a case came to, where it is neither a return nor an InputError."""

  def __init__(self, outcome: str, detail: str):
    super().__init__(outcome, detail)
    self.outcome, self.detail = outcome, detail


@dataclasses.dataclass
class Case:
  """What a target is given.

  Attributes:
    number: of the case; with the seed it decides everything.
    random: where all of its choices come from.
    directory: its own, empty.
    seeds: directory of what the target's `prepare` wrote; not to be changed.
  """

  number: int
  random: np.random.Generator
  directory: str
  seeds: str

  def note(self, text: str) -> None:
    """Says what the damage is, for who reads a fault; kept even if the process dies."""
    with open(self.directory + '.note', 'a', encoding='utf-8', errors='backslashreplace') as file:
      file.write(text + '\n')

  def path(self, name: str) -> str:
    """Of a file in the case's directory."""
    return os.path.join(self.directory, name)

  def write(self, name: str, content: bytes | str) -> str:
    """Writes a file in the case's directory; returns its path."""
    path = self.path(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    content = content.encode('utf-8', 'surrogateescape') if isinstance(content, str) else content
    with open(path, 'wb') as file:
      file.write(content)
    return path

  def choose(self, choices):
    """One of a sequence, as it is (numpy's own turns texts and tuples into arrays)."""
    return choices[int(self.random.integers(len(choices)))]

  def chance(self, probability: float) -> bool:
    """True with this probability."""
    return bool(self.random.random() < probability)


@dataclasses.dataclass(frozen=True)
class Target:
  """A kind of input.

  Attributes:
    name: of it.
    run: takes a Case; returns where the input was taken, raises InputError where it was refused.
    weight: how often it comes, relative to the others.
    prepare: writes what its cases damage into a directory; None: nothing.
    own_process: each case is a process of its own, as a command is.
    megabytes: that a case may need beyond what the process has.
    seconds: of processor time that a case may take.
  """

  name: str
  run: Callable[[Case], None]
  weight: float
  prepare: Callable[[str], None] | None = None
  own_process: bool = False
  megabytes: int = 1024
  seconds: float = 20.0


def outcome_of(run: Callable[[Case], None], case: Case) -> tuple[str, str]:
  """(one of OUTCOMES, details) of running a case in this process."""
  try:
    run(case)
  except InputError as error:
    return judged(str(error))
  except Silent as error:
    return 'silent', str(error)
  except Ended as end:
    return end.outcome, end.detail
  except OSError as error:
    if error.filename is None or error.errno is None:
      return 'traceback', traceback.format_exc()[-3000:]
    return judged(str(error))  # Commands show it as it is.
  except MemoryError:
    return 'memory', 'MemoryError\n' + traceback.format_exc()[-2000:]
  except BaseException:  # pylint: disable=broad-except  # Whatever it is, it is what is looked for.
    return 'traceback', traceback.format_exc()[-3000:]
  return TAKEN, ''


def judged(message: str, *, longest: int = _LONGEST_LINE) -> tuple[str, str]:
  """(outcome, details) of a message that refuses an input; `longest`: characters it may have."""
  if not message.strip() or '\n' in message.strip('\n') or len(message) > longest:
    return 'lines', message[:4000]
  if _INNER.search(message):
    return 'inner', message
  return REFUSED, message


def judged_output(text: str) -> tuple[str, str] | None:
  """A fault in what a case printed, or None."""
  if 'Traceback (most recent call last)' in text:
    return 'traceback', text[-3000:]
  found = _CONTROL.search(text)
  if found:
    return 'control', f'{found.group()!r} printed: ' + repr(
      text[max(0, found.start() - 300) :][:600]
    )
  return None
