#!/usr/bin/env python3
"""How much tiles change a prediction: the share of the pixels that get another class than from the
whole image.

benchmarks/tiles.py --ckpt_path=voc_model --images='photos/*.jpg' --tile_sizes=257,401
"""

import argparse
import glob
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--ckpt_path', required=True)
  parser.add_argument('--images', required=True, help='a glob')
  parser.add_argument('--tile_sizes', default='257,401')
  parser.add_argument('--eval_pad', default='stride', choices=['none', 'stride'])
  arguments = parser.parse_args()

  from deeplab.options import ModelOptions
  from deeplab.prediction import image_files, trained_network

  model = trained_network.load(arguments.ckpt_path, ModelOptions(), given=frozenset()).model
  images = [image_files.read_image(path) for path in sorted(glob.glob(arguments.images))]
  whole = _labels(model, images, eval_pad=arguments.eval_pad)
  num_pixels = sum(labels.size for labels in whole)
  print(f'{len(images)} images, --eval_pad={arguments.eval_pad}')
  for tile_size in map(int, arguments.tile_sizes.split(',')):
    for overlap in (0, tile_size // 8, tile_size // 4, tile_size // 2):
      tiled = _labels(
        model, images, eval_pad=arguments.eval_pad, tile_size=tile_size, tile_overlap=overlap
      )
      different = sum((first != second).sum() for first, second in zip(whole, tiled))
      print(
        f'tile {tile_size:5}  overlap {overlap:4}  other class {100 * different / num_pixels:6.2f} '
        '%',
        flush=True,
      )


def _labels(model, images, **options):
  from deeplab.inferencer import DeepLabV3Inferencer
  from deeplab.options import PredictionOptions

  inferencer = DeepLabV3Inferencer(model, options=PredictionOptions(**options))
  return [inferencer.predict([image])[0][0] for image in images]


if __name__ == '__main__':
  main()
