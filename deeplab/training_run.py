"""A training run, from options to the last checkpoint: what run_trainer.py does."""

import contextlib
import dataclasses
import shlex
from collections.abc import Collection

from deeplab import (
  checkpoints,
  messages,
  output_places,
  saved_options,
)
from deeplab.data.batch_shares import BatchShare
from deeplab.distribution import leaving
from deeplab.distribution.follower import Follower
from deeplab.messages import phase, say, say_in_any_case, warn
from deeplab.options import (
  THIS_PROCESS,
  ComputeOptions,
  DistributionOptions,
  LossOptions,
  ModelOptions,
  RunOptions,
  TrainingInputOptions,
  TrainingOptions,
  ValidationOptions,
)
from deeplab.training import (
  batches_of_run,
  data_files,
  run_parts,
  run_start,
  settling,
  training_data,
  workers_of_run,
)
from deeplab.training.follower import FollowerDirectory
from deeplab.training.run_directory import (
  BEST_NAME,
  FLAGS_NAME,
  RunDirectory,
)
from deeplab.training.run_files import BAD_RECORDS_NAME
from deeplab.training.run_start import AllOptions, RunStart
from deeplab.training.stop_signals import StopSignals
from deeplab.training.training_data import TrainingData


@dataclasses.dataclass(frozen=True)
class TrainingResult:
  """How a run ended.

  Attributes:
    outcome: as `DeepLabV3Trainer.train` returns it, or 'nothing to do' where the run was finished
      before.
    global_step: updates made, those before it was continued included.
    checkpoint: prefix of the newest checkpoint, or None where a signal came before the first.
    best_checkpoint: prefix of the network with the best validation so far, or None.
    best_mean_iou: its mIOU, or None.
  """

  outcome: str
  global_step: int
  checkpoint: str | None
  best_checkpoint: str | None = None
  best_mean_iou: float | None = None


def run(
  model_options: ModelOptions,
  compute_options: ComputeOptions,
  input_options: TrainingInputOptions,
  training_options: TrainingOptions,
  loss_options: LossOptions,
  validation_options: ValidationOptions,
  run_options: RunOptions,
  distribution_options: DistributionOptions = THIS_PROCESS,
  *,
  given: Collection[str] = (),
  own_process: bool = True,
) -> TrainingResult:
  """Trains as the options say, and prints how it goes.

  Args:
    given: names of the options that the user gave; the others give way to what is saved beside the
      checkpoint that the run starts from, or with the run that goes on.
    own_process: as in `workers.joined`, `devices.prepare` and `StopSignals`.

  Raises:
    InputError: the options do not fit each other, the data or what is in the output directory; or
      see `DeepLabV3Trainer.train`.
  """
  options = AllOptions(
    model=model_options,
    compute=compute_options,
    input=input_options,
    training=training_options,
    loss=loss_options,
    validation=validation_options,
    run=run_options,
  )
  with workers_of_run.joined(distribution_options, options, own_process=own_process) as workers:
    if not workers.is_chief:
      return _follow(workers, options, given=given, own_process=own_process)
    with contextlib.ExitStack() as locks:
      directory = RunDirectory(run_options.output_path, copy_to=run_options.copy_to)
      with workers_of_run.telling_errors(workers):
        start, data = _find_start(directory, options, locks, given=given)
      workers_of_run.tell_start(workers, start, data)
      if data is None:
        return _result('nothing to do', start.step, directory, best=directory.best_score())
      return _train(directory, start, data, workers, own_process=own_process)


def _find_start(directory, options, locks, *, given):
  """(RunStart, TrainingData or None where nothing is left to do); the directory is made and locked
  until `locks` closes; see `run`.
  """
  options, lines = settling.settled(directory, options, given=given)
  say(*lines)
  start = run_start.find(directory, options, given=given)
  num_steps = start.options.training.num_steps
  if start.newest and start.step >= num_steps and directory.is_finished(start.step):
    directory.finish(step=start.step, max_to_keep=start.options.run.max_to_keep)
    say(f'nothing to do: step {start.step} >= num_steps {num_steps} in {directory.path}')
    return start, None
  data = _find_data(start)
  run_options = start.options.run
  if start.newest:
    warn(
      data_files.check_resumed(
        directory.saved_data_files(),
        data.facts,
        path=directory.path,
        allow_changed_data=run_options.allow_changed_data,
      )
    )
  say(*output_places.notes_on_default(run_options.output_path, RunOptions))
  directory.create()
  directory.copy.create(may_hold_run=run_options.resume or run_options.overwrite)
  locks.enter_context(directory.locked())
  if not (run_options.resume or run_options.overwrite):
    directory.refuse_if_in_use()  # Another one may have begun and ended meanwhile.
  directory.put_right()
  return start, data


