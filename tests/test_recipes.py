"""What --recipe chooses, from which facts, and what the user gave."""

import json

import pytest
import record_makers

from deeplab.data import record_sizes
from deeplab.data.record_sizes import PictureSizes
from deeplab.errors import InputError
from deeplab.options import (
  ComputeOptions,
  LossOptions,
  ModelOptions,
  RunOptions,
  TrainingInputOptions,
  TrainingOptions,
  ValidationOptions,
)
from deeplab.training import recipe_facts, recipes
from deeplab.training.recipe_facts import Facts
from deeplab.training.run_start import AllOptions

SEGMENTATION = {
  'concat_projection/weights': [1, 1, 64, 256],
  'logits/semantic/weights': [1, 1, 256, 21],
}
CLASSIFICATION = {'MobilenetV2/Conv/weights': [3, 3, 3, 16], 'MobilenetV2/Logits/x': [1]}


def all_options(**changes):
  groups = dict(
    model=ModelOptions(),
    compute=ComputeOptions(),
    input=TrainingInputOptions(filenames=('train',)),
    training=TrainingOptions(),
    loss=LossOptions(),
    validation=ValidationOptions(),
    run=RunOptions(recipe='fine_tune', load_ckpt_path='model'),
  )
  return AllOptions(**{**groups, **changes})


def facts(**changes):
  values = dict(
    num_records=123,
    sizes=PictureSizes(height=360.0, width=480.0, source='train-summary.json'),
    prefix='model/model.ckpt',
    shapes=SEGMENTATION,
    has_saved_options=True,
    folded=False,
    num_classes=11,
    output_stride=16,
  )
  return Facts(**{**values, **changes})


@pytest.fixture(name='chosen')
def _chosen(monkeypatch):
  """A function of options, what is given, and facts, that gives name -> value and the lines."""

  def choose(options=None, *, given=(), **changes):
    monkeypatch.setattr(recipe_facts, 'find', lambda options, *, given: facts(**changes))
    options, lines = recipes.settled(options or all_options(), given=given, saved_flags=None)
    values = {}
    for group in options.groups():
      values.update(vars(group))
    return values, lines

  return choose


def subset(values, **expected):
  assert expected == {name: values[name] for name in expected}


def test_a_segmentation_checkpoint_on_few_pictures(chosen):
  values, lines = chosen()
  subset(
    values,
    crop_size_height=353,
    crop_size_width=481,
    batch_size=4,
    fine_tune_batch_norm=False,
    batch_norm_decay=None,
    optimizer='adam',
    init_learning_rate=pytest.approx(3e-4),
    last_layer_gradient_multiplier=1.0,
    class_weights=None,
    num_steps=2000,  # 50 epochs would be 1538.
    eval_per_steps=None,
  )
  assert lines[0] == '--recipe=fine_tune:'
  assert (
    '  --num_steps=2000: 123 records, 4 in a step: 50 epochs are 1538, and fewer than 2000 updates '
    'seldom do' in lines
  )
  assert all(line.startswith('  --') and ': ' in line for line in lines[1:])


def test_steps_follow_from_epochs_within_bounds(chosen):
  subset(chosen(num_records=400)[0], num_steps=5000)
  subset(chosen(num_records=100_000)[0], num_steps=30000)


def test_what_is_given_wins_and_the_rest_follows_it(chosen):
  options = all_options(
    input=TrainingInputOptions(filenames=('train',), batch_size=16, crop_size_width=129),
    training=TrainingOptions(optimizer='momentum', num_epochs=160.0),
    loss=LossOptions(class_weights='auto'),
  )
  given = {'batch_size', 'crop_size_width', 'optimizer', 'class_weights'}
  options = options.replace(training=options.training.replace(num_epochs=None, num_steps=50))
  values, lines = chosen(options, given=given | {'num_steps'})
  subset(
    values,
    batch_size=16,
    crop_size_width=129,
    crop_size_height=353,
    optimizer='momentum',
    init_learning_rate=pytest.approx(6.4e-3),
    last_layer_gradient_multiplier=10.0,
    class_weights='auto',
    num_steps=50,
  )
  assert '  --batch_size=16: as given' in lines


def test_a_last_layer_that_is_taken_over_is_not_sped_up(chosen):
  options = all_options(training=TrainingOptions(optimizer='momentum'))
  values, _ = chosen(options, given={'optimizer'}, num_classes=21)
  subset(values, last_layer_gradient_multiplier=1.0)


