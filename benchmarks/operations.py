#!/usr/bin/env python3
"""Which operations a training step, a prediction or an evaluation spends its time in, beside the
machine's limits.

  benchmarks/operations.py --task=train --cell=mobilenet_v2

One operation runs at a time (on all cores), so the times of the table add up to the step's. The
limits: multiplications and additions of the convolutions, all taps, over the rate of a matrix
product; and the bandwidth of one pass over a large array.
"""

import argparse
import collections
import glob
import os
import tempfile
import time

import cells
import machine
import this_worker

_RUNS = 3


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--task', choices=['train', 'inference', 'evaluation'], default='train')
  parser.add_argument('--cell', choices=list(cells.CELLS), default='mobilenet_v2')
  parser.add_argument('--compute_dtype', choices=['float32', 'bfloat16'], default='float32')
  parser.add_argument('--size', type=int, help='default: 257 in training, else 513')
  parser.add_argument('--batch_size', type=int, default=4, help='in training')
  parser.add_argument('--most', type=int, default=16, help='rows of the table')
  flags = parser.parse_args()
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  import tensorflow as tf

  tf.get_logger().setLevel('ERROR')  # That its counter of operations is an old function.
  tf.config.threading.set_inter_op_parallelism_threads(1)
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import ModelOptions

  size = flags.size or (257 if flags.task == 'train' else 513)
  options = ModelOptions(**cells.CELLS[flags.cell][0])
  print(machine.line(machine.describe()))
  rate, bandwidth = matrix_rate(tf, flags.compute_dtype), copy_bandwidth(tf)
  batch_size = flags.batch_size if flags.task == 'train' else 1
  operations = forward_operations(tf, options, batch_size=batch_size, size=size) * (
    3 if flags.task == 'train' else 1
  )
  model = DeepLabV3PredictionModel(options, compute_dtype=flags.compute_dtype)
  settings = dict(size=size, batch_size=flags.batch_size)
  work = {
    'train': this_worker.training_step,
    'inference': this_worker.prediction,
    'evaluation': evaluation,
  }[flags.task](model, settings)
  for _ in range(3):
    work()
  started = time.perf_counter()
  for _ in range(_RUNS):
    work()
  seconds = (time.perf_counter() - started) / _RUNS
  print(
    f'{flags.task} {flags.cell} {flags.compute_dtype} {size}x{size}: {1e3 * seconds:.1f} ms; '
    f'{operations / 1e9:.1f} GFLOP at '
    f'{rate / 1e9:.0f} GFLOP/s are {1e3 * operations / rate:.1f} ms; copying at '
    f'{bandwidth / 1e9:.0f} GB/s'
  )
  times, counts = profile(tf, work)
  total = sum(times.values())
  for name, milliseconds in times.most_common(flags.most):
    print(
      f'  {name:<48}{milliseconds:>9.2f} ms{100 * milliseconds / total:>7.1f} '
      f'%{counts[name]:>7.0f} times'
    )


def evaluation(model, settings):
  """A callable that evaluates one image of noise."""
  import numpy as np

  from deeplab.evaluator import DeepLabV3Evaluator

  random, size = np.random.default_rng(0), settings['size']
  example = {
    'image': random.integers(0, 256, [size, size, 3], np.uint8),
    'label': random.integers(0, model.options.num_classes, [size, size]).astype(np.int32),
    'name': b'noise',
  }
  evaluator = DeepLabV3Evaluator(model, num_classes=model.options.num_classes)
  return lambda: evaluator.evaluate([example])


def forward_operations(tf, options, *, batch_size, size):
  """Multiplications and additions of a forward pass, counted by TensorFlow on plain operations."""
  from deeplab.model.prediction_model import DeepLabV3PredictionModel

  model = DeepLabV3PredictionModel(options, operations='plain')
  function = tf.function(model.predict_low_resolution, autograph=False).get_concrete_function(
    tf.TensorSpec([batch_size, size, size, 3], tf.float32)
  )
  counted = tf.compat.v1.profiler.profile(
    function.graph,
    options={**tf.compat.v1.profiler.ProfileOptionBuilder.float_operation(), 'output': 'none'},
  )
  return counted.total_float_ops


def matrix_rate(tf, dtype):
  """Multiplications and additions a second of a product of matrices."""
  first = tf.cast(tf.random.normal([1156, 2048]), dtype)
  second = tf.cast(tf.random.normal([2048, 2304]), dtype)
  return 2 * 1156 * 2048 * 2304 / _fastest(tf.function(lambda: tf.matmul(first, second)[0, 0]))


def copy_bandwidth(tf):
  """Bytes a second read and written when a large array is scaled."""
  array = tf.random.normal([2**26])
  return 8 * 2**26 / _fastest(tf.function(lambda: (array * 2.0)[0]))


def _fastest(function):
  seconds = []
  for _ in range(8):
    started = time.perf_counter()
    function().numpy()
    seconds.append(time.perf_counter() - started)
  return min(seconds[2:])


def profile(tf, work):
  """Counters by kind of operation: milliseconds a run, and calls a run."""
  from tensorflow.tsl.profiler.protobuf import xplane_pb2

  with tempfile.TemporaryDirectory() as directory:
    with tf.profiler.experimental.Profile(directory):
      for _ in range(_RUNS):
        work()
    space = xplane_pb2.XSpace()
    with open(
      glob.glob(os.path.join(directory, '**', '*.xplane.pb'), recursive=True)[0], 'rb'
    ) as file:
      space.ParseFromString(file.read())
  times, counts = collections.Counter(), collections.Counter()
  for plane in space.planes:
    for line in plane.lines:
      for event in line.events:
        name, colon, kind = plane.event_metadata[event.metadata_id].name.partition(':')
        if (
          colon
          and name
          and not kind.startswith(' ')
          and ':' not in kind
          and ' ' not in name
          and not name.startswith('$')
        ):
          times[kind] += event.duration_ps / 1e9 / _RUNS
          counts[kind] += 1 / _RUNS
  return times, counts


if __name__ == '__main__':
  main()
