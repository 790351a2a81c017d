#!/usr/bin/env python3
"""Shows the whole job from nothing: draws a small data set, then runs the four commands on it."""

import dataclasses
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from PIL import Image

from deeplab import color_map as color_maps
from deeplab import flags, pictures, synthetic_scenes
from deeplab.atomic_files import replacing
from deeplab.errors import InputError
from deeplab.messages import say
from deeplab.options import COMPUTE_DTYPES, CheckedOptions, option
from deeplab.options.checks import MOST_IMAGES_AT_ONCE, MOST_STEPS

DESCRIPTION = """\
Draws a small data set of shapes, writes it to records, trains on them from scratch, evaluates and
predicts held-out scenes, and shows them side by side. Every command is printed as you would type
it."""

_MOST_SCENES = 100_000
_NUM_SHOWN, _NUM_SHOWN_PER_ROW = 8, 2  # Scenes on the contact sheet.


@dataclasses.dataclass(frozen=True)
class QuickstartOptions(CheckedOptions):
  """How much to draw and to train."""

  group = 'Quickstart'

  output_path: str | None = option(
    None,
    'Directory for everything, new or empty. Default: quickstart in the current directory, or '
    'quickstart-2 and so on.',
  )
  num_training_scenes: int = option(
    400, 'Number of scenes to train on.', minimum=1, maximum=_MOST_SCENES
  )
  num_held_out_scenes: int = option(
    40, 'Number of scenes that only the evaluation sees.', minimum=1, maximum=_MOST_SCENES
  )
  num_steps: int = option(600, 'Number of training steps.', minimum=1, maximum=MOST_STEPS)
  batch_size: int = option(8, 'Scenes in a training batch.', minimum=1, maximum=MOST_IMAGES_AT_ONCE)
  crop_size: int = option(129, 'Height and width of the training crop.', minimum=16, maximum=16385)
  seed: int = option(0, 'Of the drawing and of the training.', minimum=0, maximum=2**31 - 1)
  compute_dtype: str = option(
    'float32', '--compute_dtype of training, evaluation and inference.', choices=COMPUTE_DTYPES
  )


def main(options):
  start = time.monotonic()
  directory = _new_directory(options.output_path)
  say(
    f'Drawing {options.num_training_scenes} + {options.num_held_out_scenes} scenes of '
    f'{", ".join(synthetic_scenes.CLASS_NAMES[1:])} in {directory}'
  )
  _, held_out = synthetic_scenes.write_data_set(
    directory,
    num_training=options.num_training_scenes,
    num_held_out=options.num_held_out_scenes,
    seed=options.seed,
  )
  shown = held_out[:_NUM_SHOWN]
  _write_lines(os.path.join(directory, 'images.txt'), [f'JPEGImages/{name}.jpg' for name in shown])
  _write_lines(os.path.join(directory, 'class_names.txt'), synthetic_scenes.CLASS_NAMES)

  say('', f'cd {shlex.quote(directory)}')
  output = {}
  for command, arguments in command_lines(options):
    output[command] = _run(command, arguments, directory)

  mean_iou = _only_match(r'^mIOU: (\S+)', output['run_evaluator.py'])
  predictions = re.findall(
    r'^Prediction written to (.+)$', output['run_inferencer.py'], flags=re.MULTILINE
  )
  sheet_path = os.path.join(directory, 'contact_sheet.png')
  with replacing(sheet_path) as path:
    contact_sheet(directory, shown, predictions).save(path)
  say('', f'mIOU on {len(held_out)} held-out scenes: {float(mean_iou):.4f}')
  say(f'Images, truth and predictions side by side: {sheet_path}')
  say(f'This took {time.monotonic() - start:.0f} seconds.')


def command_lines(options: QuickstartOptions) -> Iterator[tuple[str, list[str]]]:
  """(command, its arguments) of the four steps, to be run in the directory of the data set."""
  for split in ('train', 'val'):
    yield (
      f'write_tfrecord.py ({split})',
      [
        'write_tfrecord.py',
        f'--list_path={split}.txt',
        '--images_dir=JPEGImages',
        '--labels_dir=SegmentationClass',
        f'--split={split}',
      ],
    )
  computation = (
    [f'--compute_dtype={options.compute_dtype}'] if options.compute_dtype != 'float32' else []
  )
  yield (
    'run_trainer.py',
    [
      'run_trainer.py',
      '--filenames=train',
      '--output_path=model',
      f'--num_classes={len(synthetic_scenes.CLASS_NAMES)}',
      '--class_names=class_names.txt',
      '--model_variant=mobilenet_v2',
      '--depth_multiplier=0.5',
      '--use_decoder',
      '--preprocess_images_option=zero_mean_unit_range',
      '--weight_decay=4e-5',
      f'--batch_size={options.batch_size}',
      f'--crop_size_height={options.crop_size}',
      f'--crop_size_width={options.crop_size}',
      f'--num_steps={options.num_steps}',
      '--optimizer=adam',
      '--init_learning_rate=0.003',
      '--batch_norm_decay=0.95',
      '--min_rescale_factor=0.75',
      '--max_rescale_factor=1.5',
      '--log_per_steps=50',
      f'--seed={options.seed}',
      *computation,
    ],
  )
  yield (
    'run_evaluator.py',
    ['run_evaluator.py', '--filenames=val', '--ckpt_path=model', *computation],
  )
  yield (
    'run_inferencer.py',
    [
      'run_inferencer.py',
      '--input_file_list=images.txt',
      '--ckpt_path=model',
      '--output_path=predictions',
      *computation,
    ],
  )


