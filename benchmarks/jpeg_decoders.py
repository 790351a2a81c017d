#!/usr/bin/env python3
"""How much another JPEG decoder changes images and predictions: Pillow's against TensorFlow's
default, with which this toolkit decodes everywhere.

benchmarks/jpeg_decoders.py --ckpt_path=voc_model --images='photos/*.jpg'
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
  parser.add_argument('--images', required=True, help='a glob of JPEGs without orientation tags')
  arguments = parser.parse_args()

  import numpy as np
  from PIL import Image

  from deeplab.inferencer import DeepLabV3Inferencer
  from deeplab.options import ModelOptions
  from deeplab.prediction import image_files, trained_network

  network = trained_network.load(arguments.ckpt_path, ModelOptions(), given=frozenset())
  inferencer = DeepLabV3Inferencer(network.model)
  largest, num_other_samples, num_samples, num_other_classes, num_pixels = 0, 0, 0, 0, 0
  paths = sorted(glob.glob(arguments.images))
  for path in paths:
    image, other = image_files.read_image(path), np.asarray(Image.open(path).convert('RGB'))
    difference = abs(image.astype(int) - other)
    largest = max(largest, int(difference.max()))
    num_other_samples += int((difference > 0).sum())
    num_samples += difference.size
    labels, other_labels = (inferencer.predict([each])[0][0] for each in (image, other))
    num_other_classes += int((labels != other_labels).sum())
    num_pixels += labels.size
  print(
    f'{len(paths)} images: samples differ by up to {largest} of 255, '
    f'{100 * num_other_samples / num_samples:.1f} % of them at all; other class '
    f'{100 * num_other_classes / num_pixels:.2f} % of the pixels'
  )


if __name__ == '__main__':
  main()
