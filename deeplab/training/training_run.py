"""A training run from options to the last checkpoint: what run_trainer.py does."""

import dataclasses
import itertools
import os
import random
import shlex

import tensorflow as tf

from deeplab import checkpoints, devices, losses, saved_options
from deeplab.class_names import load_class_names
from deeplab.data import input_pipeline, record_files
from deeplab.errors import InputError, warn
from deeplab.model import backbones
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.trainer import MEMORY_REMEDIES, DeepLabV3Trainer
from deeplab.training import class_balance, starting_report
from deeplab.training.run_directory import BEST_NAME, FLAGS_NAME, METRICS_NAME, RunDirectory
from deeplab.training.stop_signals import StopSignals
from deeplab.training.training_log import TrainingLog
from deeplab.training.validation import Validation


def run(
  model_options,
  compute_options,
  input_options,
  training_options,
  loss_options,
  validation_options,
  run_options,
  *,
  given,
):
  """Trains as the options say; `given` are the names of the flags that the user gave. Returns the
  exit status.

  Raises:
    InputError: the options do not fit each other, the data or what is in the output directory.
  """
  directory = RunDirectory(run_options.output_path)
  if validation_options.eval_filenames and validation_options.eval_per_steps is None:
    validation_options = validation_options.replace(eval_per_steps=run_options.persist_per_steps)
  input_options, run_options = _as_in_the_run(directory, input_options, run_options, given=given)
  model_options, notes = _architecture(directory, model_options, run_options, given=given)
  options = (
    model_options,
    compute_options,
    input_options,
    training_options,
    loss_options,
    validation_options,
    run_options,
  )
  newest = _newest_checkpoint(directory, options, run_options, given=given)
  if newest and newest[1] >= training_options.num_steps and directory.is_finished(newest[1]):
    _say(
      f'nothing to do: step {newest[1]} >= num_steps {training_options.num_steps} in '
      f'{directory.path}'
    )
    return 0
  class_names = _class_names(directory, model_options, run_options)
  files, eval_files = _find_records(input_options, validation_options)
  directory.create()
  with directory.locked():
    return _train(
      directory,
      *options,
      newest=newest,
      files=files,
      eval_files=eval_files,
      notes=notes,
      class_names=class_names,
    )


def _train(
  directory,
  model_options,
  compute_options,
  input_options,
  training_options,
  loss_options,
  validation_options,
  run_options,
  *,
  newest,
  files,
  eval_files,
  notes,
  class_names,
):
  """Builds the parts, trains, and says how it ended; see `run`."""
  options = (
    model_options,
    compute_options,
    input_options,
    training_options,
    loss_options,
    validation_options,
    run_options,
  )
  # TensorFlow's advice on its own functions is not for who trains.
  tf.get_logger().setLevel('ERROR')
  # Never 0 (also modulo 2 ** 31 - 1): with that, tf.data's shuffle takes no seed that is a tensor,
  # as the input pipeline's is.
  tf.random.set_seed(input_options.seed % (2**31 - 2) + 1)
  if training_options.deterministic:
    tf.config.experimental.enable_op_determinism()
  gpus = devices.prepare(compute_options)
  strategy = devices.make_strategy()
  for line in [
    starting_report.device_line(strategy, gpus),
    starting_report.data_line('training data', files),
    *([starting_report.data_line('validation data', eval_files)] if eval_files else []),
    starting_report.changed_flags_line(*options),
    *notes,
  ]:
    _say(line)
  model, trainer = _build(
    model_options, compute_options, training_options, loss_options, input_options, strategy=strategy
  )
  warn(
    starting_report.warnings(
      model_options, input_options, training_options, from_scratch=not run_options.load_ckpt_path
    )
  )
  if eval_files and validation_options.eval_per_steps > training_options.num_steps:
    warn(
      [
        f'--eval_per_steps={validation_options.eval_per_steps} is more than '
        f'--num_steps={training_options.num_steps}: nothing '
        'is validated'
      ]
    )
  # The first batch comes before the old run goes: most of what can be wrong with the data shows by
  # then.
  batches = _first_drawn(
    _explained(
      input_pipeline.training_batches(
        input_options,
        num_classes=model_options.num_classes,
        start_step=(newest[1] if newest else 0) * training_options.accumulate_steps,
      ),
      input_options,
      model_options,
    )
  )
  _start(trainer, model, directory, run_options, newest=newest)
  directory.remove_unfinished()
  directory.write_flags(*options)
  saved_options.write(
    directory.path, model_options, step=trainer.global_step, class_names=class_names
  )

  with (
    StopSignals() as stop,
    TrainingLog(
      directory.path,
      metrics_name=METRICS_NAME,
      log_per_steps=run_options.log_per_steps,
      num_steps=training_options.num_steps,
      start_step=trainer.global_step,
    ) as log,
  ):
    validation = None
    if eval_files:
      validation = Validation(
        model,
        directory,
        log,
        options=validation_options,
        ignore_label=input_options.ignore_label,
        average=trainer.average,
        class_names=class_names,
        strategy=strategy,
        max_image_pixels=input_options.max_image_pixels,
      )
    outcome = trainer.train(
      batches,
      run=directory,
      log=log,
      run_options=run_options,
      stop=stop,
      validation=validation,
      class_names=class_names,
    )
  _say(_last_line(outcome, trainer, directory, validation, stop))
  return 0


