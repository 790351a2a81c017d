"""Which contenders stand in which row of the speed tables, and the frame of the commands that print
them.
"""

import argparse
import json
import os
import sys

import contenders
import machine

RESNET_50 = dict(model_variant='resnet_v2_50', atrous_rates=[6, 12, 18], use_decoder=True)
RESNET_101 = dict(RESNET_50, model_variant='resnet_v2_101')
MOBILENET = dict(model_variant='mobilenet_v2')
# As the published weights have it.
XCEPTION = dict(
  model_variant='xception_65',
  atrous_rates=[6, 12, 18],
  aspp_with_separable_conv=True,
  use_decoder=True,
)


def at_stride_8(model):
  return dict(
    model, output_stride=8, atrous_rates=[2 * rate for rate in model.get('atrous_rates', ())]
  )


# name -> (model, size, the way of the peer there is: worker settings, or None)
CELLS = {
  'resnet_v2_50': (RESNET_50, None),
  'resnet_v2_101': (RESNET_101, None),
  'mobilenet_v2': (MOBILENET, dict(library='transformers')),
  'resnet_v2_50_stride_8': (at_stride_8(RESNET_50), None),
  'mobilenet_v2_stride_8': (at_stride_8(MOBILENET), None),
  'xception_65': (XCEPTION, None),
  'xception_65_stride_8': (at_stride_8(XCEPTION), None),
  # As segmentation_models_pytorch has them: separable convolutions in ASPP and decoder; sizes a
  # multiple of the stride.
  'resnet_50_separable': (
    dict(RESNET_50, model_variant='resnet_v1_50', aspp_with_separable_conv=True),
    dict(library='smp', encoder='resnet50', more=dict(decoder_atrous_rates=[6, 12, 18])),
  ),
  'mobilenet_v2_rates': (
    dict(MOBILENET, atrous_rates=[6, 12, 18]),
    dict(
      library='smp',
      encoder='mobilenet_v2',
      more=dict(
        decoder_atrous_rates=[6, 12, 18], decoder_aspp_separable=False, decoder_aspp_dropout=0.1
      ),
    ),
  ),
}


def run(task, *, size, batch_size, description):
  """The command of one table: parses its flags, measures, prints, writes JSON."""
  parser = argparse.ArgumentParser(
    description=description, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--cells', default=','.join(CELLS), help=f'of {", ".join(CELLS)}')
  parser.add_argument(
    '--rounds', type=int, default=9, help='measured runs of each contender, in turns'
  )
  parser.add_argument('--size', type=int, default=size)
  parser.add_argument('--batch_size', type=int, default=batch_size)
  parser.add_argument('--compute_dtypes', default='float32,bfloat16')
  parser.add_argument('--jit_compile', action='store_true', help='one more row with XLA')
  parser.add_argument(
    '--reference_python',
    action='append',
    default=[],
    help="interpreter for the reference's way, such as one with TensorFlow 2.12; repeated. "
    'Default: this one',
  )
  parser.add_argument(
    '--torch_python', default=sys.executable, help='interpreter with torch and its toolkits'
  )
  parser.add_argument(
    '--contenders',
    default='reference,this,peers',
    help='which rows: of reference, before, this, plain, peers; ratios are to the first',
  )
  parser.add_argument(
    '--before', help='checkout of another version of this project, for the rows of before'
  )
  parser.add_argument('--json', default=os.path.join(contenders.HERE, 'results', f'{task}.json'))
  flags = parser.parse_args()
  described = machine.describe()
  print(machine.line(described))
  cells = {}
  for name in flags.cells.split(','):
    cells[name] = contenders.compare(_contenders(task, name, flags), rounds=flags.rounds)
    size = size_of(name, flags.size)
    contenders.print_results(
      f'{task} {name} {size}x{size}' + (f' batch {flags.batch_size}' if task == 'train' else ''),
      cells[name],
      items=flags.batch_size,
      unit='images',
    )
    os.makedirs(os.path.dirname(flags.json), exist_ok=True)
    # After each cell: an interrupted run is not lost.
    with open(flags.json, 'w', encoding='utf-8') as file:
      json.dump(
        {
          'machine': described,
          'task': task,
          'size': flags.size,
          'batch_size': flags.batch_size,
          'rounds': flags.rounds,
          'cells': cells,
        },
        file,
        indent=1,
      )
      file.write('\n')


def size_of(name, size):
  """The size that cell `name` is measured at instead of `size`: some peers want another one."""
  return size // 16 * 16 if (CELLS[name][1] or {}).get('library') == 'smp' else size


def _contenders(task, name, flags):
  """[(name, script, settings, python)]; the first is what the ratios are taken to."""
  model, peer = CELLS[name]
  common = dict(task=task, model=model, size=size_of(name, flags.size), batch_size=flags.batch_size)
  kinds, dtypes = flags.contenders.split(','), flags.compute_dtypes.split(',')
  rows = []
  if 'reference' in kinds:
    rows += [
      (f'reference, {_tensorflow_version(python)}', 'reference_worker.py', common, python)
      for python in flags.reference_python or [sys.executable]
    ]
  for dtype in dtypes:
    rows += _rows_of_this(dict(common, compute_dtype=dtype), kinds, flags)
  if 'peers' in kinds and peer:
    rows += [
      (
        f'{peer["library"]}, {dtype}',
        'torch_worker.py',
        dict(common, compute_dtype=dtype, **peer),
        flags.torch_python,
      )
      for dtype in dtypes
    ]
  return rows


def _rows_of_this(settings, kinds, flags):
  """This project in one dtype: another version, this one, and it with other settings."""
  dtype, worker = settings['compute_dtype'], 'this_worker.py'
  rows = []
  if 'before' in kinds:
    before = os.path.join(os.path.abspath(flags.before), 'benchmarks', worker)
    rows.append((f'before, {dtype}', before, settings, sys.executable))
  if 'this' in kinds:
    rows.append((f'this, {dtype}', worker, settings, sys.executable))
  if 'plain' in kinds:
    plain = dict(settings, operations='plain')
    rows.append((f'this, {dtype}, plain', worker, plain, sys.executable))
  if flags.jit_compile:
    compiled = dict(settings, jit_compile=True)
    rows.append((f'this, {dtype}, XLA', worker, compiled, sys.executable))
  return rows


def _tensorflow_version(python):
  import subprocess

  code = 'import importlib.metadata as m; print(m.version("tensorflow"))'
  result = subprocess.run([python, '-c', code], capture_output=True, text=True, check=False)
  return 'TF ' + (result.stdout.strip() or '?')
