"""gs://, as TensorFlow speaks it, with a stub of the service on this machine."""

import io
import os
import pathlib
import shutil
import subprocess
import sys
import time

import gcs_stub
import numpy as np
import pytest
import record_makers
import tensorflow as tf
from PIL import Image

import deeplab
from deeplab import checkpoint_files
from deeplab.data import input_pipeline, record_files
from deeplab.errors import InputError
from deeplab.options import ModelOptions
from deeplab.prediction import image_files
from deeplab.training.run_directory import RunDirectory

pytestmark = pytest.mark.skipif(shutil.which('openssl') is None, reason='makes a certificate')

LIMITS = {'num_classes': 21, 'ignore_label': 255}
NETWORK = ('--model_variant=mobilenet_v2', '--depth_multiplier=0.35')
NETWORK += ('--crop_size_height=33', '--crop_size_width=33', '--batch_size=2')
_CHECKOUT = pathlib.Path(deeplab.__file__).resolve().parent.parent


@pytest.fixture(scope='module', name='started')
def _started(tmp_path_factory):
  with gcs_stub.running(tmp_path_factory.mktemp('stub')) as (stub, environment):
    yield stub, environment


@pytest.fixture(name='stub')
def _stub(started, monkeypatch):
  """The service, for this process."""
  stub, environment = started
  for name, value in environment.items():
    monkeypatch.setenv(name, value)
  stub.denied = None
  stub.objects.clear()
  return stub


def put_records(stub, name, numbers, tmp_path, **settings):
  records = [record_makers.record(number, size=(40, 50), **settings) for number in numbers]
  path = record_makers.write(tmp_path / 'one.tfrecord', records)
  stub.objects[name] = pathlib.Path(path).read_bytes()
  return f'gs://{name}'


def put_data(stub, tmp_path):
  """Six records to train on, in two files, and three others."""
  put_records(stub, 'bucket/data/train-00000-of-00002.tfrecord', range(3), tmp_path)
  put_records(stub, 'bucket/data/train-00001-of-00002.tfrecord', range(3, 6), tmp_path)
  put_records(stub, 'bucket/data/val-00000-of-00001.tfrecord', range(6, 9), tmp_path)
  for index in range(2):
    file = io.BytesIO()
    pixels = np.random.default_rng(index).integers(0, 256, [40, 50, 3], np.uint8)
    Image.fromarray(pixels).save(file, 'PNG')
    stub.objects[f'bucket/photos/deep/{index}.png'] = file.getvalue()


def test_records_and_pictures(stub, tmp_path):
  put_data(stub, tmp_path)
  paths = record_files.expand_filenames(['gs://bucket/data/train-*'])
  assert paths == record_files.expand_filenames(['gs://bucket/data'])[:2]
  assert [file.num_records for file in record_files.index_files(paths)] == [3, 3]
  num_requests = sum(path.startswith('/bucket/') for _, path, _ in stub.requests)
  record_files.index_files(paths)  # They are as they were.
  assert sum(path.startswith('/bucket/') for _, path, _ in stub.requests) == num_requests
  examples = input_pipeline.evaluation_examples(paths, **LIMITS)
  assert [one['name'].numpy() for one in examples] == [b'name%d' % index for index in range(6)]
  images, _ = image_files.find_images(['gs://bucket/photos'], recursive=True)
  assert [one.relative_path for one in images] == ['deep/0.png', 'deep/1.png']
  assert image_files.read_image(images[0].path).shape == (40, 50, 3)


@pytest.mark.parametrize(
  'path, message',
  [
    ('gs://nobucket/data', '--filenames=gs://nobucket/data: no such file or directory'),
    ('gs://nobucket/*', r'--filenames=gs://nobucket/\*: no file matches'),
    ('gs://bucket/photos', r'--filenames=gs://bucket/photos: the directory has no \*\.tfrecord'),
    ('gs://bucket/secret/a', r'gs://bucket/secret/a: cannot be looked up \(Permission denied; log'),
    ('gs://bucket/data/locked', r'gs://bucket/data/locked: cannot be read \(Permission denied; lo'),
  ],
)
def test_bad_paths(stub, tmp_path, path, message):
  put_data(stub, tmp_path)
  stub.objects['bucket/data/locked'] = b'..'
  stub.denied = '/o/secret|^/bucket/data/locked'
  with pytest.raises(InputError, match='^' + message):
    record_files.index_files(record_files.expand_filenames([path]))


