import json
import os

import numpy as np
import pytest
import tensorflow as tf

from deeplab import metrics
from deeplab.errors import InputError
from deeplab.evaluator import EvaluationResult
from deeplab.training.step_result import StepResult
from deeplab.training.training_log import TrainingLog


def result(loss):
  return StepResult(
    total_loss=loss,
    parts={'cross_entropy': loss - 1.0, 'l2': 1.0},
    gradient_norm=2 * loss,
    label_range=(0, 2),
    wrong_labels=0,
    overflowed=False,
  )


def logging(path, *, start_step=0, log_per_steps=2):
  return TrainingLog(
    str(path),
    metrics_name='metrics.jsonl',
    log_per_steps=log_per_steps,
    num_steps=10,
    start_step=start_step,
  )


def lines_of(path):
  with open(path / 'metrics.jsonl', encoding='utf-8') as file:
    return [json.loads(line) for line in file]


def summaries(path):
  """{(tag, step): value or encoded image} of the event files in `path`."""
  found = {}
  for name in sorted(os.listdir(path)):
    if 'tfevents' in name:
      for event in tf.compat.v1.train.summary_iterator(os.path.join(path, name)):
        for value in event.summary.value:
          tensor = tf.make_ndarray(value.tensor)
          found[value.tag, event.step] = float(tensor) if tensor.ndim == 0 else tensor
  return found


def test_lines_files_and_scalars_agree(tmp_path, capsys):
  with logging(tmp_path) as log:
    for step, loss in enumerate((3.0, 4.0, 2.0), start=1):
      log.update(result(loss), step=step, learning_rate=0.1 * step, num_images=4, waited=0.0)
  assert capsys.readouterr().out == 'step: 2, loss: 3.500000\n'
  (line,) = lines_of(tmp_path)
  assert (line['step'], line['loss'], line['loss_parts']) == (
    2,
    3.5,
    {'cross_entropy': 2.5, 'l2': 1.0},
  )
  assert (line['learning_rate'], line['gradient_norm'], line['waiting_for_input']) == (
    0.2,
    7.0,
    0.0,
  )
  assert line['images_per_second'] > 0
  seen = summaries(tmp_path)
  assert seen['total_loss', 2] == 3.5
  assert seen['learning_rate', 2] == pytest.approx(0.2)
  assert (seen['losses/cross_entropy', 2], seen['losses/l2', 2], seen['gradient_norm', 2]) == (
    2.5,
    1.0,
    7.0,
  )
  assert ('images_per_second', 2) in seen and ('waiting_for_input', 2) in seen


def test_waiting_is_a_share_of_the_time(tmp_path, monkeypatch):
  clock = iter([0.0, 10.0, 10.0])
  monkeypatch.setattr('deeplab.training.training_log.time.monotonic', lambda: next(clock))
  with logging(tmp_path, log_per_steps=1) as log:
    log.update(result(1.0), step=1, learning_rate=0.1, num_images=40, waited=2.5)
  (line,) = lines_of(tmp_path)
  assert (line['images_per_second'], line['waiting_for_input']) == (4.0, 0.25)


def test_continuing_drops_later_and_cut_lines(tmp_path):
  kept = [{'step': 2, 'loss': 1.0}, {'step': 4, 'mean_iou': 0.5}, {'step': 4, 'loss': 2.0}]
  (tmp_path / 'metrics.jsonl').write_text(
    '\n'.join(map(json.dumps, [*kept, {'step': 5, 'mean_iou': 0.9}])) + '\n{"step": 6, "lo',
    encoding='utf-8',
  )
  with logging(tmp_path, start_step=4) as log:
    assert log.validations == [{'step': 4, 'mean_iou': 0.5}]
  assert lines_of(tmp_path) == kept


