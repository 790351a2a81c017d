"""run_trainer.py as a process: a signal, the exit status, the flagfile that continues it."""

import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import record_makers

import deeplab
from deeplab import checkpoints

_CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


def _command():
  """The trainer of the checkout where that is tested, else the installed one."""
  if _CHECKOUT in pathlib.Path(deeplab.__file__).resolve().parents:
    return str(_CHECKOUT / 'run_trainer.py')
  return str(pathlib.Path(sys.executable).parent / 'run_trainer.py')


def test_sigterm_saves_exits_with_0_and_says_how_to_continue(tmp_path, command_processes):
  record_makers.write(
    tmp_path / 'train.tfrecord', [record_makers.record(number) for number in range(4)]
  )
  process = subprocess.Popen(
    [
      sys.executable,
      _command(),
      '--filenames=train.tfrecord',
      '--model_variant=mobilenet_v2',
      '--depth_multiplier=0.35',
      '--crop_size_height=33',
      '--crop_size_width=33',
      '--batch_size=2',
      '--num_steps=100000',
      '--log_per_steps=1',
      '--output_path=a run',
    ],
    cwd=tmp_path,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  lines = []
  for line in process.stdout:
    lines.append(line)
    if line.startswith('step: 2,'):
      process.send_signal(signal.SIGTERM)
  stderr = process.stderr.read()
  assert process.wait() == 0, stderr
  assert 'SIGTERM: finishing this step, then saving' in stderr
  assert all(
    re.fullmatch(r'step: \d+, loss: \d+\.\d{6}\n', line)
    for line in lines
    if line.startswith('step')
  )
  step, arguments = re.fullmatch(
    r'stopped by SIGTERM at step (\d+); continue with: run_trainer\.py (.*)\n', lines[-1]
  ).groups()
  prefix = checkpoints.find(str(tmp_path / 'a run'))
  assert (os.path.basename(prefix), checkpoints.Reader(prefix).global_step) == (
    f'model.ckpt-{step}',
    int(step),
  )

  # The flagfile is read back as it was meant: only what is changed here is refused.
  again = command_processes.run(
    [_command(), *shlex.split(arguments), '--batch_size=3'], directory=tmp_path
  )
  assert again.returncode == 1
  assert again.stderr.startswith(
    b'run_trainer.py: error: --resume: --batch_size=3 (the run has 2): not the flags'
  )
  assert again.stderr.count(b'\n') == 1


def test_deterministic_runs_give_the_same_losses_to_the_last_bit(tmp_path, command_processes):
  record_makers.write(
    tmp_path / 'train.tfrecord', [record_makers.record(number) for number in range(4)]
  )

  def train(name):
    return command_processes.run(
      [
        _command(),
        '--filenames=train.tfrecord',
        '--model_variant=mobilenet_v2',
        '--depth_multiplier=0.35',
        '--crop_size_height=33',
        '--crop_size_width=33',
        '--batch_size=2',
        '--num_steps=3',
        '--log_per_steps=1',
        '--seed=1',
        '--deterministic',
        f'--output_path={name}',
      ],
      directory=tmp_path,
    )

  with concurrent.futures.ThreadPoolExecutor() as pool:
    for run in pool.map(train, ('first', 'second')):
      assert run.returncode == 0, run.stderr
  logged = [
    [json.loads(line) for line in (tmp_path / name / 'metrics.jsonl').read_text().splitlines()]
    for name in ('first', 'second')
  ]
  assert [len(lines) for lines in logged] == [3, 3]
  for first, second in zip(*logged):
    assert (first['loss'], first['loss_parts'], first['gradient_norm']) == (
      second['loss'],
      second['loss_parts'],
      second['gradient_norm'],
    )