def test_a_file_that_is_gone_in_the_middle(stub, tmp_path):
  put_data(stub, tmp_path)
  paths = record_files.expand_filenames(['gs://bucket/data'])
  examples = iter(input_pipeline.evaluation_examples(paths, **LIMITS))
  next(examples)
  del stub.objects['bucket/data/val-00000-of-00001.tfrecord']
  with pytest.raises(tf.errors.NotFoundError) as error:
    list(examples)
  explained = input_pipeline.explain_failure(error.value, paths, known=paths, **LIMITS)
  assert str(explained) == (
    'gs://bucket/data/val-00000-of-00001.tfrecord: cannot be read any more (No such file or '
    'directory); once it can be, go on'
  )


def test_a_copy_of_a_run(stub, tmp_path):
  run = RunDirectory(str(tmp_path / 'run'), copy_to='gs://bucket/runs/1')
  run.create()
  run.copy.create(may_hold_run=False)
  for step in (5, 10):
    values = {'logits/semantic/weights': np.full([3], step, np.float32)}
    run.save(values, step=step, model_options=ModelOptions(), max_to_keep=1)
    run.save_best(values, step=step, score={'mean_iou': step / 100})
    run.copy.finish()
  there = {name.removeprefix('bucket/runs/1/'): data for name, data in stub.objects.items()}
  for name in set(os.listdir(run.path)) - {'copied_files.json'}:
    assert there[name] == pathlib.Path(run.file(name)).read_bytes(), name
  assert not [name for name in there if name.startswith('model.ckpt-5')]
  # Not opened: TensorFlow's reader would let the stub wait, which is in this process.
  assert checkpoint_files.find('gs://bucket/runs/1') == 'gs://bucket/runs/1/model.ckpt-10'


# === Commands ===


