"""A trained network for Python programs: images in, predictions out."""

import collections
import contextlib
import dataclasses
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deeplab import guest
from deeplab.errors import InputError
from deeplab.messages import warn
from deeplab.options import (
  EngineOptions,
  ExportSourceOptions,
  ModelExportOptions,
  ModelOptions,
  PredictionOptions,
  keywords,
)
from deeplab.prediction import given_images
from deeplab.prediction.python_prediction import Classes, Prediction, checked_classes
from deeplab.prediction.same_size_batches import same_size_batches

if TYPE_CHECKING:
  import os

  from PIL import Image

  from deeplab.export.exporter import Exported
  from deeplab.prediction.trained_network import TrainedNetwork

  ImageLike = np.ndarray | Image.Image | str | os.PathLike

# Each way to predict holds the weights once more, so the oldest goes.
_MOST_INFERENCERS = 4
# On a GPU, where batches help; on a CPU they do not.
_BATCH_SIZE_ON_GPU = 4


class Network:
  """A trained network. `deeplab.load` makes it.

  Attributes:
    checkpoint: prefix of the checkpoint its weights are from.
    model_options: what it is, a ModelOptions.
    class_names: one for each class.
    colors: uint8 [num_colors, 3], RGB, at least one for each class.
  """

  def __init__(
    self,
    trained: 'TrainedNetwork',
    classes: Classes,
    *,
    compute_options: EngineOptions,
    defaults: dict[str, Any],
  ):
    """Prepares it.

    Args:
      trained: the network and its weights.
      classes: names and colours.
      compute_options: how it is computed.
      defaults: options of `predict` that hold where a call does not give them.
    """
    self.checkpoint, self.model_options = trained.prefix, trained.options
    self.class_names, self.colors = classes.names, classes.colors
    self._trained, self._classes = trained, classes
    self._compute_options, self._defaults = compute_options, defaults
    self._inferencers = collections.OrderedDict()
    self._advice = {}  # PredictionOptions -> SizeAdvice, each of which speaks once.

  def __repr__(self):
    options = self.model_options
    return (
      f'<Network {options.model_variant} for {options.num_classes} classes, output stride '
      f'{options.output_stride}, of {self.checkpoint}>'
    )

  @keywords.takes(PredictionOptions)
  def predict(
    self,
    image: 'ImageLike | Sequence[ImageLike]',
    *,
    with_probabilities: bool = False,
    **options: Any,
  ) -> Prediction | list[Prediction]:
    """Predicts the class of every pixel.

    Args:
      image: an array uint8 [H, W, 3] in RGB, a PIL image or the path of an image file, of any size;
        or a list of them, whose images of one size are computed together where that is faster.
      with_probabilities: compute the probabilities at once; else their first use predicts the image
        again.
      **options: those of run_inferencer.py under "Prediction", such as max_size, eval_scales,
        add_flipped_images, eval_pad, tile_size.

    Returns:
      a Prediction, or a list of them in the order of the images.

    Raises:
      TypeError: no such option. InputError: an image or a value that is not taken.
    """
    several = isinstance(image, (list, tuple))
    with guest.as_guest():
      (prediction_options,), given = keywords.read(
        'predict',
        [PredictionOptions],
        {**self._defaults, **options},
        elsewhere={'deeplab.load': [ModelOptions, EngineOptions]},
        own=['with_probabilities'],
      )
      with self._at_work():
        images = given_images.read(
          image if several else [image],
          several=several,
          max_pixels=prediction_options.max_image_pixels,
        )
        if 'batch_size' not in given:
          prediction_options = prediction_options.replace(batch_size=_usual_batch_size())
        prediction_options = self._trained.settle(prediction_options)
        predictions = self._predict(images, prediction_options, with_probabilities)
    return predictions if several else predictions[0]

  @keywords.takes(ModelExportOptions)
  def export(
    self, output_path: 'str | os.PathLike', *, verbose: bool = False, **options: Any
  ) -> 'list[Exported]':
    """Writes the network to files that run without this toolkit: export_model.py from Python.

    Args:
      output_path: directory for the files.
      verbose: print what the command prints.
      **options: its flags under "Export", such as format, tflite_type and size.

    Returns, and raises InputError: as `exporter.export`. Raises TypeError: no such option.
    """
    with guest.as_guest(verbose=verbose):
      (export_options,), _ = keywords.read(
        'export',
        [ModelExportOptions],
        {**options, 'output_path': output_path},
        elsewhere={'deeplab.load': [ExportSourceOptions, ModelOptions]},
        own=['verbose'],
      )
      with guest.tensorflow_at_work():
        from deeplab import devices
        from deeplab.export import exporter

        devices.set_tf32(exporter.COMPUTE_OPTIONS, own_process=False)
        self._trained.need_weights()
        trained = dataclasses.replace(self._trained, class_names=self.class_names)
        return exporter.export(trained, export_options, self.colors)

  @contextlib.contextmanager
  def _at_work(self):
    """While open, TensorFlow computes as `load` was told to."""
    from deeplab import devices

    with guest.tensorflow_at_work():
      devices.set_tf32(self._compute_options, own_process=False)
      yield

  def _predict(self, images, options, with_probabilities):
    """A list of Prediction for a list of GivenImage."""
    from deeplab.prediction.image_reduction import SizeAdvice

    inferencer = self._inferencer(options, with_probabilities=with_probabilities)
    if options not in self._advice:
      self._advice[options] = SizeAdvice(self._trained.trained_size, options)
    for image in images:
      line = self._advice[options].line(image.name, image.pixels)
      warn([line] if line else [])
    batches = same_size_batches(
      enumerate(images),
      lambda item: _batch_key(inferencer, item[1]),
      batch_size=options.batch_size,
    )
    predictions = {}
    for batch in batches:
      with self._trained.explaining_failures(), given_images.explaining_memory(batch[0][1]):
        predicted = inferencer.predict([image.pixels for _, image in batch])
      for (position, image), (labels, probabilities) in zip(batch, predicted):
        predictions[position] = self._prediction(image, labels, probabilities, options)
    return [predictions[position] for position in range(len(images))]

  def _prediction(self, image, labels, probabilities, options):
    def again(**settings):
      with (
        self._at_work(),
        self._trained.explaining_failures(),
        given_images.explaining_memory(image),
      ):
        inferencer = self._inferencer(options, **settings)
        return inferencer.predict_with_foreground([image.pixels])[0]

    return Prediction(
      image.pixels,
      labels,
      self._classes,
      probabilities=probabilities,
      predict_probabilities=lambda: again(with_probabilities=True).probabilities,
      predict_foreground=lambda chosen: again(foreground_classes=tuple(chosen)).foreground,
    )

  def _inferencer(self, options, *, with_probabilities=False, foreground_classes=()):
    """A DeepLabV3Inferencer, made when it is first asked for."""
    from deeplab.inferencer import DeepLabV3Inferencer

    key = options, with_probabilities, foreground_classes
    if key not in self._inferencers:
      self._inferencers[key] = DeepLabV3Inferencer(
        self._trained.model,
        options=options,
        with_probabilities=with_probabilities,
        foreground_classes=foreground_classes,
        jit_compile=self._compute_options.jit_compile,
      )
    self._inferencers.move_to_end(key)
    while len(self._inferencers) > _MOST_INFERENCERS:
      self._inferencers.popitem(last=False)
    return self._inferencers[key]