def contact_sheet(directory: str, names: Sequence[str], predictions: Sequence[str]) -> Image.Image:
  """Scenes as image, truth and prediction.

  Args:
    directory: of the data set.
    names: of the scenes.
    predictions: paths of their predictions, relative to the directory or absolute, in the same
      order.

  Returns:
    A PIL.Image.
  """
  colors = color_maps.pascal_voc_color_map()
  cells = []
  for name, prediction in zip(names, predictions):
    with Image.open(os.path.join(directory, 'JPEGImages', name + '.jpg')) as image:
      image = np.asarray(image.convert('RGB'))
    with Image.open(os.path.join(directory, 'SegmentationClass', name + '.png')) as label:
      truth = color_maps.colorize(np.asarray(label), colors)
    with Image.open(os.path.join(directory, prediction)) as prediction:
      cells.append([image, truth, np.asarray(prediction.convert('RGB'))])
  rows = [
    sum(cells[start : start + _NUM_SHOWN_PER_ROW], [])
    for start in range(0, len(cells), _NUM_SHOWN_PER_ROW)
  ]
  entries = [
    *zip(synthetic_scenes.CLASS_NAMES, colors),
    ('ignored', colors[synthetic_scenes.IGNORE_LABEL]),
  ]
  return pictures.contact_sheet(
    rows,
    column_titles=['image', 'truth', 'prediction'] * min(len(cells), _NUM_SHOWN_PER_ROW),
    legend=entries,
    cell_size=192,
  )


def _write_lines(path, lines):
  with replacing(path) as temporary_path, open(temporary_path, 'w', encoding='utf-8') as file:
    file.writelines(line + '\n' for line in lines)


def _new_directory(path):
  """Makes and returns the absolute path of an empty directory. Raises InputError, OSError."""
  if path is not None:
    path = os.path.abspath(path)
    if os.path.lexists(path) and not (os.path.isdir(path) and not os.listdir(path)):
      raise InputError(
        f'--output_path={path}: is there already and not an empty directory; give a new one'
      )
    os.makedirs(path, exist_ok=True)
    return path
  for number in range(1, 1000):
    path = os.path.abspath('quickstart' if number == 1 else f'quickstart-{number}')
    try:
      os.mkdir(path)
      return path
    except FileExistsError:
      continue
    except OSError:  # Not a place to write in.
      break
  return tempfile.mkdtemp(prefix='quickstart-')


def _find(command):
  """The path of a command: beside this one where it is installed, else in the checkout."""
  here = os.path.dirname(os.path.abspath(__file__))
  for directory in (here, os.path.dirname(here)):
    if os.path.isfile(os.path.join(directory, command)):
      return os.path.join(directory, command)
  raise InputError(
    f'{command} is neither in {here} nor above it; install the package or use a whole checkout'
  )


def _run(step, arguments, directory):
  """Prints and runs a command in `directory`, passes its output on and returns it.

  Raises InputError when it fails.
  """
  arguments = [sys.executable, _find(arguments[0]), *arguments[1:]]
  words = [shlex.join(arguments[:2]), *(f'    {shlex.quote(word)}' for word in arguments[2:])]
  say('', *(f'{word} \\' for word in words[:-1]), words[-1])
  start = time.monotonic()
  lines = []
  with subprocess.Popen(
    arguments,
    cwd=directory,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    text=True,
    errors='replace',
  ) as process:
    try:
      for line in process.stdout:
        lines.append(line)
        say(line.removesuffix('\n'))
    except BaseException:
      process.terminate()
      raise
  if process.returncode:
    raise InputError(f'{step} ended with status {process.returncode}; what it said is above')
  say(f'({time.monotonic() - start:.0f} seconds)')
  return ''.join(lines)


def _only_match(pattern, text):
  match = re.search(pattern, text, flags=re.MULTILINE)
  if not match:
    raise InputError(f'the evaluator printed no line that matches {pattern!r}')
  return match.group(1)


if __name__ == '__main__':
  flags.run(main, QuickstartOptions, description=DESCRIPTION, uses_tensorflow=False)
