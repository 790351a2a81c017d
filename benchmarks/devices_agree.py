#!/usr/bin/env python3
"""Compares two devices, and two workers, with one.

    python benchmarks/devices_agree.py [--only=adam] [--json=FILE]

Trains a small network for a few steps on drawn scenes: on one device, on two logical devices
(--num_devices=2), and by two worker processes, and evaluates it so; the workers of the evaluation
are started by launch_local_cluster.py, the other commands in forks of a process that has imported
TensorFlow.

Compared are the losses in metrics.jsonl, and the variables of the last checkpoint as parts of their
largest value; of validations and evaluations the lines. Statistics are frozen but for
sync_batch_norm, and all start from a network whose statistics fit its activations.

Prints PASS or FAIL for each with the largest differences; exit status 1 where one fails.
"""

import argparse
import dataclasses
import json
import math
import os
import re
import subprocess
import sys
import tempfile

import command_forks
import drawn_training
import machine
import run_contents

from deeplab.distribution import local_cluster

_WAYS = ('two devices', 'two workers')
_FROZEN = '--nofine_tune_batch_norm'
# The last parts of the names of the network's variables.
_VARIABLES = (
  *('weights', 'depthwise_weights', 'biases'),
  *('gamma', 'beta', 'moving_mean', 'moving_variance'),
)
# Rates that do not depend on --num_steps.
_CONSTANT_RATE = ('--boundaries=1000', '--rates=1e-3')


@dataclasses.dataclass(frozen=True)
class Case:
  """A training that must not depend on the devices.

  Attributes:
    name: shown.
    flags: more of the trainer.
    loss: largest difference of a loss that passes.
    variable: of a variable of the network, as a part of its largest value.
    slot: of what the optimizer keeps of one, likewise.
    num_losses: so many, the first ones, are compared.
  """

  name: str
  flags: tuple[str, ...]
  loss: float = 1e-5
  variable: float = 1e-5
  slot: float = 1e-5
  num_losses: int = 5


# Adam divides by the size of a gradient, also where that is little more than rounding.
_ADAM = 1e-4

_CASES = (
  Case('momentum', (_FROZEN,)),
  Case(
    'adam', (_FROZEN, '--optimizer=adam', '--init_learning_rate=1e-3'), variable=_ADAM, slot=_ADAM
  ),
  Case(
    'adamw', (_FROZEN, '--optimizer=adamw', '--init_learning_rate=1e-3'), variable=_ADAM, slot=_ADAM
  ),
  Case('accumulate_steps', (_FROZEN, '--accumulate_steps=2')),
  Case('ema_decay', (_FROZEN, '--ema_decay=0.9')),
  # Sums of other lengths are rounded to 8 bits, and gradients that nearly cancel are mostly that.
  Case('bfloat16', (_FROZEN, '--compute_dtype=bfloat16'), loss=5e-3, variable=1e-2, slot=0.5),
  Case('validation', (_FROZEN, *drawn_training.VALIDATION, '--eval_per_steps=5')),
  # The first loss is the forward pass. Gradients through the statistics of a few pixels multiply
  # rounding, so later ones differ as much on one device between --operations=plain and auto.
  Case(
    'sync_batch_norm',
    ('--sync_batch_norm', '--batch_norm_decay=0.9'),
    num_losses=1,
    variable=math.inf,
    slot=math.inf,
  ),
)


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--only', help='a part of the names of what to compare')
  parser.add_argument('--json', help='file for the results')
  flags = parser.parse_args()
  command_forks.prepare()
  described = machine.describe()
  print(machine.line(described), flush=True)
  results = []
  with tempfile.TemporaryDirectory() as directory:
    os.chdir(directory)
    drawn_training.draw(command_forks.run)
    start = _trainer('start', '--num_steps=30', '--batch_norm_decay=0.9', '--optimizer=adam')
    _run([*start, '--init_learning_rate=3e-3'])
    for case in _CASES:
      if (flags.only or '') in case.name:
        results += _compared(case)
    for name, compare in (('resume', _resumed), ('run_evaluator.py', _evaluated)):
      if (flags.only or '') in name:
        results += compare(name)
    os.chdir(os.path.dirname(directory))
  failed = [result for result in results if not result['passes']]
  print(f'{len(results) - len(failed)} of {len(results)} pass')
  if flags.json:
    with open(flags.json, 'w', encoding='utf-8') as file:
      json.dump({'machine': described, 'results': results}, file, indent=1)
      file.write('\n')
  sys.exit(bool(failed))


def _trainer(output, *flags):
  return [
    *drawn_training.TRAINER,
    *drawn_training.crop(33),
    '--batch_size=4',
    f'--output_path={output}',
    *flags,
  ]


def _run(arguments, *, way='one device'):
  """The lines on stdout of a command, with two workers those of the chief."""
  commands = [arguments]
  if way == 'two devices':
    commands = [[*arguments, '--num_devices=2']]
  if way == 'two workers':
    hosts = local_cluster.addresses(2)
    cluster = [f'--worker_hosts={",".join(hosts)}', '--worker_timeout=120']
    commands = [[*arguments, *cluster, f'--task_index={index}'] for index in range(2)]
  processes = [
    command_forks.start(command, stdout=f'out{index}.txt', stderr=f'err{index}.txt')
    for index, command in enumerate(commands)
  ]
  statuses = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
  if any(statuses):
    said = [
      _text(f'{name}{index}.txt') for name in ('out', 'err') for index in range(len(commands))
    ]
    sys.exit(f'{commands} ended with {statuses}:\n' + ''.join(said))
  return _text('out0.txt').splitlines()


