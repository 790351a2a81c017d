#!/usr/bin/env python3
"""What each fast implementation brings: cells of the speed tables with one left out at a time.

  benchmarks/ablation.py --task=train --cells=resnet_v2_50,mobilenet_v2

One process, one network; its step is traced once with all implementations and once without each,
and then all are run in turns. `ratio` is the median time without one over the median with all: 1.05
is one that brings 5 %; `CPU ratio` is the same of the smallest CPU times, which other programs
disturb less. Where the traced graph is the same, an implementation does not matter in that cell,
and nothing is measured. `plain` leaves out all.
"""

import argparse
import collections
import json
import os
import statistics
import time

import cells
import contenders
import machine
import this_worker

_SECONDS_OF_A_WAY = 4.0
_MOST_ROUNDS = 41


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--task', choices=['train', 'inference'], default='train')
  parser.add_argument('--cells', default=','.join(cells.CELLS))
  parser.add_argument('--compute_dtype', default='float32')
  parser.add_argument(
    '--without', help='names to leave out, one at a time; joined by + together. Default: each'
  )
  parser.add_argument('--rounds', type=int, default=7, help='at least; short steps take more')
  parser.add_argument('--json', help='default: results/ablation_TASK_DTYPE.json')
  flags = parser.parse_args()
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  quiet_start.hide_advice()
  from deeplab.operations import choice

  ways = flags.without.split(',') if flags.without else [*choice.WHY_NOT, 'plain']
  described = machine.describe()
  print(machine.line(described), flush=True)
  name = f'ablation_{flags.task}_{flags.compute_dtype}.json'
  path = flags.json or os.path.join(contenders.HERE, 'results', name)
  results = {}
  for cell in flags.cells.split(','):
    results[cell] = _measure(cell, ways, flags)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:  # After each: an interrupted run is not lost.
      content = {'machine': described, **vars(flags), 'cells': results}
      json.dump(content, file, indent=1)
      file.write('\n')


def _measure(cell, ways, flags):
  """{way: dict of seconds and ratios, or None where the graph is that with all}."""
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import ModelOptions

  size = cells.size_of(cell, 257 if flags.task == 'train' else 513)
  print(f'\n{flags.task} {cell} {flags.compute_dtype} {size}x{size}', flush=True)
  options = ModelOptions(**cells.CELLS[cell][0])
  model = DeepLabV3PredictionModel(options, compute_dtype=flags.compute_dtype)
  works, kinds = {}, {}
  for way in ['all', *ways]:
    model.operations = _operations(way)
    work, graph = _traced(model, dict(size=size, batch_size=4), flags.task)
    kinds[way] = _kinds(graph)
    if way == 'all' or kinds[way] != kinds['all']:
      works[way] = work
      work()
  result = _in_turns(works, least_rounds=flags.rounds)
  for way, row in result.items():
    print(
      f'  without {way if way != "all" else "-":<20}{row["seconds"]:>9.4f} s'
      f'{row["ratio"]:>8.3f}{row["cpu_ratio"]:>8.3f}',
      flush=True,
    )
  same = [way for way in kinds if way not in works]
  print('  no difference: ' + ', '.join(same), flush=True)
  return {**result, **dict.fromkeys(same)}


def _operations(way):
  from deeplab.operations.dispatch import Operations

  if way == 'plain':
    return Operations('plain')
  return Operations(without=[] if way == 'all' else way.split('+'))


def _traced(model, settings, task):
  """(callable, its graph) with the operations that the model has now."""
  if task == 'train':
    step = this_worker.training_step(model, settings)
    step()
    function = step.step._update
  else:
    step = this_worker.prediction(model, settings)
    step()
    function = step.inferencer._step
  return step, function._list_all_concrete_functions()[0].graph


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


def _in_turns(works, *, least_rounds):
  started = time.perf_counter()
  works['all']()
  # The shorter, the more: medians of a few short runs are noise.
  wanted = round(_SECONDS_OF_A_WAY / (time.perf_counter() - started))
  seconds = collections.defaultdict(list)
  for _ in range(min(max(least_rounds, wanted), _MOST_ROUNDS)):
    for way, work in works.items():
      wall, cpu = time.perf_counter(), time.process_time()
      work()
      seconds[way].append((time.perf_counter() - wall, time.process_time() - cpu))
  rows = {
    way: dict(
      seconds=statistics.median(wall for wall, _ in pairs),
      cpu_seconds=min(cpu for _, cpu in pairs),
    )
    for way, pairs in seconds.items()
  }
  for row in rows.values():
    row['ratio'] = row['seconds'] / rows['all']['seconds']
    row['cpu_ratio'] = row['cpu_seconds'] / rows['all']['cpu_seconds']
  return rows


if __name__ == '__main__':
  main()
