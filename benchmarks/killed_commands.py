#!/usr/bin/env python3
"""Kills commands at random moments, runs each again, and looks whether all is as if nothing had
happened: no file is left over, and what was written is the same to the bit.

    python benchmarks/killed_commands.py --work_dir=DIR [--trainer=60] [--others=8]

The trainer, and write_tfrecord.py, run_inferencer.py, run_evaluator.py --report_path,
import_official_checkpoint.py, export_official_checkpoint.py and export_model.py --overwrite. Half
of the kills (SIGKILL) come at any moment of a command, the others within milliseconds of a change
in its output directory. After a kill and before the next run, a report is of one evaluation or
incomplete, and an imported checkpoint is there, the old or the new one, as is an exported model.
Prints a line for each kill and the counts; exit status 1 where something was left over or differs.

The commands run in forks of a process that has imported TensorFlow, so that the moments are those
of their work.
"""

import argparse
import dataclasses
import os
import random
import shutil
import signal
import sys
import tarfile
import time
from collections.abc import Callable, Mapping

import command_forks
import drawn_training
import run_contents


@dataclasses.dataclass
class Case:
  """A command that is killed.

  Attributes:
    name: of the command.
    arguments: of the run that is killed.
    again: of the run after it.
    output: the directory that it writes.
    before: what lies there first is copied from this directory; None: nothing.
    check: called with the files there after a kill and those of an undisturbed run; returns what is
      wrong, or None.
  """

  name: str
  arguments: list[str]
  again: list[str]
  output: str
  before: str | None = None
  check: Callable[[Mapping, Mapping], str | None] = lambda found, expected: None


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--work_dir', required=True)
  parser.add_argument('--trainer', type=int, default=60)
  parser.add_argument('--others', type=int, default=8)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument(
    '--again', type=float, default=0.0, help='share of the runs after a kill that are killed too'
  )
  parser.add_argument('--only', help='a part of the name of the commands to kill')
  options = parser.parse_args()
  work = os.path.abspath(options.work_dir)
  os.makedirs(os.path.join(work, 'tmp'))  # A new one.
  os.environ['TMPDIR'] = os.path.join(work, 'tmp')
  os.chdir(work)
  command_forks.prepare()
  dice = random.Random(options.seed)
  drawn_training.draw(command_forks.run)
  faults, counts = [], {}
  for case in _cases():
    wanted = options.trainer if case.name == 'run_trainer.py' else options.others
    if wanted and (options.only or '') in case.name:
      kills, found = _kill_often(case, wanted, dice, again=options.again)
      counts[case.name] = kills
      faults += found
  print(f'{sum(counts.values())} kills: {counts}; {len(faults)} faults')
  print('\n'.join(faults))
  sys.exit(bool(faults))


def _cases():
  trainer = [
    *drawn_training.TRAINER,
    *drawn_training.crop(33),
    *drawn_training.VALIDATION,
    '--output_path=run',
    '--batch_size=2',
    '--num_steps=12',
    '--persist_per_steps=2',
    '--eval_per_steps=4',
    '--max_to_keep=3',
    '--ema_decay=0.9',
    '--deterministic',
  ]
  yield Case('run_trainer.py', [*trainer, '--overwrite'], [*trainer, '--resume'], 'run')
  if not os.path.isdir('run'):
    command_forks.run([*trainer, '--overwrite'])
  converter = drawn_training.converter('train', 'converted')
  yield Case('write_tfrecord.py', converter, converter, 'converted')
  inferencer = [
    'run_inferencer.py',
    '--input=data/JPEGImages',
    '--ckpt_path=run',
    '--output_path=predictions',
    '--output_type=color,overlay,ids,contact_sheet',
    '--legend',
  ]
  yield Case('run_inferencer.py', inferencer, inferencer, 'predictions')
  evaluator = ['run_evaluator.py', '--filenames=records/val', '--report_path=report']
  command_forks.run([*evaluator, '--ckpt_path=run/model.ckpt-8', '--num_worst_images=6'])
  os.rename('report', 'older_report')
  newer = [*evaluator, '--ckpt_path=run', '--num_worst_images=4']
  yield Case('run_evaluator.py', newer, newer, 'report', 'older_report', _report_of_one)
  export = ['scripts/export_official_checkpoint.py', '--output_path=official', '--overwrite']
  command_forks.run([*export, '--ckpt_path=run/model.ckpt-8'])
  os.rename('official', 'older_official')
  newer = [*export, '--ckpt_path=run']
  yield Case(newer[0], newer, newer, 'official', 'older_official', _a_checkpoint)
  if not os.path.isdir('official'):
    command_forks.run(newer)
  with tarfile.open('official.tar.gz', 'w:gz') as archive:
    archive.add('official')
  importer = ['scripts/import_official_checkpoint.py', '--output_path=imported', '--overwrite']
  command_forks.run([*importer, '--ckpt_path=older_official', '--output_stride=8'])
  os.rename('imported', 'older_imported')
  newer = [*importer, '--ckpt_path=official.tar.gz']
  yield Case(newer[0], newer, newer, 'imported', 'older_imported', _a_checkpoint)
  export = ['export_model.py', '--output_path=exported', '--overwrite']
  command_forks.run([*export, '--ckpt_path=run/model.ckpt-8'])
  os.rename('exported', 'older_exported')
  newer = [*export, '--ckpt_path=run']
  yield Case(newer[0], newer, newer, 'exported', 'older_exported', _a_saved_model)


