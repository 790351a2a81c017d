#!/usr/bin/env python3
"""The pictures of docs/gallery.md: photographs that scikit-image ships, predicted by published
weights, each beside its classes in colour, laid over it, and cut out.

  benchmarks/gallery.py --output_path=docs/gallery
  benchmarks/gallery.py --ckpt_path=official/xception65_voc_trainaug --output_path=gallery

Needs scikit-image (pip install scikit-image), whose package holds the four photographs, and the
weights, which are downloaded where they are not in the cache.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from PIL import Image

import deeplab
from deeplab import pictures

PHOTOGRAPHS = ('astronaut', 'chelsea', 'coffee', 'rocket')
_WIDTH = 300  # Of each of four pictures in a row.
_QUALITY = 88
# Of the squares that show where a cutout is transparent: grey values, and their side.
_LIGHT, _DARK, _SQUARE = 255, 210, 10


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--ckpt_path', default='official/mobilenetv2_dm05_voc_trainaug')
  parser.add_argument('--output_path', default='docs/gallery')
  flags = parser.parse_args()
  import skimage.data

  network = deeplab.load(flags.ckpt_path)
  os.makedirs(flags.output_path, exist_ok=True)
  for name in PHOTOGRAPHS:
    prediction = network.predict(getattr(skimage.data, name)())
    path = os.path.join(flags.output_path, f'{name}.jpg')
    sheet(prediction, network.colors).save(path, quality=_QUALITY)
    print(f'{path}: {os.path.getsize(path) / 1024:.0f} KB; {counted(prediction)}')


def sheet(prediction, colors):
  """The photograph, its classes in colour, the overlay and the cutout side by side, with a
  legend.
  """
  cutout = prediction.cutout()
  ground = squares(cutout.size)
  ground.paste(cutout, mask=cutout.getchannel('A'))
  shown = [prediction.image, prediction.color().convert('RGB'), prediction.overlay(), ground]
  return pictures.contact_sheet(
    [[np.asarray(picture) for picture in shown]],
    column_titles=['photograph', 'color', 'overlay', 'cutout'],
    legend=[
      (name, tuple(colors[prediction.class_names.index(name)].tolist()))
      for name in prediction.counts()
    ],
    cell_size=_WIDTH,
  )


def squares(size):
  """An image of squares in two greys."""
  rows, columns = np.indices((size[1], size[0])) // _SQUARE
  greys = np.where((rows + columns) % 2, _DARK, _LIGHT).astype(np.uint8)
  return Image.fromarray(greys).convert('RGB')


def counted(prediction):
  """The classes and how much of the picture each covers, largest first."""
  counts = prediction.counts()
  total = sum(counts.values())
  return ', '.join(f'{name} {count / total:.1%}' for name, count in counts.most_common())


if __name__ == '__main__':
  main()
