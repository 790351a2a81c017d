#!/usr/bin/env python3
"""Kills one of two workers at random moments, goes on with both, and compares the end with that of
a run in peace.

    python benchmarks/killed_clusters.py --work_dir=DIR [--kills=20] [--terms=6]

The kills (SIGKILL) come in turns while the workers start, while they make steps, within
milliseconds of a change in the directory of the run, and while they validate; the requests to stop
(SIGTERM) likewise. After a kill the other worker must end within --worker_timeout and some seconds,
with one line and an exit status that is not 0. After a request during the training both must end
with 0 and the checkpoint of the same step. Then the same two commands with --resume must reach the
files of the run in peace, equal to the bit, the log without its times. A third of the runs that go
on are killed, too.

Prints a line for each and the counts; exit status 1 where something differs or hangs.

The commands run in forks of a process that has imported TensorFlow, and MobileNetV2 has five of its
17 blocks, so that the moments are not those of imports and tracing alone.
"""

import argparse
import os
import random
import re
import shutil
import signal
import sys
import time

import command_forks
import drawn_training
import run_contents

from deeplab import checkpoint_files
from deeplab.distribution import local_cluster

_OUTPUT = 'run'
_BLOCKS = ((16, 1), (24, 2), (32, 2), (64, 2), (64, 1))
_MOMENTS = ('start', 'step', 'save', 'validation')
_SHARE_OF_AGAIN = 1 / 3
# Beyond --worker_timeout: TensorFlow's own end of what waits, and a busy machine.
_GRACE_SECONDS = 30.0
_LONGEST_RUN = 900.0  # Seconds; a run in peace that takes longer hangs.


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--work_dir', required=True)
  parser.add_argument('--kills', type=int, default=20, help='by SIGKILL')
  parser.add_argument('--terms', type=int, default=6, help='requests to stop, by SIGTERM')
  parser.add_argument('--worker_timeout', type=float, default=60.0)
  parser.add_argument('--num_steps', type=int, default=30)
  parser.add_argument('--seed', type=int, default=0)
  options = parser.parse_args()
  work = os.path.abspath(options.work_dir)
  os.makedirs(os.path.join(work, 'tmp'))  # A new one.
  os.environ['TMPDIR'] = os.path.join(work, 'tmp')
  os.chdir(work)
  command_forks.prepare()
  from deeplab.model import mobilenet_v2

  mobilenet_v2.BLOCKS = _BLOCKS
  drawn_training.draw(command_forks.run)
  dice = random.Random(options.seed)
  peace = Peace(_commands(options), options)
  signals = [signal.SIGKILL] * options.kills + [signal.SIGTERM] * options.terms
  dice.shuffle(signals)
  faults, longest, goes_on = [], 0.0, False
  for number, sent in enumerate(signals, 1):
    moment = _MOMENTS[number % len(_MOMENTS)]
    while True:
      if not goes_on:
        shutil.rmtree(_OUTPUT, ignore_errors=True)
      disturbed = Disturbed(peace, dice, sent=sent, moment=moment)
      if disturbed.came_in_time:
        break
      if disturbed.failed_by_itself():
        sys.exit(f'without a signal: {disturbed.line()}')
      goes_on = False  # They were faster.
    longest = max(longest, disturbed.seconds)
    line, found = disturbed.line(), disturbed.faults()
    goes_on = not found and number < len(signals) and dice.random() < _SHARE_OF_AGAIN
    after = 'the run that goes on is disturbed, too'
    if not goes_on:
      different = peace.differing(_run_whole(peace.commands, options))
      found += different
      after = f'{len(different)} differences at the end'
    print(f'{number}: {line}; {after}' + ''.join(f'; FAULT {one}' for one in found))
    sys.stdout.flush()
    faults += [f'{number}: {one}' for one in found]
  print(
    f'{options.kills} kills and {options.terms} requests to stop; the other worker ended after '
    f'{longest:.1f} s at most; {len(faults)} faults'
  )
  print('\n'.join(faults))
  sys.exit(bool(faults))


def _commands(options):
  """The arguments of each worker, without whether they begin or go on."""
  hosts = local_cluster.addresses(2)
  return [
    [
      *drawn_training.TRAINER,
      *drawn_training.crop(33),
      *drawn_training.VALIDATION,
      f'--output_path={_OUTPUT}',
      '--batch_size=4',
      f'--num_steps={options.num_steps}',
      '--persist_per_steps=3',
      '--eval_per_steps=6',
      '--max_to_keep=3',
      '--ema_decay=0.9',
      '--batch_norm_decay=0.9',
      '--deterministic',
      f'--worker_hosts={",".join(hosts)}',
      f'--task_index={index}',
      f'--worker_timeout={options.worker_timeout:g}',
    ]
    for index in range(len(hosts))
  ]


