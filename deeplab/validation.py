"""Validation while training: mIOU on other records, the best network kept, and when to give up."""
import contextlib

import tensorflow as tf

from deeplab.data import input_pipeline
from deeplab.evaluator import DeepLabV3Evaluator

_NUM_SHOWN = 4


class Interrupted(Exception):
  """A signal asked to stop in the middle of a validation."""


class Validation:
  """Evaluates the network that is being trained, or the moving average of its weights.

  Attributes:
    best: dict with mean_iou and step of the best validation so far, or None.
  """

  def __init__(self, model, run, log, *, options, filenames, ignore_label, average=None, class_names=None):
    """Prepares; nothing is read or traced yet.

    Args:
      model: DeepLabV3PredictionModel.
      run: RunDirectory that keeps the best.
      log: TrainingLog.
      options: ValidationOptions.
      filenames: record files.
      ignore_label: label value that does not count.
      average: optimizer.MovingAverage whose weights are evaluated instead of the trained ones, or None.
      class_names: sequence of str, or None.
    """
    self._model, self._run, self._log, self._options = model, run, log, options
    self._filenames, self._ignore_label = filenames, ignore_label
    self._average, self._class_names = average, class_names
    self._evaluator = DeepLabV3Evaluator(model, num_classes=model.options.num_classes, ignore_label=ignore_label)
    self.best = run.best_score()

  def is_due(self, step):
    """Whether to validate after `step` updates: at the interval, once."""
    return step % self._options.eval_per_steps == 0 and all(line['step'] != step for line in self._log.validations)

  def give_up(self):
    """Whether `patience` validations in a row have not raised the best mIOU."""
    if not self._options.patience or self.best is None:
      return False
    return sum(line['step'] > self.best['step'] for line in self._log.validations) >= self._options.patience

  def validate(self, step, *, stop):
    """Evaluates, reports, and saves the network if it is the best so far.

    Raises:
      Interrupted: `stop` (StopSignals) was requested meanwhile; nothing is reported.
    """
    shown = []
    def show(evaluated):
      if len(shown) < _NUM_SHOWN:
        shown.append((evaluated.image, evaluated.label, evaluated.prediction))
    examples = input_pipeline.evaluation_examples(
        self._filenames, num_classes=self._model.options.num_classes, ignore_label=self._ignore_label)
    with self._averaged_weights():
      try:
        result = self._evaluator.evaluate(_until_stopped(examples, stop), on_image=show)
      except tf.errors.OpError as error:
        raise input_pipeline.explain_failure(error, self._filenames, num_classes=self._model.options.num_classes,
                                             ignore_label=self._ignore_label) from error
      mean_iou = result.summary.mean_iou
      if self.best is None or mean_iou > self.best['mean_iou']:
        self.best = {'mean_iou': mean_iou, 'step': step}
        self._run.save_best(self._model.named_variables, step=step, score={'mean_iou': mean_iou})
    self._log.validated(result, step=step, best=self.best, class_names=self._class_names)
    self._log.panel('validation', shown, step=step, ignore_label=self._ignore_label)

  @contextlib.contextmanager
  def _averaged_weights(self):
    """While open, the model has the averaged weights, if there are any; afterwards the trained ones, to the bit."""
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


def _until_stopped(examples, stop):
  for example in examples:
    if stop.requested:
      raise Interrupted
    yield example
