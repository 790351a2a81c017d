"""Where a training run starts: from scratch, from the checkpoint of another training, or where it
stopped; and the options it then has.
"""

import dataclasses
import os
import random
from collections.abc import Collection
from typing import TYPE_CHECKING

from deeplab import checkpoint_origin, checkpoints, named_checkpoints, restoring, saved_options
from deeplab.errors import InputError
from deeplab.messages import say, warn
from deeplab.model.backbones import BACKBONES
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import (
  ComputeOptions,
  LossOptions,
  ModelOptions,
  RunOptions,
  TrainingInputOptions,
  TrainingOptions,
  ValidationOptions,
)
from deeplab.saved_options import SavedOptions
from deeplab.training import size_checks, starting_report, training_data
from deeplab.training.run_directory import RunDirectory

if TYPE_CHECKING:
  # It imports this room.
  from deeplab.trainer import DeepLabV3Trainer


@dataclasses.dataclass(frozen=True)
class AllOptions:
  """Every option of a training run."""

  model: ModelOptions
  compute: ComputeOptions
  input: TrainingInputOptions
  training: TrainingOptions
  loss: LossOptions
  validation: ValidationOptions
  run: RunOptions

  def groups(self) -> tuple:
    """The options objects, in the order of the flags."""
    return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

  def replace(self, **changes) -> 'AllOptions':
    """A copy with other options objects."""
    return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class RunStart:
  """Where a run starts.

  Attributes:
    options: those of the command, with what they leave open settled: the seed, the architecture,
      and what a run that goes on was started with.
    notes: lines to print.
    saved: what is saved beside the checkpoint that the run starts from, or in the directory of the
      run that goes on; None where there is nothing.
    newest: (prefix, step) of this run's checkpoint to go on from, or None: the run starts at step
      0.
    loaded: prefix of the checkpoint of another training whose values the network takes over at step
      0, or None.
    given: names of the options that the user gave.
  """

  options: AllOptions
  notes: tuple[str, ...]
  saved: SavedOptions | None
  newest: tuple[str, int] | None
  loaded: str | None
  given: frozenset[str] = frozenset()

  @property
  def step(self) -> int:
    """Updates made before."""
    return self.newest[1] if self.newest else 0


def find(directory: RunDirectory, options: AllOptions, *, given: Collection[str]) -> RunStart:
  """Settles where a run starts; nothing is written yet.

  Args:
    directory: of the run.
    options: of the command.
    given: names of the options that the user gave.

  Raises:
    InputError: the directory or the options forbid what is asked.
  """
  options = _as_in_the_run(directory, options, given=given)
  decided = given
  if not options.run.resume or directory.saved_flags() is None:
    options, decided = _as_the_data_says(options, given=given)
  loaded = None if options.run.resume else find_loaded(options.run)
  saved = None
  if options.run.resume:
    saved = saved_options.read(directory.file(checkpoints.FINAL_NAME))
  elif loaded:
    saved = saved_options.read(loaded)
  model_options, notes = saved_options.for_training(saved, options.model, decided)
  if loaded and saved is None:
    model_options, notes = named_checkpoints.for_training(
      options.run.load_ckpt_path, model_options, decided
    )
  options = options.replace(model=model_options)
  size_checks.check(options.model, options.input, options.training, options.validation)
  newest = _newest_checkpoint(directory, options, given=given)
  if options.run.resume and newest is None:
    loaded = find_loaded(options.run)
  return RunStart(
    options=options,
    notes=tuple(notes),
    saved=saved,
    newest=newest,
    loaded=loaded,
    given=frozenset(given),
  )


def restore(
  start: RunStart,
  trainer: 'DeepLabV3Trainer',
  model: DeepLabV3PredictionModel,
  directory: RunDirectory,
) -> None:
  """Gives the variables the values the run starts from, and says where that is. With --overwrite an
  earlier run in the directory is removed.

  Raises:
    InputError: the checkpoint is not one of this network.
  """
  if start.newest:
    prefix, step = start.newest
    trainer.restore(prefix)
    directory.keep_numbered(trainer.variables, prefix, step=step)
    say(f'starting from {prefix} at step {step}')
    return
  run_options = start.options.run
  if start.loaded:
    _load(start, model)
    if trainer.average is not None:
      trainer.average.restart()
  if run_options.overwrite:
    # The list of the bad records is this run's already.
    directory.remove_run(keep_bad_records=start.options.input.skip_bad_records)
  reason = f' ({directory.path} holds no checkpoint to resume yet)' if run_options.resume else ''
  say(f'starting from {start.loaded or "scratch"} at step 0{reason}')


