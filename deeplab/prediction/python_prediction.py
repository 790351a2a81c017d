"""What a network says of one image, for Python programs and notebooks."""

import collections
import dataclasses
import io
import numbers
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from deeplab import guest, pictures
from deeplab.color_map import colorize
from deeplab.errors import InputError
from deeplab.prediction import cutouts, foreground

# Longer side of each of the two pictures that a notebook shows.
_CELL_SIZE = 400
# Above so many, a quarter of a gigabyte, a cutout computes only those that it needs.
_MANY_PROBABILITIES = 2**26


@dataclasses.dataclass(frozen=True)
class Classes:
  """What the classes of a network are called and painted in.

  Attributes:
    names: one for each class.
    colors: uint8 [num_colors, 3], RGB, at least one for each class.
  """

  names: tuple[str, ...]
  colors: np.ndarray


def checked_classes(names: Sequence[str], colors: np.ndarray, *, num_classes: int) -> Classes:
  """Classes for a network of `num_classes`.

  Args:
    names, colors: of a Python program; the colours in any type.

  Raises:
    InputError: another number of names, too few colours, or an array that has none.
  """
  if len(names) != num_classes:
    raise InputError(f'--class_names: {len(names)} names for the {num_classes} classes')
  if colors.ndim != 2 or colors.shape[1] != 3 or colors.min() < 0 or colors.max() > 255:
    raise InputError(
      f'--colormap: an array {colors.dtype} {list(colors.shape)}; must be uint8 [num_classes, 3]'
    )
  if len(colors) < num_classes:
    raise InputError(
      f'--colormap has {len(colors)} colours, fewer than the {num_classes} classes of the network'
    )
  return Classes(tuple(names), colors.astype(np.uint8))


class Prediction:
  """What a network says of one image; a notebook shows it, beside the image and with its classes.

  Attributes:
    image: uint8 [H, W, 3], RGB: what was predicted, upright.
    class_ids: [H, W], the class of each pixel; uint8, or uint16 for more than 256 classes.
    class_names: tuple of str, one for each class.
  """

  def __init__(
    self,
    image: np.ndarray,
    labels: np.ndarray,
    classes: Classes,
    *,
    probabilities: np.ndarray | None,
    predict_probabilities: Callable[[], np.ndarray],
    predict_foreground: Callable[[Sequence[int]], np.ndarray],
  ):
    """Made by `Network.predict`.

    Args:
      image: uint8 [H, W, 3].
      labels: int32 [H, W].
      classes: of the network.
      probabilities: float32 [H, W, num_classes], or None where they are not known yet.
      predict_probabilities: gives them.
      predict_foreground: class indices -> their probability together, float32 [H, W].
    """
    self.image = image
    self.class_names = classes.names
    self.class_ids = labels.astype(np.uint8 if len(classes.names) <= 256 else np.uint16)
    self._colors = classes.colors
    self._probabilities = probabilities
    self._predict_probabilities = predict_probabilities
    self._predict_foreground = predict_foreground

  @property
  def probabilities(self) -> np.ndarray:
    """float32 [H, W, num_classes], which add up to 1 in each pixel.

    They take 4 bytes for each pixel and class. Without with_probabilities=True the first use
    predicts the image again.
    """
    if self._probabilities is None:
      with guest.as_guest():
        self._probabilities = self._predict_probabilities()
    return self._probabilities

  def counts(self) -> collections.Counter:
    """Class name -> number of pixels, for the classes that occur, the largest first; like every
    Counter it has 0 for others.
    """
    numbers = np.bincount(self.class_ids.ravel(), minlength=len(self.class_names))
    counted = collections.Counter()
    for index in np.argsort(-numbers, kind='stable'):
      if numbers[index]:
        counted[self.class_names[index]] += int(numbers[index])
    return counted

  def color(self) -> Image.Image:
    """The colour of each pixel's class, RGB."""
    return Image.fromarray(colorize(self.class_ids, self._colors))

  def overlay(self, overlay_alpha: float = 0.5) -> Image.Image:
    """The colours laid over the image, RGB; the background stays as it is.

    Args:
      overlay_alpha: share of the colours, 0 to 1.

    Raises:
      InputError: overlay_alpha is no number in this range.
    """
    if not isinstance(overlay_alpha, numbers.Real) or not 0 <= overlay_alpha <= 1:
      raise InputError(f'overlay_alpha={overlay_alpha!r}: must be a number from 0 to 1')
    return Image.fromarray(
      pictures.overlay(
        self.image,
        self.class_ids,
        self._colors,
        alpha=overlay_alpha,
        background=foreground.background_class(self.class_names),
        with_outlines=True,
      )
    )

  def cutout(self, cutout_classes: str | int | Sequence[str | int] | None = None) -> Image.Image:
    """The image with its background transparent, RGBA; predicts it again unless the probabilities
    are known.

    Args:
      cutout_classes: what to keep, names or numbers of classes; None for all but the background.

    Raises:
      InputError: no such class, none at all, or none is the background.
    """
    if isinstance(cutout_classes, (str, int, np.integer)):
      cutout_classes = [cutout_classes]
    chosen = ()
    if cutout_classes is not None:
      # An empty list is no wish for all; an empty name is refused with what there is.
      chosen = [str(one) for one in cutout_classes] or ['']
    with guest.as_guest():
      kept = foreground.foreground_classes(chosen, self.class_names)
      # One pass for all cutouts of an image, unless its probabilities are too many to keep.
      if self._probabilities is None and (
        self.class_ids.size * len(self.class_names) > _MANY_PROBABILITIES
      ):
        opacity = self._predict_foreground(kept)
      else:
        opacity = self.probabilities[..., list(kept)].sum(axis=-1)
      return Image.fromarray(cutouts.cutout(self.image, opacity))

  def __repr__(self):
    height, width = self.class_ids.shape
    shares = ', '.join(
      f'{name} {number / self.class_ids.size:.1%}' for name, number in self.counts().most_common(5)
    )
    return f'<Prediction of {width} x {height} pixels: {shares}>'

  def _repr_png_(self):
    """For notebooks: image and overlay, and the classes that occur."""
    present = np.unique(self.class_ids)
    sheet = pictures.contact_sheet(
      [[self.image, np.asarray(self.overlay())]],
      legend=[(self.class_names[index], self._colors[index]) for index in present],
      cell_size=_CELL_SIZE,
    )
    encoded = io.BytesIO()
    sheet.save(encoded, format='PNG')
    return encoded.getvalue()
