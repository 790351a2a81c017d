"""The parts of a training run, made as its options say: TensorFlow's settings, network and trainer,
log, validation; and what is said of them.
"""

import contextlib

import tensorflow as tf

from deeplab import devices, losses, quiet_start
from deeplab.distribution.workers import Workers
from deeplab.errors import InputError
from deeplab.messages import phase, say, warn
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.operations.dispatch import Operations
from deeplab.operations.plain import Replicas
from deeplab.trainer import DeepLabV3Trainer
from deeplab.training import class_balance, determinism, starting_report, training_data
from deeplab.training.follower import FollowerDirectory, FollowerLog
from deeplab.training.run_directory import METRICS_NAME, RunDirectory
from deeplab.training.run_start import AllOptions, RunStart
from deeplab.training.training_data import TrainingData
from deeplab.training.training_log import TrainingLog
from deeplab.training.validation import Validation


def prepare_tensorflow(
  start: RunStart, data: TrainingData, workers: Workers, *, own_process: bool
) -> None:
  """Sets seed and determinism, and prints what the run begins with; raises as `devices.prepare`."""
  options = start.options
  quiet_start.hide_advice()
  # Never 0 (also modulo 2 ** 31 - 1): with that, tf.data's shuffle takes no seed that is a tensor,
  # as the input pipeline's is.
  tf.random.set_seed(options.input.seed % (2**31 - 2) + 1)
  gpus = devices.prepare(options.compute, own_process=own_process)
  if options.training.deterministic:
    determinism.refuse(options.model, options.compute, options.training, gpus=gpus)
    tf.config.experimental.enable_op_determinism()
  say(starting_report.device_line(workers, gpus, options.compute))
  say(starting_report.data_line('training data', data.files))
  if data.eval_files:
    say(starting_report.data_line('validation data', data.eval_files))
  say(starting_report.changed_flags_line(*options.groups()))
  for note in (*data.notes, *start.notes):
    say(note)


def build(
  options: AllOptions, workers: Workers
) -> tuple[DeepLabV3PredictionModel, DeepLabV3Trainer]:
  """Network and trainer, with initial values.

  Raises:
    InputError: options contradict each other, or the labels cannot be counted.
  """
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
  with phase('making the network'), workers.strategy.scope():
    model = DeepLabV3PredictionModel(
      options.model,
      batch_norm_decay=options.training.batch_norm_decay,
      compute_dtype=options.compute.compute_dtype,
      recompute_gradients=options.training.recompute_gradients,
      operations=Operations(options.compute.operations, replicas=_replicas(options, workers)),
    )
  say(starting_report.parameter_line(model))
  trainer = DeepLabV3Trainer(
    model,
    options.training,
    loss=loss,
    workers=workers,
    seed=options.input.seed,
    jit_compile=options.compute.jit_compile,
    scale_loss=options.compute.compute_dtype == 'float16',
  )
  return model, trainer


def _replicas(options, workers):
  """Those whose statistics batch norm takes together; None: each its own."""
  number = workers.strategy.num_replicas_in_sync
  if not options.training.sync_batch_norm or number == 1:
    return None
  if options.training.recompute_gradients:
    raise InputError(
      '--recompute_gradients: computes each layer again in an order that differs between devices, '
      'and --sync_batch_norm lets them talk in each layer; leave one out'
    )
  if options.compute.jit_compile:
    raise InputError(
      '--jit_compile: XLA compiles each device by itself, and --sync_batch_norm lets them talk in '
      'each layer; leave one out'
    )
  return Replicas(
    number, lambda vector: tf.distribute.get_replica_context().all_reduce('MEAN', vector)
  )


def open_log(
  directory: RunDirectory | FollowerDirectory, start: RunStart, data: TrainingData, workers: Workers
) -> contextlib.AbstractContextManager[TrainingLog | FollowerLog]:
  """A context manager of the log of this worker."""
  if not workers.is_chief:
    return contextlib.nullcontext(FollowerLog())
  options = start.options
  return TrainingLog(
    directory.path,
    metrics_name=METRICS_NAME,
    log_per_steps=options.run.log_per_steps,
    num_steps=options.training.num_steps,
    start_step=start.step,
    colors=training_data.panel_colors(data.described),
  )


def make_validation(
  directory: RunDirectory | FollowerDirectory,
  start: RunStart,
  data: TrainingData,
  workers: Workers,
  *,
  trainer: DeepLabV3Trainer,
  model: DeepLabV3PredictionModel,
  log: TrainingLog | FollowerLog,
) -> Validation | None:
  """The validation, or None without records for it."""
  if not data.eval_files:
    return None
  return Validation(
    model,
    directory,
    log,
    options=start.options.validation,
    ignore_label=start.options.input.ignore_label,
    average=trainer.average,
    class_names=data.described.class_names,
    workers=workers,
    max_image_pixels=start.options.input.max_image_pixels,
    num_images=sum(file.num_records for file in data.eval_files),
  )


def warn_of_what_may_not_be_meant(start: RunStart, data: TrainingData) -> None:
  """Warns of data and options that do not suit each other."""
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
