#!/usr/bin/env python3
"""Peak memory of a training process, with and without recomputed activations and bfloat16.

benchmarks/memory.py --model_variant=resnet_v2_50 --size=513 --batch_size=2
"""

import argparse
import json
import os
import sys

import cells
import contenders
import machine

_WAYS = (
  ('float32', {}),
  ('float32, recomputed', dict(recompute_gradients=True)),
  ('bfloat16', dict(compute_dtype='bfloat16')),
  ('bfloat16, recomputed', dict(compute_dtype='bfloat16', recompute_gradients=True)),
)


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--model_variant', default='resnet_v2_50')
  parser.add_argument('--size', type=int, default=513)
  parser.add_argument('--batch_size', type=int, default=2)
  parser.add_argument('--rounds', type=int, default=2)
  parser.add_argument('--json', default=os.path.join(contenders.HERE, 'results', 'memory.json'))
  flags = parser.parse_args()
  described = machine.describe()
  print(machine.line(described))
  base = cells.MOBILENET if flags.model_variant == 'mobilenet_v2' else cells.RESNET_50
  common = dict(
    task='train',
    model=dict(base, model_variant=flags.model_variant),
    size=flags.size,
    batch_size=flags.batch_size,
  )
  results = []
  for name, settings in _WAYS:  # One at a time: together they might not fit.
    results += contenders.compare(
      [(name, 'this_worker.py', dict(common, **settings), sys.executable)], rounds=flags.rounds
    )
  contenders.print_results(
    f'train {flags.model_variant} {flags.size}x{flags.size} batch {flags.batch_size}',
    results,
    items=flags.batch_size,
    unit='images',
  )
  os.makedirs(os.path.dirname(flags.json), exist_ok=True)
  with open(flags.json, 'w', encoding='utf-8') as file:
    json.dump({'machine': described, **common, 'results': results}, file, indent=1)
    file.write('\n')


if __name__ == '__main__':
  main()