def _newest_checkpoint(directory, options, run_options, *, given):
  """(prefix, step) to continue from, or None; raises InputError where the directory or the flags
  forbid what is asked.
  """
  if not run_options.resume:
    if not run_options.overwrite:
      directory.refuse_if_in_use()
    return None
  directory.check_flags(*options, given=given)
  newest, unreadable = directory.newest_checkpoint()
  warn(unreadable)
  return newest


def _build(
  model_options, compute_options, training_options, loss_options, input_options, *, strategy
):
  """(DeepLabV3PredictionModel, DeepLabV3Trainer), with initial values."""
  loss = losses.SegmentationLoss(
    loss_options,
    input_options.ignore_label,
    _class_weights(loss_options, model_options, input_options),
  )
  with strategy.scope():
    model = DeepLabV3PredictionModel(
      model_options,
      batch_norm_decay=training_options.batch_norm_decay,
      compute_dtype=compute_options.compute_dtype,
      recompute_gradients=training_options.recompute_gradients,
    )
  _say(starting_report.parameter_line(model))
  trainer = DeepLabV3Trainer(
    model,
    training_options,
    loss=loss,
    strategy=strategy,
    seed=input_options.seed,
    jit_compile=compute_options.jit_compile,
    scale_loss=compute_options.compute_dtype == 'float16',
  )
  return model, trainer


def _as_in_the_run(directory, input_options, run_options, *, given):
  """The options with what a continued run has fixed already, and a seed."""
  seed = input_options.seed
  if run_options.resume:
    if not os.path.isdir(directory.path):
      raise InputError(
        f'--resume: {directory.path} does not exist (in {os.getcwd()}); check --output_path, or '
        'leave --resume out '
        'to start a run'
      )
    saved = directory.saved_flags() or {}
    if seed is None and 'seed' in saved:
      seed = int(saved['seed'][0])
    changes = {}
    if 'load_ckpt_path' not in given:
      changes['load_ckpt_path'] = saved.get('load_ckpt_path', [None])[0]
    if 'restore_from_seg_model' not in given:
      changes['restore_from_seg_model'] = saved.get('restore_from_seg_model') == ['True']
    if 'exclude_scopes' not in given:
      changes['exclude_scopes'] = tuple(saved.get('exclude_scopes', ()))
    run_options = run_options.replace(**changes)
  # A run without --seed is random, but it can be continued: its flagfile has the seed.
  return input_options.replace(seed=random.randrange(2**31) if seed is None else seed), run_options


def _architecture(directory, model_options, run_options, *, given):
  """(ModelOptions, lines to print): saved with the run or beside the checkpoint it starts from,
  where flags do not say.
  """
  given_of_model = {field.name for field in dataclasses.fields(model_options)} & set(given)
  if run_options.resume:
    return saved_options.adopt(
      model_options, given_of_model, directory.file(checkpoints.FINAL_NAME)
    )
  if run_options.load_ckpt_path:
    try:
      prefix = checkpoints.find(run_options.load_ckpt_path)
    except InputError as error:
      raise InputError(f'--load_ckpt_path={run_options.load_ckpt_path}: {error}') from error
    return saved_options.adopt(model_options, given_of_model, prefix)
  return model_options, []


def _class_names(directory, model_options, run_options):
  """Names of the classes: those of the flag, else those saved where the run starts, else None."""
  if run_options.class_names:
    return load_class_names(run_options.class_names, model_options.num_classes)
  start = directory.path if run_options.resume else run_options.load_ckpt_path
  saved = saved_options.read(os.path.join(start, '')) if start and os.path.isdir(start) else None
  names = (saved or {}).get('class_names') or ()
  return names if len(names) == model_options.num_classes else None


