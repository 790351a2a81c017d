"""The architecture beside the checkpoint, and flags held against it."""

import pytest

from deeplab import saved_options
from deeplab.errors import InputError
from deeplab.options import ModelOptions

SAVED = ModelOptions(
  model_variant='mobilenet_v2', num_classes=5, output_stride=16, atrous_rates=(6, 12, 18)
)


@pytest.fixture
def prefix(tmp_path):
  saved_options.write(str(tmp_path), SAVED, step=7, class_names=['a', 'b', 'c', 'd', 'e'])
  return str(tmp_path / 'model.ckpt-7')


def test_round_trip(prefix):
  content = saved_options.read(prefix)
  assert content == {'model_options': SAVED, 'step': 7, 'class_names': ['a', 'b', 'c', 'd', 'e']}


def test_without_flags_the_saved_architecture_wins(prefix):
  options, notes = saved_options.resolve(ModelOptions(), frozenset(), prefix)
  assert options == SAVED
  assert len(notes) == 1 and 'mobilenet_v2, 5 classes' in notes[0]


def test_without_a_file_the_flags_win(tmp_path):
  flags = ModelOptions(num_classes=3)
  assert saved_options.resolve(flags, {'num_classes'}, str(tmp_path / 'model.ckpt')) == (flags, [])


def test_contradiction_names_flag_and_both_values(prefix):
  with pytest.raises(
    InputError, match=r'--num_classes=21: the checkpoint was made with --num_classes=5'
  ):
    saved_options.resolve(ModelOptions(), {'num_classes'}, prefix)


def test_rates_follow_the_stride_unless_given(prefix):
  options, notes = saved_options.resolve(ModelOptions(output_stride=8), {'output_stride'}, prefix)
  assert (options.output_stride, options.atrous_rates) == (8, (12, 24, 36))
  assert '12,24,36 instead of 6,12,18' in notes[1]
  options, _ = saved_options.resolve(
    ModelOptions(output_stride=8, atrous_rates=(1, 2, 3)), {'output_stride', 'atrous_rates'}, prefix
  )
  assert options.atrous_rates == (1, 2, 3)


def test_another_number_of_rates_is_refused(prefix):
  with pytest.raises(InputError, match='--atrous_rates=6: the checkpoint has 3 atrous branches'):
    saved_options.resolve(ModelOptions(atrous_rates=(6,)), {'atrous_rates'}, prefix)


@pytest.mark.parametrize(
  'content',
  [
    '{"model_options": {"num_classes": -3}}',
    '{"model_options": {"atrous_rates": 6}}',
    '{"model_options": {}, "class_names": [1]}',
  ],
)
def test_damaged_file_is_named(prefix, tmp_path, content):
  (tmp_path / saved_options.FILE_NAME).write_text(content)
  with pytest.raises(InputError, match='model_options.json: not a file of model options'):
    saved_options.read(prefix)


def test_training_adopts_what_the_flags_do_not_say(prefix):
  flags = ModelOptions(num_classes=3, use_decoder=True)
  options, notes = saved_options.adopt(flags, {'num_classes', 'use_decoder'}, prefix)
  assert options == SAVED.replace(num_classes=3, use_decoder=True)
  assert notes == [
    f'architecture from {saved_options.path_beside(prefix)}: mobilenet_v2, 5 classes, but '
    '--num_classes=3, '
    'but --use_decoder=True'
  ]


def test_training_adopts_nothing_for_another_backbone_or_without_a_file(prefix, tmp_path):
  flags = ModelOptions(model_variant='resnet_v1_50')
  assert saved_options.adopt(flags, {'model_variant'}, prefix) == (flags, [])
  assert saved_options.adopt(flags, set(), str(tmp_path / 'elsewhere' / 'model.ckpt')) == (
    flags,
    [],
  )
