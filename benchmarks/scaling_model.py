#!/usr/bin/env python3
"""A model on paper of training on several GPUs and machines: no measurement. Prints the tables of
docs/scaling.md.

  benchmarks/scaling_model.py
  benchmarks/scaling_model.py --network_gbit=25 --images_per_gpu=4

Sizes and multiply-adds are those of the tables in docs/official_weights.md. A step is

  computing:  images a GPU x 3 x 2 x multiply-adds / (peak x efficiency)
              forward once, backward twice as much; a multiply-add is two operations
  averaging:  2 (N - 1) / N x bytes / bandwidth + 2 (N - 1) x latency
              the ring all-reduce of N GPUs, of the float32 gradients; the slowest link of the ring
              is what its bandwidth and latency are: between machines where there are several

one after the other, which is the worst case: they overlap in part. Batch norm over the global batch
(--sync_batch_norm) adds two averages of a few kilobytes for each layer, mean and mean square
forward and their gradients backward, which go through a tree: 2 x log2 N x latency each. The input
of a worker, a machine, is every record's bytes and the decoding of its share.
"""

import argparse
import math
import os
import re

_PAGE = os.path.join(
  os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'docs', 'official_weights.md'
)
# Of the page's tables, with decoder, and with ASPP where it has it: how many batch norms a network
# has (tests/test_scaling_model.py counts them), and whether its convolutions are separable, which
# are bound by memory more than by arithmetic.
NETWORKS = {
  'mobilenet_v2': (59, True),
  'resnet_v2_50': (63, False),
  'resnet_v2_101': (114, False),
  'xception_65': (146, True),
}
_NUMBERS_OF_GPUS = (1, 8, 64)
_FLOAT32_BYTES = 4


def main():
  flags = parsed_flags()
  sizes = sizes_of_page()
  print(assumptions(flags))
  print(*table(flags, sizes), sep='\n')


