"""What run_inferencer.py does, without a command line: files, summary, and what is refused."""

import os
import re
import time

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import trained_work

from deeplab import inference_run
from deeplab.errors import InputError
from deeplab.options import EngineOptions, InferenceOptions, ModelOptions, PredictionOptions

pytestmark = pytest.mark.usefixtures('short_networks')

_WITHOUT_GPU = pytest.mark.skipif(
  bool(tf.config.list_physical_devices('GPU')), reason='there is a GPU'
)


@pytest.fixture(scope='module', name='work')
def _work(tmp_path_factory, short_networks):
  return trained_work.make(tmp_path_factory.mktemp('work'))


@pytest.fixture(autouse=True)
def _in_work(work, monkeypatch):
  monkeypatch.chdir(work)


def _run(inference=(), *, model=(), prediction=(), compute=(), started=None):
  return inference_run.run(
    ModelOptions(**dict(model)),
    PredictionOptions(**dict(prediction)),
    InferenceOptions(
      **{'input': ['photos'], 'ckpt_path': 'model', 'output_path': 'never', **dict(inference)}
    ),
    EngineOptions(**dict(compute)),
    given={*dict(model), *dict(prediction), *dict(inference)},
    started=started,
  )


def test_files_lines_and_summary(work, capsys, monkeypatch):
  reads = trained_work.count_reads(monkeypatch)
  summary = _run(
    dict(output_path='out', output_type=['ids', 'probabilities', 'contact_sheet'], legend=True),
    started=time.monotonic() - 1000.0,
  )
  assert (summary.num_predicted, summary.num_bad) == (2, 0)
  assert reads == ['model/model.ckpt']  # Once for a command.
  assert 0 < summary.seconds_to_first <= summary.seconds
  lines = capsys.readouterr().out.splitlines()
  assert lines[:3] == [
    'checkpoint: model/model.ckpt',
    'architecture from model/model_options.json: mobilenet_v2, 4 classes',
    'predicting 2 images with model/model.ckpt',
  ]
  written = ['a.png_ids.png', 'a.png_probabilities.npz', 'b.png_ids.png', 'b.png_probabilities.npz']
  assert lines[3:-1] == ['Legend written to out/legend.png'] + [
    f'Prediction written to out/{name}' for name in (*written, 'contact_sheet-001.png')
  ]
  assert re.fullmatch(
    r'2 images in \d+\.\d s, \d+\.\d\d images/s; first prediction 1\d\d\d\.\d s after the start, '
    r'\d+\.\d s after loading; network traced 1 time',
    lines[-1],
  )
  assert sorted(os.listdir('out')) == [*written, 'contact_sheet-001.png', 'legend.png']
  np.testing.assert_array_equal(
    np.asarray(PIL.Image.open('out/a.png_ids.png')),
    np.load('out/a.png_probabilities.npz')['probabilities'].astype(np.float32).argmax(axis=-1),
  )


def test_what_exists_is_left_out_and_nothing_is_loaded(capsys):
  asked = dict(output_path='existing', skip_existing=True)
  assert _run(asked).num_predicted == 2
  capsys.readouterr()
  summary = _run({**asked, 'ckpt_path': 'no such checkpoint'})
  assert (summary.num_predicted, summary.num_bad) == (0, 0)
  assert capsys.readouterr().out == '2 of 2 images have predictions already\n'


def test_bad_images_are_counted(tmp_path, capsys):
  (tmp_path / 'text.jpg').write_text('text')
  summary = _run(dict(input=[str(tmp_path), 'photos/a.png'], output_path='bad'))
  assert (summary.num_predicted, summary.num_bad) == (1, 1)
  assert 'text.jpg: is not an image' in capsys.readouterr().err


def test_inputs_that_are_no_images_are_counted_where_others_are(tmp_path, capsys):
  (tmp_path / 'a.heic').write_bytes(b'x')
  heic = f'{tmp_path}/a.heic'
  asked = dict(input=[heic, 'photos/a.png', 'absent.jpg'], output_path='some', output_suffix='')
  summary = _run(asked)
  assert (summary.num_predicted, summary.num_bad) == (1, 2)
  warned = capsys.readouterr().err
  assert f'warning: --input={heic}: HEIC is not read; convert it' in warned
  assert 'warning: --input=absent.jpg: no such file or directory' in warned
  summary = _run({**asked, 'skip_existing': True})
  assert (summary.num_predicted, summary.num_bad) == (0, 2)
  (tmp_path / 'list.txt').write_text(f'photos/a.png\n{heic}\n')
  summary = _run(dict(input=(), input_file_list=f'{tmp_path}/list.txt', output_path='some'))
  assert (summary.num_predicted, summary.num_bad) == (1, 1)
  with pytest.raises(InputError, match='a.heic: HEIC is not read'):
    _run(dict(input=[heic, 'absent.jpg']))


@pytest.mark.parametrize(
  'inference,others,words',
  [
    (dict(input=['nothing']), {}, 'nothing: no such file'),
    (dict(recursive=True), {}, 'photos/a.png and photos/deep/a.png would both write'),
    (
      dict(output_path='val.tfrecord'),
      {},
      '--output_path: val.tfrecord is a file; give a directory',
    ),
    (
      dict(output_path='val.tfrecord/below'),
      {},
      '--output_path: the directory val.tfrecord/below cannot be made (Not a directory); choose',
    ),
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
def test_mistakes(work, inference, others, words):
  (work / 'few.txt').write_text('0 0 0 0 sky\n1 9 9 9 tree\n')
  before = sorted(os.listdir(work))
  with pytest.raises(InputError, match=re.escape(words)) as raised:
    _run(inference, **others)
  assert '\n' not in str(raised.value)
  assert [name for name in os.listdir(work) if name not in before] in ([], ['never'])
