"""The training loop: batches in, checkpoints and a trained network out."""

import contextlib
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from deeplab import checkpoints, restoring
from deeplab.data_set import DataSet
from deeplab.devices import MEMORY_REMEDIES
from deeplab.distribution.workers import Workers
from deeplab.errors import InputError
from deeplab.failure_reasons import memory_shortage
from deeplab.learning_rate import learning_rate
from deeplab.losses import SegmentationLoss
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions, RunOptions, TrainingOptions
from deeplab.training import device_batches
from deeplab.training.guards import Guards
from deeplab.training.run_directory import RunDirectory
from deeplab.training.saves import Saves
from deeplab.training.step_result import StepResult
from deeplab.training.stop_signals import StopSignals
from deeplab.training.training_log import TrainingLog
from deeplab.training.training_step import TrainingStep
from deeplab.training.updates import StartedUpdate, Updates
from deeplab.training.validation import Interrupted, Validation


class DeepLabV3Trainer:
  """Trains a network under the `tf.distribute` strategy it is given.

  Attributes:
    global_step: updates started so far, those of the run that is continued included.
    average: optimizer.MovingAverage of the weights, or None.
    guards: that stop a run that has gone wrong.
  """

  def __init__(
    self,
    model: DeepLabV3PredictionModel,
    options: TrainingOptions,
    *,
    loss: SegmentationLoss,
    workers: Workers | None = None,
    seed: int = 0,
    jit_compile: bool = False,
    scale_loss: bool = False,
  ):
    """Makes the optimizer's variables.

    Args:
      model: made in the scope of `strategy`.
      options: optimizer and schedule.
      loss: what is minimized.
      workers: that train together; None for this one alone with the strategy in scope.
      seed: of dropout.
      jit_compile: compile forward and backward pass with XLA.
      scale_loss: scale the loss dynamically, for a model that computes in float16.
    """
    self._model, self._options = model, options
    self._workers = workers or Workers(tf.distribute.get_strategy())
    self._strategy = self._workers.strategy
    self._step = TrainingStep(
      model,
      options,
      loss=loss,
      strategy=self._strategy,
      seed=seed,
      jit_compile=jit_compile,
      scale_loss=scale_loss,
    )
    self._ignore_label = loss.ignore_label
    self.average = self._step.average
    self._agreed_to_stop = False
    self.guards = Guards(
      num_classes=model.options.num_classes,
      ignore_label=loss.ignore_label,
      num_steps=options.num_steps,
    )
    self.global_step = 0

  @property
  def model_options(self) -> ModelOptions:
    """The architecture of the network."""
    return self._model.options

  @property
  def accumulate_steps(self) -> int:
    """Batches of an update."""
    return self._options.accumulate_steps

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
        worthless); too many float16 gradients in a row overflowed; or the device has too little
        memory.
    """
    started = self.start_update(batches)
    return self.finish_update(started), started.learning_rate

  def start_update(self, batches: Sequence[dict], *, stop: bool = False) -> StartedUpdate:
    """Starts an update and counts it; arguments as of `update` and `TrainingStep.start`."""
    rate = learning_rate(self._options, self.global_step)
    with self._explaining(self.global_step + 1):
      pending = self._step.start(batches, learning_rate=rate, step=self.global_step, stop=stop)
    self.global_step += 1
    return StartedUpdate(
      pending=pending,
      step=self.global_step,
      learning_rate=rate,
      names=[{'names': batch['names']} for batch in batches],
      num_images=device_batches.num_images(batches, self._strategy),
    )

  def finish_update(self, started: StartedUpdate) -> StepResult:
    """Waits for the update and looks whether it went well; raises as `update`."""
    with self._explaining(started.step):
      result = started.pending.result()
    self.guards.check(
      result,
      step=started.step,
      learning_rate=started.learning_rate,
      names=lambda: self.names_of(started.names),
    )
    self._agreed_to_stop = self._agreed_to_stop or result.stop_requested
    return result

  def names_of(self, batches: Sequence[dict]) -> list[bytes]:
    """The names of the examples of batches on the devices."""
    return device_batches.names_of(batches, self._strategy)

  @contextlib.contextmanager
  def _explaining(self, step):
    try:
      with self._workers.waiting():
        yield
    except tf.errors.OpError as error:
      shortage = memory_shortage(error)
      if shortage is None:
        raise
      raise InputError(f'{shortage} at step {step}: {MEMORY_REMEDIES}') from error

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
    saves = Saves(
      self,
      run,
      log,
      data_set=data_set,
      trained_size=trained_size,
      max_to_keep=run_options.max_to_keep,
    )
    updates = Updates(self, iter(batches), log, log_per_steps=run_options.log_per_steps)
    if self.global_step:  # A kill may have come between the checkpoint and its validation.
      self._validate_if_due(validation, stop)
      if validation is not None and validation.is_out_of_patience():
        saves.save(final=True)
        return 'out of patience'
    while self.global_step < self._options.num_steps and not self._stops(stop):
      updates.start(stop=self._workers.num_workers > 1 and bool(stop.requested))
      if not self._is_read_now(run_options, validation):
        continue
      updates.finish()
      if self.global_step % run_options.persist_per_steps == 0:
        saves.save()
        log.panel(
          'training',
          zip(*self._pictures()),
          step=self.global_step,
          ignore_label=self._ignore_label,
          titles=[name.decode('utf-8', 'surrogateescape') for name in updates.last_names()],
        )
      try:
        validated = self._validate_if_due(validation, stop)
      except InputError:  # Bad validation data; the steps since the last checkpoint are good.
        saves.save_new_steps()
        raise
      if validated and validation.is_out_of_patience():
        saves.save(final=True)
        return 'out of patience'
    updates.finish()
    # Also where the last validation was interrupted: who goes on makes up for it.
    is_unfinished = validation is not None and validation.is_due(self.global_step)
    if self.global_step < self._options.num_steps or is_unfinished:
      saves.save_new_steps()
      return 'stopped'
    if self.average is not None:
      run.save_averaged(self.average.averaged(), step=self.global_step)
    saves.save(final=True)
    return 'finished'

  def _stops(self, stop):
    """Whether no update is to be started any more. Several workers stop after the same one, the
    first whose result says that one of them was asked to.
    """
    return self._agreed_to_stop if self._workers.num_workers > 1 else bool(stop.requested)

  def _is_read_now(self, run_options, validation):
    """Whether something follows this step that must not come before its numbers were looked at."""
    step = self.global_step
    return (
      step % run_options.log_per_steps == 0
      or step % run_options.persist_per_steps == 0
      or step == self._options.num_steps
      or (validation is not None and validation.is_due(step))
    )

  def _validate_if_due(self, validation, stop):
    if validation is None or not validation.is_due(self.global_step):
      return False
    try:
      validation.validate(self.global_step, stop=stop)
    except Interrupted:
      self._agreed_to_stop = True
      return False
    return True

  def _pictures(self):
    images, labels, predictions = self._step.pictures()
    return np.clip(np.rint(images), 0, 255).astype(np.uint8), labels, predictions
