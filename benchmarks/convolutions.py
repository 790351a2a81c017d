#!/usr/bin/env python3
"""The ways of computing a 3x3 convolution in float32, forward and with gradients, where
`deeplab/model/convolution.py` decides.

Milliseconds, medians of runs in turns; `tiles` and `block` are those of
`deeplab/model/bilinear_algorithms.py`, `block` the cheapest of those for lattices of few pixels (-
where the map is too large for all); `chosen` is what the network takes. `error` is the largest
difference of the chosen from the dilated convolution, forward and in the gradients, relative to the
largest value.
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
  import tensorflow as tf
  from deeplab.model.bilinear_algorithms import TILES

  from deeplab.model import convolution, tap_products

  def block(inputs, weights, rate):
    ways = [
      way
      for way in convolution._ways(inputs, weights, rate)
      if isinstance(way, convolution._Pairs)
      or isinstance(way, convolution._Filtering)
      and not way._algorithm.overlap
    ]
    return min(ways, key=lambda way: way.cost).carry_out()

  ways = {
    'space to batch': convolution.space_to_batch_conv2d,
    'dilated': lambda inputs, weights, rate: tf.nn.conv2d(
      inputs, weights, strides=1, padding='SAME', dilations=rate
    ),
    'taps': lambda inputs, weights, rate: tap_products.conv2d(inputs, weights, rate=rate),
    'tiles': lambda inputs, weights, rate: convolution._Filtering(
      inputs, weights, rate, TILES, {}
    ).carry_out(),
    'block': block,
    'chosen': convolution.conv2d,
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
      if name != 'block' or side <= 6 * rate
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
        runs['chosen'][1](inputs, weights, upstream), runs['dilated'][1](inputs, weights, upstream)
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
