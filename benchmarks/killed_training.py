#!/usr/bin/env python3
"""Kills a training run at random moments, resumes it each time, and compares the end with that of a
run in peace.

    python benchmarks/killed_training.py --filenames=RECORDS --work_dir=DIR [--kills=20]

A quarter of the kills (SIGKILL) come while the command starts, the others while it trains and
writes checkpoints. Ends with exit status 1 where a variable of the two final checkpoints differs by
more than 1e-6 of its largest value.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time

import run_contents

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_TRAINER = os.path.join(
  os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'run_trainer.py'
)


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--filenames', required=True)
  parser.add_argument('--work_dir', required=True)
  parser.add_argument('--kills', type=int, default=20)
  parser.add_argument('--num_steps', type=int, default=150)
  parser.add_argument('--seed', type=int, default=0)
  options = parser.parse_args()
  dice = random.Random(options.seed)
  os.makedirs(options.work_dir, exist_ok=True)
  peaceful, killed = (os.path.join(options.work_dir, name) for name in ('peaceful', 'killed'))

  process = start(options, peaceful, '--overwrite')
  print(f'in peace: {process.wait()=} {process.lines[-1]}', flush=True)
  made = 0
  mode = '--overwrite'
  while True:
    process = start(options, killed, mode)
    mode = '--resume'
    moment = None
    if made < options.kills:
      moment = kill(process, dice)
    status = process.wait()
    began = next(
      (line for line in process.lines if line.startswith('starting from')),
      'killed before it started',
    )
    if status == 0:
      break
    if status != -signal.SIGKILL:
      sys.exit(f'the resumed run failed with status {status}:\n' + '\n'.join(process.lines))
    made += 1
    print(f'kill {made}: {began}; killed {moment}', flush=True)
  print(f'after {made} kills: {began}; {process.lines[-1]}', flush=True)
  sys.exit(compare(os.path.join(peaceful, 'model.ckpt'), os.path.join(killed, 'model.ckpt')))


def start(options, output_path, mode):
  """The trainer as a process; its output lines gather in its attribute `lines`."""
  if mode == '--resume' and not os.path.isdir(output_path):
    mode = '--overwrite'  # Killed before it had made its directory.
  process = subprocess.Popen(
    [
      sys.executable,
      _TRAINER,
      f'--filenames={options.filenames}',
      f'--output_path={output_path}',
      mode,
      '--model_variant=mobilenet_v2',
      '--crop_size_height=65',
      '--crop_size_width=65',
      '--batch_size=2',
      f'--num_steps={options.num_steps}',
      '--persist_per_steps=3',
      '--log_per_steps=1',
      '--seed=4',
    ],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  process.lines = []

  def read():
    for line in process.stdout:
      process.lines.append(line.rstrip())

  threading.Thread(target=read, daemon=True).start()
  return process


def kill(process, dice):
  """Kills the process at a random moment, unless it ends before; returns when that was, as text."""
  began = time.monotonic()
  if dice.random() < 0.25:
    time.sleep(dice.uniform(0.0, 10.0))
  else:
    steps = dice.randint(1, 12)
    while (
      process.poll() is None and sum(line.startswith('step:') for line in process.lines) < steps
    ):
      time.sleep(0.005)
    time.sleep(dice.uniform(0.0, 0.3))
  process.kill()
  last = next(
    (line.split(',')[0] for line in reversed(process.lines) if line.startswith('step:')),
    'before its first step',
  )
  return f'after {time.monotonic() - began:.1f} s, {last}'


def compare(first, second):
  """Prints how two checkpoints differ; returns 0 where they do not."""
  differences = run_contents.differences(first, second)
  worst = max(differences.values())
  equal = sum(difference == 0.0 for difference in differences.values())
  print(
    f'{equal} of {len(differences)} variables are equal to the bit, the largest difference is '
    f"{worst:.2g} of a variable's largest value"
  )
  return int(worst > 1e-6)


if __name__ == '__main__':
  main()
