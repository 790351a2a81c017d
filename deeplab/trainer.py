"""The training loop: batches in, checkpoints and a trained network out."""

import time
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from deeplab import checkpoints, restoring
from deeplab.data_set import DataSet
from deeplab.devices import MEMORY_REMEDIES
from deeplab.errors import InputError
from deeplab.learning_rate import learning_rate
from deeplab.losses import SegmentationLoss
from deeplab.messages import warn
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions, RunOptions, TrainingOptions
from deeplab.training.run_directory import RunDirectory
from deeplab.training.step_result import StepResult
from deeplab.training.stop_signals import StopSignals
from deeplab.training.training_log import TrainingLog
from deeplab.training.training_step import TrainingStep
from deeplab.training.validation import Interrupted, Validation

_CALMER = 'Try a lower --init_learning_rate, --warmup_steps or --clip_gradient_norm'


class DeepLabV3Trainer:
  """Trains a network under the `tf.distribute` strategy it is given.

  Attributes:
    global_step: updates made so far, those of the run that is continued included.
    average: optimizer.MovingAverage of the weights, or None.
  """

  def __init__(
    self,
    model: DeepLabV3PredictionModel,
    options: TrainingOptions,
    *,
    loss: SegmentationLoss,
    strategy: tf.distribute.Strategy | None = None,
    seed: int = 0,
    jit_compile: bool = False,
    scale_loss: bool = False,
  ):
    """Makes the optimizer's variables.

    Args:
      model: made in the scope of `strategy`.
      options: optimizer and schedule.
      loss: what is minimized.
      strategy: None for the one in scope, by default one device.
      seed: of dropout.
      jit_compile: compile forward and backward pass with XLA.
      scale_loss: scale the loss dynamically, for a model that computes in float16.
    """
    self._model, self._options = model, options
    self._step = TrainingStep(
      model,
      options,
      loss=loss,
      strategy=strategy or tf.distribute.get_strategy(),
      seed=seed,
      jit_compile=jit_compile,
      scale_loss=scale_loss,
    )
    self._ignore_label = loss.ignore_label
    self.average = self._step.average
    self._labels_seen = False
    self._names = ()  # Of the last batch: string [B].
    self.global_step = 0

  @property
  def model_options(self) -> ModelOptions:
    """The architecture of the network."""
    return self._model.options

  @property
  def variables(self) -> dict[str, tf.Variable]:
    """All that a checkpoint holds but global_step."""
    return {**self._model.named_variables, **self._step.slots}

  def restore(self, prefix: str) -> None:
    """Continues where checkpoint `prefix` was written: weights, statistics, slots, step.

    Raises InputError.
    """
    restoring.restore(self.variables, prefix, require_all=True)
    self.global_step = checkpoints.Reader(prefix).global_step

  def update(self, batches: Sequence[dict]) -> tuple[StepResult, float]:
    """Makes one update.

    Args:
      batches: accumulate_steps dicts with images float32 [B, h, w, 3] in [0, 255], labels
        int32 [B, h, w] and names string [B].

    Returns:
      (what was done, the learning rate used).

    Raises:
      InputError: a label is out of range; loss or gradient is not finite (the variables are then
        worthless); or the device has too little memory.
    """
    rate = learning_rate(self._options, self.global_step)
    try:
      result = self._step(batches, learning_rate=rate, step=self.global_step)
    except tf.errors.ResourceExhaustedError as error:
      raise InputError(
        f'out of memory at step {self.global_step + 1}: {MEMORY_REMEDIES}'
      ) from error
    self._check(result, batches, rate)
    self.global_step += 1
    return result, rate

  def train(
    self,
    batches: Iterable[dict],
    *,
    run: RunDirectory,
    log: TrainingLog,
    run_options: RunOptions,
    stop: StopSignals,
    validation: Validation | None = None,
    data_set: DataSet | None = None,
    trained_size: tuple[int, int] | None = None,
  ) -> str:
    """Trains until num_steps, a signal, or the end of patience, and saves.

    Args:
      batches: the batches after `global_step` updates; see `update`.
      run, log: where checkpoints and numbers go.
      run_options: how often, and how many checkpoints are kept.
      stop: open.
      validation: None for none.
      data_set: description of the records, to save with the architecture; or None.
      trained_size: (height, width) of the crops, to save with it; or None.

    Returns:
      'finished', 'stopped' by a signal, or 'out of patience' with validations that do not get
      better.

    Raises:
      InputError: see `update`; or a checkpoint or the log cannot be written. Older checkpoints are
        whole.
    """
    saves = _Saves(
      self,
      run,
      log,
      data_set=data_set,
      trained_size=trained_size,
      max_to_keep=run_options.max_to_keep,
    )
    iterator = iter(batches)
    if self.global_step:  # A kill may have come between the checkpoint and its validation.
      self._validate_if_due(validation, stop)
      if validation is not None and validation.is_out_of_patience():
        saves.save(final=True)
        return 'out of patience'
    while self.global_step < self._options.num_steps and not stop.requested:
      self._logged_update(iterator, log, log_per_steps=run_options.log_per_steps)
      if self.global_step % run_options.persist_per_steps == 0:
        saves.save()
        log.panel(
          'training',
          zip(*self._pictures()),
          step=self.global_step,
          ignore_label=self._ignore_label,
          titles=[name.decode('utf-8', 'surrogateescape') for name in self._names.numpy()],
        )
      try:
        validated = self._validate_if_due(validation, stop)
      except InputError:  # Bad validation data; the steps since the last checkpoint are good.
        saves.save_new_steps()
        raise
      if validated and validation.is_out_of_patience():
        saves.save(final=True)
        return 'out of patience'
    if self.global_step < self._options.num_steps:
      saves.save_new_steps()
      return 'stopped'
    if self.average is not None:
      run.save_averaged(self.average.averaged(), step=self.global_step)
    saves.save(final=True)
    return 'finished'

  def _logged_update(self, iterator, log, *, log_per_steps):
    """Draws batches, makes one update and reports it."""
    started = time.monotonic()
    drawn = [next(iterator) for _ in range(self._options.accumulate_steps)]
    waited = time.monotonic() - started
    result, rate = self.update(drawn)
    self._names = drawn[-1]['names']
    self._warn_if_nothing_counts(result, log_per_steps)
    log.update(
      result,
      step=self.global_step,
      learning_rate=rate,
      waited=waited,
      num_images=sum(batch['images'].shape[0] for batch in drawn),
    )

  def _warn_if_nothing_counts(self, result, log_per_steps):
    """Warns once where no pixel of any batch so far has counted: the loss then falls by the L2 term
    alone.
    """
    self._labels_seen = self._labels_seen or result.label_range is not None
    if not self._labels_seen and self.global_step in (log_per_steps, self._options.num_steps):
      warn(
        [
          f'every pixel of the batches up to step {self.global_step} has '
          f'--ignore_label={self._ignore_label}: nothing is learnt; check the labels'
        ]
      )

  def _validate_if_due(self, validation, stop):
    if validation is None or not validation.is_due(self.global_step):
      return False
    try:
      validation.validate(self.global_step, stop=stop)
    except Interrupted:
      return False
    return True

  def _check(self, result, batches, rate):
    """Stops a run that has gone wrong before anything of it is saved."""
    step = self.global_step + 1
    names = ', '.join(
      name.decode('utf-8', 'replace') for batch in batches for name in batch['names'].numpy()
    )
    if result.wrong_labels:
      raise InputError(
        f'step {step}: {result.wrong_labels} pixels of the batch have a label that is neither '
        f'below --num_classes={self._model.options.num_classes} nor '
        f'--ignore_label={self._ignore_label}; labels from {result.label_range[0]} to '
        f'{result.label_range[1]}; records: {names}'
      )
    broken = []
    if not np.isfinite(result.total_loss):
      broken.append(f'the loss is {result.total_loss}')
    if not np.isfinite(result.gradient_norm) and not result.overflowed:
      broken.append(f'the gradient norm is {result.gradient_norm}')
    if broken:
      seen = (
        f'labels from {result.label_range[0]} to {result.label_range[1]}'
        if result.label_range
        else 'no label counts'
      )
      raise InputError(
        f'step {step}: {" and ".join(broken)} at learning rate {rate:g}; {seen}; records: {names}. '
        f'Nothing was saved since the last checkpoint, which is whole. {_CALMER}'
      )

  def check_variables(self) -> None:
    """Stops before something is saved that is worthless: a huge rate can break the variables after
    a finite loss. Raises InputError.
    """
    for name, variable in self.variables.items():
      if variable.dtype.is_floating and not np.isfinite(
        tf.reduce_sum(tf.abs(variable.read_value()))
      ):
        raise InputError(
          f'step {self.global_step}: variable {name} is no longer finite; nothing was saved since '
          f'the last checkpoint, which is whole. {_CALMER}'
        )

  def _pictures(self):
    images, labels, predictions = self._step.pictures()
    return np.clip(np.rint(images), 0, 255).astype(np.uint8), labels, predictions


class _Saves:
  """The checkpoints of one call of `DeepLabV3Trainer.train`."""

  def __init__(self, trainer, run, log, **settings):
    self._trainer, self._run, self._log = trainer, run, log
    self._settings = settings  # Of RunDirectory.save.
    self._saved_step = trainer.global_step

  def save(self, *, final=False):
    """Writes a checkpoint of this step, and brings the log to the disk."""
    self._log.at('saving')
    self._trainer.check_variables()
    self._run.save(
      self._trainer.variables,
      step=self._trainer.global_step,
      model_options=self._trainer.model_options,
      final=final,
      **self._settings,
    )
    self._log.flush()
    self._run.copy.update()
    self._saved_step = self._trainer.global_step

  def save_new_steps(self):
    """Writes a checkpoint where updates were made since the last one."""
    if self._saved_step < self._trainer.global_step:
      self.save()
