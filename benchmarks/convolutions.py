#!/usr/bin/env python3
"""The implementations of a 3x3 convolution in float32, forward and with gradients.

Milliseconds, medians of runs in turns; `-` where an implementation does not apply. `chosen` is what
the network takes, and `error` its largest difference from the dilated convolution, forward and in
the gradients, relative to the largest value.
"""

import argparse
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import machine

# batch, side, depth, output depth, rate: units and branches of ResNet at 513x513 (one image) and
# 257x257 (four).
_CASES = (
  (1, 33, 256, 256, 1),
  (1, 33, 512, 512, 2),
  (1, 33, 2048, 256, 6),
  (1, 33, 2048, 256, 12),
  (1, 33, 2048, 256, 18),
  (1, 65, 256, 256, 2),
  (1, 65, 512, 512, 4),
  (1, 65, 2048, 256, 12),
  (1, 65, 2048, 256, 24),
  (1, 65, 2048, 256, 36),
  (1, 129, 304, 256, 1),
  (4, 17, 256, 256, 1),
  (4, 17, 512, 512, 2),
  (4, 17, 2048, 256, 6),
  (4, 17, 2048, 256, 12),
  (4, 33, 2048, 256, 6),
  (4, 33, 2048, 256, 24),
  (4, 65, 304, 256, 1),
  (4, 33, 128, 128, 1),
)


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--rounds', type=int, default=5)
  flags = parser.parse_args()
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  quiet_start.hide_advice()
  import tensorflow as tf

  from deeplab.operations import plain, taps, tiles
  from deeplab.operations.choice import WHY_NOT, Convolution
  from deeplab.operations.dispatch import Operations

  def by_blocks(algorithm):
    def convolve(inputs, weights, *, rate):
      transformed = tiles.transform_weights(weights, algorithm)
      return tiles.conv2d(inputs, transformed, algorithm, rate=rate)

    return convolve

  ways = {
    'space to batch': plain.space_to_batch_conv2d,
    'plain': plain.conv2d,
    'taps': taps.conv2d,
    'tiles': by_blocks(tiles.TILES),
    'whole': by_blocks(tiles.WHOLE),
    'chosen': Operations().conv2d,
  }
  print(machine.line(machine.describe()))
  widths = {name: max(15, len(name) + 2) for name in ways}
  print(
    f'  {"case":<36}'
    + ''.join(f'{name:>{width}}' for name, width in widths.items())
    + f'{"error":>20}'
  )
  for batch, side, depth, out_depth, rate in _CASES:
    inputs, weights = (
      tf.random.normal([batch, side, side, depth]),
      tf.random.normal([3, 3, depth, out_depth]),
    )
    upstream = tf.random.normal([batch, side, side, out_depth])
    runs = {
      name: (_forward(tf, way, rate), _with_gradients(tf, way, rate))
      for name, way in ways.items()
      if name not in WHY_NOT
      or Operations().why_not(name, Convolution.of(inputs, weights, rate=rate)) is None
    }
    seconds = {name: ([], []) for name in runs}
    for round_number in range(flags.rounds + 1):
      for name, functions in runs.items():
        for function, measured in zip(functions, seconds[name]):
          started = time.perf_counter()
          tf.reshape(function(inputs, weights, upstream)[0], [-1])[0].numpy()
          if round_number:  # The first traces.
            measured.append(1e3 * (time.perf_counter() - started))
    errors = [
      float(tf.reduce_max(tf.abs(one - other)) / tf.reduce_max(tf.abs(other)))
      for one, other in zip(
        runs['chosen'][1](inputs, weights, upstream), runs['plain'][1](inputs, weights, upstream)
      )
    ]
    print(
      f'  {f"[{batch}, {side}, {side}, {depth}] to {out_depth}, rate {rate}":<36}'
      + ''.join(f'{_both(seconds.get(name)):>{width}}' for name, width in widths.items())
      + f'{errors[0]:>10.1e}{max(errors[1:]):>10.1e}',
      flush=True,
    )


def _both(seconds):
  return ' / '.join(f'{statistics.median(one):.1f}' for one in seconds) if seconds else '-'


def _forward(tf, way, rate):
  return tf.function(
    lambda inputs, weights, upstream: [way(inputs, weights, rate=rate)], autograph=False
  )


def _with_gradients(tf, way, rate):
  @tf.function(autograph=False)
  def run(inputs, weights, upstream):
    with tf.GradientTape() as tape:
      tape.watch([inputs, weights])
      outputs = way(inputs, weights, rate=rate)
    return outputs, *tape.gradient(outputs, [inputs, weights], output_gradients=upstream)

  return run


if __name__ == '__main__':
  main()
