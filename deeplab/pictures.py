"""Pictures for people: a prediction laid over its image, sheets of pictures, legends."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deeplab import color_map as color_maps

_TEXT_COLOR = (32, 32, 32)
_BACKGROUND = (255, 255, 255)
_FONT_SIZE = 15
_GAP = 6
# zlib's fastest level: label pictures are flat, so higher levels win little and take several times
# as long.
_COMPRESS_LEVEL = 1
# The longer side of a picture is as long as so many outlines of an overlay are wide.
_OUTLINES = 400


def overlay(
  image: np.ndarray,
  labels: np.ndarray,
  color_map: np.ndarray,
  *,
  alpha: float = 0.5,
  ignore_label: int | None = None,
  background: int | None = None,
  with_outlines: bool = False,
) -> np.ndarray:
  """Lays the colours of the classes over an image.

  Args:
    image: uint8 [height, width, 3].
    labels: integer array [height, width].
    color_map: uint8 [num_colors, 3].
    alpha: share of the class colour, 0 (only the image) to 1 (only the colours).
    ignore_label, background: pixels of these labels stay as they are in the image; None: no such
      label.
    with_outlines: draw the borders of the classes in their full colours, unless alpha is 0.

  Returns:
    uint8 [height, width, 3].
  """
  image, labels = np.asarray(image), np.asarray(labels)
  colors = color_maps.colorize(labels, color_map)
  blended = np.rint((1 - alpha) * image + alpha * colors.astype(np.float32)).astype(np.uint8)
  if with_outlines and alpha > 0:
    on_outline = _outlines(labels, width=max(1, round(max(labels.shape) / _OUTLINES)))
    blended = np.where(on_outline[..., np.newaxis], colors, blended)
  for label in (ignore_label, background):
    if label is not None:
      blended = np.where((labels == label)[..., np.newaxis], image, blended)
  return blended


def contact_sheet(
  rows: Sequence[Sequence[np.ndarray]],
  *,
  column_titles: Sequence[str] = (),
  row_titles: Sequence[str] = (),
  cell_titles: Sequence[Sequence[str]] = (),
  legend: Sequence[tuple[str, Sequence[int]]] = (),
  cell_size: int = 256,
) -> Image.Image:
  """Arranges pictures in a grid.

  Args:
    rows: lists of pictures, uint8 [height, width, 3] each, of any size: each is scaled to fit its
      cell, with its shape kept. Rows may differ in length.
    column_titles: texts above the columns, or ().
    row_titles: texts above each row's first picture, or ().
    cell_titles: instead of them, for each row the texts above its pictures, or ().
    legend: (name, (r, g, b)) pairs to list below the grid, or ().
    cell_size: width and greatest height of a cell in pixels.

  Returns:
    A PIL.Image in RGB.
  """
  font = ImageFont.load_default(size=_FONT_SIZE)
  line = _FONT_SIZE + _GAP
  cells = [[_fit(picture, cell_size) for picture in row] for row in rows]
  heights = [max((cell.height for cell in row), default=0) for row in cells]
  columns = max((len(row) for row in cells), default=1)
  width = _GAP + columns * (cell_size + _GAP)
  top = _GAP + (line if column_titles else 0)
  # A name stands nearer to its own pictures than to those above it.
  title_line = line if row_titles or cell_titles else 0
  row_gap = 3 * _GAP if title_line else _GAP
  legend_image = _legend(legend, width=width) if legend else None
  height = (
    top
    + sum(height + title_line + row_gap for height in heights)
    + (legend_image.height if legend_image else 0)
  )

  sheet = Image.new('RGB', (width, height), _BACKGROUND)
  draw = ImageDraw.Draw(sheet)
  for column, title in enumerate(column_titles):
    left = _GAP + column * (cell_size + _GAP)
    draw.text((left, _GAP), _shorten(title, font, cell_size), fill=_TEXT_COLOR, font=font)
  for index, row in enumerate(cells):
    if index < len(row_titles):
      draw.text(
        (_GAP, top),
        _shorten(row_titles[index], font, width - 2 * _GAP),
        fill=_TEXT_COLOR,
        font=font,
      )
    for column, cell in enumerate(row):
      left = _GAP + column * (cell_size + _GAP)
      if cell_titles:
        title = _shorten(cell_titles[index][column], font, cell_size)
        draw.text((left, top), title, fill=_TEXT_COLOR, font=font)
      sheet.paste(cell, (left + (cell_size - cell.width) // 2, top + title_line))
    top += heights[index] + title_line + row_gap
  if legend_image:
    sheet.paste(legend_image, (0, top))
  return sheet


def legend(entries: Sequence[tuple[str, Sequence[int]]]) -> Image.Image:
  """A picture that names colours.

  Args:
    entries: (name, (r, g, b)) pairs.

  Returns:
    A PIL.Image in RGB, entries side by side in as many lines as they need.
  """
  return _legend(entries, width=800)


def save_png(picture: Image.Image, path: str) -> None:
  """Writes a PIL.Image as PNG, whatever the name of the file. Raises OSError."""
  picture.save(path, format='PNG', compress_level=_COMPRESS_LEVEL)


def _outlines(labels, *, width):
  """The pixels with another label at most `width` pixels above, below, left or right: bool."""
  found = np.zeros(labels.shape, bool)
  for axis in (0, 1):
    # `width` pixels in a row differ from a neighbour where any of the steps between them is one.
    steps = np.diff(labels, axis=axis) != 0
    moved_found, moved_steps = np.moveaxis(found, axis, 0), np.moveaxis(steps, axis, 0)
    for distance in range(min(width, len(moved_steps))):
      moved_found[: len(moved_steps) - distance] |= moved_steps[distance:]
      moved_found[1 + distance :] |= moved_steps[: len(moved_steps) - distance]
  return found


def _legend(entries, *, width):
  font = ImageFont.load_default(size=_FONT_SIZE)
  swatch, line = _FONT_SIZE, _FONT_SIZE + _GAP
  longest = max((font.getlength(name) for name, _ in entries), default=0)
  entry_width = min(int(longest) + swatch + 4 * _GAP, width - _GAP)
  columns = max(1, (width - _GAP) // entry_width)
  lines = -(-len(entries) // columns)
  picture = Image.new('RGB', (width, _GAP + lines * line), _BACKGROUND)
  draw = ImageDraw.Draw(picture)
  for index, (name, color) in enumerate(entries):
    left, top = _GAP + index % columns * entry_width, _GAP + index // columns * line
    draw.rectangle(
      [left, top, left + swatch, top + swatch],
      fill=tuple(int(value) for value in color),
      outline=_TEXT_COLOR,
    )
    name = _shorten(name, font, entry_width - swatch - 2 * _GAP)
    draw.text((left + swatch + _GAP, top - 2), name, fill=_TEXT_COLOR, font=font)
  return picture


def _fit(picture, cell_size):
  """The picture as a PIL.Image that fits a cell; small pictures grow, by whole pixels so that
  classes stay sharp.
  """
  picture = Image.fromarray(np.asarray(picture))
  scale = cell_size / max(picture.size)
  size = tuple(max(1, round(side * scale)) for side in picture.size)
  return picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX)


def _shorten(text, font, width):
  """The text, with its end replaced by dots where it is wider than `width` pixels."""
  if font.getlength(text) <= width:
    return text
  while text and font.getlength(text + '...') > width:
    text = text[:-1]
  return text + '...'