def _follow(workers, options, *, given, own_process):
  """Trains as the chief says; nothing is written or said."""
  with messages.heard_by(Follower()):
    start, counts = workers_of_run.told_start(workers, options, given=given)
    directory = FollowerDirectory(options.run.output_path)
    if counts is None:
      return TrainingResult('nothing to do', start.step, None)
    data = _find_data(start)
    workers_of_run.check_data(workers, data, counts)
    return _train(directory, start, data, workers, own_process=own_process)


def _train(directory, start, data, workers, *, own_process):
  """Builds the parts, trains, and says how it ended; see `run`."""
  options = start.options
  run_parts.prepare_tensorflow(start, data, workers, own_process=own_process)
  model, trainer = run_parts.build(options, workers)
  run_parts.warn_of_what_may_not_be_meant(start, data)
  # The first batch comes before the old run goes: most of what can be wrong with the data shows by
  # then.
  with phase('reading the first batch'):
    share = BatchShare(workers.index, workers.num_workers, workers.num_local_devices)
    batches = batches_of_run.first_drawn(
      batches_of_run.draw(
        start,
        data.facts,
        bad_records_path=directory.file(BAD_RECORDS_NAME) if workers.is_chief else None,
        strategy=workers.strategy,
        share=share,
      )
    )
  leaving.keep(batches)
  # What is saved beside the weights.
  description = {'data_set': data.described, 'trained_size': options.input.crop_size}
  with phase('restoring the checkpoint'):
    if workers.is_chief:
      run_start.restore(start, trainer, model, directory)
      directory.write_flags(*options.groups())
      directory.write_data_files(data.facts)
      saved_options.write(directory.path, options.model, step=trainer.global_step, **description)
    workers_of_run.share_variables(workers, trainer, start)
  with (
    StopSignals(own_process=own_process) as stop,
    run_parts.open_log(directory, start, data, workers) as log,
  ):
    workers_of_run.tell_validations(workers, directory, log.validations)
    validation = run_parts.make_validation(
      directory, start, data, workers, trainer=trainer, model=model, log=log
    )
    outcome = trainer.train(
      batches,
      run=directory,
      log=log,
      run_options=options.run,
      stop=stop,
      validation=validation,
      **description,
    )
  workers_of_run.await_saved(workers)
  if not workers.is_chief:
    return TrainingResult(outcome, trainer.global_step, None)
  directory.copy.finish()
  best = validation.best if validation is not None else None
  result = _result(outcome, trainer.global_step, directory, best=best)
  signal = stop.requested or 'a signal to another worker'
  say_in_any_case(_last_line(result, directory, best=best, signal=signal))
  return result


def _find_data(start: RunStart) -> TrainingData:
  """The records, and what their descriptions say; InputError for what cannot be read or used."""
  options = start.options
  return training_data.find(
    options.model,
    options.input,
    options.validation,
    options.run,
    saved=start.saved,
    given=start.given,
  )


def _result(outcome, global_step, directory, *, best):
  """The TrainingResult; `best` as `Validation.best`."""
  written = directory.checkpoints_of_run()
  return TrainingResult(
    outcome=outcome,
    global_step=global_step,
    checkpoint=written[-1] if written else None,
    best_checkpoint=directory.file(BEST_NAME) if best else None,
    best_mean_iou=best['mean_iou'] if best else None,
  )


def _last_line(result, directory, *, best, signal):
  if result.outcome == 'stopped':
    flagfile = shlex.quote(directory.file(FLAGS_NAME))
    return (
      f'stopped by {signal} at step {result.global_step}; continue with: run_trainer.py '
      f'--flagfile={flagfile} --resume'
    )
  shown = ''
  if best:
    shown = f'; best mIOU {best["mean_iou"]:.4f} at step {best["step"]}: {result.best_checkpoint}'
  reason = ''
  if result.outcome == 'out of patience':
    reason = ' early: the mIOU has not risen for --patience validations'
  final = directory.file(checkpoints.FINAL_NAME)
  return f'finished{reason} at step {result.global_step}: {final}{shown}'
