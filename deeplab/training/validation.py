"""Validation while training: mIOU on other records, the best network kept, and when to give up."""

import contextlib
import math
import random
from collections.abc import Sequence

import tensorflow as tf

from deeplab.data import input_pipeline, record_files
from deeplab.distribution.workers import Workers
from deeplab.errors import InputError
from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.failure_reasons import memory_shortage
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.optimizer import MovingAverage
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS, PredictionOptions, ValidationOptions
from deeplab.training.run_directory import RunDirectory
from deeplab.training.stop_signals import StopSignals
from deeplab.training.training_log import TrainingLog

_NUM_SHOWN = 4
_IMAGES_A_ROUND = 8  # That a worker evaluates before it asks the others whether to stop.


class Interrupted(Exception):
  """A signal asked to stop in the middle of a validation."""


class Validation:
  """Evaluates the network that is being trained, or the moving average of its weights.

  Attributes:
    best: dict with mean_iou and step of the best validation so far, or None.
  """

  def __init__(
    self,
    model: DeepLabV3PredictionModel,
    run: RunDirectory,
    log: TrainingLog,
    *,
    options: ValidationOptions,
    ignore_label: int,
    average: MovingAverage | None = None,
    class_names: Sequence[str] | None = None,
    workers: Workers | None = None,
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    num_images: int | None = None,
  ):
    """Prepares; nothing is read or traced yet.

    Args:
      model: that is trained.
      run: keeps the best.
      log: reports.
      options: with eval_filenames and eval_per_steps.
      ignore_label: label value that does not count.
      average: its weights are evaluated instead of the trained ones; or None.
      class_names: one for each class, or None.
      workers: that train together, of which each evaluates its share; None for this one alone with
        the strategy in scope.
      max_image_pixels: a larger image is an error.
      num_images: how many there are, to show; None where nobody knows.
    """
    self._model, self._run, self._log, self._options = model, run, log, options
    self._workers = workers or Workers(tf.distribute.get_strategy())
    self._ignore_label, self._average, self._class_names = ignore_label, average, class_names
    self._limits = dict(
      num_classes=model.options.num_classes,
      ignore_label=ignore_label,
      max_image_pixels=max_image_pixels,
    )
    self._evaluator = DeepLabV3Evaluator(
      model,
      num_classes=model.options.num_classes,
      ignore_label=ignore_label,
      options=PredictionOptions(eval_pad=options.eval_pad),
      workers=self._workers,
    )
    self.best = run.best_score()
    self._num_images = num_images
    self._num_done = 0

  def is_due(self, step: int) -> bool:
    """Whether to validate after `step` updates: at the interval, once."""
    return step % self._options.eval_per_steps == 0 and all(
      line['step'] != step for line in self._log.validations
    )

  def is_out_of_patience(self) -> bool:
    """Whether `patience` validations in a row have not raised the best mIOU."""
    if not self._options.patience or self.best is None:
      return False
    return (
      sum(line['step'] > self.best['step'] for line in self._log.validations)
      >= self._options.patience
    )

  def validate(self, step: int, *, stop: StopSignals) -> None:
    """Evaluates, reports, and saves the network if it is the best so far.

    Raises:
      Interrupted: `stop` was requested meanwhile; nothing is reported.
      InputError: a record is bad, or an image is too large for the device's memory.
    """
    shown, titles, self._num_done = [], [], 0
    chosen = self._chosen(step)
    # The network is traced with its first image.
    is_traced = self._evaluator.num_traces > 0
    self._log.at('validating' if is_traced else 'tracing the network to validate')

    def show(evaluated):
      self._num_done += 1
      of = f'/{self._num_images}' if self._num_images else ''
      self._log.at(f'validating, {self._num_done}{of} images', seldom=True)
      if self._num_done in chosen and len(shown) < _NUM_SHOWN:
        titles.append(evaluated.name)
        shown.append((evaluated.image, evaluated.label, evaluated.prediction))

    with self._averaged_weights():
      try:
        result = self._evaluator.evaluate(self._examples(stop), on_image=show)
      except tf.errors.OpError as error:
        shortage = memory_shortage(error)
        if shortage is None:
          raise
        raise InputError(
          f'{shortage} in the validation at step {step}: {self._options.eval_filenames[0]} and '
          'others hold images that are too large to be predicted as a whole; leave them out of '
          '--eval_filenames'
        ) from error
      mean_iou = result.summary.mean_iou
      if self._is_best(mean_iou):
        self._log.at('saving the best network')
        self.best = {'mean_iou': mean_iou, 'step': step}
        self._run.save_best(self._model.named_variables, step=step, score={'mean_iou': mean_iou})
    self._log.validated(result, step=step, best=self.best, class_names=self._class_names)
    self._log.panel('validation', shown, step=step, ignore_label=self._ignore_label, titles=titles)

  def _chosen(self, step):
    """Numbers, from 1, of the images to show: others at each step, the same in a repeated run."""
    numbers = range(1, (self._num_images or _NUM_SHOWN) + 1)
    return set(random.Random(step).sample(numbers, min(_NUM_SHOWN, len(numbers))))

  def _examples(self, stop):
    """The examples until `stop` is requested; a bad record is an InputError that names it."""
    filenames = self._options.eval_filenames
    share = self._workers.index, self._workers.num_workers
    num_rounds = 0
    known = record_files.expand_filenames(filenames)
    try:
      examples = input_pipeline.evaluation_examples(filenames, **self._limits, share=share)
      for index, example in enumerate(examples):
        if index % self._images_between_looks == 0:
          num_rounds += 1
          self._look_for(stop)
        yield example
    except tf.errors.OpError as error:
      raise input_pipeline.explain_failure(error, filenames, known=known, **self._limits) from error
    # Every worker looks as often as the one with the most images.
    most_images = -(-(self._num_images or 0) // self._workers.num_workers)
    for _ in range(num_rounds, -(-most_images // self._images_between_looks)):
      self._look_for(stop)

  @property
  def _images_between_looks(self):
    return 1 if self._workers.num_workers == 1 else _IMAGES_A_ROUND

  def _look_for(self, stop):
    """Raises Interrupted, on all workers alike, where one was asked to stop."""
    if self._workers.any(bool(stop.requested)):
      raise Interrupted

  def _is_best(self, mean_iou):
    best = float('nan') if self.best is None else self.best['mean_iou']
    return math.isnan(best) or mean_iou > best

  @contextlib.contextmanager
  def _averaged_weights(self):
    """While open, the model has the averaged weights, if there are any; afterwards the trained
    ones, to the bit.
    """
    if self._average is None:
      yield
      return
    variables = self._model.named_variables
    trained = {name: variable.numpy() for name, variable in variables.items()}
    try:
      for name, value in self._average.averaged().items():
        variables[name].assign(value)
      yield
    finally:
      for name, value in trained.items():
        variables[name].assign(value)