def test_validation(tmp_path, capsys):
  confusion = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
  validation = EvaluationResult(
    num_images=5, loss=0.75, confusion=confusion, summary=metrics.summarize(confusion)
  )
  with logging(tmp_path) as log:
    log.validated(
      validation, step=4, best={'mean_iou': 0.9, 'step': 2}, class_names=('sky', 'tree', 'sea')
    )
  assert capsys.readouterr().out == (
    'validation at step 4: mIOU 0.7083, loss 0.7500, 5 images; best 0.9000 at step 2\n'
    '  IoU: sky 0.7500, tree 0.6667, sea -\n'
  )
  (line,) = lines_of(tmp_path)
  assert line == {
    'step': 4,
    'mean_iou': pytest.approx(0.70833, abs=1e-4),
    'validation_loss': 0.75,
    'iou': [0.75, pytest.approx(2 / 3), None],
  }
  seen = summaries(tmp_path)
  assert seen['validation/mean_iou', 4] == pytest.approx(0.70833, abs=1e-4)
  assert seen['validation/iou/sky', 4] == 0.75
  assert ('validation/iou/sea', 4) not in seen


def test_a_validation_with_one_class_in_the_labels_says_so(tmp_path, capsys):
  confusion = np.array([[0, 0, 0], [0, 2, 0], [0, 0, 0]])
  validation = EvaluationResult(
    num_images=1, loss=0.5, confusion=confusion, summary=metrics.summarize(confusion)
  )
  best = {'mean_iou': 1.0, 'step': 4}
  with logging(tmp_path) as log:
    log.validated(validation, step=4, best=best, class_names=('sky', 'tree', 'sea'))
  assert capsys.readouterr().out.splitlines()[0] == (
    'validation at step 4: mIOU 1.0000 (the labels have pixels of one class of 3 only: tree), '
    'loss 0.5000, 1 images; best 1.0000 at step 4'
  )


def test_panel_shows_ignored_pixels_white(tmp_path):
  image = np.full([8, 8, 3], 50, np.uint8)
  label, prediction = np.full([8, 8], 255), np.full([8, 8], 1)
  with logging(tmp_path) as log:
    log.panel('training', [(image, label, prediction)], step=3, ignore_label=255)
  width, height, encoded = summaries(tmp_path)['training', 3]
  sheet = tf.io.decode_png(encoded).numpy()
  assert sheet.shape == (int(height), int(width), 3)
  cell = sheet.shape[1] // 3
  centres = [tuple(sheet[-40, cell * column + cell // 2]) for column in range(3)]
  assert centres == [(50, 50, 50), (255, 255, 255), (128, 0, 0)]


def test_a_full_disk_is_one_clear_error(tmp_path):
  with logging(tmp_path, log_per_steps=1) as log:
    log._metrics = open('/dev/full', 'w', encoding='utf-8')
    with pytest.raises(
      InputError, match='metrics.jsonl: cannot be written .No space left on device.'
    ):
      log.update(result(1.0), step=1, learning_rate=0.1, num_images=4, waited=0.0)
    log._metrics = open(os.devnull, 'w', encoding='utf-8')


def test_damaged_lines_are_left_out_with_a_warning(tmp_path, capsys):
  path = tmp_path / 'metrics.jsonl'
  good = b'{"step": 2, "mean_iou": 0.25}\n{"step": 3, "mean_iou": null}\n'
  damaged = [b'null', b'{"step": 1.5}', b'\xff\xfe', b'{"step": 1', b'{"step": 1, "mean_iou": "x"}']
  path.write_bytes(b'\n'.join(damaged) + b'\n' + good + b'{"step": 4, "mea')
  with logging(tmp_path, start_step=4) as log:
    assert [line['step'] for line in log.validations] == [2, 3]
  assert path.read_bytes() == good
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith(f'warning: {path}: line 1 (holds null, not an object {{...}}) and 4 more')
  with logging(tmp_path, start_step=4):  # What a kill cut off is no damage, and is gone.
    assert not capsys.readouterr().err


def test_numbers_that_are_not_finite_are_written_as_null(tmp_path):
  summary = metrics.summarize(np.zeros([2, 2], np.int64))
  evaluated = EvaluationResult(1, float('nan'), np.zeros([2, 2], np.int64), summary)
  with logging(tmp_path) as log:
    log.validated(evaluated, step=2, best={'mean_iou': 0.5, 'step': 1}, class_names=None)
  (line,) = lines_of(tmp_path)
  assert line == {'step': 2, 'mean_iou': None, 'validation_loss': None, 'iou': [None, None]}
