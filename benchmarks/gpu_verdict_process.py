"""The parts of gpu_verdict.py in processes of their own, which may crash or hang."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

from gpu_verdict_outcomes import Outcome, as_note

ALL, ONE, NONE = 'all', 'one', 'none'
_SECONDS_TO_END = 20  # Of a process that is done.


@dataclasses.dataclass(frozen=True)
class Part:
  """One process of the verdict.

  Attributes:
    group: what --parts calls it.
    name: of the function in gpu_verdict_part.py.
    seconds: its limit.
    gpus: which it sees: 'all', 'one' or 'none'.
    settings: dict of its own.
    title: for the lines; '' for the name.
    why_not: in a dry run, why it is not run; '' where it is.
  """

  group: str
  name: str
  seconds: float
  gpus: str = ONE
  settings: dict = dataclasses.field(default_factory=dict)
  title: str = ''
  why_not: str = ''

  def __post_init__(self):
    object.__setattr__(self, 'title', self.title or self.name)


def tell(verdict, title, what, state, note):
  """Adds an outcome without a number, and prints it."""
  verdict.outcomes.append(Outcome(title, what, state, note=note))
  _print(verdict.outcomes[-1])


def _print(outcome):
  print(f'{outcome.state:<9}{outcome.part}: {outcome.line()}', flush=True)


def run_part(part, settings, verdict, *, worker, directory, own, left):
  """Runs one part and tells what it finds while it goes on, and how it ended if not well.

  Args:
    part: Part.
    settings: dict, what its process is told beside what is said here.
    verdict: Verdict, which gets what is found.
    worker: path of the program.
    directory: for results, and what parts leave each other.
    own: the part's limit in seconds.
    left: seconds left for all parts.
  """
  seconds = min(own, left)
  if seconds < 1:
    note = 'the seconds of all parts are used up; --seconds gives more'
    tell(verdict, part.title, 'all of it', 'not run', note)
    return
  results = os.path.join(directory, f'results_{len(os.listdir(directory))}.jsonl')
  told = dict(part=part.name, title=part.title, results=results, directory=directory)
  errors = results + '.errors'
  with open(errors, 'wb') as log:
    process = subprocess.Popen(
      [sys.executable, worker, json.dumps({**settings, **told, 'seconds': seconds})],
      stdin=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL,
      stderr=log,
      env=_environment(NONE if settings['is_dry_run'] else part.gpus),
      start_new_session=True,
    )
  try:
    is_done, in_time = _follow(process, results, verdict, seconds=seconds)
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)  # With what it started itself.
    process.wait()
  what = 'what is left of it'
  if not in_time and seconds < own and not is_done:
    tell(verdict, part.title, what, 'not run', 'cut short: the seconds of all parts are used up')
  elif not in_time:
    note = f'no end within its {seconds:.0f} s: it hangs, or needs more, which --seconds gives'
    tell(verdict, part.title, what, 'FAIL', note)
  elif process.returncode or not is_done:
    note = as_note(f'{_way_of_ending(process.returncode)}: {_last_words(errors)}')
    tell(verdict, part.title, what, 'FAIL', note)


def _follow(process, results, verdict, *, seconds):
  """Tells what the process writes; returns (it came to its end, it did so in time)."""
  deadline, is_done, position = time.monotonic() + seconds, False, 0
  while True:
    has_ended = process.poll() is not None
    if os.path.exists(results):
      with open(results, 'rb') as file:
        file.seek(position)
        text = file.read()
      whole = text[: text.rfind(b'\n') + 1]
      position += len(whole)
      for line in whole.splitlines():
        found = json.loads(line)
        if 'done' in found:
          is_done, deadline = True, time.monotonic() + _SECONDS_TO_END
        outcome = verdict.take(found)
        if outcome is not None:
          _print(outcome)
    if has_ended or time.monotonic() > deadline:
      return is_done, has_ended
    time.sleep(0.05)


def _environment(gpus):
  environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL='2')
  if gpus == NONE:
    environment['CUDA_VISIBLE_DEVICES'] = '-1'
  elif gpus == ONE:
    environment['CUDA_VISIBLE_DEVICES'] = os.environ.get('CUDA_VISIBLE_DEVICES', '0').split(',')[0]
  return environment


def _way_of_ending(status):
  if status < 0:
    return f'ended by {signal.Signals(-status).name}'
  return f'exit status {status}'


def _last_words(path):
  """Of an error log: the exception, and the last line, which has TensorFlow's reason."""
  with open(path, encoding='utf-8', errors='replace') as file:
    lines = [line.strip() for line in file if line.strip()]
  named = [line for line in lines[:-1] if re.match(r'[\w.]+(Error|Exception)\b', line)]
  return ' '.join([*named[-1:], *lines[-1:]]) or 'it said nothing'
