#!/usr/bin/env python3
"""What each fast way brings: cells of the speed tables with one way turned off at a time.

  benchmarks/ablation.py --task=train --cells=resnet_v2_50,mobilenet_v2

One process, one network; its steps are traced once with everything on and once without each way,
and then run in turns. `ratio` is the median time without the way over the median with it: 1.05 is a
way that brings 5 %. Where the traced graph is the same, the way does not matter in that cell, and
nothing is measured.
"""

import argparse
import collections
import contextlib
import json
import os
import statistics
import time

import cells
import contenders
import machine
import this_worker

_DEEP = ('pairs', 'triple', 'fourier', 'four', 'taps', 'tiles')


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--task', choices=['train', 'inference'], default='train')
  parser.add_argument('--cells', default=','.join(cells.CELLS))
  parser.add_argument('--compute_dtype', default='float32')
  parser.add_argument(
    '--without',
    default=None,
    help='ways to turn off, one at a time; joined by + together. Default: all',
  )
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--json', default=None)
  flags = parser.parse_args()
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  import tensorflow as tf

  tf.get_logger().setLevel('ERROR')  # That a function is traced anew for each way, which is meant.
  described = machine.describe()
  print(machine.line(described), flush=True)
  path = flags.json or os.path.join(
    contenders.HERE, 'results', f'ablation_{flags.task}_{flags.compute_dtype}.json'
  )
  results = {}
  for name in flags.cells.split(','):
    results[name] = _cell(name, flags)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
      json.dump(
        {
          'machine': described,
          'task': flags.task,
          'compute_dtype': flags.compute_dtype,
          'rounds': flags.rounds,
          'cells': results,
        },
        file,
        indent=1,
      )
      file.write('\n')


def _cell(name, flags):
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import ModelOptions

  size = cells._size(name, 257 if flags.task == 'train' else 513)
  settings = dict(size=size, batch_size=4)
  model = DeepLabV3PredictionModel(
    ModelOptions(**cells.CELLS[name][0]), compute_dtype=flags.compute_dtype
  )
  ways = flags.without.split(',') if flags.without else list(_ways())
  print(f'\n{flags.task} {name} {flags.compute_dtype} {size}x{size}', flush=True)
  works, kinds = {}, {}
  for way in ['all on', *ways]:
    with contextlib.ExitStack() as stack:
      for one in [] if way == 'all on' else way.split('+'):
        stack.enter_context(_ways()[one]())
      work, graph = _traced(model, settings, flags.task)
    kinds[way] = _kinds(graph)
    if way == 'all on' or kinds[way] != kinds['all on']:
      works[way] = work
      work()
  seconds = collections.defaultdict(list)
  started = time.perf_counter()
  works['all on']()
  # The shorter, the more: medians of a few short runs are noise.
  rounds = min(max(flags.rounds, round(4.0 / (time.perf_counter() - started))), 41)
  for _ in range(rounds):
    for way, work in works.items():
      started, cpu = time.perf_counter(), time.process_time()
      work()
      seconds[way].append((time.perf_counter() - started, time.process_time() - cpu))
  result = {}
  for way, pairs in seconds.items():
    result[way] = dict(
      seconds=statistics.median(wall for wall, _ in pairs), cpu_seconds=min(cpu for _, cpu in pairs)
    )
    result[way]['ratio'] = result[way]['seconds'] / result['all on']['seconds']
    result[way]['cpu_ratio'] = result[way]['cpu_seconds'] / result['all on']['cpu_seconds']
    print(
      f'  without {way:<44}{result[way]["seconds"]:>9.4f} s{result[way]["ratio"]:>8.3f}'
      f'{result[way]["cpu_ratio"]:>8.3f}',
      flush=True,
    )
  for way in kinds:
    if way not in works:
      result[way] = None
  print('  no difference: ' + ', '.join(way for way in kinds if way not in works), flush=True)
  return result


def _traced(model, settings, task):
  """(work, graph) with the ways that are on now."""
  if task == 'train':
    work = this_worker.training_step(model, settings)
    work()
    step = next(
      cell.cell_contents for cell in work.__closure__ if hasattr(cell.cell_contents, 'slots')
    )
    function = step._update
  else:
    work = this_worker.prediction(model, settings)
    work()
    function = next(
      cell.cell_contents for cell in work.__closure__ if hasattr(cell.cell_contents, 'predict')
    )._step
  return work, function._list_all_concrete_functions()[0].graph


def _kinds(graph):
  """How often each kind of operation follows which others: what tells graphs apart here."""
  definition = graph.as_graph_def()
  kinds = collections.Counter()
  for body in (definition, *definition.library.function):
    nodes = body.node if hasattr(body, 'node') else body.node_def
    of = {node.name: node.op for node in nodes}
    kinds.update(
      (node.op, *(of.get(name.lstrip('^').split(':')[0], '') for name in node.input))
      for node in nodes
    )
  return kinds


@contextlib.contextmanager
def _set(*changes):
  old = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
  try:
    for owner, name, value in changes:
      setattr(owner, name, value)
    yield
  finally:
    for owner, name, value in old:
      setattr(owner, name, value)


_off = set()


@contextlib.contextmanager
def _deep_without(*names):
  from deeplab.model import convolution

  _off.update(names)
  try:
    with _set((convolution, 'conv2d', _deep_conv2d)):
      yield
  finally:
    _off.difference_update(names)


