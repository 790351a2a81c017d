#!/usr/bin/env python3
"""Peak memory of predicting a folder of photographs in which pictures lie that claim terabytes.

benchmarks/picture_bombs.py --ckpt_path=voc_model

Each case is a run of run_inferencer.py of its own. The photographs are drawn, the bombs are those
of the tests.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [ROOT, os.path.join(ROOT, 'tests')]

import machine
import numpy as np
import picture_bombs
from PIL import Image


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--ckpt_path', required=True)
  parser.add_argument('--num_photographs', type=int, default=50)
  parser.add_argument('--height', type=int, default=2448)
  parser.add_argument('--width', type=int, default=3264)
  parser.add_argument('--max_size', type=int, default=513)
  arguments = parser.parse_args()
  print(machine.line(machine.describe()))
  print(f'{arguments.num_photographs} photographs of {arguments.width}x{arguments.height} pixels')
  with tempfile.TemporaryDirectory() as directory:
    photographs, bombs = (os.path.join(directory, name) for name in ('photographs', 'bombs'))
    os.mkdir(photographs)
    os.mkdir(bombs)
    paths = [
      draw(photographs, index, size=(arguments.width, arguments.height))
      for index in range(arguments.num_photographs)
    ]
    num_bombs = len(picture_bombs.write(bombs))
    cases = {
      'one photograph': [paths[0]],
      'the photographs': [photographs],
      f'the photographs and {num_bombs} bombs': [os.path.join(bombs, '*'), photographs],
    }
    for name, inputs in cases.items():
      run(name, inputs, arguments, output_path=os.path.join(directory, 'predictions', name))


def draw(directory, index, *, size):
  """Writes a JPEG of smooth colours and grain; returns its path."""
  rng = np.random.default_rng(index)
  picture = Image.fromarray(rng.integers(0, 256, [12, 16, 3], np.uint8))
  pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.int16)
  pixels = pixels + rng.integers(-9, 10, [*pixels.shape[:2], 1], np.int16)
  path = os.path.join(directory, f'{index:03d}.jpg')
  Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=92)
  return path


def run(name, inputs, arguments, *, output_path):
  """Runs run_inferencer.py and prints its peak memory, time and status."""
  command = [
    sys.executable,
    os.path.join(ROOT, 'run_inferencer.py'),
    f'--ckpt_path={arguments.ckpt_path}',
    f'--max_size={arguments.max_size}',
    f'--output_path={output_path}',
    *(f'--input={one}' for one in inputs),
  ]
  start = time.monotonic()
  with tempfile.TemporaryFile() as errors:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
    _, status, usage = os.wait4(process.pid, 0)
    errors.seek(0)
    lines = errors.read().decode(errors='replace').splitlines()
  print(
    f'{name}: {len(os.listdir(output_path))} predicted, exit status '
    f'{os.waitstatus_to_exitcode(status)}, {time.monotonic() - start:.1f} s, peak '
    f'{usage.ru_maxrss / 1024:.0f} MiB',
    flush=True,
  )
  for line in lines:
    print(f'  {line}')


if __name__ == '__main__':
  main()
