#!/usr/bin/env python3
"""How much bfloat16 changes a prediction: the share of the pixels that get another class than in
float32.

benchmarks/bfloat16_difference.py --ckpt_path=voc_model --images='photos/*.jpg'
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
  arguments = parser.parse_args()

  from deeplab.inferencer import DeepLabV3Inferencer
  from deeplab.options import ModelOptions
  from deeplab.prediction import image_files, trained_network

  images = [image_files.read_image(path) for path in sorted(glob.glob(arguments.images))]
  labels = {}
  for compute_dtype in ('float32', 'bfloat16'):
    network = trained_network.load(
      arguments.ckpt_path, ModelOptions(), given=frozenset(), compute_dtype=compute_dtype
    )
    inferencer = DeepLabV3Inferencer(network.model)
    labels[compute_dtype] = [inferencer.predict([image])[0][0] for image in images]
  num_different = sum(
    (first != second).sum() for first, second in zip(labels['float32'], labels['bfloat16'])
  )
  num_pixels = sum(each.size for each in labels['float32'])
  print(f'{len(images)} images, other class {100 * num_different / num_pixels:.2f} %')


if __name__ == '__main__':
  main()
