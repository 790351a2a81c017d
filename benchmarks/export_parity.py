#!/usr/bin/env python3
"""How far exported models are from the checkpoints they were made of, and how large they are.

  benchmarks/export_parity.py
  benchmarks/export_parity.py --ckpt_path=model --representative_filenames=records/train \\
    --check_filenames=records/val --check_images=photos

Without --ckpt_path three networks with random weights are exported: ResNet-50 v2 with rates and
decoder, ResNet-101 v1, MobileNetV2 with rates and decoder at stride 8. Their batch norm is settled
on drawn scenes, so that all activations have the ranges of a trained network, but their classes
are noise: many pixels lie near a border, so that more of them differ than in a trained network.
Each file is made by the code of export_model.py and compared as it compares, without its limits; a
number above its limit is marked `!`. What a converter says against a network is printed.
"""

import argparse
import os
import tempfile

import machine

_RANDOM = {
  'resnet_v2_50, rates, decoder': dict(
    model_variant='resnet_v2_50', atrous_rates=(6, 12, 18), use_decoder=True
  ),
  'resnet_v1_101': dict(model_variant='resnet_v1_101'),
  'mobilenet_v2, rates, decoder, stride 8': dict(
    model_variant='mobilenet_v2', output_stride=8, atrous_rates=(12, 24, 36), use_decoder=True
  ),
}
_FILES = (
  ('saved_model', 'float32'),
  ('onnx', 'float32'),
  ('tflite', 'float32'),
  ('tflite', 'float16'),
  ('tflite', 'int8'),
)
_NUM_SCENES = 9


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--ckpt_path', action='append', help='repeated; default: random weights')
  parser.add_argument('--random', action='append', choices=list(_RANDOM), help='default: all')
  parser.add_argument('--size', default='513x513', help='of int8; the others are dynamic')
  parser.add_argument('--representative_filenames', action='append', default=[])
  parser.add_argument('--check_filenames', action='append', default=[])
  parser.add_argument('--check_images', action='append', default=[])
  parser.add_argument('--weights', default='float32,float16,int8', help='some of these')
  parser.add_argument('--format', default='saved_model,onnx,tflite', help='some of these')
  flags = parser.parse_args()
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  quiet_start.hide_advice()
  print(machine.line(machine.describe()) + '\n', flush=True)
  print('| network | file | MB | pixels that differ | probabilities, at most | mIOU (checkpoint) |')
  print('|---|---|---|---|---|---|', flush=True)
  problems = []
  with tempfile.TemporaryDirectory() as directory:
    networks = {path: path for path in flags.ckpt_path or []}
    for name in [] if networks else flags.random or _RANDOM:
      networks[name] = _random_checkpoint(os.path.join(directory, name), _RANDOM[name])
    if not flags.representative_filenames:
      flags.representative_filenames = [
        _drawn(os.path.join(directory, 'scenes'), tuple(map(int, flags.size.split('x'))))
      ]
    for name, path in networks.items():
      problems += _rows(name, path, flags, os.path.join(directory, 'exported'))
  print('\n' + '\n'.join(problems or ['No converter failed.']))


def _rows(name, ckpt_path, flags, output_path):
  """Prints the rows of one network; returns what went wrong."""
  from deeplab import messages
  from deeplab.errors import InputError
  from deeplab.export import check, exporter
  from deeplab.options import ModelExportOptions, ModelOptions
  from deeplab.prediction import trained_network

  trained = trained_network.load(ckpt_path, ModelOptions(), given=())
  heard = _Problems()
  for kind, weights in _FILES:
    if weights not in flags.weights.split(',') or kind not in flags.format.split(','):
      continue
    int8 = weights == 'int8'
    options = ModelExportOptions(
      output_path=output_path,
      overwrite=True,
      format=(kind,),
      tflite_type=(weights,),
      size=flags.size if int8 else 'dynamic',
      representative_filenames=flags.representative_filenames if int8 else (),
      check_filenames=flags.check_filenames if int8 else (),
      check_images=flags.check_images,
      max_different_pixels=100.0,
    )
    label = f'| {name} | {kind} {weights if kind == "tflite" else ""} |'.replace('  ', ' ')
    try:
      with messages.heard_by(heard):
        (exported,) = exporter.export(trained, options, trained.color_map(None))
    except InputError:
      print(f'{label} | failed: {heard.lines[-1]} | | |', flush=True)
      continue
    for finding in exported.findings:
      comparison = finding.comparison
      mark = ' !' if comparison.percent > check.LIMITS[kind, weights] else ''
      run = f' {finding.run}' if finding.run else ''
      scores = ''
      if finding.mean_iou is not None:
        scores = f'{finding.mean_iou:.4f} ({finding.mean_iou_of_checkpoint:.4f})'
      print(
        f'{label[:-2]}{run} | {exported.num_bytes / 1e6:.1f} | '
        f'{comparison.percent:.4f} % of {comparison.num_pixels}{mark} | '
        f'{comparison.probability_difference:.1e} | {scores} |',
        flush=True,
      )
  return [f'{name}: {line}' for line in heard.lines]


class _Problems:
  """Hears what goes wrong, for the end of the table."""

  def __init__(self):
    self.lines = []

  def say(self, line):
    pass

  def warn(self, line):
    self.lines.append(line)

  def problem(self, line):
    self.lines.append(line)

  def shows_bars(self):
    return False


def _random_checkpoint(directory, options):
  """Writes a network with random weights; returns its directory."""
  import numpy as np
  import tensorflow as tf

  from deeplab import checkpoints, saved_options, synthetic_scenes
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import ModelOptions

  tf.random.set_seed(0)
  options = ModelOptions(num_classes=21, **options)
  # Almost without decay the moving statistics are those of the batch; 0 means the network's own.
  model = DeepLabV3PredictionModel(options, batch_norm_decay=1e-6, operations='plain')
  scenes = [
    synthetic_scenes.draw_scene(np.random.default_rng(index), height=257, width=257, num_objects=5)[
      0
    ]
    for index in range(4)
  ]
  scenes = tf.constant(np.stack(scenes))
  model.predict(scenes, is_training=True)
  logits = model.predict(scenes)
  weights = model.named_variables['logits/semantic/weights']
  weights.assign(weights * 4.0 / tf.math.reduce_std(logits))
  # Else nothing could differ.
  assert len(np.unique(tf.argmax(logits, axis=-1))) > 3, 'the random network knows few classes'
  checkpoints.write(os.path.join(directory, 'model.ckpt'), model.named_variables)
  saved_options.write(directory, options)
  return directory


def _drawn(directory, size):
  """A directory of drawn scenes of that height and width."""
  import numpy as np
  from PIL import Image

  from deeplab import synthetic_scenes

  os.makedirs(directory)
  for index in range(_NUM_SCENES):
    scene, _ = synthetic_scenes.draw_scene(
      np.random.default_rng([1, index]), height=size[0], width=size[1], num_objects=6
    )
    Image.fromarray(scene).save(os.path.join(directory, f'{index:02d}.png'))
  return directory


if __name__ == '__main__':
  main()
