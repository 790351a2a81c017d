"""A training run, from options to the last checkpoint: what run_trainer.py does."""

import dataclasses
import shlex
from collections.abc import Collection

import tensorflow as tf

from deeplab import checkpoints, devices, losses, output_places, quiet_start, saved_options
from deeplab.messages import phase, say, say_in_any_case, warn
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
from deeplab.trainer import DeepLabV3Trainer
from deeplab.training import (
  batches_of_run,
  class_balance,
  data_files,
  run_start,
  settling,
  starting_report,
  training_data,
)
from deeplab.training.run_directory import (
  BEST_NAME,
  FLAGS_NAME,
  METRICS_NAME,
  RunDirectory,
)
from deeplab.training.run_files import BAD_RECORDS_NAME
from deeplab.training.run_start import AllOptions, RunStart
from deeplab.training.stop_signals import StopSignals
from deeplab.training.training_data import TrainingData
from deeplab.training.training_log import TrainingLog
from deeplab.training.validation import Validation


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
  *,
  given: Collection[str] = (),
  own_process: bool = True,
) -> TrainingResult:
  """Trains as the options say, and prints how it goes.

  Args:
    given: names of the options that the user gave; the others give way to what is saved beside the
      checkpoint that the run starts from, or with the run that goes on.
    own_process: as in `devices.prepare` and `StopSignals`.

  Raises:
    InputError: the options do not fit each other, the data or what is in the output directory; or
      see `DeepLabV3Trainer.train`.
  """
  directory = RunDirectory(run_options.output_path, copy_to=run_options.copy_to)
  options = AllOptions(
    model=model_options,
    compute=compute_options,
    input=input_options,
    training=training_options,
    loss=loss_options,
    validation=validation_options,
    run=run_options,
  )
  options, lines = settling.settled(directory, options, given=given)
  say(*lines)
  start = run_start.find(directory, options, given=given)
  num_steps = options.training.num_steps
  if start.newest and start.step >= num_steps and directory.is_finished(start.step):
    directory.finish(step=start.step, max_to_keep=options.run.max_to_keep)
    say(f'nothing to do: step {start.step} >= num_steps {num_steps} in {directory.path}')
    return _result('nothing to do', start.step, directory, best=directory.best_score())
  data = _find_data(start)
  if start.newest:
    warn(
      data_files.check_resumed(
        directory.saved_data_files(),
        data.facts,
        path=directory.path,
        allow_changed_data=options.run.allow_changed_data,
      )
    )
  say(*output_places.notes_on_default(run_options.output_path, RunOptions))
  directory.create()
  directory.copy.create(may_hold_run=run_options.resume or run_options.overwrite)
  with directory.locked():
    if not (run_options.resume or run_options.overwrite):
      directory.refuse_if_in_use()  # Another one may have begun and ended meanwhile.
    directory.put_right()
    return _train(directory, start, data, own_process=own_process)


def _train(directory, start, data, *, own_process):
  """Builds the parts, trains, and says how it ended; see `run`."""
  options = start.options
  strategy = _prepare_tensorflow(start, data, own_process=own_process)
  model, trainer = _build(options, strategy=strategy)
  _warn(start, data)
  # The first batch comes before the old run goes: most of what can be wrong with the data shows by
  # then.
  with phase('reading the first batch'):
    batches = batches_of_run.first_drawn(
      batches_of_run.draw(start, data.facts, bad_records_path=directory.file(BAD_RECORDS_NAME))
    )
  with phase('restoring the checkpoint'):
    run_start.restore(start, trainer, model, directory)
  directory.write_flags(*options.groups())
  directory.write_data_files(data.facts)
  # What is saved beside the weights.
  description = {'data_set': data.described, 'trained_size': options.input.crop_size}
  saved_options.write(directory.path, options.model, step=trainer.global_step, **description)
  with (
    StopSignals(own_process=own_process) as stop,
    TrainingLog(
      directory.path,
      metrics_name=METRICS_NAME,
      log_per_steps=options.run.log_per_steps,
      num_steps=options.training.num_steps,
      start_step=trainer.global_step,
      colors=training_data.panel_colors(data.described),
    ) as log,
  ):
    validation = None
    if data.eval_files:
      validation = Validation(
        model,
        directory,
        log,
        options=options.validation,
        ignore_label=options.input.ignore_label,
        average=trainer.average,
        class_names=data.described.class_names,
        strategy=strategy,
        max_image_pixels=options.input.max_image_pixels,
        num_images=sum(file.num_records for file in data.eval_files),
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
  directory.copy.finish()
  best = validation.best if validation is not None else None
  result = _result(outcome, trainer.global_step, directory, best=best)
  say_in_any_case(_last_line(result, directory, best=best, signal=stop.requested))
  return result


def _prepare_tensorflow(start, data, *, own_process):
  """Sets seed, determinism and devices, and prints what the run begins with; returns the
  tf.distribute.Strategy.
  """
  options = start.options
  quiet_start.hide_advice()
  # Never 0 (also modulo 2 ** 31 - 1): with that, tf.data's shuffle takes no seed that is a tensor,
  # as the input pipeline's is.
  tf.random.set_seed(options.input.seed % (2**31 - 2) + 1)
  if options.training.deterministic:
    tf.config.experimental.enable_op_determinism()
  gpus = devices.prepare(options.compute, own_process=own_process)
  strategy = devices.make_strategy()
  say(starting_report.device_line(strategy, gpus))
  say(starting_report.data_line('training data', data.files))
  if data.eval_files:
    say(starting_report.data_line('validation data', data.eval_files))
  say(starting_report.changed_flags_line(*options.groups()))
  for note in (*data.notes, *start.notes):
    say(note)
  return strategy


def _build(options, *, strategy):
  """(DeepLabV3PredictionModel, DeepLabV3Trainer), with initial values."""
  ignore_label = options.input.ignore_label
  with phase('counting the labels'):
    class_weights = class_balance.chosen_weights(
      options.loss,
      options.input.filenames,
      num_classes=options.model.num_classes,
      ignore_label=ignore_label,
      max_image_pixels=options.input.max_image_pixels,
    )
  loss = losses.SegmentationLoss(options.loss, ignore_label, class_weights)
  with phase('making the network'), strategy.scope():
    model = DeepLabV3PredictionModel(
      options.model,
      batch_norm_decay=options.training.batch_norm_decay,
      compute_dtype=options.compute.compute_dtype,
      recompute_gradients=options.training.recompute_gradients,
      operations=options.compute.operations,
    )
  say(starting_report.parameter_line(model))
  trainer = DeepLabV3Trainer(
    model,
    options.training,
    loss=loss,
    strategy=strategy,
    seed=options.input.seed,
    jit_compile=options.compute.jit_compile,
    scale_loss=options.compute.compute_dtype == 'float16',
  )
  return model, trainer


def _warn(start: RunStart, data: TrainingData) -> None:
  options = start.options
  warn(data.warnings)
  warn(
    starting_report.warnings(
      options.model,
      options.input,
      options.training,
      from_scratch=not options.run.load_ckpt_path,
      # Who asks for it, or goes on, knows.
      num_records=None
      if options.run.recipe == 'from_scratch' or start.newest
      else sum(file.num_records for file in data.files),
    )
  )
  if data.eval_files and options.validation.eval_per_steps > options.training.num_steps:
    warn(
      [
        f'--eval_per_steps={options.validation.eval_per_steps} is more than '
        f'--num_steps={options.training.num_steps}: nothing is validated'
      ]
    )


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
