"""Training and prediction in one compute dtype, with or without XLA: seconds and memory."""

import json
import math
import os
import statistics
import time

import cells
import gpu_verdict_correctness as correctness
import gpu_verdict_work
import numpy as np
from gpu_verdict_training import let_tf32, strategy_of_one

_DRY, _DRY_NETWORK = 'thin mobilenet_v2', dict(model_variant='mobilenet_v2', depth_multiplier=0.35)

# Relative to float32 without XLA. In float32 a tenth of it is seen in the dry run. With 8 bits of a
# value, 50 untrained layers that normalize by their batch lose most of what is to be compared (the
# dry run sees up to half of these limits), so those of bfloat16 find gross errors only.
_LOSS_LIMITS = {'float32': 1e-4, 'tf32': 2e-2, 'bfloat16': 0.2, 'float16': 2e-2}
_GRADIENT_LIMITS = {'float32': 1e-2, 'tf32': 0.1, 'bfloat16': 1.0, 'float16': 0.1}
_PIXEL_LIMITS = {'float32': 1e-2, 'tf32': 0.1, 'bfloat16': 0.4, 'float16': 0.1}
# The compute capability from which a dtype has units of its own, which make it the faster one.
_FAST_FROM = {'tf32': (8, 0), 'bfloat16': (8, 0), 'float16': (7, 0)}
_SLOWER_LIMIT = 1.0
_ROUNDS = 7


def speed(work):
  """Trains and predicts with each network of --cells, without dropout: XLA draws it in a way of its
  own, and each dtype in another one, so the numbers could not be compared.
  """
  from deeplab.model import prediction_model

  dtype = work.settings['dtype']
  if dtype == 'tf32' and not _has_units(work):
    work.findings.not_run('all of it', 'this GPU has none: its compute capability is below 8.0')
    return
  let_tf32(dtype == 'tf32')
  prediction_model.DROPOUT_RATE = 0.0
  for cell in [_DRY] if work.is_dry_run else work.settings['cells']:
    for task in (_train, _predict):
      name = f'{task.__name__.strip("_")} {cell}'
      if work.has_time_for(name):
        own = task(work, name, cell)
        _report(work, name, own, _float32(work, name, own))


def _train(work, name, cell):
  """dict of what is to be told of a training step."""
  from deeplab.losses import SegmentationLoss
  from deeplab.options import LossOptions, TrainingOptions
  from deeplab.training.training_step import TrainingStep

  batch_size = 4 if work.is_dry_run else work.settings['batch_size']
  is_float16 = work.settings['dtype'] == 'float16'
  strategy = strategy_of_one(work)
  step = TrainingStep(
    _model(work, cell, strategy),
    TrainingOptions(),
    loss=SegmentationLoss(LossOptions(), 255),
    strategy=strategy,
    jit_compile=work.settings['jit_compile'],
    scale_loss=is_float16,
  )
  batch = correctness.as_batch(work.scenes(batch_size, height=_size(work), width=_size(work)))
  _forget_peak(work)
  started = time.perf_counter()
  # With rate 0 all steps are the same.
  results = [step([batch], learning_rate=0.0, step=0)]
  start = time.perf_counter() - started
  together = 1 if work.is_dry_run else 5

  def steps():
    for index in range(together):
      pending = step.start([batch], learning_rate=0.0, step=index)
    results.append(pending.result())

  seconds, rounds = _median_seconds(work, steps)
  lost = sum(not math.isfinite(result.total_loss) for result in results)
  work.findings.judge(f'{name}: losses that are not finite, of {len(results)}', lost, 0)
  if is_float16:
    overflowed = int(results[-1].overflowed)
    work.findings.judge(f'{name}: overflow in the last step', overflowed, 0)
  return {
    'seconds': seconds / together,
    'images': batch_size,
    'peak': _peak_mib(work),
    'start': start,
    'rounds': rounds,
    'loss': results[-1].total_loss,
    'gradient_norm': results[-1].gradient_norm,  # Float16 overflows until the loss scale suits.
  }


def _predict(work, name, cell):
  """dict of what is to be told of a prediction."""
  from deeplab.inferencer import DeepLabV3Inferencer

  model = _model(work, cell, strategy_of_one(work))
  inferencer = DeepLabV3Inferencer(model, jit_compile=work.settings['jit_compile'])
  ((image, _),) = work.scenes(1, height=_size(work), width=_size(work))
  _forget_peak(work)
  started = time.perf_counter()
  ((labels, _),) = inferencer.predict([image])
  start = time.perf_counter() - started
  seconds, rounds = _median_seconds(work, lambda: inferencer.predict([image]))
  return {
    'seconds': seconds,
    'images': 1,
    'peak': _peak_mib(work),
    'start': start,
    'rounds': rounds,
    'labels': labels.tolist(),
  }


