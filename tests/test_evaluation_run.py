"""What run_evaluator.py does, without a command line: results, reports, and what is refused."""

import json
import os
import re

import pytest
import record_makers
import tensorflow as tf
import trained_work

from deeplab import devices, evaluation_run
from deeplab.errors import InputError
from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.options import EngineOptions, EvaluationOptions, ModelOptions, PredictionOptions

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


def _run(evaluation=(), *, model=(), prediction=(), compute=()):
  return evaluation_run.run(
    ModelOptions(**dict(model)),
    PredictionOptions(**dict(prediction)),
    EvaluationOptions(**{'filenames': ['val.tfrecord'], 'ckpt_path': 'model', **dict(evaluation)}),
    EngineOptions(**dict(compute)),
    given={*dict(model), *dict(prediction), *dict(evaluation)},
  )


def test_what_is_returned_is_what_is_printed_and_written(work, capsys, monkeypatch):
  reads = trained_work.count_reads(monkeypatch)
  (report,) = _run(dict(report_path='report', boundary_iou=True), prediction=dict(batch_size=2))
  result = report.result
  captured = capsys.readouterr()
  lines = captured.out.splitlines()
  assert lines[:5] == [
    'checkpoint: model/model.ckpt',
    'architecture from model/model_options.json: mobilenet_v2, 4 classes',
    'Num of images evaluated: 3',
    f'Loss: {result.loss:.8f}',
    f'mIOU: {result.summary.mean_iou:.8f}',
  ]
  assert lines[6].split('  ')[0] == 'class' and 'boundary IoU' in lines[6]
  assert lines[-1] == 'Report written to report/report.html'
  assert captured.err.startswith('warning: never in the truth, so not measured: car\n')
  written = json.loads((work / 'report' / 'report.json').read_text())
  assert written['confusion'] == result.confusion.tolist()
  assert written['loss'] == pytest.approx(result.loss)
  assert [each['name'] for each in written['classes']] == list(report.class_names)
  assert report.class_names == trained_work.CLASS_NAMES
  assert reads == ['model/model.ckpt']  # Once for a command.
  assert (report.checkpoint, report.global_step) == ('model/model.ckpt', None)
  assert written['settings']['batch_size'] == 2
  assert written['settings']['depth_multiplier'] == 0.35


@pytest.mark.parametrize(
  'evaluation,words',
  [
    (dict(report_path='val.tfrecord'), '--report_path: val.tfrecord is a file; give a directory'),
    (dict(report_path=''), '--report_path= is empty; give a directory'),
    (dict(class_names='voc'), '--class_names=voc: 21 names for --num_classes=4'),
    (dict(colormap='nope'), '--colormap=nope: not a file'),
    (dict(ckpt_path='nope'), '--ckpt_path=nope: not found'),
    (dict(ckpt_path='photos', all_checkpoints=True), '--ckpt_path=photos: holds no checkpoint'),
    (dict(ignore_label=254), 'label value 255'),
    (dict(all_checkpoints=True, ckpt_path='model/model.ckpt'), 'need the directory'),
    (dict(filenames=['missing']), 'missing'),
    (dict(colormap='few.txt', report_path='never'), 'few.txt: 2 colours for 4 classes'),
    (dict(ckpt_path='empty', watch=True, watch_timeout=0.01), 'empty: no checkpoint appeared'),
  ],
)
def test_mistakes(work, evaluation, words):
  (work / 'few.txt').write_text('0 0 0 0 sky\n1 9 9 9 tree\n')
  (work / 'empty').mkdir(exist_ok=True)
  with pytest.raises(InputError, match=re.escape(words)):
    _run(evaluation)
  assert not (work / 'never').exists()


def test_a_gpu_that_fails_for_want_of_memory_has_the_remedy(monkeypatch):
  def fail(*_, **__):
    raise tf.errors.UnknownError(None, None, 'Failed to get convolution algorithm. This is')

  monkeypatch.setattr(DeepLabV3Evaluator, 'evaluate', fail)
  with pytest.raises(InputError, match='the GPU failed .* after 0 images; give --max_size'):
    _run()


def test_a_flag_that_contradicts_the_checkpoint():
  with pytest.raises(InputError, match='--num_classes=5: the checkpoint was made with'):
    _run(model=dict(num_classes=5))


@_WITHOUT_GPU
def test_what_the_devices_cannot_do(monkeypatch, capsys):
  with pytest.raises(
    InputError,
    match='^--compute_dtype=float16: needs a GPU, and none was found; use bfloat16 or float32$',
  ):
    _run(compute=dict(compute_dtype='float16'))
  assert len(_run(compute=dict(jit_compile=True))) == 1
  assert capsys.readouterr().err.startswith('warning: --jit_compile: XLA is made for GPUs')
  for slowdown in (1.0, 3.0):
    monkeypatch.setattr(
      devices, '_seconds_of_a_product', {tf.bfloat16: slowdown, tf.float32: 1.0}.get
    )
    assert len(_run(compute=dict(compute_dtype='bfloat16'))) == 1
    warned = (
      'warning: --compute_dtype=bfloat16: this processor multiplies 3.0 times slower'
      in capsys.readouterr().err
    )
    assert warned == (slowdown == 3.0)


def test_records_without_a_counted_pixel(capsys):
  record_makers.write(
    'ignored.tfrecord', [record_makers.record(0, value=255), record_makers.record(1, value=255)]
  )
  with pytest.raises(
    InputError, match='^no pixel counts in 2 records: every label is --ignore_label=255; check'
  ):
    _run(dict(filenames=['ignored.tfrecord']))
  assert 'nan' not in capsys.readouterr().out


def test_a_checkpoint_without_saved_options_may_be_official(work, capsys):
  (work / 'bare').mkdir()
  for suffix in ('.index', '.data-00000-of-00001'):
    (work / 'bare' / f'model.ckpt{suffix}').write_bytes(
      (work / 'model' / f'model.ckpt{suffix}').read_bytes()
    )
  architecture = dict(model_variant='mobilenet_v2', depth_multiplier=0.35, num_classes=4)
  _run(dict(ckpt_path='bare'), model=architecture)
  err = capsys.readouterr().err
  assert err.startswith('warning: bare/model.ckpt has no model_options.json beside it, and ')
  assert 'import_official_checkpoint.py' in err
  _run()
  assert 'official' not in capsys.readouterr().err


def test_several_checkpoints(work, capsys):
  (work / 'several').mkdir()
  for number in (5, 20):
    for suffix in ('.index', '.data-00000-of-00001'):
      (work / 'several' / f'model.ckpt-{number}{suffix}').write_bytes(
        (work / 'model' / f'model.ckpt{suffix}').read_bytes()
      )
  (work / 'several' / 'model_options.json').write_bytes(
    (work / 'model' / 'model_options.json').read_bytes()
  )
  reports = _run(dict(ckpt_path='several', all_checkpoints=True, report_path='reports'))
  assert [report.checkpoint for report in reports] == [
    'several/model.ckpt-5',
    'several/model.ckpt-20',
  ]
  lines = capsys.readouterr().out.splitlines()
  assert (
    lines.count('Num of images evaluated: 3') == 2 and lines[-1] == 'best: several/model.ckpt-5'
  )
  assert sorted(os.listdir(work / 'reports')) == ['model.ckpt-20', 'model.ckpt-5']