def _launched(arguments):
  """The chief's lines of a command that launch_local_cluster.py starts."""
  launcher = os.path.join(command_forks.ROOT, 'scripts', 'launch_local_cluster.py')
  command = os.path.join(command_forks.ROOT, arguments[0])
  done = subprocess.run(
    [sys.executable, launcher, '--num_workers=2', '--', command, *arguments[1:]],
    capture_output=True,
    text=True,
  )
  if done.returncode:
    sys.exit(f'{done.args} ended with {done.returncode}:\n{done.stdout}{done.stderr}')
  lines = done.stdout.splitlines()
  return [line.removeprefix('[0] ') for line in lines if line.startswith('[0] ')]


def _text(path):
  with open(path, encoding='utf-8', errors='replace') as file:
    return file.read()


def _compared(case):
  """Results of a case, one for each way."""
  outputs = {way: f'{case.name} {way}' for way in ('one device', *_WAYS)}
  said = {
    way: _run(_trainer(output, '--load_ckpt_path=start', '--num_steps=5', *case.flags), way=way)
    for way, output in outputs.items()
  }
  losses = {way: _losses(output) for way, output in outputs.items()}
  results = []
  for way in _WAYS:
    compared = [losses[each][: case.num_losses] for each in ('one device', way)]
    loss = max(abs(one - other) for one, other in zip(*compared))
    variables, slots = _differences(outputs['one device'], outputs[way])
    validations = [_validations(said[each]) for each in ('one device', way)]
    passes = (
      len(losses[way]) == len(losses['one device']) == 5
      and loss <= case.loss
      and max(variables.values()) <= case.variable
      and max(slots.values()) <= case.slot
      and validations[0] == validations[1]
    )
    lines = f', {len(validations[0])} lines of validation' if validations[0] else ''
    lines += '' if validations[0] == validations[1] else f' that differ: {validations}'
    results.append(
      _result(
        passes,
        f'{case.name}, {way}',
        f'{case.num_losses} losses within {loss:.1e} (up to {case.loss:.0e}), variables within '
        f'{max(variables.values()):.1e} ({case.variable:.0e}), slots within '
        f'{max(slots.values()):.1e} ({case.slot:.0e}){lines}',
        losses=losses[way],
        loss_difference=loss,
        variable_difference=max(variables.values()),
        worst_variable=max(variables, key=variables.get),
        slot_difference=max(slots.values()),
        worst_slot=max(slots, key=slots.get),
      )
    )
  return results


def _differences(one, other):
  """Of the checkpoints of two runs, as of `run_contents.differences`: (those of the network's
  variables, those of what the optimizer keeps).
  """
  variables, slots = {}, {}
  for checkpoint in ('model.ckpt', 'model_ema.ckpt', 'best.ckpt'):
    path = os.path.join(one, checkpoint)
    if os.path.exists(path + '.index'):
      found = run_contents.differences(path, os.path.join(other, checkpoint))
      for name, difference in found.items():
        kind = variables if name.rpartition('/')[2] in _VARIABLES else slots
        kind[f'{checkpoint}: {name}'] = difference
  return variables, slots


def _result(passes, name, text, **numbers):
  print(f'{"PASS" if passes else "FAIL"} {name}: {text}', flush=True)
  return {'name': name, 'passes': passes, 'text': text, **numbers}


def _log(output):
  with open(os.path.join(output, 'metrics.jsonl'), encoding='utf-8') as file:
    return [json.loads(line) for line in file]


def _losses(output):
  return [line['loss'] for line in _log(output) if 'loss' in line]


def _validations(lines):
  return [line for line in lines if re.match(r'validation at step|  IoU:', line)]


def _resumed(name):
  """Two workers: three steps and three more against six at once."""
  flags = (
    '--load_ckpt_path=start',
    '--batch_norm_decay=0.9',
    '--optimizer=adam',
    '--ema_decay=0.9',
    '--deterministic',
    '--persist_per_steps=3',
    '--max_to_keep=1',
    *drawn_training.VALIDATION,
    *_CONSTANT_RATE,
  )
  _run(_trainer('at once', *flags, '--num_steps=6'), way='two workers')
  _run(_trainer('in two', *flags, '--num_steps=3'), way='two workers')
  _run(_trainer('in two', *flags, '--num_steps=6', '--resume'), way='two workers')
  first, second = run_contents.files('at once'), run_contents.files('in two')
  # These have the name of the directory in them.
  names = sorted({*first, *second} - {'flags.txt', 'checkpoint'})
  different = [file for file in names if first.get(file) != second.get(file)]
  return [
    _result(
      not different,
      f'{name}, two workers',
      f'3 + 3 steps against 6: {len(names)} files, different to the bit: {different or "none"}',
    )
  ]


def _evaluated(name):
  """The evaluation of the network that all start from."""
  command = [name, *drawn_training.VALIDATION, '--ckpt_path=start']
  command[1] = command[1].replace('--eval_filenames', '--filenames')
  expected = _results_of_evaluation(_run(command))
  results = []
  for way in _WAYS:
    lines = _launched(command) if way == 'two workers' else _run(command, way=way)
    found = _results_of_evaluation(lines)
    text = f'{len(expected)} lines, such as {expected[1]!r}' if expected == found else f'{found}'
    passes = len(expected) >= 3 and expected == found
    results.append(_result(passes, f'{name}, {way}', text))
  return results


def _results_of_evaluation(lines):
  """Those that have numbers of it, and the table; not its speed."""
  first = next(index for index, line in enumerate(lines) if line.startswith('Num of images'))
  return [
    line for line in lines[first:] if not line.startswith('next:') and not line.endswith('images/s')
  ]


if __name__ == '__main__':
  main()
