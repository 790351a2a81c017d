"""Flags with values of all kinds, and flagfiles: taken by the commands' own parsing, up to where
the work would begin.
"""

import dataclasses
import io
import os
import pathlib
import runpy
import sys

from absl import flags as absl_flags

from deeplab import flags
from deeplab.options.checks import field_type

from . import damages, weights
from .cases import Case, Ended, Silent, Target, judged

_CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
_COMMANDS = (
  'run_trainer.py',
  'run_trainer.py',
  'run_evaluator.py',
  'run_inferencer.py',
  'export_model.py',
  'scripts/write_tfrecord.py',
  'scripts/inspect_tfrecord.py',
  'scripts/preview_augmentation.py',
  'scripts/import_official_checkpoint.py',
  'scripts/export_official_checkpoint.py',
  'scripts/quickstart.py',
)
_INTEGERS = (
  '0', '-1', '1', '2', '7', '255', '256', '4097', '65536', '2147483647', '2147483648',
  '1000000000000', '9223372036854775807', '9223372036854775808', '1' * 400, '-0', '0x10', '1_000',
  ' 5', '\u0665',
)  # fmt: skip
_NUMBERS = (
  '0', '-1', '0.5', '1', '1.5', '7', '1e9', '1e20', '1e38', '3.5e38', '1e300', '1e308', '1e309',
  '1e-9', '1e-38', '1e-45', '1e-320', '5e-324', 'nan', 'inf', '-inf', '-1e-320', '1e', '', 'five',
  '1,2', '1;2',
)  # fmt: skip
_TEXTS = (
  '', ' ', '.', '/', '~', '~nobody', '-', '--', 'a' * 5000, 'a/' * 3000, '\x1b[2J', 'two\nlines',
  '\udcff\udcfe', 'nul\x00', '*', '[', '**/**', '$(reboot)', '/dev/null', '/dev/zero',
  '/proc/self/mem', '/proc/self/environ', '/dev/full/x', 'é', '\u202e', 'a,b', "'", '"',
  'http://x/y', 'gs://x/y', '0',
)  # fmt: skip
# Beside what is marked as required.
_NEEDED = {
  'run_inferencer.py': ('input',),
  'scripts/write_tfrecord.py': ('images_dir', 'labels_dir'),
}
# Numbers as large as these pass nowhere but where only time or a file's length is counted.
_MAY_BE_HUGE = {
  'num_steps',
  'boundaries',
  'slow_start_step',
  'warmup_steps',
  'patience',
  'log_per_steps',
  'persist_per_steps',
  'eval_per_steps',
  'max_to_keep',
  'num_epochs',
  'watch_timeout',
  'max_frames',
  'shuffle_buffer_size',
  'num_per_shard',
  'max_image_pixels',
  'max_size',
  'seed',
}
_HUGE = 10**11
_FLOAT32 = 3.4e38, 1.2e-38


def prepare(directory: str) -> None:
  """Writes what flags may name: checkpoints, and an image."""
  weights.prepare(os.path.join(directory, 'model'))
  with open(os.path.join(directory, 'a.png'), 'wb') as file:
    file.write(b'\x89PNG\r\n\x1a\n')
  with open(os.path.join(directory, 'a.tfrecord'), 'wb') as file:
    file.write(b'')


def run(case: Case) -> None:
  """A command with some strange flags."""
  command = case.choose([each for each in _COMMANDS if (_CHECKOUT / each).exists()])
  options, arguments = [], []
  asked = _options_of(command)
  for name in _required(command):
    arguments.append(f'--{name}={_usual(name, case)}')
  for _ in range(case.choose([1, 1, 2, 3])):
    kind, field = case.choose(asked)
    value_type, _ = field_type(kind, field)
    choices = {int: _INTEGERS, float: _NUMBERS, bool: ('True', 'False', '1', '')}.get(value_type)
    if field.metadata['choices'] and case.chance(0.6):
      choices = tuple(map(str, field.metadata['choices']))
    if choices is None or case.chance(0.1):
      choices = case.choose([_NUMBERS, _TEXTS, _TEXTS])
    value = case.choose(choices)
    arguments.append(case.choose([f'--{field.name}={value}'] * 30 + [f'--no{field.name}', value]))
  if case.chance(0.1):
    arguments = _by_flagfile(case, arguments)
  arguments = [each.replace('\x00', '') for each in arguments]  # No command line has it.
  case.note(f'{command} {arguments!r:.1500}')
  status, printed, options = _run(case, command, arguments)
  if options is not None:
    _refuse_absurd(options)
    return
  if status == 0:
    return  # --help and the like.
  lines = [line for line in printed.splitlines() if ': error: ' in line]
  if len(lines) != 1 or status not in (1, 2):
    raise Ended('lines', f'exit status {status}: {printed[-1500:]}')
  # It may quote what was given, which may be long.
  raise Ended(*judged(lines[0], longest=20_000))


