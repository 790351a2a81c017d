#!/usr/bin/env python3
"""Photographs enlarged to the size of a phone's, predicted as they are, in tiles and with
--max_size: the share of the pixels that get the class which the photograph at its own size gives.

benchmarks/large_photographs.py --ckpt_path=voc_model --images='photos/*.jpg'
"""

import argparse
import glob
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from PIL import Image


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--ckpt_path', required=True)
  parser.add_argument('--images', required=True, help='a glob')
  parser.add_argument('--long_side', type=int, default=4000, help='of the enlarged photographs')
  parser.add_argument('--max_sizes', default='500,513')
  parser.add_argument('--tile_size', type=int, default=1025)
  arguments = parser.parse_args()

  from deeplab.inferencer import DeepLabV3Inferencer
  from deeplab.options import ModelOptions, PredictionOptions
  from deeplab.prediction import image_files, trained_network

  model = trained_network.load(arguments.ckpt_path, ModelOptions(), given=frozenset()).model
  ways = {
    'as it is': {},
    f'--tile_size={arguments.tile_size}': {'tile_size': arguments.tile_size},
    **{f'--max_size={size}': {'max_size': int(size)} for size in arguments.max_sizes.split(',')},
  }
  inferencers = {
    name: DeepLabV3Inferencer(model, options=PredictionOptions(**way)) for name, way in ways.items()
  }
  paths = sorted(glob.glob(arguments.images))
  totals = dict.fromkeys(ways, 0.0)
  for path in paths:
    image = image_files.read_image(path)
    ((labels, _),) = inferencers['as it is'].predict([image])
    height, width = image.shape[:2]
    scale = arguments.long_side / max(height, width)
    size = round(width * scale), round(height * scale)
    large = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    expected = np.asarray(
      Image.fromarray(labels.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    )
    print(
      f'{os.path.basename(path)}: {width}x{height}, enlarged to {size[0]}x{size[1]}', flush=True
    )
    for name, inferencer in inferencers.items():
      start = time.monotonic()
      ((found, _),) = inferencer.predict([large])
      agreeing = 100 * (found == expected).mean()
      totals[name] += agreeing
      print(f'  {name:18} {agreeing:6.2f} % agree, {time.monotonic() - start:5.1f} s', flush=True)
  print(f'mean of {len(paths)}')
  for name, total in totals.items():
    print(f'  {name:18} {total / len(paths):6.2f} % agree')


if __name__ == '__main__':
  main()
