#!/usr/bin/env python3
"""Predicts pictures by several processes, and looks whether each is predicted once, and whether the
bytes written are those of one process.

    python benchmarks/many_pictures.py --work_dir=DIR [--pictures=1000] [--shards=4] [--at_once=2]

Drawn pictures of some sizes, one file that is no picture, and a small network. The ways: one
process; shards in a drawn order, several at a time in one directory, one of them killed on its way
and run again with --skip_existing, then --merge_shards; and examples/ray_predict.py on two CPUs,
where Ray is installed. Prints a line for each; exit status 1 where one differs. Does the same with
the converter: records, description and summary by shards are those of one process.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, _ROOT)

_SIZES = ((33, 45), (33, 33), (45, 33), (40, 51))
_NUM_CLASSES = 5


def main():
  options = _parse()
  os.makedirs(options.work_dir)
  os.chdir(options.work_dir)
  _draw(options.pictures)
  _make_network()
  lines, ways = [], {}
  _run(['run_inferencer.py', *_inference('one')], expected=1)  # One picture is bad.
  ways['one process'] = _digests('one')
  killed = _in_shards(options, ['run_inferencer.py', *_inference('shards')], 'shards', kill=True)
  status, out, err = _run(
    ['run_inferencer.py', *_inference('shards'), f'--num_shards={options.shards}', '--merge_shards']
  )
  with open('shards/summary.json', encoding='utf-8') as file:
    summary = json.load(file)
  lines.append(
    f'merge of {options.shards} shards (shard {killed} killed and run again): status {status}, '
    f'{summary["num_predicted"]} predicted, {summary["num_bad"]} bad: '
    + '; '.join(problem['problem'] for problem in summary['problems'])
  )
  ways[f'{options.shards} shards'] = _digests('shards', without=('shards', 'summary.json'))
  if importlib.util.find_spec('ray'):
    status, out, err = _run(
      [
        os.path.join('examples', 'ray_predict.py'),
        '--input=photos',
        '--ckpt_path=model',
        '--output_path=ray',
        '--num_cpus=2',
      ]
    )
    lines.append(f'Ray: status {status}, {out.splitlines()[-1]}')
    ways['Ray'] = _digests('ray', without=('counts.csv',))
  good = _report(ways, lines, options) and _convert(options)
  sys.exit(0 if good else 1)


def _report(ways, lines, options):
  """Prints what became of the ways; whether all are right."""
  for line in lines:
    print(line)
  expected, good = ways['one process'], True
  names = {f'{index:04d}.png.png' for index in range(options.pictures)}
  for way, found in ways.items():
    same = sum(found.get(name) == digest for name, digest in expected.items())
    once = set(found) == names
    print(
      f'{way}: {len(found)} predictions of {options.pictures} pictures, '
      f'{"each once" if once else "not each once"}, {len(set(found.values()))} different; {same} '
      'with the bytes of one process'
    )
    good &= once and same == len(names)
  return good


def _convert(options):
  """Whether records by shards are those of one process."""
  flags = ['--images_dir=pairs', '--labels_dir=labels', '--split=train', '--num_workers=1']
  flags += ['--num_per_shard=50', f'--num_classes={_NUM_CLASSES}']
  script = os.path.join('scripts', 'write_tfrecord.py')
  _run([script, *flags, '--output_dir=records'], expected=0)
  _in_shards(options, [script, *flags, '--output_dir=sharded'], 'sharded', kill=False)
  _run(
    [script, *flags, '--output_dir=sharded', f'--num_shards={options.shards}', '--merge_shards'],
    expected=0,
  )
  one, found = (_digests(os.path.join(name, 'train')) for name in ('records', 'sharded'))
  # The summary names its directory.
  different = [name for name in one if found.get(name) != one[name] and 'summary' not in name]
  same = not different and set(one) == set(found)
  print(
    f'converter, {options.shards} shards: {len(found)} files, '
    + ('the bytes of one process' if same else f'other bytes: {different}')
  )
  return same


def _in_shards(options, command, directory, *, kill):
  """Runs the shards of a command in a drawn order, some at once; one is killed when half of its
  files are there, and run again. Returns its number, or None.
  """
  order = list(range(options.shards))
  random.Random(0).shuffle(order)
  victim = order[0] if kill else None
  running = []
  for index in order:
    running.append(_start(_shard(options, command, index)))
    if index == victim:
      _kill_on_its_way(running.pop(), directory, options.pictures // options.shards // 2)
    while len(running) >= options.at_once:
      running.pop(0).communicate()
  for process in running:
    process.communicate()
  if kill:
    _run([*_shard(options, command, victim), '--skip_existing'])
  return victim


def _kill_on_its_way(process, directory, num_files):
  while process.poll() is None:
    if os.path.isdir(directory) and len(os.listdir(directory)) >= num_files:
      process.send_signal(signal.SIGKILL)
    time.sleep(0.01)
  process.communicate()


def _shard(options, command, index):
  return [*command, f'--num_shards={options.shards}', f'--shard_index={index}']


def _inference(output_path):
  return ['--input=photos', '--ckpt_path=model', f'--output_path={output_path}']


def _start(command):
  return subprocess.Popen(
    [sys.executable, os.path.join(_ROOT, command[0]), *command[1:]],
    env={**os.environ, 'PYTHONPATH': _ROOT},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _run(command, *, expected=None):
  process = _start(command)
  out, err = process.communicate()
  if expected is not None and process.returncode != expected:
    sys.exit(f'{" ".join(command)}: status {process.returncode}, not {expected}\n{err}')
  return process.returncode, out, err


def _digests(directory, *, without=()):
  """Name -> SHA-256 of each file in a directory."""
  digests = {}
  for name in sorted(set(os.listdir(directory)) - set(without)):
    with open(os.path.join(directory, name), 'rb') as file:
      digests[name] = hashlib.sha256(file.read()).hexdigest()
  return digests


def _draw(count):
  """photos/, with a text among them; pairs/ and labels/ of the same pictures."""
  rng = np.random.default_rng(0)
  for directory in ('photos', 'pairs', 'labels'):
    os.mkdir(directory)
  for index in range(count):
    height, width = _SIZES[index % len(_SIZES)]
    coarse = rng.integers(0, 256, [6, 6, 3], np.uint8)
    picture = PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BILINEAR)
    label = rng.integers(0, _NUM_CLASSES, [height, width], np.uint8)
    picture.save(f'photos/{index:04d}.png')
    picture.save(f'pairs/{index:04d}.png')
    PIL.Image.fromarray(label).save(f'labels/{index:04d}.png')
  with open('photos/no_picture.png', 'w', encoding='utf-8') as file:
    file.write('text')


def _make_network():
  """model/: MobileNetV2, multiplier 0.35, of random weights that tell the pictures apart."""
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  import tensorflow as tf

  from deeplab import checkpoints, saved_options
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import ModelOptions

  options = ModelOptions(
    model_variant='mobilenet_v2', depth_multiplier=0.35, num_classes=_NUM_CLASSES
  )
  tf.random.set_seed(0)
  variables = DeepLabV3PredictionModel(options).named_variables
  weights = variables['logits/semantic/weights']
  weights.assign(1e10 * tf.random.normal(weights.shape))  # Untrained features are about 1e-10.
  checkpoints.write('model/model.ckpt', variables)
  saved_options.write('model', options)


def _parse():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--work_dir', required=True, help='a directory that is made for it')
  parser.add_argument('--pictures', type=int, default=1000, help='how many')
  parser.add_argument('--shards', type=int, default=4, help='of the inferencer and the converter')
  parser.add_argument('--at_once', type=int, default=2, help='shards that run at the same time')
  return parser.parse_args()


if __name__ == '__main__':
  main()
