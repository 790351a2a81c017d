"""The checkpoints of one training."""

import typing
from collections.abc import Mapping

import tensorflow as tf

from deeplab.options import ModelOptions
from deeplab.training.guards import check_variables
from deeplab.training.run_directory import RunDirectory
from deeplab.training.training_log import TrainingLog


class Saved(typing.Protocol):
  """What is saved: a DeepLabV3Trainer, which says what these are."""

  global_step: int
  model_options: ModelOptions
  variables: Mapping[str, tf.Variable]


class Saves:
  """Writes checkpoints of a trainer's variables, when they are new and can be trusted."""

  def __init__(self, trainer: Saved, run: RunDirectory, log: TrainingLog, **settings):
    """Prepares; `settings` are those of `RunDirectory.save`."""
    self._trainer, self._run, self._log = trainer, run, log
    self._settings = settings
    self._saved_step = trainer.global_step

  def save(self, *, final: bool = False) -> None:
    """Writes a checkpoint of this step, and brings the log to the disk.

    Raises:
      InputError: a variable is no longer finite, or the checkpoint cannot be written.
    """
    self._log.at('saving')
    check_variables(self._trainer.variables, step=self._trainer.global_step)
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

  def save_new_steps(self) -> None:
    """Writes a checkpoint where updates were made since the last one."""
    if self._saved_step < self._trainer.global_step:
      self.save()
