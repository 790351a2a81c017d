"""run_evaluator.py and run_inferencer.py as a user runs them."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import record_makers
import tensorflow as tf

from deeplab import checkpoints, devices, flags, metrics, options, saved_options
from deeplab.errors import InputError
from deeplab.model.prediction_model import DeepLabV3PredictionModel

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _load(command):
  """The command as a module, whether or not the checkout is on the path."""
  spec = importlib.util.spec_from_file_location(command, os.path.join(_ROOT, command + '.py'))
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


_WITHOUT_GPU = pytest.mark.skipif(
  bool(tf.config.list_physical_devices('GPU')), reason='there is a GPU'
)
run_evaluator, run_inferencer = _load('run_evaluator'), _load('run_inferencer')


def _run(command, *flags, directory):
  return subprocess.run(
    [sys.executable, os.path.join(_ROOT, command), *flags],
    cwd=directory,
    capture_output=True,
    check=False,
  )


@pytest.fixture(scope='module')
def work(tmp_path_factory):
  """A directory with a tiny network's checkpoint, pictures, and records of the same pictures with
  labels.
  """
  work = tmp_path_factory.mktemp('work')
  model_options = options.ModelOptions(
    model_variant='mobilenet_v2', depth_multiplier=0.35, num_classes=4
  )
  tf.random.set_seed(0)
  variables = DeepLabV3PredictionModel(model_options).named_variables
  variables['logits/semantic/weights'].assign(
    tf.random.normal(variables['logits/semantic/weights'].shape)
  )
  checkpoints.write(str(work / 'model' / 'model.ckpt'), variables)
  saved_options.write(
    str(work / 'model'), model_options, class_names=['sky', 'tree', 'road', 'car']
  )
  (work / 'photos' / 'deep').mkdir(parents=True)
  rng = np.random.default_rng(0)
  with tf.io.TFRecordWriter(str(work / 'val.tfrecord')) as writer:
    for index, name in enumerate(['a.png', 'b.png', 'deep/a.png']):
      image = (
        rng.integers(0, 256, [3, 4, 3], np.uint8).repeat(10 + index, axis=0).repeat(12, axis=1)
      )
      PIL.Image.fromarray(image).save(work / 'photos' / name)
      label = rng.choice(np.array([0, 1, 2, 255], np.uint8), image.shape[:2])
      PIL.Image.fromarray(label).save(work / f'label{index}.png')
      features = {
        'image': (work / 'photos' / name).read_bytes(),
        'label': (work / f'label{index}.png').read_bytes(),
      }
      writer.write(
        tf.train.Example(
          features=tf.train.Features(
            feature={
              key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
              for key, value in features.items()
            }
          )
        ).SerializeToString()
      )
  return work


def test_evaluation_and_inference_agree(work):
  inferred = _run(
    'run_inferencer.py',
    '--input=photos',
    '--recursive',
    '--keep_structure',
    '--ckpt_path=model',
    '--output_path=ids',
    '--output_type=ids,palette,contact_sheet',
    '--legend',
    directory=work,
  )
  # TensorFlow's chatter included.
  assert inferred.returncode == 0 and inferred.stderr == b'', inferred.stderr
  assert b'Prediction written to ids/deep/a.png_ids.png\n' in inferred.stdout
  assert b'network traced 1 time\n' in inferred.stdout
  assert sorted(os.listdir(work / 'ids')) == [
    'a.png_ids.png',
    'a.png_palette.png',
    'b.png_ids.png',
    'b.png_palette.png',
    'contact_sheet-001.png',
    'deep',
    'legend.png',
  ]
  evaluated = _run(
    'run_evaluator.py',
    '--filenames=val.tfrecord',
    '--ckpt_path=model',
    '--report_path=report',
    '--boundary_iou',
    '--batch_size=2',
    directory=work,
  )
  assert evaluated.returncode == 0, evaluated.stderr
  lines = evaluated.stdout.decode().splitlines()
  start = lines.index('Num of images evaluated: 3')
  assert re.fullmatch(r'Loss: \d+\.\d+', lines[start + 1]) and re.fullmatch(
    r'mIOU: [01]\.\d+', lines[start + 2]
  )
  confusion = sum(
    metrics.confusion_matrix(
      np.array(PIL.Image.open(work / f'label{index}.png')).astype(np.int32),
      np.array(PIL.Image.open(work / 'ids' / f'{name}_ids.png')).astype(np.int32),
      num_classes=4,
      ignore_label=255,
    ).numpy()
    for index, name in enumerate(['a.png', 'b.png', 'deep/a.png'])
  )
  report = json.loads((work / 'report' / 'report.json').read_text())
  assert report['confusion'] == confusion.tolist()
  assert float(lines[start + 2].split()[1]) == pytest.approx(
    metrics.summarize(confusion).mean_iou, abs=1e-6
  )
  assert any(line.startswith('sky ') for line in lines)
  assert b'warning: never in the truth, so not measured: car' in evaluated.stderr
  assert 'Report written to report/report.html' in lines


def test_a_folder_with_bad_files(work, tmp_path):
  whole = (work / 'photos' / 'a.png').read_bytes()
  for name, content in [
    (b'good.png', whole),
    (b'cut.png', whole[:90]),
    (b'text.jpg', b'text'),
    (b'notes.txt', b'notes'),
    (b'caf\xe9 \n.png', whole),
  ]:
    with open(os.path.join(os.fsencode(tmp_path), name), 'wb') as file:
      file.write(content)
  os.mkfifo(tmp_path / 'pipe.jpg')
  flags = [f'--input={tmp_path}', f'--ckpt_path={work}/model', '--output_path=out']
  done = _run('run_inferencer.py', *flags, directory=tmp_path)
  assert done.returncode == 1
  assert sorted(os.listdir(os.fsencode(tmp_path / 'out'))) == [
    b'caf\xe9 \n.png.png',
    b'good.png.png',
  ]
  assert b'Prediction written to out/caf\xe9 \\n.png.png\n' in done.stdout
  assert (
    b'cut.png: is a damaged or truncated image' in done.stderr
    and b'text.jpg: is not an image' in done.stderr
  )
  assert (
    b'pipe.jpg: is not a regular file' in done.stderr
    and b'error: 3 of 5 images could not be predicted' in done.stderr
  )
  again = _run('run_inferencer.py', *flags, '--skip_existing', directory=tmp_path)
  assert again.returncode == 1 and b'2 of 5 images have predictions already' in again.stdout
  assert b'Prediction written' not in again.stdout


@pytest.mark.parametrize(
  'inference,others,words',
  [
    (dict(input=['nothing']), {}, 'nothing: no such file'),
    (dict(recursive=True), {}, 'photos/a.png and photos/deep/a.png would both write'),
    (dict(output_path='val.tfrecord'), {}, '--output_path=val.tfrecord: is a file'),
    (dict(output_path='val.tfrecord/below'), {}, 'cannot be written'),
    (dict(output_path='photos'), {}, 'is also --input'),
    (dict(colormap='few.txt'), {}, '2 colours, fewer than the 4 classes'),
    (dict(ckpt_path='photos'), {}, '--ckpt_path=photos: holds no checkpoint'),
    (dict(ckpt_path='nope'), {}, '--ckpt_path=nope: not found; checkpoints in .: none'),
    (dict(colormap='nope'), {}, '--colormap=nope: not a file'),
    (dict(output_path=''), {}, '--output_path= is empty; give a directory'),
    (dict(class_names='voc'), {}, '21 names for --num_classes=4'),
    ({}, dict(model=dict(num_classes=5)), '--num_classes=5: the checkpoint was made with'),
    (
      {},
      dict(prediction=dict(tile_size=16)),
      '--tile_size=16: must be greater than --output_stride=16',
    ),
    (
      {},
      dict(prediction=dict(tile_size=20, tile_overlap=10)),
      'must be smaller than --tile_size=20 by at least',
    ),
    pytest.param(
      {},
      dict(compute=dict(compute_dtype='float16')),
      '--compute_dtype=float16: needs a GPU',
      marks=_WITHOUT_GPU,
    ),
  ],
)
def test_mistakes_of_inference(work, monkeypatch, inference, others, words):
  monkeypatch.chdir(work)
  (work / 'few.txt').write_text('0 0 0 0 sky\n1 9 9 9 tree\n')
  before = sorted(os.listdir(work))
  inference = dict(dict(input=['photos'], ckpt_path='model', output_path='never'), **inference)
  with pytest.raises(InputError, match=re.escape(words)) as raised:
    _call(run_inferencer, monkeypatch, options.InferenceOptions(**inference), **others)
  assert '\n' not in str(raised.value) and [
    name for name in os.listdir(work) if name not in before
  ] in ([], ['never'])


@pytest.mark.parametrize(
  'evaluation,words',
  [
    (dict(report_path='val.tfrecord'), '--report_path=val.tfrecord: is a file'),
    (dict(report_path=''), '--report_path= is empty; give a directory'),
    (dict(class_names='voc'), '--class_names=voc: 21 names for --num_classes=4'),
    (dict(colormap='nope'), '--colormap=nope: not a file'),
    (dict(ckpt_path='nope'), '--ckpt_path=nope: not found'),
    (dict(ckpt_path='photos', all_checkpoints=True), '--ckpt_path=photos: holds no checkpoint'),
    (dict(ignore_label=254), 'label value 255'),
    (dict(all_checkpoints=True, ckpt_path='model/model.ckpt'), 'need the directory'),
    (dict(filenames=['missing']), 'missing'),
    (dict(colormap='few.txt', report_path='never'), 'few.txt: 2 colours for 4 classes'),
  ],
)
def test_mistakes_of_evaluation(work, monkeypatch, evaluation, words):
  monkeypatch.chdir(work)
  (work / 'few.txt').write_text('0 0 0 0 sky\n1 9 9 9 tree\n')
  evaluation = dict(dict(filenames=['val.tfrecord'], ckpt_path='model'), **evaluation)
  with pytest.raises(InputError, match=re.escape(words)):
    _call(run_evaluator, monkeypatch, options.EvaluationOptions(**evaluation))


@_WITHOUT_GPU
def test_what_the_devices_cannot_do(work, monkeypatch, capsys):
  monkeypatch.chdir(work)
  evaluation = options.EvaluationOptions(filenames=['val.tfrecord'], ckpt_path='model')
  with pytest.raises(
    InputError,
    match='^--compute_dtype=float16: needs a GPU, and none was found; use bfloat16 or float32$',
  ):
    _call(run_evaluator, monkeypatch, evaluation, compute=dict(compute_dtype='float16'))
  assert _call(run_evaluator, monkeypatch, evaluation, compute=dict(jit_compile=True)) == 0
  assert capsys.readouterr().err.startswith('warning: --jit_compile: XLA is made for GPUs')
  for slowdown in (1.0, 3.0):
    monkeypatch.setattr(
      devices, '_seconds_of_a_product', {tf.bfloat16: slowdown, tf.float32: 1.0}.get
    )
    assert (
      _call(run_evaluator, monkeypatch, evaluation, compute=dict(compute_dtype='bfloat16')) == 0
    )
    warned = (
      'warning: --compute_dtype=bfloat16: this processor multiplies 3.0 times slower'
      in capsys.readouterr().err
    )
    assert warned == (slowdown == 3.0)


def test_records_without_a_counted_pixel(work, monkeypatch, capsys):
  monkeypatch.chdir(work)
  record_makers.write(
    'ignored.tfrecord', [record_makers.record(0, value=255), record_makers.record(1, value=255)]
  )
  with pytest.raises(
    InputError, match='^no pixel counts in 2 records: every label is --ignore_label=255; check'
  ):
    _call(
      run_evaluator,
      monkeypatch,
      options.EvaluationOptions(filenames=['ignored.tfrecord'], ckpt_path='model'),
    )
  assert 'nan' not in capsys.readouterr().out


def test_several_checkpoints(work, monkeypatch, capsys):
  monkeypatch.chdir(work)
  for number in (5, 20):
    for suffix in ('.index', '.data-00000-of-00001'):
      (work / 'several').mkdir(exist_ok=True)
      (work / 'several' / f'model.ckpt-{number}{suffix}').write_bytes(
        (work / 'model' / f'model.ckpt{suffix}').read_bytes()
      )
  (work / 'several' / 'model_options.json').write_bytes(
    (work / 'model' / 'model_options.json').read_bytes()
  )
  assert (
    _call(
      run_evaluator,
      monkeypatch,
      options.EvaluationOptions(
        filenames=['val.tfrecord'], ckpt_path='several', all_checkpoints=True, report_path='reports'
      ),
    )
    == 0
  )
  lines = capsys.readouterr().out.splitlines()
  assert (
    lines.count('Num of images evaluated: 3') == 2 and lines[-1] == 'best: several/model.ckpt-5'
  )
  assert sorted(os.listdir(work / 'reports')) == ['model.ckpt-20', 'model.ckpt-5']


def _call(command, monkeypatch, command_options, *, model=None, prediction=None, compute=None):
  """The command's main in this process, which saves importing TensorFlow again."""
  monkeypatch.setattr(flags, 'given', lambda option_class: frozenset(model or {}))
  return command.main(
    options.ModelOptions(**(model or {})),
    options.PredictionOptions(**(prediction or {})),
    command_options,
    options.ComputeOptions(**(compute or {})),
  )