def _deep_conv2d(inputs, weights, *, rate=1):
  """convolution.conv2d, with the ways in `_off` left out."""
  import tensorflow as tf
  from deeplab.model.bilinear_algorithms import FOUR_TILES, TILES, WHOLE

  from deeplab.model import convolution

  names = {
    id(TILES): 'tiles',
    id(FOUR_TILES): 'four',
    id(WHOLE[3]): 'triple',
    **{id(WHOLE[side]): 'fourier' for side in (4, 5, 6)},
  }

  def name(way):
    if isinstance(way, convolution._Filtering):
      return names[id(way._algorithm)]
    return {
      convolution._Dilated: 'dilated',
      convolution._Taps: 'taps',
      convolution._Pairs: 'pairs',
    }[type(way)]

  if 'centre' not in _off and convolution._only_the_centre_counts(inputs, rate):
    return tf.nn.conv2d(inputs, weights[1:2, 1:2], strides=1, padding='SAME')
  if not convolution._filtering_may_pay(inputs, weights):
    return convolution._conv2d_without_filtering(inputs, weights, rate)
  ways = [way for way in convolution._ways(inputs, weights, rate) if name(way) not in _off]
  if None not in inputs.shape[1:3]:
    return min(ways, key=lambda way: way.cost).carry_out()
  if rate <= convolution._SMALL_RATE or 'switch' in _off:
    usual = [way for way in ways if name(way) == 'tiles'] or [
      way for way in ways if name(way) == 'dilated'
    ]
    return usual[0].carry_out()
  ways = [way for way in ways if way.suits_unknown_sizes] or [
    way for way in ways if name(way) == 'dilated'
  ]
  if len(ways) == 1:
    return ways[0].carry_out()
  outputs = tf.switch_case(
    tf.argmin(tf.stack([way.cost for way in ways]), output_type=tf.int32),
    [way.carry_out for way in ways],
  )
  return tf.ensure_shape(outputs, [*inputs.shape[:3], weights.shape[3]])


def _ways():
  import tensorflow as tf

  from deeplab import cross_entropy, inferencer, losses
  from deeplab.model import (
    aspp,
    convolution,
    expansion,
    layers,
    own_gradients,
    prediction_model,
    projection,
    resnet,
  )
  from deeplab.prediction import multi_scale

  def plain_cross_entropy(logits, labels):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)

  def resized_first(logits, labels, *, align_corners):
    return cross_entropy.pixel_cross_entropy(
      layers.resize_bilinear(logits, labels.shape[1:3], align_corners=align_corners), labels
    )

  def whole_argmax(logits, size, *, align_corners):
    return tf.argmax(
      layers.resize_bilinear(logits, size, align_corners=align_corners),
      axis=-1,
      output_type=tf.int32,
    )

  def concatenating_conv2d(inputs, *arguments, constant=None, **settings):
    if constant is not None:
      shape = tf.shape(inputs)
      constant = tf.broadcast_to(
        constant, tf.stack([shape[0], shape[1], shape[2], constant.shape[-1]])
      )
      inputs = tf.concat([inputs, constant], axis=-1)
    return layers.conv2d(inputs, *arguments, **settings)

  def mean(net):
    if isinstance(net, projection.Projection):
      return net._replace(inputs=mean(net.inputs))
    return tf.cast(tf.reduce_mean(tf.cast(net, tf.float32), axis=[1, 2], keepdims=True), net.dtype)

  def slicing_max_pool2d(inputs, kernel_size, *, stride):
    if kernel_size == 1:
      return inputs if stride == 1 else inputs[:, ::stride, ::stride]
    return tf.nn.max_pool2d(inputs, kernel_size, stride, padding='SAME')

  ways = {name: (lambda name=name: _deep_without(name)) for name in _DEEP}
  ways['centre'] = lambda: _deep_without('centre')
  ways['switch for unknown sizes'] = lambda: _deep_without('switch')
  ways['pairs+triple+fourier+four'] = lambda: _deep_without('pairs', 'triple', 'fourier', 'four')
  ways['all but dilated'] = lambda: _deep_without(*_DEEP)
  ways['taps in low precision'] = lambda: _set((convolution, '_LOW_PRECISION_RATE_LIMIT', 10**6))
  ways['expansions by covariance'] = lambda: _set((expansion, 'pays', lambda *_: False))
  ways['merged projection'] = lambda: _set((projection, 'remember', lambda *_, **__: None))
  ways['pooled branch as one pixel'] = lambda: _set((aspp, 'conv2d', concatenating_conv2d))
  ways['prepared weights'] = lambda: _set(
    (inferencer, 'frozen_weights', contextlib.nullcontext),
    (multi_scale, 'frozen_weights', contextlib.nullcontext),
  )
  ways['pointwise gradient'] = lambda: _set((own_gradients, 'pointwise_pays', lambda: False))
  ways['bias gradient'] = lambda: _set((own_gradients, 'bias_add', tf.nn.bias_add))
  ways['strided depthwise gradient'] = lambda: _set(
    (own_gradients, 'strided_depthwise_pays', lambda _: False)
  )
  ways['depthwise lattices'] = lambda: _set((convolution, '_PIXELS_OF_A_LATTICE', 10**6))
  ways['dilated depthwise'] = lambda: _set((convolution, '_DEPTHWISE_RATE_LIMIT', 0))
  ways['spatial mean as a product'] = lambda: _set((aspp, 'spatial_mean', mean))
  ways['cross entropy off the softmax'] = lambda: _set(
    (cross_entropy, 'pixel_cross_entropy', plain_cross_entropy)
  )
  ways['resize of the loss as products'] = lambda: _set(
    (losses, 'resized_cross_entropy', resized_first)
  )
  ways['bands of the loss'] = lambda: _set((cross_entropy, '_MAX_BANDS', 1))
  ways['bands of the argmax'] = lambda: _set((prediction_model, 'resized_argmax', whole_argmax))
  ways['subsampling by pooling'] = lambda: _set((resnet, 'max_pool2d', slicing_max_pool2d))
  return ways


if __name__ == '__main__':
  main()
