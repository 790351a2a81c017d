#!/usr/bin/env python3
"""Parameters, size, multiply-adds and time of every network: one image through each backbone with
the head that the official DeepLab gives it.

  benchmarks/model_sizes.py
  benchmarks/model_sizes.py --model_variant=mobilenet_v2 --rounds=0

Multiply-adds are those of the convolutions in the graph of TensorFlow's own operations, at the
stride and size given, counted from the shapes of their kernels and results. The time is that of the
inferencer as it computes by default, from an image to the class of each pixel: the median of
--rounds after one that traces; 0: not measured.
"""

import argparse
import gc
import json
import math
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import machine

from deeplab.model.backbones import BACKBONES
from deeplab.options import ModelOptions

_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--model_variant', help='one backbone; left out: all')
  parser.add_argument('--size', type=int, default=513)
  parser.add_argument('--output_stride', type=int, default=16)
  parser.add_argument('--num_classes', type=int, default=21)
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--json', default='', help='file for the result')
  flags = parser.parse_args()
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  quiet_start.hide_advice()
  described = machine.describe()
  print(machine.line(described))
  print(f'{flags.size}x{flags.size}, output stride {flags.output_stride}')
  print('\n| network | parameters | float32 | multiply-adds | s an image |\n|---|---|---|---|---|')
  rows = []
  for name, options in networks(flags):
    row = {'network': name, **measured(options, size=flags.size, rounds=flags.rounds)}
    rows.append(row)
    seconds = '' if row['seconds'] is None else f'{row["seconds"]:.2f}'
    print(
      f'| {name} | {row["parameters"] / 1e6:.2f} M | {row["parameters"] * 4 / 1e6:.1f} MB '
      f'| {row["multiply_adds"] / 1e9:.2f} G | {seconds} |',
      flush=True,
    )
    gc.collect()
  if flags.json:
    with open(flags.json, 'w', encoding='utf-8') as file:
      json.dump({'machine': described, 'flags': vars(flags), 'rows': rows}, file, indent=1)
      file.write('\n')


def networks(flags):
  """(name, ModelOptions) of each network."""
  common = {
    'output_stride': flags.output_stride,
    'num_classes': flags.num_classes,
    'align_corners': True,
  }
  whole_head = {
    'atrous_rates': _RATES[flags.output_stride],
    'aspp_with_separable_conv': True,
    'use_decoder': True,
  }
  for variant, backbone in BACKBONES.items():
    if flags.model_variant not in (None, variant):
      continue
    common['preprocess_images_option'] = backbone.preprocess_images_option
    options = ModelOptions(model_variant=variant, **common)
    if 'depth_multiplier' in backbone.own_options:
      for multiplier in (0.5, 1.0):
        yield f'{variant} x{multiplier}', options.replace(depth_multiplier=multiplier)
      yield f'{variant} x1.0, decoder', options.replace(use_decoder=True)
    else:
      yield f'{variant}, ASPP, decoder', options.replace(**whole_head)


def measured(options, *, size, rounds):
  """dict of parameters (batch norm's statistics included), multiply_adds and seconds."""
  import numpy as np

  from deeplab.inferencer import DeepLabV3Inferencer
  from deeplab.model.prediction_model import DeepLabV3PredictionModel

  plain = DeepLabV3PredictionModel(options, operations='plain')
  result = {
    'parameters': sum(
      math.prod(variable.shape.as_list()) for variable in plain.named_variables.values()
    ),
    'multiply_adds': multiply_adds(plain, size),
    'seconds': None,
  }
  del plain
  if rounds:
    inferencer = DeepLabV3Inferencer(DeepLabV3PredictionModel(options))
    image = np.random.default_rng(0).integers(0, 256, [size, size, 3], np.uint8)
    inferencer.predict([image])
    seconds = []
    for _ in range(rounds):
      started = time.perf_counter()
      inferencer.predict([image])
      seconds.append(time.perf_counter() - started)
    result['seconds'] = statistics.median(seconds)
  return result


def multiply_adds(model, size):
  """Multiply-adds of the convolutions that one image of `size` by `size` takes."""
  import tensorflow as tf

  graph = (
    tf.function(model.predict, autograph=False)
    .get_concrete_function(tf.TensorSpec([1, size, size, 3]))
    .graph
  )
  return sum(map(_multiply_adds_of, graph.get_operations()))


def _multiply_adds_of(operation):
  if operation.type not in ('Conv2D', 'DepthwiseConv2dNative'):
    return 0
  kernel = operation.inputs[1].shape.as_list()
  # A depthwise kernel [height, width, channels, 1] reads one channel for each result.
  per_result = kernel[:2] if operation.type == 'DepthwiseConv2dNative' else kernel[:3]
  return math.prod(operation.outputs[0].shape.as_list()) * math.prod(per_result)


if __name__ == '__main__':
  main()