def command(environment, directory, *arguments, status=0):
  """(stdout, stderr) of a command of this checkout."""
  run = subprocess.run(
    [sys.executable, str(_CHECKOUT / arguments[0]), *arguments[1:]],
    cwd=directory,
    env={**os.environ, **environment, 'PYTHONPATH': str(_CHECKOUT)},
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert run.returncode == status, run.stderr
  return run.stdout, run.stderr


@pytest.mark.slow
def test_commands(started, stub, tmp_path):
  _, environment = started
  put_data(stub, tmp_path)
  records = ('--filenames=gs://bucket/data/val-*', '--ckpt_path=gs://bucket/runs/1')
  training = ('run_trainer.py', *NETWORK, '--num_steps=2', '--persist_per_steps=1')
  data = ('--filenames=gs://bucket/data/train-*', '--eval_filenames=gs://bucket/data/val-*')
  away = ('--output_path=run', '--copy_to=gs://bucket/runs/1', '--eval_per_steps=1')
  stub.denied = '^/session/'  # Nothing can be written.
  _, stderr = command(environment, tmp_path, *training, *data, *away)
  assert 'model.ckpt-1.data-00000-of-00001 could not be copied (Permission denied; ' in stderr
  stub.denied = None
  stdout, _ = command(
    environment, tmp_path, 'run_trainer.py', '--flagfile=run/flags.txt', '--resume'
  )
  assert stdout.startswith('nothing to do')
  there = {name.removeprefix('bucket/runs/1/') for name in stub.objects if '/runs/1/' in name}
  assert there - {''} == set(os.listdir(tmp_path / 'run')) - {'copied_files.json'}

  remote, _ = command(environment, tmp_path, 'run_evaluator.py', *records)
  (tmp_path / 'val.tfrecord').write_bytes(stub.objects['bucket/data/val-00000-of-00001.tfrecord'])
  local, _ = command(
    {}, tmp_path, 'run_evaluator.py', '--filenames=val.tfrecord', '--ckpt_path=run'
  )
  assert [line for line in remote.split('\n') if line.startswith(('Loss', 'mIOU:'))] == [
    line for line in local.split('\n') if line.startswith(('Loss', 'mIOU:'))
  ]

  stub.objects['bucket/list.txt'] = b'gs://bucket/photos/deep/1.png\ngs://bucket/photos/gone.png\n'
  predicting = ('run_inferencer.py', records[1], '--recursive')
  command(environment, tmp_path, *predicting, '--input=gs://bucket/photos', '--output_path=p')
  assert sorted(os.listdir(tmp_path / 'p')) == ['0.png.png', '1.png.png']
  _, stderr = command(
    environment,
    tmp_path,
    *predicting[:2],
    '--input_file_list=gs://bucket/list.txt',
    '--output_path=q',
    status=1,
  )
  assert 'gs://bucket/photos/gone.png: cannot be read: No such file or directory' in stderr
  assert '1 of 2 images could not be predicted' in stderr
  assert (tmp_path / 'q' / '1.png.png').read_bytes() == (tmp_path / 'p' / '1.png.png').read_bytes()
  stdout, _ = command(environment, tmp_path, 'scripts/inspect_tfrecord.py', records[0])
  assert '3 good records, 0 problems' in stdout
  command(environment, tmp_path, 'scripts/preview_augmentation.py', records[0])
  _, stderr = command(
    environment, tmp_path, *training, *data, *away[1:], '--output_path=r', status=1
  )
  assert 'error: --copy_to=gs://bucket/runs/1: holds a run already (model.ckpt); give' in stderr


@pytest.mark.slow
def test_training_whose_data_is_gone_in_the_middle(started, stub, tmp_path):
  _, environment = started
  put_data(stub, tmp_path)
  process = subprocess.Popen(
    [sys.executable, str(_CHECKOUT / 'run_trainer.py'), *NETWORK, '--output_path=run']
    + ['--filenames=gs://bucket/data/train-*', '--log_per_steps=1', '--num_steps=100000'],
    cwd=tmp_path,
    env={**os.environ, **environment, 'PYTHONPATH': str(_CHECKOUT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  for line in process.stdout:
    if line.startswith('step: 5,'):
      stub.objects.clear()
  *_, last = process.stderr.read().strip().split('\n')
  assert process.wait() == 1
  assert 'run_trainer.py: error: gs://bucket/data/train-0000' in last
  assert 'of-00002.tfrecord: cannot be read any more (No such file or directory)' in last


@pytest.mark.slow
def test_the_walk_leaves_out_what_is_larger_than_a_block(started, stub, tmp_path):
  """TensorFlow reads gs:// in blocks, of 64 MB unless it is told otherwise."""
  _, environment = started
  path = record_makers.write(tmp_path / 'a.tfrecord', [os.urandom(10**7) for _ in range(8)])
  stub.objects['bucket/a.tfrecord'] = pathlib.Path(path).read_bytes()
  code = (
    'from deeplab.data import record_files; '
    'print(record_files.index_file("gs://bucket/a.tfrecord").num_records)'
  )
  before, started_at = stub.num_bytes_sent(), time.monotonic()
  run = subprocess.run(
    [sys.executable, '-c', code],
    cwd=tmp_path,
    env={
      **os.environ,
      **environment,
      'PYTHONPATH': str(_CHECKOUT),
      'GCS_READ_CACHE_BLOCK_SIZE_MB': '1',
    },
    capture_output=True,
    text=True,
    check=True,
  )
  assert run.stdout == '8\n'
  sent = stub.num_bytes_sent() - before
  print(f'{sent} of {8 * 10**7} bytes, {time.monotonic() - started_at:.1f} s')
  assert sent < 2 * 10**7
