"""Predictions to files, each written whole; what there is to write stands in output_types.py."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np

from deeplab import output_places, pictures
from deeplab.atomic_files import replacing
from deeplab.color_map import colorize
from deeplab.errors import InputError
from deeplab.prediction import cutouts
from deeplab.prediction.output_types import OUTPUT_TYPES


@dataclasses.dataclass(frozen=True)
class Prediction:
  """One image and what the network says of it.

  Attributes:
    image: uint8 [H, W, 3].
    labels: class indices [H, W], uint8, or uint16 where the network has more than 256 classes.
    probabilities: float [H, W, num_classes], or None where nobody asked for them.
    color_map: uint8 [num_colors, 3].
    foreground: float [H, W], the probability of the classes to cut out, or None where nobody asked.
    overlay_settings: of `pictures.overlay`.
  """

  image: np.ndarray
  labels: np.ndarray
  probabilities: np.ndarray | None
  color_map: np.ndarray
  foreground: np.ndarray | None = None
  overlay_settings: Mapping = dataclasses.field(default_factory=dict)

  def colors(self) -> np.ndarray:
    """The colour of each pixel's class, uint8 [H, W, 3]."""
    return colorize(self.labels, self.color_map)

  def overlay(self) -> np.ndarray:
    """The colours laid over the image, uint8 [H, W, 3]."""
    return pictures.overlay(self.image, self.labels, self.color_map, **self.overlay_settings)

  def side_by_side(self) -> np.ndarray:
    """The image and, right of it, its overlay, uint8 [H, 2 * W, 3]."""
    return np.hstack([self.image, self.overlay()])

  def cutout(self) -> np.ndarray:
    """The chosen classes on a transparent background, uint8 [H, W, 4]."""
    return cutouts.cutout(self.image, self.foreground)


class PredictionWriter:
  """Writes the files of one prediction at a time; may be called from several threads."""

  def __init__(
    self, *, color_map: np.ndarray, num_classes: int, overlay_settings: Mapping | None = None
  ):
    """Prepares it.

    Args:
      color_map: uint8 [num_colors, 3].
      num_classes: number of classes.
      overlay_settings: of `pictures.overlay`, or None for its own.

    Raises:
      InputError: there are more classes than colours.
    """
    if len(color_map) < num_classes:
      raise InputError(
        f'--colormap has {len(color_map)} colours, fewer than the {num_classes} classes of the '
        'network; choose another or add lines to it'
      )
    self._color_map = np.asarray(color_map, np.uint8)
    self._overlay_settings = overlay_settings or {}
    self._dtype = np.uint8 if num_classes <= 256 else np.uint16

  def prediction(
    self,
    *,
    image: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray | None = None,
    foreground: np.ndarray | None = None,
  ) -> Prediction:
    """What there is to write of one image.

    Args:
      image: uint8 [H, W, 3].
      labels: int32 [H, W].
      probabilities: float [H, W, num_classes], where a type needs them.
      foreground: float [H, W], where a type needs it.
    """
    return Prediction(
      image=image,
      labels=labels.astype(self._dtype),
      probabilities=probabilities,
      color_map=self._color_map,
      foreground=foreground,
      overlay_settings=self._overlay_settings,
    )

  def write(self, paths: Mapping[str, str], **what) -> None:
    """Writes the files of one image.

    Args:
      paths: output type -> path; missing directories are made.
      **what: the arguments of `prediction`.

    Raises:
      InputError: a file cannot be written, for example because the disk is full. It is then as it
        was.
    """
    self.write_prediction(paths, self.prediction(**what))

  def write_prediction(self, paths: Mapping[str, str], prediction: Prediction) -> None:
    """As `write`, of what `prediction` gave."""
    for name, path in paths.items():
      with output_places.explaining(path, flag='output_path'):
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        with replacing(path) as temporary:
          OUTPUT_TYPES[name].write(temporary, prediction)


def save_legend(legend: Sequence[tuple], path: str) -> None:
  """Writes a picture that names the colours, (name, (r, g, b)) pairs.

  Raises:
    InputError: it cannot be written.
  """
  with output_places.explaining(path, flag='output_path'), replacing(path) as temporary:
    pictures.save_png(pictures.legend(legend), temporary)
