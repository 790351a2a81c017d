"""The line with which a command ends: what it leads to, with which paths."""

import os
import shlex
import shutil
import subprocess

import pytest
import record_makers

from deeplab import data_set_files, next_command, saved_options
from deeplab.data_set import DataSet, Split
from deeplab.options import (
  EvaluationOptions,
  InspectionOptions,
  ModelOptions,
  PredictionOptions,
  RunOptions,
  TrainingInputOptions,
  ValidationOptions,
)


def touch(path):
  path.parent.mkdir(parents=True, exist_ok=True)
  return record_makers.write(path, [record_makers.record(1)])


@pytest.fixture(name='splits')
def _splits(tmp_path, monkeypatch):
  """records/train and records/val below the current directory."""
  monkeypatch.chdir(tmp_path)
  for split in ('train', 'val'):
    touch(tmp_path / 'records' / split / f'{split}-00001-of-00001.tfrecord')


def test_a_line_can_be_pasted_whatever_the_names():
  line = next_command.line('run_x.py', filenames=("it's", 'a b-*'), best=True)
  assert line == "next: run_x.py '--filenames=it'\"'\"'s' '--filenames=a b-*' --best"
  assert shlex.split(line) == [
    'next:',
    'run_x.py',
    "--filenames=it's",
    '--filenames=a b-*',
    '--best',
  ]


def test_control_characters_can_be_pasted_too():
  name = "a\n\x1b[31m\u202e\udc9b\udcff it's \\n"
  line = next_command.line('printf %s', input=name)
  assert not set('\n\x1b\u202e\udc9b') & set(line)
  bash = shutil.which('bash')
  if bash:
    _, _, pasted = os.fsencode(line).partition(b' ')
    printed = subprocess.run([bash, '-c', pasted.replace(b"'printf %s'", b'printf %s')], stdout=-1)
    assert printed.stdout == b'--input=' + os.fsencode(name)


def test_after_conversion_the_records_of_the_split(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  touch(tmp_path / 'out' / 'train-00001-of-00001.tfrecord')
  expected = 'next: inspect_tfrecord.py --filenames=out --contact_sheet=out/train.png'
  assert next_command.after_conversion('out', 'train') == expected
  touch(tmp_path / 'out' / 'val-00001-of-00001.tfrecord')
  assert next_command.after_conversion('out', 'val') == (
    "next: inspect_tfrecord.py '--filenames=out/val-*.tfrecord' --contact_sheet=out/val.png"
  )


@pytest.mark.usefixtures('splits')
def test_after_inspection_training_with_the_validation_records_beside():
  def line(filenames, num_records):
    return next_command.after_inspection(
      InspectionOptions(filenames=(filenames,)), num_records=num_records
    )

  rest = '--filenames=records/train --eval_filenames=records/val --output_path=model'
  assert line('records/train', 500) == f'next: run_trainer.py --recipe=from_scratch {rest}'
  assert line('records/train', 499) == (
    f'next: run_trainer.py --recipe=fine_tune --load_ckpt_path=CHECKPOINT {rest}'
  )
  assert line('records/val', 500) is None


@pytest.mark.usefixtures('splits')
def test_after_training_the_evaluation_of_the_best(tmp_path):
  def line(**validation):
    return next_command.after_training(
      TrainingInputOptions(filenames=('records/train',)),
      ValidationOptions(**validation),
      RunOptions(output_path='model'),
    )

  assert line() == (
    'next: run_evaluator.py --filenames=records/val --ckpt_path=model --report_path=model/report'
  )
  touch(tmp_path / 'model' / 'best.ckpt.index')
  assert line(eval_filenames=('other',)) == (
    'next: run_evaluator.py --filenames=other --ckpt_path=model --best --report_path=model/report'
  )


@pytest.mark.usefixtures('splits')
@pytest.mark.parametrize(
  'learnt, fits',
  [
    (DataSet(num_classes=2, class_names=('no', 'yes')), True),
    (DataSet(num_classes=2, ignore_label=9), True),
    (None, True),
    (DataSet(num_classes=2, class_names=('sky', 'sea')), False),
    (DataSet(num_classes=3), False),
  ],
)
def test_after_training_only_held_out_records_of_the_same_classes(learnt, fits):
  split = Split(num_records=1, files=('val-00001-of-00001.tfrecord',))
  described = DataSet(num_classes=2, class_names=('no', 'yes'), splits={'val': split})
  data_set_files.write(os.path.join('records', 'val'), described, split_name='val')

  os.makedirs('model')
  num_classes = learnt.num_classes if learnt else 2
  saved_options.write('model', ModelOptions(num_classes=num_classes), data_set=learnt)
  line = next_command.after_training(
    TrainingInputOptions(filenames=('records/train',)),
    ValidationOptions(),
    RunOptions(output_path='model'),
  )
  assert f'--filenames={"records/val" if fits else "RECORDS_TO_TEST_ON"} ' in line


def test_after_training_without_held_out_records(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  touch(tmp_path / 'mine.tfrecord')
  line = next_command.after_training(
    TrainingInputOptions(filenames=('mine.tfrecord',)), ValidationOptions(), RunOptions()
  )
  assert '--filenames=RECORDS_TO_TEST_ON' in line


@pytest.mark.usefixtures('splits')
def test_after_evaluation_the_images_of_the_records(tmp_path):
  options = EvaluationOptions(filenames=('records/val',), ckpt_path='model', best=True)
  start, end = (
    'next: run_inferencer.py --ckpt_path=model --best',
    ('--output_type=overlay --output_path=predictions'),
  )
  assert (
    next_command.after_evaluation(options, PredictionOptions()) == f'{start} --input=IMAGES {end}'
  )
  split = Split(
    num_records=1,
    files=('val-00001-of-00001.tfrecord',),
    source={'images_dir': str(tmp_path / 'photos')},
  )
  data_set_files.write(
    os.path.join('records', 'val'), DataSet(num_classes=2, splits={'val': split}), split_name='val'
  )
  assert (
    next_command.after_evaluation(options, PredictionOptions()) == f'{start} --input=IMAGES {end}'
  )
  (tmp_path / 'photos').mkdir()
  assert (
    next_command.after_evaluation(options, PredictionOptions())
    == f'{start} --input={tmp_path}/photos {end}'
  )


@pytest.mark.usefixtures('splits')
def test_after_evaluation_the_prediction_is_as_evaluated():
  options = EvaluationOptions(filenames=('records/val',), ckpt_path='model')
  prediction = PredictionOptions(
    max_size=513, eval_scales=(0.75, 1.0), add_flipped_images=True, eval_pad='none', batch_size=2
  )
  given = {'max_size', 'eval_scales', 'add_flipped_images', 'eval_pad', 'batch_size'}
  assert next_command.after_evaluation(options, prediction, given=given) == (
    'next: run_inferencer.py --ckpt_path=model --max_size=513 --eval_scales=0.75,1.0 '
    '--add_flipped_images --eval_pad=none --input=IMAGES --output_type=overlay '
    '--output_path=predictions'
  )
