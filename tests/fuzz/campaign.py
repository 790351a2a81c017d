"""Runs cases in processes that may hang, crash or need too much memory, and counts how they end.

The processes are forked from one that has imported TensorFlow and done nothing else, so that a new
one costs little. Each runs case after case; this one watches them.
"""

import contextlib
import dataclasses
import fcntl
import gc
import json
import os
import resource
import select
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from . import cases
from .result import Result
from .watched_process import WatchedProcess

_LARGEST_FILE = 3 << 30
_ADDRESS_SPACE = 24 << 30


class Campaign:
  """Cases by number: which target each is of, and how it ends."""

  def __init__(
    self,
    targets: Sequence[cases.Target],
    *,
    seed: int,
    directory: str,
    num_processes: int = 2,
    save: str | None = None,
  ):
    """Prepares what is damaged.

    Args:
      targets: kinds of input; all of them, so that a case's number means the same in each campaign.
      seed: with the number of a case it decides everything about it.
      directory: for temporary files.
      num_processes: that run cases at once.
      save: directory that gets the input of each fault, or None.
    """
    self._targets, self._seed, self._directory = tuple(targets), seed, directory
    self._num_processes, self._save = num_processes, save
    weights = np.array([target.weight for target in targets])
    self._shares = weights / weights.sum()

  def target_of(self, number: int) -> cases.Target:
    """The target of case `number`."""
    drawn = np.random.default_rng([self._seed, number]).choice(len(self._targets), p=self._shares)
    return self._targets[int(drawn)]

  def run(self, numbers: Iterable[int], *, until: float | None = None) -> Iterator[Result]:
    """Yields a Result for each case, as they end; starts none after time.monotonic() `until`."""
    gc.freeze()  # Else each process would look through all of TensorFlow, and so copy it.
    workers = {
      own_process: [WatchedProcess(self) for _ in range(self._num_processes)]
      for own_process in (False, True)
    }
    waiting = iter(numbers)
    try:
      while True:
        busy = [worker for worker in sum(workers.values(), []) if worker.number is not None]
        while len(busy) < self._num_processes and (until is None or time.monotonic() < until):
          number = next(waiting, None)
          if number is None:
            break
          own_process = self.target_of(number).own_process
          busy.append(next(each for each in workers[own_process] if each.number is None))
          busy[-1].start(number)
        if not busy:
          return
        select.select([worker.answers for worker in busy], [], [], 0.1)
        for worker in busy:
          result = worker.look()
          if result is not None:
            result.note = self._note_of(result.number)
            self._keep(result)
            yield result
    finally:
      for worker in sum(workers.values(), []):
        worker.end()

  # -- in the process of a worker

  def serve(self, questions: int, answers: int) -> None:
    """Runs the cases whose numbers come through one pipe, and answers by the other."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE,) * 2)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open(questions, encoding='ascii') as numbers, open(answers, 'w', encoding='utf-8') as file:
      for line in numbers:
        file.write(json.dumps(self._run_here(int(line))) + '\n')
        file.flush()

  def _run_here(self, number):
    target = self.target_of(number)
    directory = self.directory_of(number)
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    with contextlib.suppress(FileNotFoundError):
      os.remove(directory + '.note')
    case = cases.Case(
      number, np.random.default_rng([self._seed, number, 1]), directory, self._seeds_of(target)
    )
    before, started = _reset_peak(), time.process_time()
    with _printed_to(directory + '.output'):
      outcome, detail = cases.outcome_of(target.run, case)
    with open(directory + '.output', encoding='utf-8', errors='replace') as file:
      printed = file.read()
    megabytes = (_peak() - before) / 1e6
    if outcome not in cases.FAULTS:
      outcome, detail = cases.judged_output(printed) or (outcome, detail)
    if outcome not in cases.FAULTS and megabytes > target.megabytes:
      outcome, detail = 'memory', f'{megabytes:.0f} MB; {outcome}: {detail}'
    return dataclasses.asdict(
      Result(
        number,
        target.name,
        outcome,
        detail,
        seconds=time.process_time() - started,
        megabytes=megabytes,
      )
    )

  def directory_of(self, number: int) -> str:
    """Where case `number` has its files."""
    return os.path.join(self._directory, f'case-{number}')

  def _seeds_of(self, target):
    """Where `prepare` of a target has written, in this process or in another."""
    directory = os.path.join(self._directory, f'seeds-{target.name}')
    with open(directory + '.lock', 'w', encoding='ascii') as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      if not os.path.exists(directory):
        aside = f'{directory}-{os.getpid()}'
        os.makedirs(aside)
        if target.prepare is not None:
          with _printed_to(aside + '.output'):
            target.prepare(aside)
        os.rename(aside, directory)
    return directory

  # -- in this process

  def _keep(self, result):
    """Saves the input of a fault, and removes the case's files."""
    directory = self.directory_of(result.number)
    if result.is_fault and self._save:
      kept = os.path.join(self._save, f'{result.target}-{result.outcome}-{result.number}')
      shutil.rmtree(kept, ignore_errors=True)
      with contextlib.suppress(OSError, shutil.Error):
        shutil.copytree(directory, kept, symlinks=True, ignore=_not_plain)
      os.makedirs(kept, exist_ok=True)
      with open(os.path.join(kept, 'fault.json'), 'w', encoding='utf-8') as file:
        json.dump(dataclasses.asdict(result), file, indent=1)
    shutil.rmtree(directory, ignore_errors=True)
    for suffix in ('.note', '.output'):
      with contextlib.suppress(FileNotFoundError):
        os.remove(directory + suffix)

  def _note_of(self, number):
    try:
      with open(self.directory_of(number) + '.note', encoding='utf-8') as file:
        return file.read().strip()
    except FileNotFoundError:
      return ''


