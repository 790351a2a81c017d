#!/usr/bin/env python3
"""A network by every engine that can run it: the checkpoint in float32 and bfloat16, and what
export_model.py makes of it, SavedModel, ONNX, TensorFlow Lite and OpenVINO.

  benchmarks/engines.py --ckpt_path=model --size=513x513 --output=engines.json
  benchmarks/engines.py --model_variant=mobilenet_v2 --depth_multiplier=0.5

Three columns, each in turns with all others, medians: the engine's own call; the same through the
inferencer, as run_inferencer.py makes it; and run_inferencer.py itself on a folder of images of
that size, from the first picture written to the last, with the images read and pictures written
meanwhile. The last line says how far the fastest engine alone is ahead of the fastest that
run_inferencer.py can be told to take.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

import contenders
import machine

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

# Name -> file below the export (None: the checkpoint), --engine, --compute_dtype.
ENGINES = {
  'checkpoint, float32': (None, 'auto', 'float32'),
  'checkpoint, bfloat16': (None, 'auto', 'bfloat16'),
  'SavedModel, TensorFlow': ('saved_model', 'auto', 'float32'),
  'SavedModel, OpenVINO float32': ('saved_model', 'openvino', 'float32'),
  'SavedModel, OpenVINO bfloat16': ('saved_model', 'openvino', 'bfloat16'),
  'ONNX, onnxruntime': ('model.onnx', 'auto', 'float32'),
  'TFLite float32, LiteRT': ('model_float32.tflite', 'auto', 'float32'),
  'TFLite int8, LiteRT': ('model_int8.tflite', 'auto', 'float32'),
}
_SPEED = re.compile(r'(\d+) images in ([\d.]+) s, .* ([\d.]+) s after loading')


def main():
  arguments = _arguments()
  size = [int(side) for side in arguments.size.split('x')]
  chosen = {name: ENGINES[name] for name in arguments.engines or ENGINES}
  with tempfile.TemporaryDirectory() as directory:
    images = _draw_images(os.path.join(directory, 'images'), size, arguments.num_images)
    ckpt_path = arguments.ckpt_path or _random_weights(directory, arguments)
    exported = arguments.exported or _export(ckpt_path, directory, images, arguments)
    specifications = {
      name: {
        'path': ckpt_path if file is None else os.path.join(exported, file),
        'exported': file is not None,
        'engine': engine,
        'compute_dtype': compute_dtype,
        'size': size,
        'num_threads': arguments.num_threads,
      }
      for name, (file, engine, compute_dtype) in chosen.items()
    }
    rows = {name: {} for name in chosen}
    for column, through in (('alone', False), ('inferencer', True)):
      for result in contenders.compare(
        [
          (name, 'engine_worker.py', {**settings, 'through': through}, sys.executable)
          for name, settings in specifications.items()
        ],
        rounds=arguments.rounds,
      ):
        rows[result['name']][column] = result
    for _ in range(arguments.command_rounds):
      for name, settings in specifications.items():
        rows[name].setdefault('command', []).append(_run_inferencer(settings, images, directory))
  report = {
    'machine': machine.describe(),
    'arguments': vars(arguments),
    'rows': [_row(name, measured) for name, measured in rows.items()],
  }
  if arguments.output:
    with open(arguments.output, 'w', encoding='utf-8') as file:
      json.dump(report, file, indent=2)
      file.write('\n')
  print('\n'.join(_table(report)))


def _arguments():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--ckpt_path', help='checkpoint; default: random weights')
  parser.add_argument('--model_variant', default='mobilenet_v2', help='of random weights')
  parser.add_argument('--depth_multiplier', type=float, default=1.0, help='of random weights')
  parser.add_argument('--atrous_rates', default='', help='of random weights, such as 6,12,18')
  parser.add_argument('--use_decoder', action='store_true', help='of random weights')
  parser.add_argument('--output_stride', type=int, default=16, help='of random weights')
  parser.add_argument('--exported', help='directory with the exports; default: made here')
  parser.add_argument('--size', default='513x513', help='HEIGHTxWIDTH of the images')
  parser.add_argument(
    '--dynamic', action='store_true', help='export for any size, but for int8, which needs one'
  )
  parser.add_argument('--engines', action='append', choices=list(ENGINES), help='default: all')
  parser.add_argument('--num_threads', type=int, default=2, help='of an engine alone')
  parser.add_argument('--rounds', type=int, default=15)
  parser.add_argument('--num_images', type=int, default=100, help='in the folder')
  parser.add_argument('--command_rounds', type=int, default=3)
  parser.add_argument('--output', help='JSON file')
  return parser.parse_args()


def _draw_images(directory, size, count):
  """A directory of photograph-like scenes of one size."""
  import numpy as np
  from PIL import Image

  os.makedirs(directory)
  rng = np.random.default_rng(0)
  for index in range(count):
    coarse = Image.fromarray(rng.integers(0, 256, [12, 16, 3], np.uint8))
    smooth = np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC))
    noisy = np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(os.path.join(directory, f'{index:04d}.jpg'), quality=90)
  return directory


def _random_weights(directory, arguments):
  from deeplab import checkpoints, saved_options
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import ModelOptions

  options = ModelOptions(
    model_variant=arguments.model_variant,
    depth_multiplier=arguments.depth_multiplier,
    atrous_rates=tuple(int(rate) for rate in arguments.atrous_rates.split(',') if rate),
    use_decoder=arguments.use_decoder,
    output_stride=arguments.output_stride,
  )
  path = os.path.join(directory, 'weights')
  checkpoints.write(
    os.path.join(path, 'model.ckpt'), DeepLabV3PredictionModel(options).named_variables
  )
  saved_options.write(path, options)
  return path


def _export(ckpt_path, directory, images, arguments):
  """Everything that the engines need, in one directory; how exact it is, export_model.py says
  elsewhere.
  """
  path = os.path.join(directory, 'exported')
  fixed, int8 = f'--size={arguments.size}', ['--tflite_type=int8']
  int8 += [f'--representative_filenames={images}', '--format=tflite', fixed]
  others = ['--format=saved_model,tflite,onnx', *([] if arguments.dynamic else [fixed])]
  for flags in (others, int8):
    subprocess.run(
      [
        sys.executable,
        os.path.join(ROOT, 'export_model.py'),
        f'--ckpt_path={ckpt_path}',
        f'--output_path={path}',
        f'--check_images={images}/0000.jpg',
        '--max_different_pixels=100',
        *flags,
      ],
      check=True,
    )
  return path


def _run_inferencer(settings, images, directory):
  """Milliseconds for each image after the first, of one run of the command."""
  done = subprocess.run(
    [
      sys.executable,
      os.path.join(ROOT, 'run_inferencer.py'),
      f'--ckpt_path={settings["path"]}',
      f'--engine={settings["engine"]}',
      f'--compute_dtype={settings["compute_dtype"]}',
      f'--input={images}',
      f'--output_path={os.path.join(directory, "predictions")}',
      '--output_type=ids',
    ],
    capture_output=True,
    text=True,
  )
  match = _SPEED.search(done.stdout)
  if done.returncode or not match:
    return None
  count, seconds, first = int(match[1]), float(match[2]), float(match[3])
  return 1e3 * (seconds - first) / (count - 1)


def _row(name, measured):
  """One engine: milliseconds an image, or why there are none."""
  row = {'engine': name}
  for column in ('alone', 'inferencer'):
    result = measured[column]
    if 'error' in result:
      row['error'] = result['error']
    else:
      row[f'{column}_ms'] = 1e3 * result['seconds']
      row[f'{column}_all_ms'] = [1e3 * seconds for seconds in result['all_seconds']]
      row[f'{column}_peak_mib'] = result['peak_mib']
  times = [time for time in measured.get('command', []) if time is not None]
  if times:
    row['command_ms'], row['command_all_ms'] = statistics.median(times), times
  return row


def _table(report):
  """Lines of Markdown."""
  arguments = report['arguments']
  what = arguments['ckpt_path'] or (
    f'{arguments["model_variant"]} x{arguments["depth_multiplier"]:g}, random weights'
  )
  sizes = 'for any size, int8 for this one' if arguments['dynamic'] else 'for this size'
  lines = [
    machine.line(report['machine']),
    '',
    f'{what}, {arguments["size"]}, exported {sizes}; milliseconds an image, medians:',
    '',
    '| engine | alone | through the inferencer | run_inferencer.py | peak memory, MiB |',
    '|---|---|---|---|---|',
  ]
  for row in report['rows']:
    cells = [
      f'{row[key]:.1f}' if key in row else '-'
      for key in ('alone_ms', 'inferencer_ms', 'command_ms')
    ]
    memory = f'{row["inferencer_peak_mib"]:.0f}' if 'inferencer_peak_mib' in row else '-'
    lines.append(f'| {row["engine"]} | {" | ".join(cells)} | {memory} |')
  lines += [
    f'{row["engine"]} did not run: {row["error"]}' for row in report['rows'] if 'error' in row
  ]
  return [*lines, '', *_goals(report['rows'])]


def _goals(rows):
  """How far the fastest engine alone is ahead of the fastest through the toolkit: all, and those of
  float32.
  """
  lines = []
  for what, chosen in (
    ('all', rows),
    ('float32', [row for row in rows if not re.search('int8|bfloat16', row['engine'])]),
  ):
    whole = [row for row in chosen if 'alone_ms' in row and 'inferencer_ms' in row]
    if not whole:
      continue
    alone = min(whole, key=lambda row: row['alone_ms'])
    ours = min(whole, key=lambda row: row['inferencer_ms'])
    ahead = 100 * (ours['inferencer_ms'] / alone['alone_ms'] - 1)
    lines.append(
      f'{what}: fastest alone {alone["engine"]}, {alone["alone_ms"]:.1f} ms; through the '
      f'inferencer {ours["engine"]}, {ours["inferencer_ms"]:.1f} ms: {ahead:.1f} % more'
    )
  return lines


if __name__ == '__main__':
  main()
