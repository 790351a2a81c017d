"""The training loop: batches in, checkpoints and a trained network out."""

import sys
import time

import numpy as np
import tensorflow as tf

from deeplab import checkpoints
from deeplab.errors import InputError
from deeplab.learning_rate import learning_rate
from deeplab.training.training_step import TrainingStep
from deeplab.training.validation import Interrupted

MEMORY_REMEDIES = (
  'use less memory, in this order: a smaller --batch_size with --accumulate_steps, a smaller '
  '--crop_size_height and '
  '--crop_size_width (output_stride * m + 1), --recompute_gradients, --compute_dtype=bfloat16, '
  '--model_variant=mobilenet_v2, '
  '--nouse_decoder, no --atrous_rates, --output_stride=32 with --atrous_rates=3,6,9'
)


class DeepLabV3Trainer:
  """Trains a network under the `tf.distribute` strategy it is given.

  Attributes:
    global_step: updates made so far, those of the run that is continued included.
    average: optimizer.MovingAverage of the weights, or None.
  """

  def __init__(
    self, model, options, *, loss, strategy=None, seed=0, jit_compile=False, scale_loss=False
  ):
    """Makes the optimizer's variables.

    Args:
      model: DeepLabV3PredictionModel, made in the scope of `strategy`.
      options: TrainingOptions.
      loss: losses.SegmentationLoss.
      strategy: tf.distribute.Strategy; None for the one in scope, by default one device.
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
    self.global_step = 0

  @property
  def variables(self):
    """dict name -> tf.Variable of all a checkpoint holds but global_step."""
    return {**self._model.named_variables, **self._step.slots}

  def restore(self, prefix):
    """Continues where checkpoint `prefix` was written: weights, statistics, slots, step.

    Raises InputError.
    """
    checkpoints.restore(self.variables, prefix, require_all=True)
    self.global_step = checkpoints.Reader(prefix).global_step

  def update(self, batches):
    """Makes one update.

    Args:
      batches: list of accumulate_steps dicts with images float32 [B, h, w, 3] in [0, 255], labels
        int32 [B, h, w] and names string [B].

    Returns:
      (training_step.StepResult, the learning rate used).

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

  def train(self, batches, *, run, log, run_options, stop, validation=None, class_names=None):
    """Trains until num_steps, a signal, or the end of patience, and saves.

    Args:
      batches: iterable of the batches after `global_step` updates; see `update`.
      run: RunDirectory.
      log: TrainingLog.
      run_options: RunOptions.
      stop: StopSignals, open.
      validation: Validation, or None.
      class_names: sequence of str to save with the architecture, or None.

    Returns:
      'finished', 'stopped' by a signal, or 'gave up' after patience.

    Raises:
      InputError: see `update`; or a checkpoint or the log cannot be written. Older checkpoints are
        whole.
    """

    def save(final=False):
      self._check_variables()
      run.save(
        self.variables,
        step=self.global_step,
        model_options=self._model.options,
        class_names=class_names,
        final=final,
        max_to_keep=run_options.max_to_keep,
      )
      log.flush()

    iterator = iter(batches)
    if self.global_step:  # A kill may have come between the checkpoint and its validation.
      self._validate_if_due(validation, stop)
      if validation is not None and validation.give_up():
        save(final=True)
        return 'gave up'
    saved_step = self.global_step
    while self.global_step < self._options.num_steps and not stop.requested:
      started = time.monotonic()
      drawn = [next(iterator) for _ in range(self._options.accumulate_steps)]
      waited = time.monotonic() - started
      result, rate = self.update(drawn)
      self._warn_if_nothing_counts(result, run_options.log_per_steps)
      log.update(
        result,
        step=self.global_step,
        learning_rate=rate,
        waited=waited,
        num_images=sum(batch['images'].shape[0] for batch in drawn),
      )
      if self.global_step % run_options.persist_per_steps == 0:
        save()
        saved_step = self.global_step
        log.panel(
          'training', zip(*self._pictures()), step=self.global_step, ignore_label=self._ignore_label
        )
      try:
        validated = self._validate_if_due(validation, stop)
      except InputError:  # Bad validation data; the steps since the last checkpoint are good.
        if saved_step < self.global_step:
          save()
        raise
      if validated and validation.give_up():
        save(final=True)
        return 'gave up'
    if self.global_step < self._options.num_steps:
      if saved_step < self.global_step:
        save()
      return 'stopped'
    if self.average is not None:
      run.save_averaged(self.average.averaged(), step=self.global_step)
    save(final=True)
    return 'finished'

  def _warn_if_nothing_counts(self, result, log_per_steps):
    """Warns once where no pixel of any batch so far has counted: the loss then falls by the L2 term
    alone.
    """
    self._labels_seen = self._labels_seen or result.label_range is not None
    if not self._labels_seen and self.global_step in (log_per_steps, self._options.num_steps):
      print(
        f'warning: every pixel of the batches up to step {self.global_step} has '
        f'--ignore_label={self._ignore_label}: '
        'nothing is learnt; check the labels',
        file=sys.stderr,
        flush=True,
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
        'below '
        f'--num_classes={self._model.options.num_classes} nor --ignore_label={self._ignore_label}; '
        'labels from '
        f'{result.label_range[0]} to {result.label_range[1]}; records: {names}'
      )
    broken = []
    if not np.isfinite(result.total_loss):
      broken.append(f'the loss is {result.total_loss}')
    if not np.isfinite(result.gradient_norm) and not result.gave_up:
      broken.append(f'the gradient norm is {result.gradient_norm}')
    if broken:
      seen = (
        f'labels from {result.label_range[0]} to {result.label_range[1]}'
        if result.label_range
        else 'no label counts'
      )
      raise InputError(
        f'step {step}: {" and ".join(broken)} at learning rate {rate:g}; {seen}; records: {names}. '
        'Nothing was saved since '
        'the last checkpoint, which is whole. Try a lower --init_learning_rate, --warmup_steps or '
        '--clip_gradient_norm'
      )

  def _check_variables(self):
    """Stops before something is saved that is worthless: a huge rate can break the variables after
    a finite loss.
    """
    for name, variable in self.variables.items():
      if variable.dtype.is_floating and not np.isfinite(
        tf.reduce_sum(tf.abs(variable.read_value()))
      ):
        raise InputError(
          f'step {self.global_step}: variable {name} is no longer finite; nothing was saved since '
          'the last '
          'checkpoint, which is whole. Try a lower --init_learning_rate, --warmup_steps or '
          '--clip_gradient_norm'
        )

  def _pictures(self):
    images, labels, predictions = self._step.pictures()
    return np.clip(np.rint(images), 0, 255).astype(np.uint8), labels, predictions
