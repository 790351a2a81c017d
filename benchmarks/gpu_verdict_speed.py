"""Training and prediction in one compute dtype, with or without XLA: seconds and memory."""

import json
import math
import statistics
import time

import cells
import gpu_verdict_part
from gpu_verdict_training import let_tf32, small_network, strategy_of_one

# Largest relative difference of the loss of the first step to that of float32.
_LOSS_LIMITS = {'float32': 1e-4, 'tf32': 5e-3, 'bfloat16': 2e-2, 'float16': 5e-3}
# The compute capability from which a dtype has units of its own, which make it the faster one.
_FAST_FROM = {'tf32': (8, 0), 'bfloat16': (8, 0), 'float16': (7, 0)}
_SLOWER_LIMIT = 1.0
_ROUNDS = 7


def speed(work):
  """Trains and predicts with each network of --cells."""
  dtype, jit_compile = work.settings['dtype'], work.settings['jit_compile']
  if dtype in ('tf32', 'bfloat16') and _capability(work) < _FAST_FROM[dtype]:
    reason = f'this GPU has none: compute capability {_capability(work)} is below 8.0'
    if dtype == 'tf32':
      work.findings.not_run('all of it', reason)
      return
    work.findings.measured('units for bfloat16', 0, note=reason)
  let_tf32(dtype == 'tf32')
  for cell in ['thin mobilenet_v2'] if work.is_dry_run else work.settings['cells']:
    settings = small_network(work) if work.is_dry_run else cells.CELLS[cell][0]
    for task in (_train, _predict):
      name = task.__name__.strip('_')
      if not work.has_time_for(f'{name} {cell}'):
        continue
      seconds, more = task(work, settings, dtype=dtype, jit_compile=jit_compile)
      own = dict(task=name, cell=cell, seconds=seconds, **more)
      _report(work, own, _float32(work, own, dtype=dtype, jit_compile=jit_compile))


def _train(work, settings, *, dtype, jit_compile):
  """(median seconds of a step, what else is to be told)."""
  from gpu_verdict_correctness import as_batch

  from deeplab.losses import SegmentationLoss
  from deeplab.options import LossOptions, TrainingOptions
  from deeplab.training.training_step import TrainingStep

  size, batch_size = _size(work), 4 if work.is_dry_run else work.settings['batch_size']
  strategy = strategy_of_one(work)
  model = _model(settings, dtype, strategy)
  step = TrainingStep(
    model,
    TrainingOptions(),
    loss=SegmentationLoss(LossOptions(), 255),
    strategy=strategy,
    jit_compile=jit_compile,
    scale_loss=dtype == 'float16',
  )
  batch = as_batch(work.scenes(batch_size, height=size, width=size))
  _forget_peak(work)
  started = time.perf_counter()
  first = step([batch], learning_rate=1e-4, step=0)
  start = time.perf_counter() - started
  together = 1 if work.is_dry_run else 5
  results = [first]

  def steps():
    for index in range(together):
      pending = step.start([batch], learning_rate=1e-4, step=index)
    results.append(pending.result())

  seconds, rounds = _median_seconds(work, steps)
  what = f'train {_title(work)}'
  losses = [result.total_loss for result in results]
  lost = sum(not math.isfinite(loss) for loss in losses)
  work.findings.judge(f'{what}: losses that are not finite, of {len(losses)}', lost, 0)
  if dtype == 'float16':
    overflowed = int(results[-1].overflowed)
    work.findings.judge(f'{what}: overflow in the last step', overflowed, 0)
  return seconds / together, dict(
    images=batch_size, start=start, loss=first.total_loss, peak=_peak_mib(work), rounds=rounds
  )


def _predict(work, settings, *, dtype, jit_compile):
  """(median seconds of an image, what else is to be told)."""
  from deeplab.inferencer import DeepLabV3Inferencer

  size = _size(work)
  model = _model(settings, dtype, strategy_of_one(work))
  inferencer = DeepLabV3Inferencer(model, jit_compile=jit_compile)
  ((image, _),) = work.scenes(1, height=size, width=size)
  _forget_peak(work)
  started = time.perf_counter()
  inferencer.predict([image])
  start = time.perf_counter() - started
  seconds, rounds = _median_seconds(work, lambda: inferencer.predict([image]))
  return seconds, dict(images=1, start=start, peak=_peak_mib(work), rounds=rounds)


def _report(work, own, float32):
  """A row of the table, and what float32 says of it; `float32` is None where it was not run."""
  dtype = work.settings['dtype']
  what = f'{own["task"]} {_title(work)}'
  work.findings.row(
    'Speed',
    work=own['task'],
    network=own['cell'],
    dtype=dtype,
    XLA='yes' if work.settings['jit_compile'] else 'no',
    seconds=own['seconds'],
    **{
      'images/s': own['images'] / own['seconds'],
      'times float32': float32['seconds'] / own['seconds'] if float32 else None,
      'peak MiB': own['peak'],
      'first, s': own['start'],
      'rounds': own['rounds'],
    },
  )
  if own['peak'] is None:
    work.findings.not_run(f'{what}: peak memory of the device', 'TensorFlow counts that of GPUs')
  is_first = dtype == 'float32' and not work.settings['jit_compile']
  if is_first:
    return
  if float32 is None:
    work.findings.not_run(f'{what}: against float32', 'there is no float32 to compare with')
    return
  if 'loss' in own:
    difference = abs(own['loss'] - float32['loss']) / abs(float32['loss'])
    note = 'relative, of the first step'
    limit = _LOSS_LIMITS[dtype]
    work.findings.judge(f'{what}: loss against float32', difference, limit, note=note)
  if work.settings['jit_compile'] or dtype not in _FAST_FROM:
    return
  ratio, compared = own['seconds'] / float32['seconds'], f'{what}: time to that of float32'
  if work.is_dry_run:
    work.findings.not_run(compared, f'{ratio:.2f} on this CPU says nothing of a GPU')
  elif _capability(work) < _FAST_FROM[dtype]:
    work.findings.measured(compared, ratio, note='this GPU has no units for it')
  else:
    work.findings.judge(compared, ratio, _SLOWER_LIMIT)


def _float32(work, own, *, dtype, jit_compile):
  """What float32 without XLA had for the same, which leaves it here; or None."""
  path = work.file(f'speed_{own["task"]}_{own["cell"]}.json')
  if dtype == 'float32' and not jit_compile:
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


def _model(settings, dtype, strategy):
  import tensorflow as tf

  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import ModelOptions

  tf.random.set_seed(1)
  with strategy.scope():
    return DeepLabV3PredictionModel(
      ModelOptions(num_classes=gpu_verdict_part.NUM_CLASSES, **settings),
      compute_dtype='float32' if dtype == 'tf32' else dtype,
    )


def _title(work):
  return work.settings['dtype'] + (' with XLA' if work.settings['jit_compile'] else '')


def _size(work):
  return 33 if work.is_dry_run else work.settings['size']


def _capability(work):
  import tensorflow as tf

  if work.is_dry_run:
    return (99, 0)
  gpu = tf.config.list_physical_devices('GPU')[0]
  return tf.config.experimental.get_device_details(gpu).get('compute_capability', (99, 0))


def _forget_peak(work):
  import tensorflow as tf

  if not work.is_dry_run:
    tf.config.experimental.reset_memory_stats(work.device)


def _peak_mib(work):
  import tensorflow as tf

  if work.is_dry_run:
    return None
  return tf.config.experimental.get_memory_info(work.device)['peak'] / 2**20
