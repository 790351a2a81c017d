#!/usr/bin/env python3
"""Peak memory and time of predicting one large image, with the classes read off bands of rows or
off all logits at once.

benchmarks/photograph.py --height=2000 --width=1500 --num_classes=151
"""

import argparse
import os
import resource
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import machine


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--model_variant', default='mobilenet_v2')
  parser.add_argument('--height', type=int, default=2000)
  parser.add_argument('--width', type=int, default=1500)
  parser.add_argument('--num_classes', type=int, default=151)
  parser.add_argument(
    '--way',
    choices=['bands', 'all at once'],
    help='measure one in this process; left out: both, each in its own',
  )
  flags = parser.parse_args()
  if flags.way is None:
    print(machine.line(machine.describe()), flush=True)
    for way in ('all at once', 'bands'):
      subprocess.run([sys.executable, __file__, *sys.argv[1:], f'--way={way}'], check=True)
    return
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  import numpy as np

  from deeplab.inferencer import DeepLabV3Inferencer
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.operations.dispatch import Operations
  from deeplab.options import ModelOptions

  options = ModelOptions(model_variant=flags.model_variant, num_classes=flags.num_classes)
  operations = Operations(without=['bands'] if flags.way == 'all at once' else [])
  inferencer = DeepLabV3Inferencer(DeepLabV3PredictionModel(options, operations=operations))
  image = np.random.default_rng(0).integers(0, 256, [flags.height, flags.width, 3], np.uint8)
  inferencer.predict([image])
  started = time.perf_counter()
  inferencer.predict([image])
  print(
    f'{flags.model_variant}, {flags.num_classes} classes, {flags.height}x{flags.width}, '
    f'{flags.way}: '
    f'{time.perf_counter() - started:.2f} s, peak '
    f'{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB'
  )


if __name__ == '__main__':
  main()
