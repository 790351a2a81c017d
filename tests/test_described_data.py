"""One description from the converter to the prediction: nothing on the data is said twice."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from deeplab import conversion_run, evaluation_run, inference_run, saved_options, training_run
from deeplab.errors import InputError
from deeplab.options import (
  ComputeOptions,
  ConversionOptions,
  EngineOptions,
  EvaluationOptions,
  InferenceOptions,
  LossOptions,
  ModelOptions,
  PredictionOptions,
  RunOptions,
  TrainingInputOptions,
  TrainingOptions,
  ValidationOptions,
)
from deeplab.training import training_data

pytestmark = pytest.mark.usefixtures('short_networks')

NAMES = ('grass', 'water')
COLORS = ((10, 200, 10), (20, 20, 250))
MODEL = dict(model_variant='mobilenet_v2', depth_multiplier=0.35, use_image_level_feature=False)


def convert(work, split, output='out', **flags):
  flags = {
    'images_dir': str(work / 'images'),
    'labels_dir': str(work / 'labels'),
    'list_path': str(work / f'{split}.txt'),
    'split': split,
    'output_dir': str(work / output),
    'num_workers': 1,
    **flags,
  }
  return conversion_run.convert(ConversionOptions(**flags), given=flags)


@pytest.fixture(scope='module', name='work')
def _work(tmp_path_factory):
  """Pictures of two classes and the ignored value 2, converted once with flags, once without."""
  work = tmp_path_factory.mktemp('work')
  rng = np.random.default_rng(0)
  for directory in ('images', 'labels'):
    (work / directory).mkdir()
  for name in 'abc':
    Image.fromarray(rng.integers(0, 255, [40, 50, 3], np.uint8)).save(work / f'images/{name}.jpg')
    label = np.kron(rng.permutation(np.arange(20) % 3).reshape(4, 5), np.ones([10, 10]))
    Image.fromarray(label.astype(np.uint8)).save(work / f'labels/{name}.png')
  (work / 'train.txt').write_text('a\nb\n')
  (work / 'val.txt').write_text('c\n')
  lines = [f'{index} {r} {g} {b} {NAMES[index]}' for index, (r, g, b) in enumerate(COLORS)]
  (work / 'map.txt').write_text('\n'.join([*lines, '2 0 0 0 void']))
  convert(work, 'train', colormap=str(work / 'map.txt'), ignore_label=2)
  convert(work, 'val', dataset=str(work / 'out' / 'train'))
  return work


def train(work, output, *, filenames=None, validation=(), **flags):
  groups = dict(model={}, input={}, run={})
  for name, value in flags.items():
    group = {'num_classes': 'model', 'ignore_label': 'input'}.get(name, 'run')
    groups[group][name] = value
  return training_run.run(
    ModelOptions(**MODEL, **groups['model']),
    ComputeOptions(),
    TrainingInputOptions(
      filenames=filenames or (str(work / 'out' / 'train'),),
      batch_size=2,
      crop_size_height=33,
      crop_size_width=33,
      seed=1,
      **groups['input'],
    ),
    TrainingOptions(num_steps=1),
    LossOptions(),
    ValidationOptions(**dict(validation)),
    RunOptions(output_path=str(output), log_per_steps=1, persist_per_steps=1, **groups['run']),
    given=frozenset(flags),
  )


@pytest.fixture(scope='module', name='trained')
def _trained(work, short_networks):
  train(work, work / 'model', validation=dict(eval_filenames=(str(work / 'out' / 'val'),)))
  return work / 'model'


def test_description_says_where_the_records_came_from(work):
  content = json.loads((work / 'out' / 'train' / 'dataset.json').read_text())
  assert (content['num_classes'], content['ignore_label']) == (2, 2)
  split = content['splits']['train']
  assert (split['num_records'], split['files']) == (2, ['train-00001-of-00001.tfrecord'])
  assert split['images_with_label'] == {'0': 2, '1': 2, '2': 2}
  assert split['source']['list_path'] == str(work / 'train.txt')
  assert not os.path.exists(work / 'out' / 'dataset.json')


def test_trainer_takes_the_description_and_saves_it(trained):
  saved = saved_options.read(str(trained / 'model.ckpt'))
  assert saved.model_options.num_classes == 2
  assert saved.class_names == NAMES
  assert (saved.data_set.ignore_label, saved.data_set.colors) == (2, COLORS)
  assert set(saved.data_set.splits) == {'train', 'val'}
  validations = [
    line for line in map(json.loads, open(trained / 'metrics.jsonl')) if 'mean_iou' in line
  ]
  assert [len(line['iou']) for line in validations] == [2]


def test_evaluator_and_inferencer_take_it_from_the_network(work, trained, tmp_path, capsys):
  (report,) = evaluation_run.run(
    ModelOptions(),
    PredictionOptions(),
    EvaluationOptions(
      filenames=(str(work / 'out' / 'val'),), ckpt_path=str(trained), report_path=str(tmp_path)
    ),
    EngineOptions(),
  )
  assert report.class_names == NAMES
  ignored = np.asarray(Image.open(work / 'labels' / 'c.png')) == 2
  assert report.result.confusion.sum() == np.sum(~ignored)
  assert 'rgb(10,200,10)' in (tmp_path / 'report.html').read_text().replace(' ', '')
  inference_run.run(
    ModelOptions(),
    PredictionOptions(),
    InferenceOptions(
      input=(str(work / 'images' / 'c.jpg'),),
      ckpt_path=str(trained),
      output_path=str(tmp_path / 'pictures'),
      output_type=('color',),
    ),
    EngineOptions(),
  )
  picture = np.asarray(Image.open(tmp_path / 'pictures' / 'c.jpg.png').convert('RGB'))
  assert {tuple(color) for color in picture.reshape(-1, 3).tolist()} <= set(COLORS)
  assert 'warning: class' not in capsys.readouterr().err


@pytest.mark.parametrize(
  'flags, message',
  [
    (dict(num_classes=1), r'--num_classes=1: the records of train hold label 1 \(water\) in 2'),
    (dict(ignore_label=255), '--ignore_label=255: the records of train hold label 2 in 2 images'),
  ],
)
def test_flag_that_contradicts_the_records_is_refused(work, tmp_path, flags, message):
  with pytest.raises(InputError, match=message):
    train(work, tmp_path, **flags)
  assert not os.listdir(tmp_path)


def test_flag_wins_where_it_can(work, tmp_path, capsys):
  train(work, tmp_path, num_classes=3, ignore_label=255)
  saved = saved_options.read(str(tmp_path / 'model.ckpt'))
  assert (saved.model_options.num_classes, saved.data_set.ignore_label) == (3, 255)
  assert saved.class_names == ()
  assert '--num_classes=3: the data set has 2' in capsys.readouterr().err


def test_network_without_a_class_of_the_records_is_refused(work, trained, tmp_path):
  convert(work, 'train', 'other', num_classes=3, ignore_label=255, record_format='official')
  records = str(work / 'other' / 'train-00000-of-00001.tfrecord')
  with pytest.raises(InputError, match='^2 classes: the records of train hold label 2 in 2 images'):
    evaluation_run.run(
      ModelOptions(),
      PredictionOptions(),
      EvaluationOptions(filenames=(records,), ckpt_path=str(trained)),
      EngineOptions(),
    )


def test_train_and_val_in_one_directory_are_not_trained_on_together(work, tmp_path):
  description = str(work / 'out' / 'train')
  for split in ('train', 'val'):
    convert(work, split, 'both', dataset=description, record_format='official')
  directory = work / 'both'
  with pytest.raises(InputError, match=r"both: holds train and val, .* --filenames='.*/train-\*'"):
    train(work, tmp_path / 'run', filenames=(str(directory),))
  assert json.loads((directory / 'dataset.json').read_text())['splits'].keys() == {'train', 'val'}
  train(work, tmp_path / 'run', filenames=(str(directory / 'train-*'), str(directory / 'val-*')))


def test_validation_on_the_training_files_is_warned_of(work, tmp_path, capsys):
  records = str(work / 'out' / 'train')
  train(work, tmp_path, validation=dict(eval_filenames=(records,)))
  assert 'warning: --eval_filenames: 1 of 1 files are trained on too' in capsys.readouterr().err


def test_a_copy_of_the_training_files_counts_as_the_same(work, tmp_path):
  records = work / 'out' / 'train' / 'train-00001-of-00001.tfrecord'
  copy, other = tmp_path / 'copy.tfrecord', work / 'out' / 'val' / 'val-00001-of-00001.tfrecord'
  copy.write_bytes(records.read_bytes())
  warnings = {}
  for path in (copy, other):
    found = training_data.find(
      ModelOptions(**MODEL, num_classes=2),
      TrainingInputOptions(filenames=(str(records),), ignore_label=2),
      ValidationOptions(eval_filenames=(str(path),)),
      RunOptions(),
      saved=None,
      given=['num_classes', 'ignore_label'],
    )
    warnings[path] = [line for line in found.warnings if 'trained on too' in line]
  assert (len(warnings[copy]), warnings[other]) == (1, [])


def test_records_that_were_written_anew_are_warned_of(work, tmp_path, capsys):
  convert(work, 'train', 'anew', dataset=str(work / 'out' / 'train'), record_format='official')
  directory = work / 'anew'
  with open(directory / 'train-00000-of-00001.tfrecord', 'r+b') as file:
    size = int.from_bytes(file.read(8), 'little')
    file.truncate(size + 16)
  train(work, tmp_path / 'run', filenames=(str(directory),))
  assert 'says 2 records of train, their files hold 1' in capsys.readouterr().err


def test_resumed_run_keeps_what_it_was_started_with(work, tmp_path):
  train(work, tmp_path / 'run')
  os.rename(work / 'out' / 'train' / 'dataset.json', tmp_path / 'dataset.json')
  os.rename(work / 'out' / 'train' / 'train-summary.json', tmp_path / 'train-summary.json')
  try:
    result = train(work, tmp_path / 'run', resume=True)
  finally:
    os.rename(tmp_path / 'dataset.json', work / 'out' / 'train' / 'dataset.json')
    os.rename(tmp_path / 'train-summary.json', work / 'out' / 'train' / 'train-summary.json')
  assert result.outcome == 'nothing to do'


def test_trainer_does_not_ignore_a_class_that_nobody_chose(work, tmp_path):
  plain = tmp_path / 'plain'
  plain.mkdir()
  records = plain / 'train.tfrecord'
  records.write_bytes((work / 'out' / 'train' / 'train-00001-of-00001.tfrecord').read_bytes())
  with pytest.raises(InputError, match='--num_classes=256: class 255 would be ignored'):
    train(work, tmp_path / 'run', filenames=(str(records),), num_classes=256)


def test_another_split_is_read_like_the_first(work):
  labels = work / 'masks'
  labels.mkdir()
  for name in 'abc':
    mask = np.kron(np.eye(4, 5), np.ones([10, 10])) * 255
    Image.fromarray(mask.astype(np.uint8)).save(labels / f'{name}.png')
  settings = dict(labels_dir=str(labels))
  convert(work, 'train', 'masks_out', binary=True, **settings)
  summary = convert(work, 'val', 'masks_out', dataset=str(work / 'masks_out/train'), **settings)
  assert set(summary['labels']) == {'0', '1'}


def test_another_split_without_the_colours_of_the_first(work, tmp_path):
  path = tmp_path / 'map.txt'
  path.write_text((work / 'map.txt').read_text())
  convert(work, 'train', 'gone', colormap=str(path), ignore_label=2)
  path.unlink()
  with pytest.raises(InputError, match='were read with --colormap=.*map.txt, which is not there'):
    convert(work, 'val', 'gone', dataset=str(work / 'gone' / 'train'))
