"""Trainings that must be equal: one made twice, and one device against several."""

import hashlib
import itertools
import json
import os
import statistics

import gpu_verdict_correctness as correctness
import gpu_verdict_work
import numpy as np
from gpu_verdict_training import Training, first_cell, let_tf32, small_network

_LOSS_LIMIT, _GRADIENT_LIMIT = 1e-5, 1e-2
_SPEED_UP_LIMIT = 0.7


# === The same bits twice ===


def determinism(work):
  """A training with --deterministic, with validation and checkpoints; the second time its numbers
  are to be those of the first, to the bit.
  """
  import deeplab
  from deeplab import checkpoints

  run = 2 if os.path.exists(work.file('determinism.json')) else 1
  size, num_steps = (33, 4) if work.is_dry_run else (129, 12)
  records = work.records(8, height=size + 20, width=size + 30)
  result = deeplab.train(
    filenames=[records],
    eval_filenames=[records],
    eval_per_steps=num_steps // 2,
    output_path=work.file(f'determinism_{run}'),
    num_classes=gpu_verdict_work.NUM_CLASSES,
    model_variant='mobilenet_v2',
    depth_multiplier=0.35 if work.is_dry_run else 1.0,
    output_stride=8,
    atrous_rates=[2, 4],
    use_decoder=True,
    crop_size_height=size,
    crop_size_width=size,
    batch_size=4,
    num_steps=num_steps,
    init_learning_rate=1e-3,
    deterministic=True,
    seed=1,
  )
  reader = checkpoints.Reader(result.checkpoint)
  found = {'best mIOU': str(result.best_mean_iou)}
  for name in sorted(reader.shapes):
    value = np.asarray(reader.get(name))
    found[name] = hashlib.sha256(value.tobytes()).hexdigest()
    if value.dtype.kind == 'f' and not np.isfinite(value).all():
      work.findings.fail('a variable that is not finite', name)
  if run == 1:
    with open(work.file('determinism.json'), 'w', encoding='utf-8') as file:
      json.dump(found, file)
    return
  with open(work.file('determinism.json'), encoding='utf-8') as file:
    first = json.load(file)
  different = sorted(name for name in found if found[name] != first.get(name))
  work.findings.judge(
    f'tensors of the checkpoint that differ after {num_steps} steps, of {len(found)}',
    len(different),
    0,
    note=f'such as {different[0]}' if different else '',
  )


# === Several devices ===


def devices(work):
  """One device against all: losses and gradients of one batch, and speed."""
  import tensorflow as tf

  from deeplab.distribution import strategy as strategies
  from deeplab.options import DistributionOptions

  gpus = tf.config.list_physical_devices('GPU')
  number = 2 if work.is_dry_run else len(gpus)
  if number < 2:
    work.findings.not_run('one GPU against several', 'this machine has one')
    return
  several = strategies.make(DistributionOptions(num_devices=2 if work.is_dry_run else None))
  one = tf.distribute.OneDeviceStrategy(work.device)
  size = 33 if work.is_dry_run else 129
  trainings = [
    Training(
      work,
      small_network(work),
      size=size,
      batch_size=2 * number,
      strategy=strategy,
      num_devices=strategy.num_replicas_in_sync,
    )
    for strategy in (one, several)
  ]
  scenes = work.scenes(8, height=size, width=size, seed=99)
  correctness.settle(trainings[0].model, correctness.as_batch(scenes)['images'])
  for name, variable in trainings[1].model.named_variables.items():
    variable.assign(trainings[0].model.named_variables[name].numpy())
  losses, gradients = zip(*map(_few_losses, trainings))
  difference = np.max(np.abs(np.subtract(*losses)) / np.abs(losses[0]))
  what = f'{number} devices against one, stored statistics'
  work.findings.judge(f'{what}: loss of 5 steps', difference, _LOSS_LIMIT, note='relative')
  difference, worst = correctness.largest_difference(gradients[1], gradients[0])
  work.findings.judge(f'{what}: gradients', difference, _GRADIENT_LIMIT, note=f'worst in {worst}')
  del trainings
  if work.is_dry_run:
    work.findings.not_run('speed-up', 'the devices of a CPU share its cores')
  elif work.has_time_for('speed-up'):
    _speed_up(work, one, several)


def _few_losses(training):
  """(losses of 5 steps, {name: gradient of the first})."""
  training.start(
    fine_tune_batch_norm=False, momentum=0.0, init_learning_rate=correctness.LEARNING_RATE
  )
  losses, _ = training.update(1)
  gradients = {
    name: variable.numpy()
    for name, variable in training.trainer.variables.items()
    if name.endswith('/Momentum')
  }
  return losses + training.update(4)[0], gradients


def _speed_up(work, one, several):
  """Images a second on all devices to those on one, each with the same batch."""
  let_tf32(True)
  number, speeds = several.num_replicas_in_sync, []
  for strategy in (one, several):
    devices_of_it = strategy.num_replicas_in_sync
    batch_size = work.settings['batch_size'] * devices_of_it
    training = Training(
      work,
      first_cell(work),
      size=work.settings['size'],
      batch_size=batch_size,
      strategy=strategy,
      num_devices=devices_of_it,
    )
    training.start()
    there = itertools.repeat(next(training.batches))
    training.update(3, batches=there)
    rounds = []
    while len(rounds) < 5 and (work.left() > 0 or not rounds):
      rounds.append(training.update(8, batches=there)[1] / 8)
    speeds.append(batch_size / statistics.median(rounds))
    del training
  work.findings.judge(
    f'speed-up of {number} GPUs, as a share of {number}',
    speeds[1] / speeds[0] / number,
    _SPEED_UP_LIMIT,
    is_at_least=True,
    note=f'{speeds[0]:.3g} images/s on one, {speeds[1]:.3g} on {number}',
  )