def load(
  ckpt_path: str,
  *,
  best: bool,
  class_names: str | Sequence[str] | None,
  colormap: 'str | np.ndarray | None',
  model_options: ModelOptions,
  compute_options: EngineOptions,
  given: Collection[str],
  defaults: dict[str, Any],
) -> Network:
  """Makes a Network; see `deeplab.load`.

  Args:
    ckpt_path: checkpoint prefix, directory, or name of published weights.
    best: of the directory `ckpt_path` the best network of its validations.
    class_names: a data set's name, a file, or the names themselves; None for those saved.
    colormap: a data set's name, a file, or uint8 [n, 3]; None for the colours saved.
    model_options, compute_options: what the network is, where the checkpoint does not say, and how
      it is computed.
    given: names of the model options that the caller gave.
    defaults: as Network takes them.

  Raises:
    InputError: see `trained_network.load`; or names or colours that do not fit the network.
  """
  from deeplab import devices
  from deeplab.prediction import given_network

  devices.prepare(compute_options, own_process=False)
  listed = class_names is not None and not isinstance(class_names, str)
  trained = given_network.load(
    ckpt_path,
    model_options,
    given=given,
    options=compute_options,
    class_names=None if listed else class_names,
    best=best,
  )
  trained.announce(trained.settle(PredictionOptions(**defaults)))
  names = tuple(map(str, class_names)) if listed else trained.class_names
  if colormap is None or isinstance(colormap, str):
    colors = trained.color_map(colormap)
  else:
    colors = np.asarray(colormap)
  return Network(
    trained,
    checked_classes(names, colors, num_classes=trained.options.num_classes),
    compute_options=compute_options,
    defaults=defaults,
  )


def _usual_batch_size():
  import tensorflow as tf

  return _BATCH_SIZE_ON_GPU if tf.config.list_physical_devices('GPU') else 1


def _batch_key(inferencer, image):
  try:
    return inferencer.batch_key(image.pixels)
  except InputError as error:
    raise InputError(f'{image.name}: {error}') from error
