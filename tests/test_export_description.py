"""What an exported model says of itself, and what is said of a damaged one."""

import json

import pytest

from deeplab.data_set import DataSet, Split
from deeplab.errors import InputError
from deeplab.export import description
from deeplab.export.description import Description
from deeplab.options import ModelOptions

DESCRIPTION = Description(
  deeplab_version='1.0',
  tensorflow_version='2.21.0',
  model_options=ModelOptions(
    model_variant='mobilenet_v2', num_classes=2, atrous_rates=(6, 12, 18), depth_multiplier=0.5
  ),
  class_names=('ground', 'naïve\u2028'),
  colors=((0, 0, 0), (255, 128, 1)),
  ignore_label=255,
  size=None,
  pad='stride',
  trained_size=(65, 33),
  l2_loss=0.25,
  checkpoint='run/model.ckpt-7',
  global_step=7,
  weights='int8',
  data_set=DataSet(
    num_classes=2,
    ignore_label=255,
    splits={'train': Split(num_records=3, files=('a',), labels={0: 3}, path='x')},
    path='x',
  ),
)


def _with(**changes):
  return json.dumps({**json.loads(DESCRIPTION.to_json()), **changes})


@pytest.mark.parametrize(
  'changes', [{}, {'size': (513, 257), 'pad': '513x513', 'trained_size': None, 'data_set': None}]
)
def test_round_trip(changes):
  written = DESCRIPTION.replace(**changes)
  assert description.from_json(written.to_json(), path='x') == written
  assert description.from_json(written.to_json().encode(), path='x') == written


def test_more_keys_are_no_damage():
  assert description.from_json(_with(later=1), path='x') == DESCRIPTION


@pytest.mark.parametrize(
  'text, reason',
  [
    ('', 'Expecting value'),
    (b'\xff\xfe\x00', 'decode'),
    ('[]', 'list indices'),
    ('{}', 'format_version is missing'),
    (_with(format_version='1'), "format_version '1'"),
    (_with(class_names=['one']), '1 class_names for 2 classes'),
    (_with(class_names=['one', 2]), 'class_names is no list'),
    (_with(colors=[[0, 0, 0], [0, 0, 256]]), 'no colour'),
    (_with(num_classes=3), 'num_classes 3'),
    (_with(size=[0, 5]), 'size [0, 5]'),
    (_with(size=513), 'no len'),
    (_with(pad='513'), "pad '513'"),
    (_with(weights='int4'), "weights 'int4'"),
    (_with(l2_loss=None), 'l2_loss is None'),
    (_with(l2_loss=float('nan')), 'NaN is not a finite number'),
    (_with().replace('{', '{"pad": "none", ', 1), '"pad" comes twice'),
    (_with(global_step=True), 'global_step is True'),
    (_with(model_options={'model_variant': 'vgg'}), 'model_options: --model_variant=vgg'),
    (_with(model_options={'output_stride': 16.0, 'num_classes': 2}), 'output_stride is 16.0'),
    (_with(model_options={'align_corners': 1, 'num_classes': 2}), 'align_corners is 1'),
    (_with(model_options={'better': 1}), "unexpected keyword argument 'better'"),
    (_with(data_set={'splits': {}, 'num_classes': 'many'}), 'num_classes'),
  ],
)
def test_damage_is_one_line(text, reason):
  with pytest.raises(InputError) as raised:
    description.from_json(text, path='x.onnx')
  message = str(raised.value)
  assert message.startswith('x.onnx: the description in it (deeplab.json) is damaged (')
  assert reason in message and '\n' not in message and message.endswith('again')


def test_a_newer_format_is_told_from_damage():
  with pytest.raises(InputError, match='format 2, and this version of the toolkit reads 1; insta'):
    description.from_json(_with(format_version=2), path='x.onnx')


def test_a_wrong_description_is_not_made():
  with pytest.raises(ValueError, match='1 colors for 2 classes'):
    DESCRIPTION.replace(colors=((0, 0, 0),))
