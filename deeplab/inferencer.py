"""Inference: images and a network, which does not change any more, to class indices or
probabilities.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.errors import InputError
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import PredictionOptions
from deeplab.prediction import image_padding, image_reduction, multi_scale, tiling
from deeplab.prediction.reduced_predictor import ReducedPredictor
from deeplab.prediction.tile_predictor import TilePredictor

# Above this, an activation, up to 24 values a pixel, may have more than 2 ** 31 values, at which
# TensorFlow's CPU kernels crash.
_MAX_PIXELS = 80_000_000


class Predicted(NamedTuple):
  """What the network says of one image.

  Attributes:
    labels: int32 [H, W].
    probabilities: float32 [H, W, num_classes], or None where nobody asked.
    foreground: float32 [H, W], the sum of the probabilities of the foreground's classes, or None
      where nobody asked.
  """

  labels: np.ndarray
  probabilities: np.ndarray | None
  foreground: np.ndarray | None


class DeepLabV3Inferencer:
  """Predicts images of any size; nothing is traced twice."""

  def __init__(
    self,
    model: DeepLabV3PredictionModel,
    *,
    options: PredictionOptions | None = None,
    with_probabilities: bool = False,
    foreground_classes: Sequence[int] = (),
    jit_compile: bool = False,
    device: str | None = None,
  ):
    """Prepares the prediction.

    Args:
      options: None for the network as it is.
      with_probabilities: `predict` returns probabilities too.
      foreground_classes: `predict_with_foreground` returns their probability, which takes a small
        part of the memory of all probabilities; () for none.
      jit_compile: compile the network with XLA. A new image size then costs a compilation.
      device: such as '/device:GPU:1', where the model's variables are; None: TensorFlow chooses.
    """
    self._model, self._device = model, device
    self._options = options or PredictionOptions()
    self._options.check_against(model.options)
    self._with_probabilities = with_probabilities
    self._foreground_classes = list(foreground_classes)
    settings = dict(jit_compile=jit_compile, constant_weights=True)
    self._tiles = TilePredictor(model, self._options, **settings)
    self._reduced = ReducedPredictor(model, self._options, self._tiles, **settings)
    self._logits = multi_scale.logits_function(model, self._options, **settings)
    # The shorter way to labels serves where nobody needs all logits.
    self._needs_logits = (
      with_probabilities
      or bool(self._foreground_classes)
      or jit_compile
      or not multi_scale.is_single_pass(self._options)
    )
    self._step = multi_scale.AnySizeFunction(self._predict_batch)

  @property
  def num_traces(self) -> int:
    """How often the network was traced."""
    return self._step.num_traces + self._tiles.num_traces + self._reduced.num_traces

  def batch_key(self, image: np.ndarray) -> tuple:
    """Images uint8 [H, W, 3] with equal keys may be predicted together.

    Raises:
      InputError: the image is larger than a fixed padding, or too large for the network at once.
    """
    height, width = self._reduced.size(image)
    reduced = ('reduced',) if self._reduced.needs_reduction(image) else ()
    if tiling.needs_tiles(height, width, self._options.tile_size):
      return *reduced, 'tiles', height, width
    scale = max(1.0, *self._options.eval_scales)
    if height * width * scale**2 > _MAX_PIXELS:
      at = f' at scale {scale:g}' if scale > 1 else ''
      raise InputError(
        f'height {height}, width {width}{at} is more than {_MAX_PIXELS} pixels, too many at once; '
        'give --tile_size, such as 1025, or --max_size'
      )
    return *reduced, *image_padding.size_seen(height, width, self._options, self._model.options)

  def predict(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Predicts images with equal `batch_key`.

    Args:
      images: uint8 [H, W, 3] each.

    Returns:
      (labels int32 [H, W], probabilities float32 [H, W, num_classes] or None), one for each image.
    """
    return [(one.labels, one.probabilities) for one in self.predict_with_foreground(images)]

  def predict_with_foreground(self, images: Sequence[np.ndarray]) -> list[Predicted]:
    """As `predict`, with the probability of the foreground."""
    return self.start(images)()

  def start(self, images: Sequence[np.ndarray]) -> Callable[[], list[Predicted]]:
    """Begins `predict_with_foreground`; what is returned waits for its result. A GPU goes on
    computing meanwhile, a CPU has computed before this returns; so it is for images that are cut
    into tiles or shrunk.
    """
    with contextlib.nullcontext() if self._device is None else tf.device(self._device):
      if self._reduced.needs_reduction(images[0]):
        predicted = self._predict_reduced(images)
      elif self._tiles.needs_tiles(images[0]):
        predicted = [self._from_bands(self._tiles.bands(image)) for image in images]
      else:
        return self._start_batch(images)
    return lambda: predicted

  def _start_batch(self, images):
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    size = image_padding.size_seen(*images[0].shape[:2], self._options, self._model.options)
    outputs = self._step(image_padding.stack_padded(images, size=size, value=0), sizes)

    def fetch():
      labels, probabilities, foreground = (output.numpy() for output in outputs)
      return [
        Predicted(
          labels=labels[index, :height, :width],
          probabilities=(
            probabilities[index, :height, :width] if self._with_probabilities else None
          ),
          foreground=foreground[index, :height, :width] if self._foreground_classes else None,
        )
        for index, (height, width) in enumerate(sizes)
      ]

    return fetch

  def _predict_batch(self, images, sizes):
    """Traced: labels int32 [B, H, W]; probabilities float32 [B, H, W, C] and those of the
    foreground, float32 [B, H, W], empty where nobody wants them.
    """
    if not self._needs_logits:
      labels = multi_scale.predict_labels(
        self._model, images, sizes, self._options, constant_weights=True
      )
      return labels, tf.zeros([0]), tf.zeros([0])
    logits = self._logits(images, sizes)
    labels = tf.argmax(logits, axis=-1, output_type=tf.int32)
    none = tf.zeros([0])
    if not (self._with_probabilities or self._foreground_classes):
      return labels, none, none
    probabilities = tf.nn.softmax(logits)
    foreground = none
    if self._foreground_classes:
      foreground = tf.reduce_sum(tf.gather(probabilities, self._foreground_classes, axis=-1), -1)
    return labels, probabilities if self._with_probabilities else none, foreground

  def _predict_reduced(self, images):
    if self._with_probabilities or self._foreground_classes:
      return [self._from_bands(bands) for bands in self._reduced.probability_bands(images)]
    return [
      Predicted(image_reduction.enlarged_labels(logits, image.shape[:2]), None, None)
      for image, logits in zip(images, self._reduced.logits(images))
    ]

  def _from_bands(self, bands: Iterable[tuple[int, np.ndarray]]) -> Predicted:
    """One image from (first_row, probabilities float32 [rows, W, C]), from top to bottom."""
    labels, probabilities, foreground = [], [], []
    for _, band in bands:
      labels.append(band.argmax(axis=-1).astype(np.int32))
      if self._with_probabilities:
        probabilities.append(band)
      if self._foreground_classes:
        foreground.append(band[..., self._foreground_classes].sum(axis=-1))
    return Predicted(
      labels=np.concatenate(labels),
      probabilities=np.concatenate(probabilities) if probabilities else None,
      foreground=np.concatenate(foreground) if foreground else None,
    )