def _as_in_the_run(directory, options, *, given):
  """The options with what a run that goes on has fixed already, and a seed."""
  seed, run_options = options.input.seed, options.run
  ignore_label = options.input.ignore_label
  if run_options.resume:
    if not os.path.isdir(directory.path):
      raise InputError(
        f'--resume: {directory.path} does not exist (in {os.getcwd()}); check --output_path, or '
        'leave --resume out to start a run'
      )
    saved = directory.saved_flags() or {}
    if seed is None and 'seed' in saved:
      seed = int(saved['seed'][0])
    if 'ignore_label' not in given and 'ignore_label' in saved:
      ignore_label = int(saved['ignore_label'][0])
    changes = {}
    if 'load_ckpt_path' not in given:
      changes['load_ckpt_path'] = saved.get('load_ckpt_path', [None])[0]
    if 'restore_from_seg_model' not in given:
      changes['restore_from_seg_model'] = saved.get('restore_from_seg_model') == ['True']
    if 'exclude_scopes' not in given:
      changes['exclude_scopes'] = tuple(saved.get('exclude_scopes', ()))
    run_options = run_options.replace(**changes)
  # A run without --seed is random, but it can be continued: its flagfile has the seed.
  seed = random.randrange(2**31) if seed is None else seed
  input_options = options.input.replace(seed=seed, ignore_label=ignore_label)
  return options.replace(input=input_options, run=run_options)


def _as_the_data_says(options, *, given):
  """(the options of a new run with what the description of its records decides, names of the
  options that are decided).
  """
  paths = training_data.paths(options.input, options.validation)
  found = training_data.described(paths, given=given)
  if found is None:
    return options, given
  options = options.replace(
    input=found.fill_in(options.input, given=given), model=found.fill_in(options.model, given=given)
  )
  decided = set() if found.num_classes is None else {'num_classes'}
  return options, frozenset(given) | decided


def find_loaded(run_options: RunOptions) -> str | None:
  """The prefix that --load_ckpt_path means, or None."""
  if not run_options.load_ckpt_path:
    return None
  return named_checkpoints.find_given(run_options.load_ckpt_path, flag='load_ckpt_path')


def _newest_checkpoint(directory, options, *, given):
  """(prefix, step) to go on from, or None; raises InputError where the directory or the flags
  forbid what is asked.
  """
  if not options.run.resume:
    if not options.run.overwrite:
      directory.refuse_if_in_use()
    return None
  directory.check_flags(*options.groups(), given=given)
  newest, unreadable = directory.newest_checkpoint()
  warn(unreadable)
  return newest


def _load(start, model):
  """Takes over the values of a checkpoint of another training, and says which."""
  run_options, prefix = start.options.run, start.loaded
  report = restoring.restore(
    model.named_variables,
    prefix,
    exclude_scopes=run_options.exclude_scopes,
    backbone_scope=BACKBONES[model.options.model_variant].scope,
    new_head_for_other_classes=True,
  )
  missing = [name for name, reason in report.new if reason == 'not in the checkpoint']
  if run_options.restore_from_seg_model and missing:
    raise InputError(
      f"--restore_from_seg_model: checkpoint {prefix} lacks {len(missing)} of the network's "
      f'variables, the first is {missing[0]}; the model flags must be those it was trained with, '
      'or leave the flag out'
    )
  # A run that stopped before its first checkpoint has a file of its own; this one is another.
  saved = saved_options.read(prefix) if run_options.resume else start.saved
  warn(_contradictions(model.options, saved))
  if saved is None and 'concat_projection/weights' in report.restored:
    warn(checkpoint_origin.doubts(prefix, checkpoints.Reader(prefix).shapes))
  say(*starting_report.restore_lines(report))


def _contradictions(model_options, saved):
  """Warnings where the checkpoint was trained with another meaning of the same weights."""
  if saved is None:
    return []
  return [
    f'--{name}={getattr(model_options, name)}: the checkpoint was trained with '
    f'{getattr(saved.model_options, name)}'
    for name in ('preprocess_images_option', 'align_corners')
    if getattr(model_options, name) != getattr(saved.model_options, name)
  ]
