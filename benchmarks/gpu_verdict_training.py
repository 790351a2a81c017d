"""Updates as a training makes them, memory over many of them, and waiting for input."""

import itertools
import os
import resource
import statistics
import time

import cells
import gpu_verdict_work

_MEMORY_LIMIT_MIB = 16  # That TensorFlow may take more of the device after the first third.
_HOST_LIMIT_MIB = 64  # Threads and caches of the host grow a little for longer.
_WAIT_LIMIT = 0.1


class Training:
  """Updates as a run makes them: each is started before the one before is read."""

  def __init__(self, work, model_settings, *, size, batch_size, strategy, num_devices=1):
    from deeplab.data import input_pipeline
    from deeplab.data.batch_shares import BatchShare
    from deeplab.model.prediction_model import DeepLabV3PredictionModel
    from deeplab.options import ModelOptions, TrainingInputOptions
    from deeplab.training import device_batches

    with strategy.scope():
      self.model = DeepLabV3PredictionModel(
        ModelOptions(num_classes=gpu_verdict_work.NUM_CLASSES, **model_settings)
      )
    height, width = (60, 80) if work.is_dry_run else (375, 500)
    options = TrainingInputOptions(
      filenames=(work.records(24, height=height, width=width),),
      crop_size_height=size,
      crop_size_width=size,
      batch_size=batch_size,
      seed=1,
    )
    batches = input_pipeline.training_batches(
      options,
      num_classes=gpu_verdict_work.NUM_CLASSES,
      share=BatchShare(num_devices=num_devices),
    )
    self.batches = iter(device_batches.on_devices(batches, strategy, largest_label=255))
    self.strategy = strategy

  def start(self, **training_options):
    """Makes the optimizer, anew if there is one."""
    from deeplab.distribution.workers import Workers
    from deeplab.losses import SegmentationLoss
    from deeplab.options import LossOptions, TrainingOptions
    from deeplab.trainer import DeepLabV3Trainer

    self.trainer = DeepLabV3Trainer(
      self.model,
      TrainingOptions(**training_options),
      loss=SegmentationLoss(LossOptions(), 255),
      workers=Workers(self.strategy),
      seed=1,
    )

  def update(self, count, *, batches=None, after=lambda step: None):
    """Makes updates by the next batches, or by others; returns (losses, seconds)."""
    batches = self.batches if batches is None else batches
    started, losses, unread = time.perf_counter(), [], None
    for step in range(count):
      pending = self.trainer.start_update([next(batches)])
      if unread is not None:
        losses.append(self.trainer.finish_update(unread).total_loss)
        after(step)
      unread = pending
    losses.append(self.trainer.finish_update(unread).total_loss)
    return losses, time.perf_counter() - started


def memory(work):
  """Memory of device and host over many steps."""
  import tensorflow as tf

  size, num_steps = (33, 60) if work.is_dry_run else (129, 300)
  training = Training(
    work, small_network(work), size=size, batch_size=4, strategy=strategy_of_one(work)
  )
  training.start()
  taken = []

  def look(step):
    if work.left() < 0 or step % 10:
      return
    device = 0
    if not work.is_dry_run:
      device = tf.config.experimental.get_memory_info(work.device)['current'] / 2**20
    taken.append((step, device, _host_mib()))

  made = 0
  while made < num_steps and work.left() > 0:  # In parts, to end in time.
    count = min(20, num_steps - made)
    training.update(count, after=lambda step, made=made: look(made + step))
    made += count
  if made < num_steps:
    work.findings.not_run(f'{num_steps - made} of {num_steps} steps', 'cut short: time is up')
  later = [each for each in taken if each[0] >= made // 3] or taken
  growths = [later[-1][index] - later[0][index] for index in (1, 2)]
  what = f'steps {later[0][0]} to {later[-1][0]}'
  if work.is_dry_run:
    work.findings.not_run(f'memory of the device over {what}', 'TensorFlow counts that of GPUs')
  else:
    work.findings.judge(
      f'growth of the device over {what}', growths[0], _MEMORY_LIMIT_MIB, unit='MiB'
    )
  work.findings.judge(f'growth of the host over {what}', growths[1], _HOST_LIMIT_MIB, unit='MiB')


def input_wait(work):
  """How much of a step the device waits for its batch: what a step takes with batches from records,
  against what it takes with one batch that is there.
  """
  size = 33 if work.is_dry_run else work.settings['size']
  batch_size = 4 if work.is_dry_run else work.settings['batch_size']
  let_tf32(True)
  training = Training(
    work, first_cell(work), size=size, batch_size=batch_size, strategy=strategy_of_one(work)
  )
  training.start()
  there = itertools.repeat(next(training.batches))
  training.update(3, batches=there)
  training.update(3)
  count, with_input, without = (5 if work.is_dry_run else 15), [], []
  while len(without) < 5 and (work.left() > 0 or not without):
    with_input.append(training.update(count)[1] / count)
    without.append(training.update(count, batches=there)[1] / count)
  share = max(0.0, 1.0 - statistics.median(without) / statistics.median(with_input))
  what = 'share of a step in which the device waits for input'
  note = (
    f'{statistics.median(with_input):.3g} s a step from records, '
    f'{statistics.median(without):.3g} s without; {os.cpu_count()} cores, {len(without)} rounds'
  )
  if work.is_dry_run:
    reason = f'here input and network share the cores ({note})'
    work.findings.not_run(what, reason)
  else:
    work.findings.judge(what, share, _WAIT_LIMIT, note=note)


# === What they share ===


def strategy_of_one(work):
  from deeplab.distribution import strategy as strategies
  from deeplab.options import DistributionOptions

  return strategies.make(DistributionOptions())


def small_network(work):
  settings = dict(model_variant='mobilenet_v2', atrous_rates=[1, 2], use_decoder=True)
  return dict(settings, depth_multiplier=0.35) if work.is_dry_run else settings


def first_cell(work):
  return small_network(work) if work.is_dry_run else cells.CELLS[work.settings['cells'][0]][0]


def let_tf32(wanted):
  import tensorflow as tf

  tf.config.experimental.enable_tensor_float_32_execution(wanted)


def _host_mib():
  """Memory of this process, MiB; where the system does not say, the most it ever was."""
  try:
    with open('/proc/self/statm', encoding='ascii') as file:
      return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20
  except OSError:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