def test_a_classification_checkpoint_has_no_statistics_for_the_head(chosen):
  values, _ = chosen(shapes=CLASSIFICATION, has_saved_options=False)
  subset(
    values,
    model_variant='mobilenet_v2',
    depth_multiplier=0.5,
    preprocess_images_option='zero_mean_unit_range',
    fine_tune_batch_norm=True,
    batch_size=12,
    num_steps=2000,
    batch_norm_decay=0.99,
  )


def test_from_scratch(chosen):
  options = all_options(run=RunOptions(recipe='from_scratch'))
  values, _ = chosen(options, prefix=None, shapes={}, has_saved_options=False)
  subset(
    values,
    model_variant='mobilenet_v2',
    fine_tune_batch_norm=True,
    batch_size=12,
    num_steps=3000,  # 200 epochs would be 2050.
    batch_norm_decay=0.99,
    optimizer='adam',
  )
  given = {'model_variant'}
  subset(
    chosen(options, given=given, prefix=None, shapes={}, has_saved_options=False)[0],
    model_variant='resnet_v2_101',
  )


def test_validation_is_once_an_epoch_but_not_too_often(chosen):
  options = all_options(validation=ValidationOptions(eval_filenames=('val',)))
  values, lines = chosen(options, num_records=6000)  # 4 at a time, 30000 steps in all.
  subset(values, eval_per_steps=1500)
  assert '  --eval_per_steps=1500: an epoch' in lines
  values, lines = chosen(options, num_records=5)
  subset(values, eval_per_steps=50, num_steps=2000)
  assert '  --eval_per_steps=50: an epoch is 2 steps; at most 40 validations' in lines
  short = options.replace(training=TrainingOptions(num_steps=20))
  subset(chosen(short, given={'num_steps'})[0], eval_per_steps=20)


def test_crops_are_bounded(chosen):
  large = PictureSizes(height=3000.0, width=4000.0, source='x')
  subset(chosen(sizes=large)[0], crop_size_height=513, crop_size_width=513)
  subset(chosen(sizes=None)[0], crop_size_height=513, crop_size_width=513)
  small = PictureSizes(height=20.0, width=60.0, source='x')
  subset(chosen(sizes=small)[0], crop_size_height=33, crop_size_width=65)


def test_a_run_that_goes_on_keeps_what_was_chosen(monkeypatch):
  monkeypatch.setattr(recipe_facts, 'find', None)  # Nothing is looked at.
  saved = {
    'batch_size': ['4'],
    'init_learning_rate': ['0.0003'],
    'fine_tune_batch_norm': ['False'],
    'optimizer': ['adam'],
    'num_steps': ['2000'],
    'eval_per_steps': ['31'],
  }
  options = all_options(
    run=RunOptions(recipe='fine_tune', resume=True), training=TrainingOptions(num_steps=3000)
  )
  options, lines = recipes.settled(options, given={'num_steps'}, saved_flags=saved)
  assert (options.input.batch_size, options.training.num_steps) == (4, 3000)
  assert options.training.init_learning_rate == 3e-4
  assert options.training.fine_tune_batch_norm is False
  assert options.validation.eval_per_steps is None  # There is nothing to validate on.
  assert lines == ['--recipe=fine_tune: as chosen when the run began']


def test_recipes_that_contradict_the_checkpoint_are_refused():
  with pytest.raises(InputError, match='--recipe=fine_tune: needs --load_ckpt_path'):
    RunOptions(recipe='fine_tune')
  with pytest.raises(InputError, match='contradicts --load_ckpt_path=model'):
    RunOptions(recipe='from_scratch', load_ckpt_path='model')


def test_sizes_are_read_from_summaries_or_headers(tmp_path):
  path = record_makers.write(
    tmp_path / 'train-00001-of-00001.tfrecord',
    [record_makers.record(1, size=(20, 30)), record_makers.record(2, size=(40, 30)), b'no record'],
  )
  assert record_sizes.find([path]) == PictureSizes(
    height=30.0, width=30.0, source='the first 2 pictures'
  )
  summary = tmp_path / 'train-summary.json'
  summary.write_text(
    json.dumps({'num_records': 3, 'height': {'mean': 50.5}, 'width': {'mean': 60}}), 'utf-8'
  )
  assert record_sizes.find([path]) == PictureSizes(height=50.5, width=60.0, source=str(summary))
  summary.write_text('{}', 'utf-8')
  assert record_sizes.find([path]).source == 'the first 2 pictures'
