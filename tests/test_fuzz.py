"""The fuzz tests of tests/fuzz: that they find what they look for, and a short run of them."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
  not os.path.exists('/proc/self/status'), reason='needs /proc, to see what processes take'
)
_TESTS = pathlib.Path(__file__).resolve().parent
_FAKE = """
import sys, tempfile, time
from deeplab.errors import InputError
from tests.fuzz import campaign, cases

def end(how):
  def run(case):
    case.note('as ' + how)
    return {
      'taken': lambda: None,
      'refused': lambda: (_ for _ in ()).throw(InputError('no such thing')),
      'traceback': lambda: 1 / 0,
      'crash': lambda: os.abort(),
      'hang': lambda: [None for _ in iter(int, 1)],
      'memory': lambda: len(bytearray(400_000_000)),
      'silent': lambda: (_ for _ in ()).throw(cases.Silent('taken')),
      'lines': lambda: (_ for _ in ()).throw(InputError('two\\nlines')),
      'inner': lambda: (_ for _ in ()).throw(InputError('Graph execution error: Detected at node')),
      'control': lambda: print('\\x1b[2J'),
    }[how]()
  return run

import os
targets = [
  cases.Target(
    how,
    end(how),
    weight=1,
    megabytes=200,
    # Taking the memory of 'memory' is work too, on a busy machine more than half a second.
    seconds=0.5 if how == 'hang' else 10,
    own_process=how == 'crash',
  )
  for how in cases.OUTCOMES
]
with tempfile.TemporaryDirectory() as directory:
  run = campaign.Campaign(targets, seed=1, directory=directory, save=sys.argv[1])
  numbers = {run.target_of(number).name: number for number in range(100)}.values()
  for result in run.run(numbers):
    print(result.target, result.outcome, result.note)
"""


def _python(*arguments):
  return subprocess.run(
    [sys.executable, *arguments],
    cwd=_TESTS.parent,
    env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(_TESTS.parent), str(_TESTS)])},
    capture_output=True,
    text=True,
    check=False,
  )


def test_every_way_to_end_is_told_from_the_others(tmp_path):
  done = _python('-c', _FAKE, tmp_path / 'faults')
  assert done.stderr == ''
  ends = sorted(line.split(' ', 2) for line in done.stdout.splitlines())
  assert len(ends) == 10
  assert all(outcome == target and note == f'as {target}' for target, outcome, note in ends)
  kept = sorted(path.name.split('-')[0] for path in (tmp_path / 'faults').iterdir())
  assert kept == sorted({target for target, _, _ in ends} - {'taken', 'refused'})


def test_damaged_input_ends_in_success_or_one_line(tmp_path):
  # Commands take seconds each; the long run by hand has them.
  targets = (
    'pictures,labels,records,checkpoints,archives,graphs,side_files,annotations,flags,models'
  )
  done = _python('-m', 'tests.fuzz', '--cases=150', '--processes=2', f'--targets={targets}')
  assert done.returncode == 0, done.stdout + done.stderr
  cases, taken, refused = re.search(
    r'\nall +(\d+)(?: +[\d.]+){3} +(\d+) +(\d+)\n', done.stdout
  ).groups()
  assert int(cases) == 150 and int(taken) > 30 and int(refused) > 60


@pytest.mark.slow
def test_damaged_input_of_commands(tmp_path):
  done = _python('-m', 'tests.fuzz', '--cases=1000', '--seed=2', f'--save={tmp_path}')
  assert done.returncode == 0, done.stdout + done.stderr
