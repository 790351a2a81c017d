"""Names, shapes and their set of all variables, against lists taken from the 2019 program's
checkpoints.
"""

import glob
import os

import pytest

from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions

LISTS = os.path.join(
  os.path.dirname(os.environ.get('DEEPLAB_TEST_DATA', '').rstrip('/')), 'variables'
)
NAMES = sorted(
  os.path.basename(path)[: -len('.txt')] for path in glob.glob(os.path.join(LISTS, '*.txt'))
)


def options_of(name):
  """ModelOptions of a list's name, such as resnet_v2_50_rates_sepaspp_pooled_plaindecoder."""
  return ModelOptions(
    model_variant=next(
      v
      for v in ('resnet_v1_50', 'resnet_v1_101', 'resnet_v2_50', 'resnet_v2_101', 'mobilenet_v2')
      if name.startswith(v)
    ),
    atrous_rates=(6, 12, 18) if 'rates' in name else (),
    use_image_level_feature='pooled' in name,
    aspp_with_separable_conv='sepaspp' in name,
    use_decoder='decoder' in name,
    decoder_with_separable_conv='plaindecoder' not in name,
  )


def shapes_of(options):
  return {
    name: list(variable.shape)
    for name, variable in DeepLabV3PredictionModel(options).named_variables.items()
  }


@pytest.mark.skipif(
  'DEEPLAB_TEST_DATA' not in os.environ or not NAMES,
  reason='needs the lists beside DEEPLAB_TEST_DATA',
)
@pytest.mark.parametrize('name', NAMES or ['none'])
def test_variables_are_those_of_the_list(name):
  expected = {}
  with open(os.path.join(LISTS, name + '.txt'), encoding='utf-8') as lines:
    for line in lines:
      variable, shape = line.rstrip().split(' ', 1)
      expected[variable] = [int(size) for size in shape.strip('[]').split(',') if size.strip()]
  assert shapes_of(options_of(name)) == expected


def test_head_and_decoder_variables():
  shapes = shapes_of(options_of('mobilenet_v2_rates_pooled_decoder'))
  backbone = [name for name in shapes if name.startswith('MobilenetV2/')]
  assert len(backbone) == 255
  # aspp0-3, image_pooling, concat_projection, feature_projection0, two separable decoder
  # convolutions: 11; and the logits.
  assert len(shapes) - len(backbone) == 11 * 5 + 2
  assert shapes['aspp3/weights'] == [3, 3, 320, 256]
  assert shapes['concat_projection/weights'] == [1, 1, 5 * 256, 256]
  assert shapes['decoder/feature_projection0/weights'] == [1, 1, 144, 48]
  assert shapes['decoder/decoder_conv0_depthwise/depthwise_weights'] == [3, 3, 304, 1]
  assert shapes['decoder/decoder_conv1_pointwise/BatchNorm/gamma'] == [256]
  assert shapes['logits/semantic/weights'] == [1, 1, 256, 21]
  assert shapes['logits/semantic/biases'] == [21]


def test_head_without_options():
  names = set(shapes_of(ModelOptions(model_variant='mobilenet_v2', use_image_level_feature=False)))
  head = {name.split('/')[0] for name in names} - {'MobilenetV2'}
  assert head == {'aspp0', 'concat_projection', 'logits'}