def _find_records(input_options, validation_options):
  """(training files, validation files) as lists of RecordFile; raises InputError for what cannot be
  read.
  """
  files = record_files.index_files(
    record_files.expand_filenames(input_options.filenames),
    allow_problems=input_options.skip_bad_records,
  )
  eval_files = []
  if validation_options.eval_filenames:
    eval_files = record_files.index_files(
      record_files.expand_filenames(validation_options.eval_filenames)
    )
  return files, eval_files


def _class_weights(loss_options, model_options, input_options):
  """None, or a tuple with a factor for each class."""
  if loss_options.class_weights is None:
    return None
  if loss_options.class_weights == 'auto':
    weights = class_balance.weights_of_records(
      input_options.filenames,
      num_classes=model_options.num_classes,
      ignore_label=input_options.ignore_label,
    )
    _say('class weights: ' + ','.join(f'{weight:.4g}' for weight in weights))
    return weights
  weights = loss_options.listed_class_weights()
  if len(weights) != model_options.num_classes:
    raise InputError(
      f'--class_weights has {len(weights)} values and --num_classes is '
      f'{model_options.num_classes}: give one '
      'a class'
    )
  return weights


def _start(trainer, model, directory, run_options, *, newest):
  """Gives the variables the values the run starts from, and says where that is."""
  if newest:
    prefix, step = newest
    trainer.restore(prefix)
    directory.keep_numbered(trainer.variables, prefix, step=step)
    _say(f'starting from {prefix} at step {step}')
    return
  if run_options.load_ckpt_path:
    prefix = checkpoints.find(run_options.load_ckpt_path)
    report = checkpoints.restore(
      model.named_variables,
      prefix,
      exclude_scopes=run_options.exclude_scopes,
      backbone_scope=backbones.scope_name(model.options.model_variant),
      new_head_for_other_classes=True,
    )
    missing = [name for name, reason in report.new if reason == 'not in the checkpoint']
    if run_options.restore_from_seg_model and missing:
      raise InputError(
        f"--restore_from_seg_model: checkpoint {prefix} lacks {len(missing)} of the network's "
        'variables, the '
        f'first is {missing[0]}; the model flags must be those it was trained with, or leave the '
        'flag out'
      )
    warn(_contradictions(model.options, prefix))
    for line in starting_report.restore_lines(report):
      _say(line)
    if trainer.average is not None:
      trainer.average.restart()
  if run_options.overwrite:
    directory.remove_run()
  start = checkpoints.find(run_options.load_ckpt_path) if run_options.load_ckpt_path else 'scratch'
  reason = f' ({directory.path} holds no checkpoint to resume yet)' if run_options.resume else ''
  _say(f'starting from {start} at step 0{reason}')


def _contradictions(model_options, prefix):
  """Warnings where the checkpoint was trained with another meaning of the same weights."""
  saved = saved_options.read(prefix)
  if saved is None:
    return []
  return [
    f'--{name}={getattr(model_options, name)}: the checkpoint was trained with '
    f'{getattr(saved["model_options"], name)}'
    for name in ('preprocess_images_option', 'align_corners')
    if getattr(model_options, name) != getattr(saved['model_options'], name)
  ]


def _explained(batches, input_options, model_options):
  """The batches; a bad record is an InputError that names it."""
  try:
    yield from batches
  except tf.errors.ResourceExhaustedError as error:
    raise InputError(f'out of memory while the batches were made: {MEMORY_REMEDIES}') from error
  except tf.errors.OpError as error:
    raise input_pipeline.explain_failure(
      error,
      input_options.filenames,
      num_classes=model_options.num_classes,
      ignore_label=input_options.ignore_label,
      max_image_pixels=input_options.max_image_pixels,
    ) from error


def _first_drawn(batches):
  """The same batches, the first of them drawn already."""
  return itertools.chain([next(batches)], batches)


def _last_line(outcome, trainer, directory, validation, stop):
  if outcome == 'stopped':
    flagfile = shlex.quote(directory.file(FLAGS_NAME))
    return (
      f'stopped by {stop.requested} at step {trainer.global_step}; continue with: run_trainer.py '
      f'--flagfile={flagfile} --resume'
    )
  best = ''
  if validation is not None and validation.best:
    best = (
      f'; best mIOU {validation.best["mean_iou"]:.4f} at step {validation.best["step"]}: '
      f'{directory.file(BEST_NAME)}'
    )
  reason = (
    ' early: the mIOU has not risen for --patience validations' if outcome == 'gave up' else ''
  )
  final = directory.file(checkpoints.FINAL_NAME)
  return f'finished{reason} at step {trainer.global_step}: {final}{best}'


def _say(line):
  print(line, flush=True)