def parsed_flags(arguments=None):
  """The assumptions, as flags."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--images_per_gpu', type=int, default=8)
  parser.add_argument('--gpus_per_machine', type=int, default=8)
  parser.add_argument(
    '--peak_tflops', type=float, default=156.0, help='of a GPU: TF32 on an NVIDIA A100'
  )
  parser.add_argument(
    '--efficiency', type=float, default=0.25, help='share of the peak that a step reaches'
  )
  parser.add_argument(
    '--separable_efficiency', type=float, default=0.1, help='with separable convolutions'
  )
  parser.add_argument(
    '--link_gbyte', type=float, default=200.0, help='GB/s between GPUs of a machine: NVLink'
  )
  parser.add_argument(
    '--network_gbit', type=float, default=100.0, help='Gbit/s of the network of a machine'
  )
  parser.add_argument(
    '--network_efficiency', type=float, default=0.7, help='share of it that is reached'
  )
  parser.add_argument(
    '--link_latency_us', type=float, default=5.0, help='of a step of the ring in a machine'
  )
  parser.add_argument(
    '--network_latency_us', type=float, default=20.0, help='of a step between machines'
  )
  parser.add_argument(
    '--record_kbyte', type=float, default=110.0, help='of an image with its label'
  )
  parser.add_argument('--decode_ms', type=float, default=5.0, help='of one core, for an image')
  return parser.parse_args(arguments)


def sizes_of_page(path=_PAGE):
  """Name of a network -> (parameters, multiply-adds of an image of 513x513 at stride 16)."""
  with open(path, encoding='utf-8') as file:
    rows = re.findall(
      r'^\| `(\w+)`[^|]*\| ([\d.]+) M \| [\d.]+ MB \| ([\d.]+) G \|', file.read(), flags=re.M
    )
  found = {name: (float(millions) * 1e6, float(giga) * 1e9) for name, millions, giga in rows}
  return {name: found[name] for name in NETWORKS}


def assumptions(flags):
  """They as a line."""
  return (
    f'A model, not a measurement: {flags.images_per_gpu} images of 513x513 a GPU, '
    f'{flags.peak_tflops:g} TFLOP/s of which {flags.efficiency:.0%} are reached, with separable '
    f'convolutions {flags.separable_efficiency:.0%}; '
    f'{flags.gpus_per_machine} GPUs a machine with {flags.link_gbyte:g} GB/s between them, '
    f'{flags.network_gbit:g} Gbit/s a machine of which {flags.network_efficiency:.0%} are reached, '
    f'{flags.link_latency_us:g} and {flags.network_latency_us:g} us latency, '
    f'{flags.record_kbyte:g} KB and {flags.decode_ms:g} ms of a core for each image.\n'
  )


def table(flags, sizes):
  """Its lines."""
  yield (
    '| network | gradients | GPUs | global batch | computing | averaging | with synchronized batch '
    'norm | images/s | of N times one GPU | read by each worker | cores for decoding, each worker |'
  )
  yield '|---' * 11 + '|'
  for name, (parameters, multiply_adds) in sizes.items():
    num_batch_norms, is_separable = NETWORKS[name]
    for num_gpus in _NUMBERS_OF_GPUS:
      row = modelled(
        flags,
        num_bytes=parameters * _FLOAT32_BYTES,
        multiply_adds=multiply_adds,
        num_batch_norms=num_batch_norms,
        is_separable=is_separable,
        num_gpus=num_gpus,
      )
      yield (
        f'| {name} | {parameters * _FLOAT32_BYTES / 1e6:.1f} MB | {num_gpus} '
        f'| {num_gpus * flags.images_per_gpu} | {row["computing"] * 1e3:.0f} ms '
        f'| {row["averaging"] * 1e3:.1f} ms | + {row["batch_norm"] * 1e3:.1f} ms '
        f'| {row["images_per_second"]:.0f} | {row["share"]:.0%} '
        f'| {row["bytes_per_second"] / 1e6:.0f} MB/s | {row["cores"]:.1f} |'
      )


def modelled(flags, *, num_bytes, multiply_adds, num_batch_norms, is_separable, num_gpus):
  """Seconds of the parts of a step, and what follows from them; without synchronized batch norm.

  Args:
    num_bytes: of the gradients.
    multiply_adds: of the forward pass of one image.
    num_batch_norms: of the network.
    is_separable: whether its convolutions are.
    num_gpus: in all.
  """
  efficiency = flags.separable_efficiency if is_separable else flags.efficiency
  operations = flags.images_per_gpu * 3 * 2 * multiply_adds
  computing = operations / (flags.peak_tflops * 1e12 * efficiency)
  averaging = ring_seconds(flags, num_bytes=num_bytes, num_gpus=num_gpus)
  images_per_second = num_gpus * flags.images_per_gpu / (computing + averaging)
  num_workers = -(-num_gpus // flags.gpus_per_machine)
  return {
    'computing': computing,
    'averaging': averaging,
    'batch_norm': 2 * num_batch_norms * tree_seconds(flags, num_gpus=num_gpus),
    'images_per_second': images_per_second,
    'share': computing / (computing + averaging),
    'bytes_per_second': images_per_second * flags.record_kbyte * 1e3,
    'cores': images_per_second / num_workers * flags.decode_ms / 1e3,
  }


def ring_seconds(flags, *, num_bytes, num_gpus):
  """Seconds of a ring all-reduce: each GPU sends N - 1 parts of N twice, to add and to share."""
  bandwidth, latency = slowest_link(flags, num_gpus)
  steps = 2 * (num_gpus - 1)
  return steps / num_gpus * num_bytes / bandwidth + steps * latency


def tree_seconds(flags, *, num_gpus):
  """Seconds in which a few bytes are added up a tree and shared down it."""
  _, latency = slowest_link(flags, num_gpus)
  return 2 * math.ceil(math.log2(num_gpus)) * latency


def slowest_link(flags, num_gpus):
  """(bytes a second, seconds of latency) between the GPUs: in a machine, or between machines."""
  bandwidth = flags.link_gbyte * 1e9
  if num_gpus <= flags.gpus_per_machine:
    return bandwidth, flags.link_latency_us * 1e-6
  network = flags.network_gbit * 1e9 / 8 * flags.network_efficiency
  return min(bandwidth, network), flags.network_latency_us * 1e-6


if __name__ == '__main__':
  main()
