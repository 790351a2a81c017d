#!/usr/bin/env python3
"""What the toolkit does on the GPUs of this machine, in one command and ten minutes.

  benchmarks/gpu_verdict.py
  benchmarks/gpu_verdict.py --dry_run

Numbers against the CPU's, every compute dtype with and without XLA, waiting for input, memory,
determinism, one GPU against several, and the ways of atrous depthwise convolutions. Prints PASS,
FAIL, `not run` with the reason, or `measured` where nothing says what the number should be; writes
OUTPUT.json and OUTPUT.md, a page to paste. The exit status is 1 if anything failed.

It needs no data and no weights: networks are untrained, with the statistics of drawn scenes. Each
part has a process of its own, and a limit in seconds; what crashes or hangs fails alone. --dry_run
does all of it small on a CPU, which shows that the command works and nothing more.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import machine
from gpu_verdict_outcomes import Verdict, page
from gpu_verdict_process import ALL, NONE, Part, run_part, tell

import deeplab

_TOTAL_SECONDS = 570
_WORKER = os.path.join(HERE, 'gpu_verdict_part.py')


def _speed(dtype, *, jit_compile):
  why_not = {
    'tf32': 'TF32 is a way of GPUs to multiply float32',
    'float16': 'this toolkit computes in float16 on GPUs only',
  }
  return Part(
    'speed',
    'speed',
    seconds=75 if jit_compile else 60,
    settings={'dtype': dtype, 'jit_compile': jit_compile},
    title=f'speed of {dtype}' + (' with XLA' if jit_compile else ''),
    why_not=why_not.get(dtype, ''),
  )


_DTYPES = ('float32', 'tf32', 'bfloat16', 'float16')
# What matters most comes first: time may run out.
PARTS = (
  Part('machine', 'machine', seconds=60, gpus=ALL),
  Part('correctness', 'reference', seconds=90, gpus=NONE, title='correctness, on the CPU'),
  Part('correctness', 'correctness', seconds=90),
  *(Part('determinism', 'determinism', 60, title=f'determinism, run {run}') for run in (1, 2)),
  *(_speed(dtype, jit_compile=False) for dtype in _DTYPES),
  Part('memory', 'memory', seconds=60),
  Part('input', 'input_wait', seconds=60),
  Part('devices', 'devices', seconds=75, gpus=ALL),
  Part('depthwise', 'depthwise', seconds=60),
  *(_speed(dtype, jit_compile=True) for dtype in _DTYPES),
)
GROUPS = tuple(dict.fromkeys(part.group for part in PARTS))


def main(arguments=None):
  """Runs the parts; returns the exit status."""
  flags = parsed_flags(arguments)
  chosen = [part for part in PARTS if part.group in flags.parts.split(',')]
  return run(chosen, flags)


def parsed_flags(arguments=None):
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--dry_run', action='store_true', help='small, on CPU devices in the place of GPUs'
  )
  parser.add_argument('--parts', default=','.join(GROUPS), help=f'of {", ".join(GROUPS)}')
  parser.add_argument(
    '--seconds',
    type=float,
    default=_TOTAL_SECONDS,
    help='for all parts together; their limits grow with it',
  )
  parser.add_argument(
    '--cells', default='resnet_v2_50', help='networks of the speed table, as of benchmarks/train.py'
  )
  parser.add_argument('--size', type=int, default=513, help='of the speed table, in pixels')
  parser.add_argument('--batch_size', type=int, default=4, help='of training, on one GPU')
  parser.add_argument(
    '--output', default='gpu_verdict', help='path of the results, .json and .md left out'
  )
  flags = parser.parse_args(arguments)
  unknown = set(flags.parts.split(',')) - set(GROUPS)
  if unknown:
    parser.error(f'--parts={flags.parts}: {sorted(unknown)[0]}: must be of {", ".join(GROUPS)}')
  if not flags.dry_run and 'machine' not in flags.parts.split(','):
    flags.parts = f'machine,{flags.parts}'  # It says whether there is a GPU.
  return flags


def run(parts, flags, *, worker=_WORKER):
  """Runs the parts in turns, prints their lines, writes the results; returns the exit status."""
  started, verdict = time.monotonic(), Verdict()
  described, is_interrupted = machine.describe(), False
  if flags.dry_run:
    print('dry run on a CPU, no GPU is used')
  with tempfile.TemporaryDirectory() as directory:
    for part in parts:
      why_not = 'interrupted' if is_interrupted else part.why_not if flags.dry_run else ''
      if why_not:
        tell(verdict, part.title, 'all of it', 'not run', why_not)
        continue
      try:
        run_part(
          part,
          _settings(part, flags),
          verdict,
          worker=worker,
          directory=directory,
          own=part.seconds * max(1.0, flags.seconds / _TOTAL_SECONDS),
          left=flags.seconds - (time.monotonic() - started),
        )
      except KeyboardInterrupt:
        is_interrupted = True
        tell(verdict, part.title, 'what is left of it', 'not run', 'interrupted')
        continue
      if part.name == 'machine' and not flags.dry_run and not verdict.facts.get('GPUs'):
        print('no GPU was found; --dry_run shows the command on a CPU', file=sys.stderr)
        return 1
  seconds = time.monotonic() - started
  _write_results(verdict, flags, described, seconds=seconds)
  counts = verdict.counts()
  print(
    ', '.join(f'{count} {state}' for state, count in counts.items())
    + f'; {seconds:.0f} s; {flags.output}.md, {flags.output}.json'
  )
  return 1 if counts['FAIL'] or is_interrupted else 0


def _settings(part, flags):
  """What the part's process is told."""
  return {
    'is_dry_run': flags.dry_run,
    'cells': flags.cells.split(','),
    'size': flags.size,
    'batch_size': flags.batch_size,
    **part.settings,
  }


def _write_results(verdict, flags, described, *, seconds):
  about = [
    ('toolkit', deeplab.__version__ + _commit()),
    ('python', f'{described["python"]}, {described["system"]}'),
    *described['versions'].items(),
    ('seconds for all parts', f'{flags.seconds:.0f}'),
    ('speed', f'{flags.cells}, {flags.size}x{flags.size}, batch {flags.batch_size}'),
  ]
  if flags.dry_run:
    about.pop()  # The dry run has sizes of its own.
  os.makedirs(os.path.dirname(os.path.abspath(flags.output)), exist_ok=True)
  with open(flags.output + '.json', 'w', encoding='utf-8') as file:
    facts = dict(is_dry_run=flags.dry_run, seconds=round(seconds, 1), machine=described)
    json.dump(verdict.as_json(**facts, about=dict(about)), file, indent=1)
    file.write('\n')
  with open(flags.output + '.md', 'w', encoding='utf-8') as file:
    file.write(
      page(
        verdict,
        machine_line=machine.line(described),
        about=about,
        is_dry_run=flags.dry_run,
        seconds=seconds,
      )
    )


def _commit():
  """' (COMMIT)' in a checkout with its history, else ''."""
  git = ['git', '-C', HERE, 'describe', '--always', '--dirty']
  with contextlib.suppress(OSError):
    described = subprocess.run(git, capture_output=True, text=True, check=False)
    if described.returncode == 0:
      return f' ({described.stdout.strip()})'
  return ''


if __name__ == '__main__':
  sys.exit(main())
