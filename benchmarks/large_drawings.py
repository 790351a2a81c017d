#!/usr/bin/env python3
"""Draws two large pictures, one with few large shapes and one with many small ones, and predicts
them as they are, in tiles and with --max_size; writes them side by side, and prints how many pixels
are right. The network is the quickstart's:

scripts/quickstart.py --output_path=quickstart
benchmarks/large_drawings.py --ckpt_path=quickstart/model --output_path=files/large_images.jpg
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

_ROWS, _COLUMNS, _SIDE = 8, 12, 150  # Small scenes in the picture with many, and their size.


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--ckpt_path', required=True)
  parser.add_argument('--output_path', required=True, help='a .jpg or .png')
  parser.add_argument('--max_size', type=int, default=193)
  parser.add_argument('--tile_size', type=int, default=193)
  parser.add_argument('--seed', type=int, default=1)
  arguments = parser.parse_args()

  from deeplab import color_map, pictures, synthetic_scenes
  from deeplab.inferencer import DeepLabV3Inferencer
  from deeplab.options import ModelOptions, PredictionOptions
  from deeplab.prediction import trained_network

  model = trained_network.load(arguments.ckpt_path, ModelOptions(), given=frozenset()).model
  tiles, max_size = arguments.tile_size, arguments.max_size
  ways = {
    'as it is': {},
    f'--tile_size={tiles}': {'tile_size': tiles},
    f'--max_size={max_size}': {'max_size': max_size},
  }
  random = np.random.default_rng(arguments.seed)
  drawings = {
    'few large shapes': synthetic_scenes.draw_scene(
      random, height=_ROWS * _SIDE, width=_COLUMNS * _SIDE, num_objects=8
    ),
    'many small shapes': _many_scenes(random, synthetic_scenes.draw_scene),
  }
  rows = []
  for title, (image, label) in drawings.items():
    row = [image]
    for name, options in ways.items():
      inferencer = DeepLabV3Inferencer(model, options=PredictionOptions(**options))
      ((found, _),) = inferencer.predict([image])
      valid = label != synthetic_scenes.IGNORE_LABEL
      right = 100 * (found == label)[valid].mean()
      print(f'{title}, {image.shape[1]}x{image.shape[0]}, {name}: {right:.1f} % right', flush=True)
      row.append(
        pictures.overlay(
          image,
          found,
          color_map.pascal_voc_color_map(),
          alpha=0.7,
          background=0,
          with_outlines=True,
        )
      )
    rows.append(row)
  sheet = pictures.contact_sheet(
    rows, column_titles=['image', *ways], row_titles=list(drawings), cell_size=300
  )
  sheet.save(arguments.output_path, quality=85)


def _many_scenes(random, draw_scene):
  scenes = [
    [draw_scene(random, height=_SIDE, width=_SIDE, num_objects=3) for _ in range(_COLUMNS)]
    for _ in range(_ROWS)
  ]
  return tuple(
    np.concatenate([np.concatenate([scene[part] for scene in row], axis=1) for row in scenes])
    for part in (0, 1)
  )


if __name__ == '__main__':
  main()
