"""Predictions to files: colours, class indices, overlays, probabilities, contact sheets.

Each file is written whole.
"""

import contextlib
import os

import numpy as np
import PIL.Image

from deeplab import pictures
from deeplab.atomic_files import replacing
from deeplab.color_map import colorize
from deeplab.errors import InputError
from deeplab.prediction.image_files import shown

# zlib's fastest level: label pictures are flat, so higher levels win little and take several times
# as long.
_COMPRESS_LEVEL = 1
_SHEET_ROWS = 12
_SHEET_CELL = 256


class PredictionWriter:
  """Writes the files of one prediction at a time; may be called from several threads."""

  def __init__(self, *, color_map, num_classes):
    """Prepares it.

    Args:
      color_map: uint8 [num_colors, 3].
      num_classes: number of classes.

    Raises:
      InputError: there are more classes than colours.
    """
    if len(color_map) < num_classes:
      raise InputError(
        f'--colormap has {len(color_map)} colours, fewer than the {num_classes} classes of the '
        'network; '
        'choose another or add lines to it'
      )
    self._color_map = np.asarray(color_map, np.uint8)
    self._num_classes = num_classes
    self._writers = {
      'color': self._write_color,
      'ids': self._write_ids,
      'palette': self._write_palette,
      'overlay': self._write_overlay,
      'probabilities': self._write_probabilities,
    }

  def check_types(self, output_types):
    """Raises InputError where an output type cannot hold this many classes."""
    if 'palette' in output_types and self._num_classes > 256:
      raise InputError(
        f'--output_type=palette holds 256 classes, the network has {self._num_classes}; use ids '
        'and color'
      )

  def write(self, paths, *, image, labels, probabilities=None):
    """Writes the files of one image.

    Args:
      paths: dict of output type -> path; missing directories are made.
      image: uint8 [H, W, 3].
      labels: int32 [H, W].
      probabilities: float [H, W, C], where that type is asked for.

    Raises:
      InputError: a file cannot be written, for example because the disk is full. It is then as it
        was.
    """
    for kind, path in paths.items():
      with explaining(path):
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        with replacing(path) as temporary:
          self._writers[kind](temporary, image, labels, probabilities)

  def _write_color(self, path, image, labels, probabilities):
    """RGB with the colour of each pixel's class, as the reference wrote it."""
    _save_png(PIL.Image.fromarray(colorize(self._small(labels), self._color_map)), path)

  def _write_ids(self, path, image, labels, probabilities):
    """Grey, the values are the classes; 16-bit where 8 do not hold them."""
    _save_png(PIL.Image.fromarray(self._small(labels)), path)

  def _write_palette(self, path, image, labels, probabilities):
    """The values are the classes and viewers show the colours, like PASCAL VOC's own labels."""
    picture = PIL.Image.fromarray(self._small(labels))
    picture.putpalette(self._color_map[:256].tobytes())
    _save_png(picture, path)

  def _write_overlay(self, path, image, labels, probabilities):
    """The colours laid over the image."""
    _save_png(
      PIL.Image.fromarray(pictures.overlay(image, self._small(labels), self._color_map)), path
    )

  def _write_probabilities(self, path, image, labels, probabilities):
    """An npz with `probabilities` float16 [H, W, num_classes]."""
    with open(path, 'wb') as file:
      np.savez(file, probabilities=np.asarray(probabilities, np.float16))

  def _small(self, labels):
    return labels.astype(np.uint8 if self._num_classes <= 256 else np.uint16)


class ContactSheets:
  """Pages of rows `image, prediction, overlay`; only the small pictures of one page are kept in
  memory.
  """

  def __init__(self, output_path, *, color_map, legend=(), keep_pages=False):
    """Prepares it.

    Args:
      output_path: directory of the pages, contact_sheet-001.png and so on.
      color_map: uint8 [num_colors, 3].
      legend: (name, (r, g, b)) pairs to show on each page, or ().
      keep_pages: number the pages after those that are there, instead of replacing them.
    """
    self._output_path = output_path
    self._color_map = color_map
    self._legend = legend
    self._rows, self._titles = [], []
    self._num_pages = 0
    while keep_pages and os.path.exists(self._next_path()):
      self._num_pages += 1

  def add(self, name, image, labels):
    """Adds one image uint8 [H, W, 3] with its predicted labels int32 [H, W]; returns the page it
    completed, or None.
    """
    step = max(1, max(labels.shape) // _SHEET_CELL)  # Every step-th pixel: a class has no mean.
    image, labels = image[::step, ::step], labels[::step, ::step]
    self._rows.append(
      [image, colorize(labels, self._color_map), pictures.overlay(image, labels, self._color_map)]
    )
    self._titles.append(shown(name).encode('utf-8', 'replace').decode('utf-8'))
    return self.finish() if len(self._rows) == _SHEET_ROWS else None

  def finish(self):
    """Writes the page begun, if there is one, and returns its path or None."""
    if not self._rows:
      return None
    path = self._next_path()
    self._num_pages += 1
    sheet = pictures.contact_sheet(
      self._rows,
      column_titles=('image', 'prediction', 'overlay'),
      row_titles=self._titles,
      legend=self._legend,
      cell_size=_SHEET_CELL,
    )
    save_picture(sheet, path)
    self._rows, self._titles = [], []
    return path

  def _next_path(self):
    return os.path.join(self._output_path, f'contact_sheet-{self._num_pages + 1:03d}.png')


def save_picture(picture, path):
  """Writes a PIL.Image as PNG. Raises InputError where that fails."""
  with explaining(path), replacing(path) as temporary:
    _save_png(picture, temporary)


def save_legend(legend, path):
  """Writes a picture that names the colours, (name, (r, g, b)) pairs.

  Raises InputError where that fails.
  """
  save_picture(pictures.legend(legend), path)


def make_directory(path, *, flag='output_path'):
  """Makes the directory that `flag` names and tries to write there.

  Raises InputError where that fails.
  """
  with explaining(path, flag=flag):
    if os.path.exists(path) and not os.path.isdir(path):
      raise InputError(f'--{flag}={shown(path)}: is a file; give a directory')
    os.makedirs(path, exist_ok=True)
    trial = os.path.join(path, f'.unfinished-{os.getpid()}')
    with open(trial, 'wb'):
      pass
    os.remove(trial)


@contextlib.contextmanager
def explaining(path, *, flag='output_path'):
  """While open, an operating-system error becomes the InputError that names `path` and the remedy,
  another `flag`.
  """
  try:
    yield
  except OSError as error:
    raise InputError(
      f'{shown(path)}: cannot be written: {error.strerror or error}; free space there or choose '
      'another '
      f'--{flag}'
    ) from error


def _save_png(picture, path):
  picture.save(path, format='PNG', compress_level=_COMPRESS_LEVEL)