def _required(command):
  names = [field.name for _, field in _options_of(command) if field.metadata['required']]
  return names + list(_NEEDED.get(command, ()))


def _usual(name, case):
  return {
    'filenames': os.path.join(case.seeds, 'a.tfrecord'),
    'ckpt_path': os.path.join(case.seeds, 'model'),
    'input': os.path.join(case.seeds, 'a.png'),
    'split': 'train',
    'images_dir': case.seeds,
    'labels_dir': case.seeds,
  }.get(name, case.path('out'))


def _by_flagfile(case, arguments):
  kind = int(case.random.integers(6))
  text = '\n'.join(arguments) + '\n'
  if kind == 0:
    path = case.write('flags', damages.text_of(case, text))
  elif kind == 1:  # It reads itself.
    path = case.path('flags')
    case.write('flags', f'{text}--flagfile={path}\n')
  elif kind == 2:  # A chain.
    for number in range(1500):
      case.write(f'flags{number}', f'--flagfile={case.path(f"flags{number + 1}")}\n')
    path = case.path('flags0')
  elif kind == 3:
    path = case.choose(
      [
        '/dev/null',
        '/proc/self/mem',
        '/proc/self/environ',
        '/proc/self/cmdline',
        '/dev/zero',
        '.',
        '',
      ]
    )
  else:
    path = case.write('flags', text)
  return [f'--flagfile={path}', *(arguments[:1] if case.chance(0.3) else [])]


def _options_of(command):
  """(class, field) of all flags of a command, which is read without its main part."""
  if command not in _known:
    defined = []

    def note(_, *option_classes, **__):
      defined.extend(option_classes)

    _with_run(note, command, [])
    _known[command] = [(kind, field) for kind in defined for field in dataclasses.fields(kind)]
  return _known[command]


_known = {}


def _with_run(replacement, command, arguments):
  """Runs a command's file with another deeplab.flags.run."""
  kept = flags.run, sys.argv, list(sys.path)
  flags.run, sys.argv = replacement, [command, *arguments]
  try:
    runpy.run_path(str(_CHECKOUT / command), run_name='__main__')
  finally:
    flags.run, sys.argv, sys.path[:] = kept


def _run(case, command, arguments):
  """(exit status, what was printed, the options objects if the work would have begun)."""
  reached, run = [], flags.run
  usual_flags = set(absl_flags.FLAGS)
  kept, directory = (sys.stdout, sys.stderr), os.getcwd()
  sys.stdout, sys.stderr = (
    io.TextIOWrapper(io.BytesIO(), encoding='utf-8', write_through=True) for _ in range(2)
  )
  printed, status = sys.stderr, None
  os.chdir(case.directory)

  def begin(*options):
    reached.append(options)

  try:
    _with_run(lambda _, *rest, **more: run(begin, *rest, **more), command, arguments)
  except SystemExit as end:
    status = end.code or 0
  finally:
    sys.stdout, sys.stderr = kept
    os.chdir(directory)
    for name in set(absl_flags.FLAGS) - usual_flags:
      delattr(absl_flags.FLAGS, name)
    absl_flags.FLAGS.unparse_flags()
    absl_flags.FLAGS.set_gnu_getopt(False)
  text = printed.buffer.getvalue().decode('utf-8', 'backslashreplace')
  print(text)  # Where it is looked through for what a terminal obeys.
  return status, text, reached[0] if reached else None


def _refuse_absurd(options):
  for each in options:
    for field in dataclasses.fields(each):
      values = getattr(each, field.name)
      for value in values if isinstance(values, tuple) else (values,):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
          continue
        largest, smallest = _FLOAT32
        if isinstance(value, float) and (abs(value) > largest or 0 < abs(value) < smallest):
          raise Silent(f'--{field.name}={value}: is no number in float32, and is taken')
        if abs(value) > _HUGE and field.name not in _MAY_BE_HUGE:
          raise Silent(f'--{field.name}={value}: is absurd, and is taken')


TARGETS = (Target('flags', run, weight=16, prepare=prepare),)
