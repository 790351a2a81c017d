"""Whole commands in processes of their own, with one of their inputs damaged."""

import os
import pathlib
import runpy
import shutil
import sys
import traceback

import trained_work
from PIL import Image

from deeplab.model import mobilenet_v2
from deeplab.options.checks import field_type

from . import damages, flag_values, picture_damages
from .cases import REFUSED, Case, Ended, Target, judged

_CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
_MODEL = ('model.ckpt.index', 'model.ckpt.data-00000-of-00001', 'model_options.json')
_ABSURD_FLAGS = {
  'run_trainer.py': (
    '--batch_size=1000000000000', '--init_learning_rate=1e38', '--init_learning_rate=1e-45',
    '--crop_size_height=1', '--crop_size_width=16385', '--accumulate_steps=1000000000',
    '--num_input_threads=1000000000', '--max_rescale_factor=1e20', '--min_rescale_factor=1e-30',
    '--weight_decay=1e30', '--shuffle_buffer_size=9223372036854775807', '--num_classes=1',
    '--num_classes=65535', '--ignore_label=1', '--momentum=1', '--clip_gradient_norm=1e-38',
    '--atrous_rates=100000,1', '--rescale_step_size=1e-30', '--ema_decay=1e-30',
  ),
  'run_evaluator.py': (
    '--batch_size=1000000000000', '--eval_scales=1e20', '--eval_scales=1e-20', '--tile_size=1',
    '--max_size=1', '--eval_pad=1x1', '--num_worst_images=1000000000000', '--output_stride=8',
  ),
  'run_inferencer.py': (
    '--batch_size=1000000000000', '--eval_scales=1e20', '--eval_scales=1e-20', '--tile_size=1',
    '--max_size=1', '--overlay_alpha=1e-320', '--output_suffix=/x', '--output_type=probabilities',
  ),
}  # fmt: skip

# What nobody would wait for, or has the memory for, and may ask for all the same.
_COSTLY = {
  'batch_size',
  'crop_size_height',
  'crop_size_width',
  'num_classes',
  'num_steps',
  'num_epochs',
  'accumulate_steps',
  'watch_timeout',
}


def prepare(directory: str) -> None:
  """A directory as of trained_work, of a network with few layers."""
  _shorten_network()
  trained_work.make(pathlib.Path(directory))


def _shorten_network():
  # As the fixture short_networks of conftest.py: most of the time would be tracing.
  mobilenet_v2.BLOCKS = ((16, 1), (24, 2), (24, 1), (32, 2), (64, 2), (160, 2), (160, 1), (320, 1))


def run(case: Case) -> None:
  """Damages a part of a copy of the directory, or a flag, and runs a command."""
  _shorten_network()
  work = case.path('work')
  shutil.copytree(case.seeds, work)
  command = case.choose(['run_inferencer.py', 'run_evaluator.py', 'run_trainer.py'])
  arguments = {
    'run_inferencer.py': ['--ckpt_path=model', '--input=photos', '--output_path=out'],
    'run_evaluator.py': ['--ckpt_path=model', '--filenames=val.tfrecord'],
    'run_trainer.py': [
      '--load_ckpt_path=model', '--exclude_scopes=logits', '--filenames=val.tfrecord',
      '--output_path=run', '--num_steps=2', '--batch_size=2', '--crop_size_height=33',
      '--crop_size_width=33', '--shuffle_buffer_size=2',
    ],
  }[command]  # fmt: skip
  kind = int(case.random.integers(4))
  if kind == 0:
    arguments.append(case.choose(_ABSURD_FLAGS[command]))
  elif kind == 3:
    arguments.append(_flag_at_its_limit(case, command))
  elif kind == 1:
    _damage(case, os.path.join(work, 'model', case.choose(_MODEL)))
  elif command == 'run_inferencer.py':
    _damage_pictures(case, work)
  else:
    _damage(case, os.path.join(work, 'val.tfrecord'))
  case.note(f'{command} {arguments[-1]}')
  status = _run(case, work, command, arguments)
  sys.stdout.flush()
  sys.stderr.flush()
  with open(case.directory + '.output', encoding='utf-8', errors='replace') as file:
    printed = file.read()
  lines = [line for line in printed.splitlines() if ': error: ' in line]
  if status == 0 and not lines:
    return
  if len(lines) != 1 or status not in (1, 2):
    raise Ended('lines', f'exit status {status}: {printed[-1500:]}')
  outcome, detail = judged(lines[0])
  if outcome == REFUSED and any('Detected at node' in line for line in printed.splitlines()):
    outcome, detail = 'inner', printed[-1500:]
  raise Ended(outcome, detail)


def _flag_at_its_limit(case, command):
  """A flag with the smallest or largest number that it may have."""
  limits = []
  for kind, field in flag_values.options_of(command):
    value_type, _ = field_type(kind, field)
    if value_type in (int, float) and field.name not in _COSTLY:
      limits += [
        f'--{field.name}={value_type(field.metadata[name])}'
        for name in ('minimum', 'maximum')
        if field.metadata[name] is not None
      ]
  return case.choose(sorted(set(limits)))


def _damage(case, path):
  with open(path, 'rb') as file:
    data = file.read()
  as_text = path.endswith('.json')
  with open(path, 'wb') as file:
    file.write(damages.text_of(case, data.decode()) if as_text else damages.bytes_of(case, data))
  case.note(os.path.basename(path))


def _damage_pictures(case, work):
  path = os.path.join(work, 'photos', 'a.png')
  with open(path, 'rb') as file:
    data = file.read()
  with open(path, 'wb') as file:
    file.write(picture_damages.damaged(case, data))
  name = case.choose(['\x1b[2J.png', 'two\nlines.png', 'é\udcff.png', ' .png', 'b.jpg'])
  Image.new('RGB', (20, 20)).save(os.path.join(work, 'photos', 'c.png'))
  os.rename(os.path.join(work, 'photos', 'c.png'), os.path.join(work, 'photos', name))


def _run(case, work, command, arguments):
  """Runs the command's file in this process, which ends after the case; returns its exit status."""
  os.chdir(work)
  sys.argv = [command, *arguments]
  try:
    runpy.run_path(str(_CHECKOUT / command), run_name='__main__')
  except SystemExit as end:
    if isinstance(end.code, str):
      raise Ended('traceback', end.code) from end
    return end.code or 0
  except BaseException as error:
    raise Ended('traceback', traceback.format_exc()[-3000:]) from error
  return 0


TARGETS = (
  Target(
    'commands', run, weight=1, prepare=prepare, own_process=True, megabytes=2500, seconds=60.0
  ),
)
