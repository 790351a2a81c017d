#!/usr/bin/env python3
"""Draws the colour maps of the data sets as PDFs: index, colour and name of every class."""

import dataclasses
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from deeplab import class_names, flags
from deeplab import color_map as color_maps
from deeplab.atomic_files import remove_unfinished, replacing
from deeplab.errors import InputError
from deeplab.messages import say
from deeplab.options import CheckedOptions, option

# (file, title, names, colour map, columns). The rule of PASCAL VOC colours any number of classes.
# It is the default of --colormap: a network of ADE20K gets its colours unless told otherwise.
SHEETS = (
  ('pascalvoc_colormap.pdf', 'PASCAL VOC, 21 classes', class_names.VOC, 'voc', 1),
  (
    'ade20k_colormap.pdf',
    'ADE20K, 151 classes: --colormap=ade20k',
    class_names.ADE20K,
    'ade20k',
    4,
  ),
  (
    'ade20k_voc_rule_colormap.pdf',
    'ADE20K, 151 classes, in the colours of the PASCAL VOC rule: --colormap=voc, the default',
    class_names.ADE20K,
    'voc',
    4,
  ),
)

_LINE, _COLUMN, _MARGIN = 0.22, 2.35, 0.4  # Inches.


@dataclasses.dataclass(frozen=True)
class DrawingOptions(CheckedOptions):
  """Where the PDFs go."""

  group = 'Drawing'

  output_path: str = option('.', 'Directory for the PDFs.')


def main(options):
  try:
    import matplotlib.figure  # noqa: F401
  except ImportError:
    raise InputError(
      'matplotlib is not installed, which draws the PDFs: pip install matplotlib'
    ) from None
  os.makedirs(options.output_path, exist_ok=True)
  remove_unfinished(options.output_path)
  for file_name, title, names, color_map, columns in SHEETS:
    path = os.path.join(options.output_path, file_name)
    with replacing(path) as temporary_path:
      # Without a date the same colours give the same file.
      draw(title, names, color_maps.load_color_map(color_map), columns=columns).savefig(
        temporary_path, format='pdf', metadata={'CreationDate': None, 'Title': title}
      )
    say(f'Colour map written to {path}')


def draw(title, names, colors, *, columns):
  """A page that lists classes in columns.

  Args:
    title: above the list.
    names: of the classes.
    colors: uint8 [at least len(names), 3].
    columns: number of columns.

  Returns:
    A matplotlib Figure.
  """
  from matplotlib.figure import Figure
  from matplotlib.patches import Rectangle

  lines = -(-len(names) // columns)
  width, height = columns * _COLUMN + 2 * _MARGIN, (lines + 2) * _LINE + 2 * _MARGIN
  figure = Figure(figsize=(width, height))
  axes = figure.add_axes([0, 0, 1, 1])
  axes.set(xlim=(0, width), ylim=(height, 0))  # Inches from the top left.
  axes.axis('off')
  axes.text(_MARGIN, _MARGIN, title, va='center', fontsize=12, weight='bold')
  for index, name in enumerate(names):
    red, green, blue = (int(value) for value in colors[index])
    left, middle = _MARGIN + index // lines * _COLUMN, _MARGIN + (index % lines + 2) * _LINE
    axes.add_patch(
      Rectangle(
        (left + 0.32, middle - 0.08),
        0.3,
        0.16,
        facecolor=(red / 255, green / 255, blue / 255),
        edgecolor='0.4',
        lw=0.4,
      )
    )
    axes.text(left + 0.24, middle, str(index), va='center', ha='right', fontsize=7)
    axes.text(left + 0.7, middle, name, va='center', fontsize=8)
    axes.text(
      left + _COLUMN - 0.12,
      middle,
      f'{red} {green} {blue}',
      va='center',
      ha='right',
      fontsize=6,
      color='0.4',
    )
  return figure


if __name__ == '__main__':
  flags.run(main, DrawingOptions, description=__doc__, uses_tensorflow=False)
