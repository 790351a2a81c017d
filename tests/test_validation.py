"""Validation with a tiny network on three records."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
import tiny_model
from PIL import Image

from deeplab import checkpoints, optimizer
from deeplab.data import input_pipeline, tfrecord
from deeplab.errors import InputError
from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.options import PredictionOptions, ValidationOptions
from deeplab.training.run_directory import RunDirectory
from deeplab.training.training_log import TrainingLog
from deeplab.training.validation import Interrupted, Validation


class Stop:
  requested = None


def png(array):
  buffer = io.BytesIO()
  Image.fromarray(array).save(buffer, 'PNG')
  return buffer.getvalue()


@pytest.fixture(name='records')
def _records(tmp_path):
  return write_records(tmp_path / 'val.tfrecord', labels=(0, 1, 2))


def write_records(path, *, labels):
  with tf.io.TFRecordWriter(str(path)) as writer:
    for index, label in enumerate(labels):
      image = np.full([6, 9, 3], 40 * index, np.uint8)
      writer.write(
        tfrecord.serialize(
          record_format='basic',
          image=png(image),
          label=png(np.full([6, 9], label, np.uint8)),
          name=f'record{index}',
          height=6,
          width=9,
        )
      )
  return str(path)


def make(tmp_path, records, model, *, average=None, patience=0):
  run = RunDirectory(str(tmp_path / 'run'))
  run.create()
  log = TrainingLog(run.path, metrics_name='metrics.jsonl', log_per_steps=1, num_steps=100)
  options = ValidationOptions(eval_filenames=(records,), eval_per_steps=10, patience=patience)
  return run, Validation(model, run, log, options=options, ignore_label=255, average=average)


def predict_always(model, label):
  """Makes a tiny model predict one class everywhere."""
  model.trainable['logits/semantic/weights'].assign(tf.zeros([8, 3])[tf.newaxis, tf.newaxis])
  model.trainable['logits/semantic/biases'].assign(tf.one_hot(label, 3))


def test_a_gpu_that_fails_for_want_of_memory_has_the_remedy(tmp_path, records, monkeypatch):
  _, validation = make(tmp_path, records, tiny_model.TinyModel())
  texts = ['CUDNN_STATUS_INTERNAL_ERROR', 'CUDNN_STATUS_BAD_PARAM']

  def fail(*_, **__):
    raise tf.errors.InternalError(None, None, texts.pop(0))

  monkeypatch.setattr(DeepLabV3Evaluator, 'evaluate', fail)
  with pytest.raises(InputError, match='the GPU failed .*INTERNAL_ERROR.* in the validation at'):
    validation.validate(10, stop=Stop())
  with pytest.raises(tf.errors.InternalError, match='BAD_PARAM'):
    validation.validate(10, stop=Stop())


def test_the_best_is_kept(tmp_path, records, capsys):
  model = tiny_model.TinyModel()
  run, validation = make(tmp_path, records, model)
  assert [step for step in (5, 10, 20) if validation.is_due(step)] == [10, 20]
  predict_always(model, 0)
  validation.validate(10, stop=Stop())
  assert 'validation at step 10: mIOU 0.1111' in capsys.readouterr().out  # IoU 1/3, 0 and 0.
  assert not validation.is_due(10)
  kept = model.trainable['logits/semantic/biases'].numpy()
  predict_always(model, 1)
  validation.validate(20, stop=Stop())  # As good, so not better.
  assert validation.best == {'mean_iou': pytest.approx(1 / 9), 'step': 10}
  best = checkpoints.Reader(run.file('best.ckpt'))
  np.testing.assert_array_equal(best.get('logits/semantic/biases'), kept)
  assert best.global_step == 10
  assert set(best.shapes) == {*model.named_variables, 'global_step'}
  with open(run.file('best.json'), encoding='utf-8') as file:
    assert json.load(file) == {'step': 10, 'mean_iou': pytest.approx(1 / 9)}


def test_patience_counts_validations_since_the_best(tmp_path, records):
  model = tiny_model.TinyModel()
  _, validation = make(tmp_path, records, model, patience=2)
  predict_always(model, 0)
  ended = []
  for step in (10, 20, 30):
    validation.validate(step, stop=Stop())
    ended.append(validation.is_out_of_patience())
  assert ended == [False, False, True]


def test_a_continued_run_knows_its_best_and_its_patience(tmp_path, records):
  model = tiny_model.TinyModel()
  _, validation = make(tmp_path, records, model, patience=2)
  predict_always(model, 0)
  validation.validate(10, stop=Stop())
  validation.validate(20, stop=Stop())
  run = RunDirectory(str(tmp_path / 'run'))
  log = TrainingLog(
    run.path, metrics_name='metrics.jsonl', log_per_steps=1, num_steps=100, start_step=20
  )
  options = ValidationOptions(eval_filenames=(records,), eval_per_steps=10, patience=2)
  again = Validation(model, run, log, options=options, ignore_label=255)
  assert again.best == validation.best
  assert not again.is_due(20) and again.is_due(30)
  again.validate(30, stop=Stop())
  assert again.is_out_of_patience()


def test_averaged_weights_are_evaluated_and_saved_and_the_trained_ones_come_back(
  tmp_path, records, capsys
):
  model = tiny_model.TinyModel()
  predict_always(model, 0)
  average = optimizer.MovingAverage(model.named_variables, decay=0.999)
  model.trainable['logits/semantic/biases'].assign([np.nan] * 3)
  run, validation = make(tmp_path, records, model, average=average)
  validation.validate(10, stop=Stop())
  assert 'mIOU 0.1111' in capsys.readouterr().out
  assert np.isnan(model.trainable['logits/semantic/biases']).all()
  np.testing.assert_array_equal(
    checkpoints.Reader(run.file('best.ckpt')).get('logits/semantic/biases'), [1.0, 0.0, 0.0]
  )


def test_a_signal_interrupts(tmp_path, records):
  model = tiny_model.TinyModel()
  run, validation = make(tmp_path, records, model)
  stop = Stop()
  stop.requested = 'SIGTERM'
  with pytest.raises(Interrupted):
    validation.validate(10, stop=stop)
  assert validation.is_due(10) and run.best_score() is None


def test_a_bad_record_is_named(tmp_path):
  records = write_records(tmp_path / 'bad.tfrecord', labels=(0, 7))
  _, validation = make(tmp_path, records, tiny_model.TinyModel())
  with pytest.raises(InputError, match='bad.tfrecord.*7'):
    validation.validate(10, stop=Stop())


class CornerAlignedModel(tiny_model.TinyModel):
  """A tiny network whose padding matters: class 2 where the whole picture, padding included, is of
  a size of the stride's own, else class 1.
  """

  def __init__(self, *, align_corners):
    super().__init__(tiny_model.OPTIONS.replace(align_corners=align_corners))

  def predict(self, images, **_):
    padded = tf.cast(tf.reduce_all(tf.shape(images)[1:3] % 16 == 1), tf.int32)
    return tf.one_hot(tf.fill(tf.shape(images)[:3], 1 + padded), 3)


@pytest.mark.parametrize(
  'align_corners, eval_pad, predicted', [(True, 'auto', 2), (False, 'auto', 1), (True, 'none', 1)]
)
def test_pads_as_the_evaluator_does(tmp_path, records, align_corners, eval_pad, predicted):
  model = CornerAlignedModel(align_corners=align_corners)
  run = RunDirectory(str(tmp_path / 'run'))
  run.create()
  log = TrainingLog(run.path, metrics_name='metrics.jsonl', log_per_steps=1, num_steps=100)
  options = ValidationOptions(eval_filenames=(records,), eval_per_steps=10, eval_pad=eval_pad)
  Validation(model, run, log, options=options, ignore_label=255).validate(10, stop=Stop())
  settings = {'num_classes': 3, 'ignore_label': 255}
  evaluator = DeepLabV3Evaluator(model, options=PredictionOptions(eval_pad=eval_pad), **settings)
  result = evaluator.evaluate(input_pipeline.evaluation_examples((records,), **settings))
  assert result.confusion[:, predicted].sum() == result.confusion.sum()
  assert log.validations[-1]['mean_iou'] == result.summary.mean_iou
