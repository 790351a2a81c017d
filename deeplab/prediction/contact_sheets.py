"""Contact sheets: pages of rows `image, prediction, overlay`, many images a page."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from deeplab import output_places, pictures
from deeplab.atomic_files import replacing
from deeplab.color_map import colorize
from deeplab.errors import shown
from deeplab.undecodable_names import to_text

_ROWS = 12
_CELL = 256


class ContactSheets:
  """Collects predictions and writes a page whenever it is full; only the small pictures of one page
  are kept in memory.
  """

  def __init__(
    self,
    output_path: str,
    *,
    color_map: np.ndarray,
    legend: Sequence[tuple] = (),
    overlay: Mapping | None = None,
    keep_pages: bool = False,
    name_part: str = '',
  ):
    """Prepares it.

    Args:
      output_path: directory of the pages, contact_sheet-001.png and so on.
      color_map: uint8 [num_colors, 3].
      legend: (name, (r, g, b)) pairs to show on each page, or ().
      overlay: settings of `pictures.overlay`, or None for its own.
      keep_pages: number the pages after those that are there, instead of replacing them.
      name_part: comes before the number, where others write pages there too.
    """
    self._output_path = output_path
    self._color_map = color_map
    self._legend = legend
    self._overlay = overlay or {}
    self._rows, self._titles = [], []
    self._num_pages, self._name_part = 0, name_part
    while keep_pages and os.path.exists(self._next_path()):
      self._num_pages += 1

  def add(self, name: str, image: np.ndarray, labels: np.ndarray) -> str | None:
    """Adds one image, uint8 [H, W, 3], with its predicted labels, int32 [H, W].

    Returns:
      the path of the page that it completed, or None.

    Raises:
      InputError: the page cannot be written.
    """
    step = max(1, max(labels.shape) // _CELL)  # Every step-th pixel: a class has no mean.
    image, labels = image[::step, ::step], labels[::step, ::step]
    self._rows.append(
      [
        image,
        colorize(labels, self._color_map),
        pictures.overlay(image, labels, self._color_map, **self._overlay),
      ]
    )
    self._titles.append(to_text(shown(name)))
    return self.finish() if len(self._rows) == _ROWS else None

  def finish(self) -> str | None:
    """Writes the page begun, if there is one, and returns its path or None.

    Raises:
      InputError: it cannot be written.
    """
    if not self._rows:
      return None
    path = self._next_path()
    self._num_pages += 1
    sheet = pictures.contact_sheet(
      self._rows,
      column_titles=('image', 'prediction', 'overlay'),
      row_titles=self._titles,
      legend=self._legend,
      cell_size=_CELL,
    )
    with output_places.explaining(path, flag='output_path'), replacing(path) as temporary:
      pictures.save_png(sheet, temporary)
    self._rows, self._titles = [], []
    return path

  def _next_path(self):
    name = f'contact_sheet-{self._name_part}{self._num_pages + 1:03d}.png'
    return os.path.join(self._output_path, name)