@contextlib.contextmanager
def _printed_to(path):
  """stdout and stderr of the whole process, C++ included, go to a file meanwhile."""
  sys.stdout.flush()
  sys.stderr.flush()
  kept = os.dup(1), os.dup(2)
  with open(path, 'wb') as file:
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
  try:
    yield
  finally:
    with contextlib.suppress(OSError, ValueError):
      sys.stdout.flush()
      sys.stderr.flush()
    for number, descriptor in zip((1, 2), kept):
      os.dup2(descriptor, number)
      os.close(descriptor)


def _not_plain(directory, names):
  """Of the names in a directory those that are no file, link or directory, which copies hang on."""
  return [
    name
    for name in names
    if not os.path.islink(path := os.path.join(directory, name))
    and not os.path.isdir(path)
    and (not os.path.isfile(path) or os.path.getsize(path) > 1 << 26)
  ]


def _reset_peak():
  """Bytes of memory of this process now; from now on `_peak` counts from here."""
  with contextlib.suppress(OSError):  # Then the peak of the whole life of the process counts.
    with open('/proc/self/clear_refs', 'w', encoding='ascii') as file:
      file.write('5')
  return _status('VmRSS')


def _peak():
  return _status('VmHWM')


def _status(name):
  with open('/proc/self/status', encoding='ascii', errors='replace') as file:
    for line in file:
      if line.startswith(name):
        return 1024 * int(line.split()[1])
  return 0


def table(results: Iterable[Result]) -> str:
  """Counts of outcomes, a target a line and all of them; outcomes that never came are left out.

  `seconds` is the processor time of all cases, `slowest` that of one, `most MB` the memory of one.
  """
  of_target = {}
  for result in results:
    of_target.setdefault(result.target, []).append(result)
  total = sum(of_target.values(), [])
  came = {result.outcome for result in total}
  outcomes = [each for each in cases.OUTCOMES if each in came or each not in cases.FAULTS]
  lines = [
    f'{"":<12}{"cases":>7}{"seconds":>9}{"slowest":>9}{"most MB":>9}'
    + ''.join(f'{each:>10}' for each in outcomes)
  ]
  for name, some in [*sorted(of_target.items()), ('all', total)]:
    seconds = [result.seconds for result in some] or [0.0]
    lines.append(
      f'{name:<12}{len(some):>7}{sum(seconds):>9.1f}{max(seconds):>9.1f}'
      f'{max((result.megabytes for result in some), default=0.0):>9.0f}'
      + ''.join(f'{sum(each.outcome == outcome for each in some):>10}' for outcome in outcomes)
    )
  return '\n'.join(lines)
