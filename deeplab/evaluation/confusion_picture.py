"""A confusion matrix as a picture."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_TEXT = (32, 32, 32)
_GRID = (225, 225, 225)
_LOW, _HIGH = np.array([255, 255, 255]), np.array([8, 64, 129])
_ABSENT = (245, 240, 235)
_MOST_CLASSES_WITH_NUMBERS = 40
_GAP = 8


def draw(confusion: np.ndarray, class_names: Sequence[str]) -> Image.Image:
  """Draws where the pixels of each true class went.

  Args:
    confusion: int64 [C, C], rows the truth, columns the prediction.
    class_names: C strings.

  Returns:
    A PIL.Image in RGB. A cell's colour is its share of its row, so a row sums to 100 %; rows of
    classes that do not occur are left beige.
  """
  num_classes = len(confusion)
  with_numbers = num_classes <= _MOST_CLASSES_WITH_NUMBERS
  cell = 40 if with_numbers else max(8, 1600 // num_classes)
  font = ImageFont.load_default(size=14 if with_numbers else max(8, cell - 2))
  number_font = ImageFont.load_default(size=12)
  name_width = int(max(font.getlength(name) for name in class_names)) + 2 * _GAP
  title_height = 28
  left, top = name_width, title_height + name_width
  picture = Image.new(
    'RGB', (left + num_classes * cell + _GAP, top + num_classes * cell + _GAP), 'white'
  )
  canvas = ImageDraw.Draw(picture)
  canvas.text(
    (_GAP, _GAP),
    'rows: truth, columns: prediction, in % of the row',
    fill=_TEXT,
    font=ImageFont.load_default(size=15),
  )
  picture.paste(
    _column_names(class_names, font, cell=cell, height=name_width), (left, title_height)
  )
  totals = confusion.sum(axis=1)
  for row in range(num_classes):
    canvas.text(
      (name_width - _GAP, top + row * cell + cell // 2),
      class_names[row],
      fill=_TEXT,
      font=font,
      anchor='rm',
    )
    for column in range(num_classes):
      share = confusion[row, column] / totals[row] if totals[row] else None
      _draw_cell(
        canvas,
        (left + column * cell, top + row * cell),
        cell,
        share,
        number_font if with_numbers else None,
      )
  return picture


def _draw_cell(canvas, corner, cell, share, number_font):
  """One cell; `share` in [0, 1], or None where the class does not occur; no font, no number."""
  x, y = corner
  # The root makes the small shares visible, which are the interesting ones.
  color = (
    _ABSENT
    if share is None
    else tuple(int(value) for value in _LOW + (_HIGH - _LOW) * np.sqrt(share))
  )
  canvas.rectangle([x, y, x + cell, y + cell], fill=color, outline=_GRID)
  if number_font is not None and share is not None and share >= 0.0005:
    text = f'{100 * share:.0f}' if share >= 0.0995 else f'{100 * share:.1f}'
    canvas.text(
      (x + cell // 2, y + cell // 2),
      text,
      font=number_font,
      anchor='mm',
      fill='white' if share > 0.3 else _TEXT,
    )


def _column_names(class_names, font, *, cell, height):
  """The names above the columns, which read upwards."""
  strip = Image.new('RGB', (height, cell * len(class_names)), 'white')
  canvas = ImageDraw.Draw(strip)
  for index, name in enumerate(class_names):
    canvas.text((_GAP, index * cell + cell // 2), name, fill=_TEXT, font=font, anchor='lm')
  # Turned to the left, the first line is the leftmost column and reads upwards.
  return strip.transpose(Image.Transpose.ROTATE_90)
