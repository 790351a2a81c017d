#!/usr/bin/env python3
"""Memory and speed of a training over many steps, of this version and of another.

  benchmarks/steady_memory.py --before=CHECKOUT --filenames=RECORDS

Trains a small MobileNetV2 with --log_per_steps=1000, one version after the other, in turns, and
looks at the resident memory of the process twice a second. It should not grow after the first
steps. Printed are the largest value in the first tenth, the first half and all of the steps, and
the steps a second of the last thousand.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import machine

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SECONDS = 0.5
_PARTS = (0.1, 0.5, 1.0)


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--before', help='checkout of another version')
  parser.add_argument('--filenames', required=True, help='records to train on')
  parser.add_argument('--num_steps', type=int, default=2000)
  parser.add_argument('--rounds', type=int, default=2)
  parser.add_argument('--json', help='file to write')
  arguments = parser.parse_args()
  checkouts = {'before': arguments.before} if arguments.before else {}
  checkouts['this'] = ROOT
  runs = {name: [] for name in checkouts}
  for _ in range(arguments.rounds):
    for name, checkout in checkouts.items():
      runs[name].append(_train(checkout, arguments))
  report = {'machine': machine.describe(), 'arguments': vars(arguments), 'runs': runs}
  if arguments.json:
    with open(arguments.json, 'w', encoding='utf-8') as file:
      json.dump(report, file, indent=1)
      file.write('\n')
  print(machine.line(report['machine']))
  print('| version | ' + ' | '.join(f'MiB until {part:.0%}' for part in _PARTS) + ' | steps/s |')
  print('|---|' + '---|' * (len(_PARTS) + 1))
  for name, measured in runs.items():
    middle = [
      statistics.median(run[key] for run in measured) for key in (*map(str, _PARTS), 'rate')
    ]
    print(
      f'| {name} | ' + ' | '.join(f'{one:.0f}' for one in middle[:-1]) + f' | {middle[-1]:.2f} |'
    )


def _train(checkout, arguments):
  """{part of the steps as text: MiB, 'rate': steps a second} of one run."""
  with tempfile.TemporaryDirectory() as directory:
    output = os.path.join(directory, 'run')
    started = time.monotonic()
    process = subprocess.Popen(
      [
        sys.executable,
        os.path.join(checkout, 'run_trainer.py'),
        f'--filenames={os.path.abspath(arguments.filenames)}',
        f'--output_path={output}',
        f'--num_steps={arguments.num_steps}',
        '--model_variant=mobilenet_v2',
        '--depth_multiplier=0.35',
        '--crop_size_height=65',
        '--crop_size_width=65',
        '--batch_size=4',
        '--seed=1',
        '--log_per_steps=1000',
        f'--persist_per_steps={arguments.num_steps}',
      ],
      env={**os.environ, 'PYTHONPATH': checkout},
      stdout=subprocess.DEVNULL,
    )
    memory = []  # (seconds since the start, MiB)
    while process.poll() is None:
      memory.append((time.monotonic() - started, _resident(process.pid)))
      time.sleep(_SECONDS)
    if process.returncode:
      raise SystemExit(f'{checkout}: the training failed')
    with open(os.path.join(output, 'metrics.jsonl'), encoding='utf-8') as file:
      last = json.loads(file.read().splitlines()[-1])
  rate = last['images_per_second'] / 4  # Of the last thousand steps.
  end = memory[-1][0]
  seconds = arguments.num_steps / rate
  found = {
    str(part): max(
      size for when, size in memory if when <= end - seconds * (1 - part) or part == 1.0
    )
    for part in _PARTS
  }
  return {**found, 'rate': rate}


def _resident(pid):
  """MiB of a process, 0 where it has ended."""
  try:
    with open(f'/proc/{pid}/statm', encoding='ascii') as file:
      return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20
  except (OSError, IndexError):
    return 0.0


if __name__ == '__main__':
  main()
