"""The architecture beside the checkpoint, and flags held against it."""

import os

import pytest

from deeplab import saved_options
from deeplab.errors import InputError
from deeplab.options import ModelOptions
from deeplab.saved_options import SavedOptions

SAVED = ModelOptions(
  model_variant='mobilenet_v2', num_classes=5, output_stride=16, atrous_rates=(6, 12, 18)
)


@pytest.fixture
def saved():
  return SavedOptions(path='run/model_options.json', model_options=SAVED)


@pytest.fixture
def prefix(tmp_path):
  saved_options.write(
    str(tmp_path), SAVED, step=7, class_names=['a', 'b', 'c', 'd', 'e'], trained_size=(65, 33)
  )
  return str(tmp_path / 'model.ckpt-7')


def test_round_trip(prefix):
  assert saved_options.read(prefix) == SavedOptions(
    path=saved_options.path_beside(prefix),
    model_options=SAVED,
    step=7,
    class_names=('a', 'b', 'c', 'd', 'e'),
    trained_size=(65, 33),
  )


def test_without_a_file_nothing_is_saved(tmp_path):
  assert saved_options.read(str(tmp_path / 'model.ckpt')) is None


def test_without_flags_the_saved_architecture_wins(saved):
  options, notes = saved_options.for_prediction(saved, ModelOptions(), frozenset())
  assert options == SAVED
  assert notes == ['architecture from run/model_options.json: mobilenet_v2, 5 classes']


def test_without_a_file_the_flags_win():
  flags = ModelOptions(num_classes=3)
  assert saved_options.for_prediction(None, flags, {'num_classes'}) == (flags, [])
  assert saved_options.for_training(None, flags, {'num_classes'}) == (flags, [])


def test_contradiction_names_flag_and_both_values(saved):
  with pytest.raises(
    InputError,
    match=r'--num_classes=21: the checkpoint was made with --num_classes=5 \(run/model_opt',
  ):
    saved_options.for_prediction(saved, ModelOptions(), {'num_classes', 'batch_size'})


def test_rates_follow_the_stride_unless_given(saved):
  flags = ModelOptions(output_stride=8)
  options, notes = saved_options.for_prediction(saved, flags, {'output_stride'})
  assert (options.output_stride, options.atrous_rates) == (8, (12, 24, 36))
  assert '12,24,36 instead of 6,12,18' in notes[1]
  options, _ = saved_options.for_prediction(
    saved, flags.replace(atrous_rates=(1, 2, 3)), {'output_stride', 'atrous_rates'}
  )
  assert options.atrous_rates == (1, 2, 3)


def test_another_number_of_rates_is_refused(saved):
  with pytest.raises(InputError, match='--atrous_rates=6: the checkpoint has 3 atrous branches'):
    saved_options.for_prediction(saved, ModelOptions(atrous_rates=(6,)), {'atrous_rates'})


@pytest.mark.parametrize(
  'content',
  [
    '{"model_options": {"num_classes": -3}}',
    '{"model_options": {"atrous_rates": 6}}',
    '{"model_options": {}, "class_names": [1]}',
    '{"model_options": {}, "trained_size": [513]}',
    '{"model_options": {}, "trained_size": [513, -1]}',
    '{"model_options": {}, "trained_size": [true, true]}',
    '{"model_options": {"num_classes": 5.5}}',
    '{"model_options": {"num_classes": true}}',
    '{"model_options": {"use_decoder": "False"}}',
    '{"model_options": {"use_decoder": 0}}',
    '{"model_options": {"model_variant": ["resnet_v2_50"]}}',
    '{"model_options": {"atrous_rates": [6.5]}}',
    '{"model_options": {"weight_decay": "1e-4"}}',
    '{"model_options": {"num_class": 5}}',
    '{"model_options": {}, "step": "7"}',
    '{"model_options": {}, "data_set": 0}',
    '{"model_options": {}, "data_set": {"splits": {"train": {"num_records": 1.5}}}}',
    '{"model_options": {}, "model_options": {"num_classes": 5}}',
    '{"model_options": {"weight_decay": NaN}}',
    '{"model_options": {"num_classes": 1' + '0' * 5000 + '}}',
    '{"model_options": ' + '[' * 200_000 + ']' * 200_000 + '}',
    '[]',
    'null',
    '',
  ],
)
def test_damaged_file_is_named(prefix, tmp_path, content):
  (tmp_path / saved_options.FILE_NAME).write_text(content)
  with pytest.raises(InputError, match='model_options.json: not a file of model options'):
    saved_options.read(prefix)


@pytest.mark.parametrize('kind', ['directory', 'pipe', 'not text'])
def test_what_lies_in_place_of_the_file_is_named(tmp_path, kind):
  path = tmp_path / saved_options.FILE_NAME
  if kind == 'directory':
    path.mkdir()
  elif kind == 'pipe':
    os.mkfifo(path)
  else:
    path.write_bytes(b'\xff\xfe{}')
  with pytest.raises(InputError, match='model_options.json: not a file of model options .*restore'):
    saved_options.read(str(tmp_path / 'model.ckpt'))


def test_training_takes_what_the_flags_do_not_say(saved):
  flags = ModelOptions(num_classes=3, use_decoder=True)
  options, notes = saved_options.for_training(
    saved, flags, {'num_classes', 'use_decoder', 'batch_size'}
  )
  assert options == SAVED.replace(num_classes=3, use_decoder=True)
  assert notes == [
    'architecture from run/model_options.json: mobilenet_v2, 5 classes, but --num_classes=3, but '
    '--use_decoder=True'
  ]


def test_training_takes_nothing_of_another_backbone(saved):
  flags = ModelOptions(model_variant='resnet_v1_50')
  assert saved_options.for_training(saved, flags, {'model_variant'}) == (flags, [])
