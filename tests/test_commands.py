"""The real commands: one run through all four as processes of their own, then what they say to bad
input.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import deeplab
from deeplab import synthetic_scenes

_CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
_NUM_CLASSES = len(synthetic_scenes.CLASS_NAMES)
_TRAINING = (
  'run_trainer.py',
  '--filenames=train',
  f'--num_classes={_NUM_CLASSES}',
  '--model_variant=mobilenet_v2',
  '--depth_multiplier=0.35',
  '--crop_size_height=33',
  '--crop_size_width=33',
  '--batch_size=2',
  '--num_steps=2',
  '--seed=1',
)


def _find(command):
  """The installed command where the installed package is tested, else the one of the checkout."""
  if _CHECKOUT in pathlib.Path(deeplab.__file__).resolve().parents:
    return next(
      path for path in (_CHECKOUT / command, _CHECKOUT / 'scripts' / command) if path.is_file()
    )
  return pathlib.Path(sys.executable).parent / command


def _run(directory, command, *arguments):
  """Runs a command in a directory, in a process of its own: a subprocess.CompletedProcess."""
  environment = {
    name: value for name, value in os.environ.items() if name != 'TF_CPP_MIN_LOG_LEVEL'
  }
  return subprocess.run(
    [sys.executable, _find(command), *arguments],
    cwd=directory,
    env=environment,
    stdin=subprocess.DEVNULL,
    text=True,
    capture_output=True,
    check=False,
  )


def _succeed(directory, *arguments):
  result = _run(directory, *arguments)
  assert result.returncode == 0, result.stderr
  return result.stdout


@pytest.fixture(scope='module')
def job(tmp_path_factory):
  """A directory where all four commands ran, and their outputs."""
  directory = tmp_path_factory.mktemp('job')
  training, held_out = synthetic_scenes.write_data_set(
    str(directory), num_training=5, num_held_out=3, seed=1
  )
  (directory / 'images.txt').write_text(
    '\n'.join(f'JPEGImages/{name}.jpg' for name in held_out) + '\n\n'
  )
  folders = ('--images_dir=JPEGImages', '--labels_dir=SegmentationClass')
  output = {
    'write': _succeed(
      directory, 'write_tfrecord.py', '--list_path=train.txt', '--split=train', *folders
    ),
    'write val': _succeed(
      directory, 'write_tfrecord.py', '--list_path=val.txt', '--split=val', *folders
    ),
    'train': _succeed(
      directory, *_TRAINING, '--log_per_steps=1', '--persist_per_steps=1', '--output_path=model'
    ),
    'evaluate': _succeed(directory, 'run_evaluator.py', '--filenames=val', '--ckpt_path=model'),
    'infer': _succeed(
      directory,
      'run_inferencer.py',
      '--input_file_list=images.txt',
      '--ckpt_path=model',
      '--output_path=predictions',
    ),
  }
  assert len(training) == 5 and len(held_out) == 3
  return directory, output


def test_write(job):
  directory, _ = job
  assert [path.name for path in (directory / 'train').glob('*.tfrecord')] == [
    'train-00001-of-00001.tfrecord'
  ]
  records = list(
    tf.data.TFRecordDataset(
      str(directory / 'val' / 'val-00001-of-00001.tfrecord')
    ).as_numpy_iterator()
  )
  assert len(records) == 3
  features = tf.train.Example.FromString(records[0]).features.feature
  assert (
    features['image'].bytes_list.value[0]
    == (directory / 'JPEGImages' / 'val_0000.jpg').read_bytes()
  )


def test_train(job):
  directory, output = job
  assert re.findall(r'^step: (\d+), loss: \d+\.\d{6}$', output['train'], flags=re.MULTILINE) == [
    '1',
    '2',
  ]
  checkpoint = tf.train.load_checkpoint(str(directory / 'model' / 'model.ckpt'))
  assert (
    checkpoint.get_tensor('global_step') == 2
    and checkpoint.get_tensor('global_step').dtype == np.int64
  )
  names = set(checkpoint.get_variable_to_shape_map()) - {'global_step'}
  slots = {name for name in names if name.endswith('/Momentum')}
  variables = names - slots
  trained = {name for name in variables if not name.endswith(('/moving_mean', '/moving_variance'))}
  assert slots == {name + '/Momentum' for name in trained}
  assert {
    'MobilenetV2/Conv/weights',
    'MobilenetV2/expanded_conv_16/project/BatchNorm/moving_mean',
    'aspp0/weights',
    'image_pooling/weights',
    'concat_projection/BatchNorm/beta',
    'logits/semantic/biases',
  } <= variables
  assert tf.train.list_variables(str(directory / 'model' / 'model.ckpt-1'))


def test_evaluate(job):
  lines = job[1]['evaluate'].splitlines()
  assert 'Num of images evaluated: 3' in lines
  (loss,) = [float(line.split()[1]) for line in lines if line.startswith('Loss: ')]
  (mean_iou,) = [float(line.split()[1]) for line in lines if line.startswith('mIOU: ')]
  assert loss > 0 and 0 <= mean_iou <= 1


def test_infer(job):
  directory, output = job
  written = re.findall(r'^Prediction written to (.+)$', output['infer'], flags=re.MULTILINE)
  assert [os.path.basename(path) for path in written] == [
    f'val_{index:04d}.jpg.png' for index in range(3)
  ]
  for index, path in enumerate(written):
    with Image.open(directory / path) as prediction:
      with Image.open(directory / 'JPEGImages' / f'val_{index:04d}.jpg') as image:
        assert prediction.mode == 'RGB' and prediction.size == image.size


@dataclasses.dataclass
class Case:
  """A mistake: arguments, what the error line must say, and the exit status."""

  name: str
  arguments: tuple
  message: str
  status: int = 1
  file_size_limit: int | None = None


def _write(name, message, *arguments, **changes):
  defaults = {
    'list_path': 'train.txt',
    'images_dir': 'JPEGImages',
    'labels_dir': 'SegmentationClass',
    'split': 'train',
    'output_dir': 'bad/' + name,
  }
  given = {argument.split('=')[0].lstrip('-') for argument in arguments}
  return Case(
    name,
    (
      'write_tfrecord.py',
      *arguments,
      *(f'--{flag}={value}' for flag, value in defaults.items() if flag not in given),
    ),
    message,
    **changes,
  )


def _train(name, message, *arguments, **changes):
  given = {argument.split('=')[0] for argument in arguments}
  return Case(
    name,
    (
      *(argument for argument in _TRAINING if argument.split('=')[0] not in given),
      *arguments,
      *(() if '--output_path' in given else (f'--output_path=bad/{name}',)),
    ),
    message,
    **changes,
  )


def _evaluate(name, message, *arguments, **changes):
  given = {argument.split('=')[0] for argument in arguments}
  defaults = ('--filenames=val', '--ckpt_path=model')
  return Case(
    name,
    (
      'run_evaluator.py',
      *arguments,
      *(argument for argument in defaults if argument.split('=')[0] not in given),
    ),
    message,
    **changes,
  )


def _infer(name, message, *arguments, **changes):
  given = {argument.split('=')[0] for argument in arguments}
  defaults = ('--input_file_list=images.txt', '--ckpt_path=model', f'--output_path=bad/{name}')
  return Case(
    name,
    (
      'run_inferencer.py',
      *arguments,
      *(argument for argument in defaults if argument.split('=')[0] not in given),
    ),
    message,
    **changes,
  )


_CASES = [
  # Flags: refused before TensorFlow is imported.
  _train('unknown flag', 'Unknown command line flag .bach_size', '--bach_size=3', status=2),
  _train('wrong enum', 'model_variant.*resnet_v2_50', '--model_variant=vgg', status=2),
  _train('wrong stride', 'output_stride', '--output_stride=4', status=2),
  _train('no number', 'num_steps', '--num_steps=many', status=2),
  _train('stray argument', "unexpected argument 'train'", 'train', status=2),
  _train('crop 0', '--crop_size_height=0: must be at least 1', '--crop_size_height=0'),
  _train('negative rate', '--atrous_rates=-6: must be at least 1', '--atrous_rates=-6'),
  _train(
    'negative learning rate',
    '--init_learning_rate=-0.1: must be greater than 0',
    '--init_learning_rate=-0.1',
  ),
  _train(
    'schedule lengths',
    '--boundaries has 2 values.* --rates has 1 value',
    '--boundaries=1,2',
    '--rates=0.1',
  ),
  Case('no filenames', ('run_trainer.py', '--output_path=bad/x'), '--filenames is required'),
  Case('no checkpoint', ('run_evaluator.py', '--filenames=val'), '--ckpt_path is required'),
  Case(
    'no images',
    ('run_inferencer.py', '--ckpt_path=model'),
    '--input_file_list or --input is required',
  ),
  # The converter.
  _write('absent list', 'absent.txt', '--list_path=absent.txt'),
  _write('empty list', 'empty.txt', '--list_path=empty.txt'),
  _write('blank list', 'blank.txt', '--list_path=blank.txt'),
  _write('absent directory', 'absent_directory', '--images_dir=absent_directory'),
  _write('absent image', 'absent_name.jpg', '--list_path=absent_name.txt'),
  _write('absent label', 'train_0000.png', '--labels_dir=empty_directory'),
  _write('no image file', 'train_0000.jpg', '--images_dir=texts'),
  _write('sizes differ', 'train_0000', '--labels_dir=small_labels'),
  # Where records are written the disk is full after 4096 bytes.
  _write('full disk', 'error: ', file_size_limit=4096),
  # The trainer.
  _train('absent records', 'absent.tfrecord', '--filenames=absent.tfrecord'),
  _train('no records in directory', 'empty_directory', '--filenames=empty_directory'),
  _train('truncated record', r'truncated.tfrecord', '--filenames=truncated.tfrecord'),
  _train(
    'labels beyond num_classes',
    '--num_classes=3: the records of train hold label 3 .*train/dataset.json says',
    '--num_classes=3',
  ),
  _train('absent checkpoint', 'absent.ckpt', '--load_ckpt_path=absent.ckpt'),
  _train('directory without checkpoint', 'empty_directory', '--load_ckpt_path=empty_directory'),
  _train(
    'other backbone',
    'has 0 of the 265 variables of the backbone resnet_v1_50; its backbone is mobilenet_v2; check',
    '--load_ckpt_path=model',
    '--model_variant=resnet_v1_50',
    '--depth_multiplier=1.0',
  ),
  _train(
    'other shapes',
    'MobilenetV2/Conv/weights|MobilenetV2',
    '--load_ckpt_path=model',
    '--depth_multiplier=0.5',
  ),
  _train('output below a file', 'train.txt', '--output_path=train.txt/model'),
  _train('full disk in training', 'error: ', file_size_limit=65536),
  # The evaluator and the inferencer.
  _evaluate('evaluate absent records', 'absent.tfrecord', '--filenames=absent.tfrecord'),
  _evaluate('evaluate truncated record', 'truncated.tfrecord', '--filenames=truncated.tfrecord'),
  _evaluate('evaluate absent checkpoint', 'absent.ckpt', '--ckpt_path=absent.ckpt'),
  _evaluate('evaluate other classes', '--num_classes=21', '--num_classes=21'),
  _evaluate(
    'evaluate labels beyond num_classes',
    r'wrong_label.tfrecord.*200',
    '--filenames=wrong_label.tfrecord',
  ),
  _infer('infer absent list', 'absent.txt', '--input_file_list=absent.txt'),
  _infer('infer empty list', 'empty.txt', '--input_file_list=empty.txt'),
  _infer('infer blank list', 'blank.txt', '--input_file_list=blank.txt'),
  _infer('infer absent image', 'absent_name.jpg', '--input_file_list=absent_images.txt'),
  _infer('infer no image file', 'texts/train_0000.jpg', '--input_file_list=text_images.txt'),
  _infer('infer absent checkpoint', 'absent.ckpt', '--ckpt_path=absent.ckpt'),
  _infer('infer output below a file', 'train.txt', '--output_path=train.txt/predictions'),
]


@pytest.fixture(scope='module')
def results(job, request, command_processes):
  """(exit status, stdout, stderr) of every case that pytest selected, by its name."""
  directory, _ = job
  selected = [
    item.callspec.params['case']
    for item in request.session.items
    if item.originalname == 'test_mistake_gives_one_line'
  ]
  for name in ('empty_directory', 'texts', 'small_labels', 'bad'):
    (directory / name).mkdir()
  for path, text in {
    'empty.txt': '',
    'blank.txt': '\n  \n\n',
    'absent_name.txt': 'train_0000\nabsent_name\n',
    'absent_images.txt': 'JPEGImages/absent_name.jpg\n',
    'text_images.txt': 'texts/train_0000.jpg\n',
  }.items():
    (directory / path).write_text(text)
  for index in range(5):
    (directory / 'texts' / f'train_{index:04d}.jpg').write_text('no image')
    Image.new('L', (7, 9)).save(directory / 'small_labels' / f'train_{index:04d}.png')
  records = (directory / 'train' / 'train-00001-of-00001.tfrecord').read_bytes()
  (directory / 'truncated.tfrecord').write_bytes(records[:-100])
  _write_record_with_label(directory, directory / 'wrong_label.tfrecord', 200)

  def run(case):
    command, *arguments = case.arguments
    result = command_processes.run(
      [_find(command), *arguments], directory=directory, file_size_limit=case.file_size_limit
    )
    return result.returncode, result.stdout.decode(), result.stderr.decode()

  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return dict(zip([case.name for case in selected], pool.map(run, selected)))


def _write_record_with_label(directory, path, value):
  label = directory / 'label.png'
  Image.new('L', (40, 30), value).save(label)
  image = directory / 'image.jpg'
  Image.new('RGB', (40, 30)).save(image)
  feature = {
    name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[file.read_bytes()]))
    for name, file in (('image', image), ('label', label))
  }
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


@pytest.mark.parametrize('case', _CASES, ids=lambda case: case.name)
def test_mistake_gives_one_line(job, results, case):
  status, stdout, stderr = results[case.name]
  assert status == case.status, stdout + stderr
  assert 'Traceback' not in stderr
  # Where several files of many can be wrong, each has a line that names it, before the one that
  # ends the command.
  errors = [line for line in stderr.splitlines() if not line.startswith(('warning: ', 'problem: '))]
  assert len(errors) == 1 and errors[0].startswith(f'{case.arguments[0]}: error: '), stderr
  assert re.search(case.message, stderr)
  print(stderr)  # Shown by pytest -rP.
  half_written = [
    path
    for path in (job[0] / 'bad').rglob('*')
    if path.is_relative_to(job[0] / 'bad' / case.name)
    and path.suffix in ('.tfrecord', '.png', '.index')
  ]
  assert not half_written
  assert not list((job[0] / 'bad').rglob('.unfinished-*'))


_COMMANDS = {
  path.name: path
  for path in (
    *_CHECKOUT.glob('run_*.py'),
    _CHECKOUT / 'export_model.py',
    *(_CHECKOUT / 'scripts').glob('*.py'),
  )
}


@pytest.mark.parametrize('command', sorted(_COMMANDS))
def test_help_and_version(tmp_path, command):
  result = _run(tmp_path, command, '--help')
  assert result.returncode == 0 and not result.stderr
  assert result.stdout.startswith(f'usage: {command} --flag=value') and '  --' in result.stdout
  result = _run(tmp_path, command, '--version')
  assert (result.returncode, result.stdout, result.stderr) == (
    0,
    f'deeplab-tf {deeplab.__version__}\n',
    '',
  )


def test_commands_are_installable():
  """Installers replace the first line of a command by their own interpreter only where it is of
  this form.
  """
  assert len(_COMMANDS) >= 6
  for command in _COMMANDS.values():
    assert command.read_text(encoding='utf-8').startswith('#!/usr/bin/env python3\n')
    assert os.access(command, os.X_OK)
