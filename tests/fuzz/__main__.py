"""Command of the fuzz tests: `python -m tests.fuzz --minutes=30`, in the checkout."""

import argparse
import itertools
import os
import pathlib
import sys
import tempfile
import time

_TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_TESTS.parent), str(_TESTS)]

from deeplab import quiet_start  # noqa: E402

quiet_start.import_tensorflow()
quiet_start.hide_warnings_of_pillow()

from . import campaign, targets  # noqa: E402

_SECONDS_BETWEEN_REPORTS = 60


def main():
  """Runs cases, prints faults as they come and counts in the end; exits with 1 after a fault."""
  parser = argparse.ArgumentParser(
    prog='python -m tests.fuzz',
    description='Damaged input of every kind: each case must end in success or in one line.',
  )
  parser.add_argument('--minutes', type=float, help='how long; default: until --cases')
  parser.add_argument('--cases', type=int, help='how many; default: until --minutes, else 500')
  parser.add_argument('--case', type=int, action='append', help='run this one; repeatable')
  parser.add_argument('--seed', type=int, default=0, help='other seeds make other cases')
  parser.add_argument('--targets', help=f'only these of {",".join(_names())}, comma-separated')
  parser.add_argument('--save', help='directory for the input of each fault')
  parser.add_argument('--verbose', action='store_true', help='print how each case ends')
  parser.add_argument('--processes', type=int, default=os.cpu_count())
  arguments = parser.parse_args()
  chosen = set(arguments.targets.split(',')) if arguments.targets else set(_names())
  if chosen - set(_names()):
    parser.error(f'--targets: must be some of {",".join(_names())}')
  with tempfile.TemporaryDirectory(prefix='fuzz-') as directory:
    runner = campaign.Campaign(
      targets.ALL,
      seed=arguments.seed,
      directory=directory,
      num_processes=arguments.processes,
      save=arguments.save,
    )
    until = time.monotonic() + 60 * arguments.minutes if arguments.minutes else None
    numbers = _numbers(runner, arguments, chosen)
    verbose = arguments.verbose or bool(arguments.case)
    sys.exit(_report(runner.run(numbers, until=until), verbose=verbose))


def _names():
  return [target.name for target in targets.ALL]


def _numbers(runner, arguments, chosen):
  if arguments.case:
    return arguments.case
  numbers = (number for number in itertools.count() if runner.target_of(number).name in chosen)
  most = arguments.cases or (None if arguments.minutes else 500)
  return itertools.islice(numbers, most)


def _report(running, *, verbose):
  started = reported = time.monotonic()
  results = []
  for result in running:
    results.append(result)
    if result.is_fault or verbose:
      print(_line(result), flush=True)
    if verbose and result.is_fault:
      print(result.detail)
    if time.monotonic() > reported + _SECONDS_BETWEEN_REPORTS:
      reported = time.monotonic()
      print(f'{len(results)} cases in {reported - started:.0f} s', flush=True)
  print(campaign.table(results))
  num_faults = sum(result.is_fault for result in results)
  print(f'{len(results)} cases in {time.monotonic() - started:.0f} s, {num_faults} faults')
  return bool(num_faults)


def _line(result):
  details = [line for line in result.detail.splitlines() if line.strip()] or ['']
  note = ' | '.join(result.note.splitlines())
  return ascii(
    f'case {result.number} ({result.target}, {result.seconds:.1f} s, {result.megabytes:.0f} MB): '
    f'{result.outcome}: {details[-1][:300]} [{note[:200]}]'
  )[1:-1]


if __name__ == '__main__':
  main()