class Workers:
  """Both, started. Attribute `statuses`: exit status of those that have ended, -N by signal N."""

  def __init__(self, commands):
    # --resume begins in a directory that is there, as killed runs leave it.
    mode = '--resume' if os.path.isdir(_OUTPUT) else '--overwrite'
    self._processes, self.statuses = [], {}
    for index, command in enumerate(commands):
      outputs = {'stdout': f'out{index}.txt', 'stderr': f'err{index}.txt'}
      for path in outputs.values():  # Nobody is to read those of the run before.
        open(path, 'w').close()
      self._processes.append(command_forks.start([*command, mode], **outputs))

  def look(self) -> bool:
    """Whether one has ended."""
    for index, process in enumerate(self._processes):
      if index not in self.statuses:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
          self.statuses[index] = os.waitstatus_to_exitcode(status)
    return bool(self.statuses)

  def send(self, index: int, number: int) -> None:
    """Sends a signal to one that has not ended."""
    os.kill(self._processes[index], number)

  def wait(self, seconds: float) -> list[int]:
    """Waits until all have ended; returns those that had to be killed after so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
      self.look()
      if len(self.statuses) == len(self._processes):
        return []
      time.sleep(0.01)
    hanging = [index for index in range(len(self._processes)) if index not in self.statuses]
    for index in hanging:
      self.send(index, signal.SIGKILL)
      self.statuses[index] = os.waitstatus_to_exitcode(os.waitpid(self._processes[index], 0)[1])
    return hanging


def _run_whole(commands, options):
  """Faults of a run that nobody disturbs."""
  workers = Workers(commands)
  hanging = workers.wait(_LONGEST_RUN)
  if hanging:
    return [f'workers {hanging} hang']
  if set(workers.statuses.values()) != {0}:
    return [f'exit statuses {workers.statuses}: {_text("err0.txt")}{_text("err1.txt")}']
  return []


class Peace:
  """A run that nobody disturbs: what it leaves, and how long its parts take.

  Attributes:
    commands: of its workers.
    options: of this benchmark.
    seconds_to_first_step, seconds_of_step, seconds_of_validation: seen.
    num_changes: seen in its directory.
  """

  def __init__(self, commands, options):
    self.commands, self.options = commands, options
    workers, changes, times = Workers(commands), run_contents.Changes(_OUTPUT), {}
    began = time.monotonic()
    while len(workers.statuses) < len(commands):
      workers.look()
      changes.look()
      for line in re.findall(
        r'^(?:step: \d+|validation at step \d+: mIOU)', _text('out0.txt'), re.M
      ):
        times.setdefault(line, time.monotonic() - began)
      time.sleep(0.002)
    if set(workers.statuses.values()) != {0}:
      sys.exit(f'the run in peace failed: {workers.statuses}: {_text("err0.txt")}')
    self.num_changes = changes.count
    self.seconds_to_first_step = times['step: 1']
    self.seconds_of_step = times['step: 3'] - times['step: 2']
    # The first, which traces the network.
    self.seconds_of_validation = times['validation at step 6: mIOU'] - times['step: 6']
    self._files = run_contents.files(_OUTPUT)
    print(
      f'in peace: first step after {self.seconds_to_first_step:.1f} s, validation '
      f'{self.seconds_of_validation:.1f} s, {self.num_changes} changes, {len(self._files)} files',
      flush=True,
    )

  def differing(self, faults):
    """The faults, or else what of the directory is not as after the run in peace."""
    if faults:
      return faults
    now = run_contents.files(_OUTPUT)
    names = sorted({*now, *self._files} - self._of_stop(now))
    found = [f'{name} differs' for name in names if now.get(name) != self._files.get(name)]
    return found + [f'{name} is left in TMPDIR' for name in os.listdir('tmp')]

  def _of_stop(self, now):
    """Names that a stop at a step that is not saved otherwise changes, of --max_to_keep=3."""
    numbered = {name for name in (*now, *self._files) if name.startswith('model.ckpt-')}
    more = {name for name in numbered if name not in self._files}
    if not more:
      return set()
    return {*more, 'checkpoint', *(name for name in numbered if name not in now)}


class Disturbed:
  """A run of which one worker gets a signal at a random moment.

  Attributes:
    came_in_time: whether it ran then.
    seconds: from the signal to the end of the other worker.
  """

  def __init__(self, peace, dice, *, sent, moment):
    self._sent, self._moment, self._peace = sent, moment, peace
    self._worker = dice.randrange(2)
    self._workers = Workers(peace.commands)
    self.seconds = 0.0
    self._hanging = []
    self._wait_for_moment(dice)
    self.came_in_time = not self._workers.look()
    self._seen = _last_step()
    if self.came_in_time:
      self._workers.send(self._worker, sent)
    since = time.monotonic()
    self._hanging = self._workers.wait(
      peace.options.worker_timeout + _GRACE_SECONDS if self.came_in_time else _LONGEST_RUN
    )
    self.seconds = time.monotonic() - since
    if self._workers.statuses[self._worker] == 0 and sent == signal.SIGKILL:
      self.came_in_time = False

  def _wait_for_moment(self, dice):
    peace = self._peace
    if self._moment == 'start':
      return self._sleep(dice.uniform(0.0, peace.seconds_to_first_step))
    if self._moment == 'save':
      changes = run_contents.Changes(_OUTPUT)
      wanted = dice.randint(1, peace.num_changes)
      while changes.count < wanted and not self._workers.look():
        changes.look()
        time.sleep(0.0005)
      return self._sleep(dice.uniform(0.0, 0.02))
    steps = range(1, peace.options.num_steps)
    if self._moment == 'validation':
      steps = range(6, peace.options.num_steps + 1, 6)
    # Those that are still to come.
    newest = checkpoint_files.of_run(_OUTPUT) if os.path.isdir(_OUTPUT) else []
    done = max((int(name.rpartition('-')[2]) for name in newest if '-' in name), default=0)
    step = dice.choice([step for step in steps if step > done] or [peace.options.num_steps])
    while f'step: {step},' not in _text('out0.txt') and not self._workers.look():
      time.sleep(0.002)
    duration = peace.seconds_of_step
    if self._moment == 'validation':
      duration = peace.seconds_of_validation
    return self._sleep(dice.uniform(0.0, duration))

  def _sleep(self, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until and not self._workers.look():
      time.sleep(0.0005)

  def failed_by_itself(self) -> bool:
    """Whether a worker failed before the signal was sent."""
    return set(self._workers.statuses.values()) != {0}

  def line(self) -> str:
    """What was done, and what came of it."""
    name = signal.Signals(self._sent).name
    said = _errors(1 - self._worker) or ['nothing']
    last = self._seen or 'before the first step'
    return (
      f'{name} to worker {self._worker}, {self._moment}, {last}; '
      f'statuses {[self._workers.statuses[index] for index in range(2)]}, all ended after '
      f'{self.seconds:.1f} s; the other said: {said[0]}'
    )

  def faults(self) -> list[str]:
    """What should not be."""
    found = [f'worker {index} hangs' for index in self._hanging]
    found += [f'a traceback of worker {index}' for index in range(2) if _has_traceback(index)]
    statuses, other = self._workers.statuses, 1 - self._worker
    if self._sent == signal.SIGTERM and statuses[self._worker] != -signal.SIGTERM:
      return found + self._faults_of_stop()
    if self._sent == signal.SIGTERM and self._seen:
      found.append('SIGTERM ended a worker that had made steps')
    # Where it was killed right at the end, the other had everything it needed.
    finished = 'finished at step' in _text('out0.txt')
    if not finished or statuses[other] != 0:
      if statuses[other] <= 0:
        found.append(f'the other ended with {statuses[other]}')
      if len(_errors(other)) != 1:
        found.append(f'the other said {_errors(other)}')
    return found

  def _faults_of_stop(self):
    statuses = self._workers.statuses
    if set(statuses.values()) != {0}:
      return [f'exit statuses {statuses} after SIGTERM: {_errors(0)} {_errors(1)}']
    said = re.search(r'^(?:stopped by .*|finished) at step (\d+)', _text('out0.txt'), re.M)
    if not said:
      return ['the chief does not say where it stopped']
    step = int(said[1])
    names = [os.path.basename(prefix) for prefix in checkpoint_files.of_run(_OUTPUT)]
    if f'model.ckpt-{step}' not in names and 'model.ckpt' not in names:
      return [f'stopped at step {step}, and there is {names}']
    return []


def _text(path):
  if not os.path.exists(path):
    return ''
  with open(path, encoding='utf-8', errors='replace') as file:
    return file.read()


def _errors(index):
  """Lines of a worker's stderr, without warnings and what it says of a signal it got."""
  lines = _text(f'err{index}.txt').splitlines()
  return [
    line for line in lines if not line.startswith('warning: ') and 'finishing this step' not in line
  ]


def _has_traceback(index):
  return 'Traceback' in _text(f'err{index}.txt')


def _last_step():
  steps = re.findall(r'^step: \d+', _text('out0.txt'), re.M)
  return steps[-1] if steps else None


if __name__ == '__main__':
  main()