def _report_of_one(found, expected):
  older = run_contents.files('older_report')
  for whole in (older, expected):
    if 'report.html' in found and found == whole:
      return None
    if 'report.html' not in found and found.items() <= whole.items():
      return None
  return 'the report is neither the old nor the new one'


def _a_checkpoint(found, expected):
  """The checkpoint that a user of the directory gets is the old or the new one."""
  from deeplab import checkpoint_files, saved_options

  output = 'imported' if os.path.isdir('imported') else 'official'
  prefix = checkpoint_files.find(output)
  values = [run_contents.digest(prefix + '.data-00000-of-00001')]
  described = saved_options.path_beside(prefix)
  values.append(run_contents.digest(described) if os.path.exists(described) else None)
  for whole in (run_contents.files('older_' + output), expected):
    wholes = whole['model.ckpt.data-00000-of-00001'], whole.get(saved_options.FILE_NAME)
    if tuple(values) == wholes:
      return None
  return f'{prefix} is neither the old nor the new checkpoint'


def _a_saved_model(found, expected):
  """The SavedModel is the old or the new one."""
  older = run_contents.files('older_exported')
  saved = {name: each for name, each in found.items() if name.startswith('saved_model')}
  if any(saved.items() <= whole.items() for whole in (older, expected)) and saved:
    return None
  return 'the SavedModel is neither the old nor the new one'


def _kill_often(case, wanted, dice, *, again):
  """Kills a command `wanted` times; returns (kills, faults)."""
  _prepare(case)
  changes = run_contents.Changes(case.output)
  seconds, num_changes = command_forks.run(case.arguments, look=changes.look), changes.count
  expected = run_contents.files(case.output)
  kept = case.output + '_in_peace'
  shutil.copytree(case.output, kept)
  print(
    f'{case.name} in peace: {seconds:.1f} s, {num_changes} changes, {len(expected)} files',
    flush=True,
  )
  kills, faults, goes_on = 0, [], False
  while kills < wanted:
    # The trainer's overwrites what is there; the others find the older result.
    if not goes_on and (case.name != 'run_trainer.py' or dice.random() < 0.5):
      _prepare(case)
    arguments = _next(case) if goes_on else case.arguments
    at_change = dice.randint(1, num_changes) if dice.random() < 0.5 and num_changes else None
    moment = dice.uniform(0.0, 0.01 if at_change else seconds)
    if not _run_and_kill(arguments, case.output, at_change=at_change, moment=moment):
      goes_on = False
      continue  # It was faster.
    kills += 1
    left = sorted(run_contents.files(case.output)) if os.path.isdir(case.output) else []
    problem = None
    if left or case.before:
      problem = case.check(_without_unfinished(run_contents.files(case.output)), expected)
    goes_on = kills < wanted and dice.random() < again
    if goes_on:
      print(f'{case.name} kill {kills}: {len(left)} files; the next run is killed too', flush=True)
      continue
    command_forks.run(_next(case))
    now = run_contents.files(case.output)
    differing = sorted(name for name in expected if name in now and now[name] != expected[name])
    more, fewer = sorted(set(now) - set(expected)), sorted(set(expected) - set(now))
    temporary = os.listdir('tmp')
    remains = [name for name in left if name not in expected]
    print(
      f'{case.name} kill {kills}: {"at change %d" % at_change if at_change else "any moment"} '
      f'+{moment:.3f} s, {len(left)} files, not of a whole run: {remains}; after the next run '
      f'{len(now)} files, left over {more}, missing {fewer}, different {differing}, '
      f'in TMPDIR {temporary}' + (f'; {problem}' if problem else ''),
      flush=True,
    )
    if problem or more or fewer or differing or temporary:
      faults.append(
        f'{case.name} kill {kills}: {problem}, {more}, {fewer}, {differing}, {temporary}'
      )
  shutil.rmtree(case.output)
  os.rename(kept, case.output)
  return kills, faults


def _next(case):
  """The arguments of the run after a kill: a training that had not begun begins anew."""
  has_begun = os.path.exists(os.path.join(case.output, 'flags.txt'))
  return case.again if has_begun or case.name != 'run_trainer.py' else case.arguments


def _prepare(case):
  shutil.rmtree(case.output, ignore_errors=True)
  if case.before:
    shutil.copytree(case.before, case.output)


def _without_unfinished(files):
  return {
    name: digest
    for name, digest in files.items()
    if not any(part.startswith('.unfinished-') for part in name.split(os.sep))
  }


def _run_and_kill(arguments, output, *, at_change, moment):
  """Whether the command was killed before it ended: `moment` seconds after its start, or after the
  given number of changes in its directory.
  """
  process = command_forks.start(arguments)
  changes = run_contents.Changes(output)
  while at_change and changes.count < at_change:
    changes.look()
    ended, _ = os.waitpid(process, os.WNOHANG)
    if ended:
      return False
    time.sleep(0.0005)
  time.sleep(moment)
  os.kill(process, signal.SIGKILL)
  return os.WIFSIGNALED(os.waitpid(process, 0)[1])


if __name__ == '__main__':
  main()
