#!/usr/bin/env python3
"""Seconds from the command to its first result: a training step, an evaluated image, a prediction;
and of `--help`.

  benchmarks/startup.py --model_variant=mobilenet_v2

Each command runs as a user runs it, on a few drawn images, with default flags; the smallest of
--rounds counts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import contenders
import drawn_records
import machine

ROOT = os.path.dirname(contenders.HERE)
sys.path.insert(0, ROOT)


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--model_variant', default='mobilenet_v2')
  parser.add_argument('--crop_size', type=int, default=257)
  parser.add_argument('--batch_size', type=int, default=4)
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--json', default=os.path.join(contenders.HERE, 'results', 'startup.json'))
  flags = parser.parse_args()
  described = machine.describe()
  print(machine.line(described))
  with tempfile.TemporaryDirectory() as directory:
    write_images(directory, size=flags.crop_size)
    model = [f'--model_variant={flags.model_variant}']
    train = [
      'run_trainer.py',
      *model,
      '--filenames=train.tfrecord',
      f'--crop_size_height={flags.crop_size}',
      f'--crop_size_width={flags.crop_size}',
      f'--batch_size={flags.batch_size}',
      '--num_steps=1',
      '--log_per_steps=1',
    ]
    results = {}
    for name, command, sign in (
      ('--help', ['run_trainer.py', '--help'], None),
      ('import tensorflow', ['-c', 'import tensorflow'], None),
      (f'trainer, first step of {flags.model_variant}', train, 'step: 1,'),
      (
        'evaluator, two images',
        ['run_evaluator.py', '--filenames=train.tfrecord', '--ckpt_path=model'],
        'mIOU:',
      ),
      (
        'inferencer, first prediction',
        ['run_inferencer.py', '--input=image.jpg', '--ckpt_path=model', '--output_path=out'],
        'Prediction written',
      ),
    ):
      seconds = []
      for index in range(flags.rounds):
        more = (
          [f'--output_path={"model" if index == 0 else f"model{index}"}']
          if command is train
          else []
        )
        seconds.append(seconds_until(sign, command + more, directory))
      results[name] = {
        'seconds': min(seconds),
        'all_seconds': [round(value, 2) for value in seconds],
      }
      print(f'  {name:<42}{min(seconds):>8.2f} s', flush=True)
  os.makedirs(os.path.dirname(flags.json), exist_ok=True)
  with open(flags.json, 'w', encoding='utf-8') as file:
    json.dump(
      {
        'machine': described,
        'crop_size': flags.crop_size,
        'batch_size': flags.batch_size,
        'results': results,
      },
      file,
      indent=1,
    )
    file.write('\n')


def seconds_until(sign, command, directory):
  """Seconds until the command prints a line with `sign`, or until it ends for None."""
  command = [os.path.join(ROOT, part) if part.startswith('run_') else part for part in command]
  started = time.perf_counter()
  with subprocess.Popen(
    [sys.executable, *command],
    cwd=directory,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    seconds = None
    for line in process.stdout:
      if sign and sign in line and seconds is None:
        seconds = time.perf_counter() - started
    errors = process.stderr.read()
  if process.returncode or (sign and seconds is None):
    raise SystemExit(f'{" ".join(command)} failed: {errors.strip()[-500:]}')
  return seconds if sign else time.perf_counter() - started


def write_images(directory, *, size):
  """train.tfrecord with a few pairs of noise and stripes, and image.jpg."""
  import numpy as np
  from PIL import Image

  random = np.random.default_rng(0)
  label = np.repeat((np.arange(size) * 21 // size).astype(np.uint8)[:, np.newaxis], size, axis=1)
  images = [random.integers(0, 256, [size, size, 3], np.uint8) for _ in range(2)]
  drawn_records.write(
    os.path.join(directory, 'train.tfrecord'), [(image, label) for image in images]
  )
  Image.fromarray(images[-1]).save(os.path.join(directory, 'image.jpg'))


if __name__ == '__main__':
  main()