def _report(work, name, own, float32):
  """A row of the table, and how it stands to float32; `float32` is None where that was not run."""
  dtype, jit_compile = work.settings['dtype'], work.settings['jit_compile']
  work.findings.row(
    'Speed',
    work=name,
    dtype=dtype,
    XLA='yes' if jit_compile else 'no',
    **{
      's': own['seconds'],
      'images/s': own['images'] / own['seconds'],
      'times float32': float32['seconds'] / own['seconds'] if float32 else None,
      'peak MiB': own['peak'],
      'first, s': own['start'],
      'rounds': own['rounds'],
    },
  )
  if own['peak'] is None:
    work.findings.not_run(f'{name}: peak memory of the device', 'TensorFlow counts that of GPUs')
  if dtype == 'float32' and not jit_compile:
    return
  if float32 is None:
    work.findings.not_run(f'{name}: against float32', 'there is no float32 to compare with')
    return
  if 'loss' in own:
    for what, limits in (('loss', _LOSS_LIMITS), ('gradient_norm', _GRADIENT_LIMITS)):
      difference = abs(own[what] - float32[what]) / abs(float32[what])
      what = f'{name}: {what.replace("_", " ")} against float32, relative'
      work.findings.judge(what, difference, limits[dtype])
  else:
    share = np.mean(np.array(own['labels']) != np.array(float32['labels']))
    what = f'{name}: share of pixels with another class than in float32'
    work.findings.judge(what, share, _PIXEL_LIMITS[dtype])
  if dtype != 'float32' and not jit_compile:
    _judge_time(work, f'{name}: time to that of float32', own['seconds'] / float32['seconds'])


def _judge_time(work, what, ratio):
  if work.is_dry_run:
    work.findings.not_run(what, f'{ratio:.2f} on this CPU says nothing of a GPU')
  elif _has_units(work):
    work.findings.judge(what, ratio, _SLOWER_LIMIT)
  else:
    work.findings.measured(what, ratio, note='this GPU has no units for it')


def _float32(work, name, own):
  """What float32 without XLA had for the same, which it leaves here; or None."""
  path = work.file(f'{name}.json')
  if work.settings['dtype'] == 'float32' and not work.settings['jit_compile']:
    with open(path, 'w', encoding='utf-8') as file:
      json.dump(own, file)
    return own
  try:
    with open(path, encoding='utf-8') as file:
      return json.load(file)
  except OSError:
    return None


def _median_seconds(work, run):
  """(median, number of rounds), after one that does not count; fewer rounds where time is short."""
  run()
  seconds = []
  while len(seconds) < (3 if work.is_dry_run else _ROUNDS) and (work.left() > 0 or not seconds):
    started = time.perf_counter()
    run()
    seconds.append(time.perf_counter() - started)
  return statistics.median(seconds), len(seconds)


def _model(work, cell, strategy):
  """The network with the same variables each time, those that float32 made first."""
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import ModelOptions

  dtype, settings = work.settings['dtype'], _DRY_NETWORK if cell == _DRY else cells.CELLS[cell][0]
  with strategy.scope():
    model = DeepLabV3PredictionModel(
      ModelOptions(num_classes=gpu_verdict_work.NUM_CLASSES, **settings),
      batch_norm_decay=1e-6,
      compute_dtype='float32' if dtype == 'tf32' else dtype,
    )
  path = work.file(f'variables of {cell}.npz')
  if not os.path.exists(path):
    side = min(_size(work), 257)
    scenes = work.scenes(8, height=side, width=side, seed=99)
    correctness.settle(model, correctness.as_batch(scenes)['images'])
    values = {name: variable.numpy() for name, variable in model.named_variables.items()}
    np.savez(path + '.new.npz', **values)
    os.replace(path + '.new.npz', path)
  with np.load(path) as values:
    for name, variable in model.named_variables.items():
      variable.assign(values[name])
  return model


def _size(work):
  return 33 if work.is_dry_run else work.settings['size']


def _has_units(work):
  """Whether the GPU computes in this dtype with units of its own."""
  import tensorflow as tf

  gpu = tf.config.list_physical_devices('GPU')[0]
  capability = tf.config.experimental.get_device_details(gpu).get('compute_capability')
  # One that does not say is no NVIDIA GPU, of which nothing is known.
  return capability is None or tuple(capability) >= _FAST_FROM[work.settings['dtype']]


def _forget_peak(work):
  import tensorflow as tf

  if not work.is_dry_run:
    tf.config.experimental.reset_memory_stats(work.device)


def _peak_mib(work):
  import tensorflow as tf

  if work.is_dry_run:
    return None
  return tf.config.experimental.get_memory_info(work.device)['peak'] / 2**20
