"""Shapes, strides and names of MobileNetV2, and its equality across output strides."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.model.arg_scopes import backbone_arg_scope
from deeplab.model.backbones import BACKBONES
from deeplab.model.mobilenet_v2 import mobilenet_v2
from deeplab.model.slim_bridge import create_variables, slim, variables_from
from deeplab.operations.dispatch import Operations


def network(images, *, output_stride=16, depth_multiplier=1.0, is_training=False):
  backbone, operations = BACKBONES['mobilenet_v2'], Operations()
  with slim.arg_scope(backbone_arg_scope(backbone, operations=operations, is_training=is_training)):
    features, end_points = mobilenet_v2(
      images, output_stride=output_stride, depth_multiplier=depth_multiplier
    )
  return features, end_points[backbone.low_level_features]


def make_variables(**settings):
  return create_variables(
    lambda: network(tf.compat.v1.placeholder(tf.float32, [1, 33, 33, 3]), **settings)
  )


@pytest.fixture(scope='module')
def variables():
  return make_variables()


@pytest.mark.parametrize('output_stride', [8, 16, 32])
@pytest.mark.parametrize('height, width', [(65, 97), (64, 50)])
def test_shapes(variables, height, width, output_stride):
  with variables_from(variables):
    features, low_level_features = network(
      tf.zeros([2, height, width, 3]), output_stride=output_stride
    )
  assert features.shape == [2, -(-height // output_stride), -(-width // output_stride), 320]
  assert low_level_features.shape == [2, -(-height // 4), -(-width // 4), 144]


def test_rates_see_what_strides_see(variables):
  """Dense features, subsampled, are the strided ones: the point of atrous convolution (sizes of a
  stride's multiple plus 1).
  """
  images = tf.constant(np.random.default_rng(1).normal(size=[1, 65, 97, 3]), tf.float32)
  with variables_from(variables):
    dense, dense_low = network(images, output_stride=8)
    for output_stride in (16, 32):
      strided, strided_low = network(images, output_stride=output_stride)
      step = output_stride // 8
      np.testing.assert_allclose(
        dense[:, ::step, ::step], strided, atol=1e-5 * float(tf.reduce_max(tf.abs(dense)))
      )
      np.testing.assert_allclose(dense_low, strided_low, atol=1e-6)


def test_names_and_shapes(variables):
  shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
  # A convolution has weights and four variables of batch norm; the first block has no expansion.
  assert len(shapes) == (1 + 2 + 16 * 3) * 5
  assert shapes['MobilenetV2/Conv/weights'] == (3, 3, 3, 32)
  assert 'MobilenetV2/expanded_conv/expand/weights' not in shapes
  assert shapes['MobilenetV2/expanded_conv/depthwise/depthwise_weights'] == (3, 3, 32, 1)
  assert shapes['MobilenetV2/expanded_conv_2/expand/weights'] == (1, 1, 24, 144)
  assert shapes['MobilenetV2/expanded_conv_16/project/weights'] == (1, 1, 960, 320)
  assert shapes['MobilenetV2/expanded_conv_16/project/BatchNorm/moving_variance'] == (320,)
  assert not any('biases' in name or 'Conv_1' in name for name in shapes)


def test_half_width():
  shapes = {
    name: tuple(variable.shape) for name, variable in make_variables(depth_multiplier=0.5).items()
  }
  assert shapes['MobilenetV2/Conv/weights'] == (3, 3, 3, 16)
  # 24 * 0.5 is 12, which would be 16 if it were rounded to multiples of 8.
  assert shapes['MobilenetV2/expanded_conv_1/project/weights'] == (1, 1, 48, 12)
  assert shapes['MobilenetV2/expanded_conv_16/project/weights'] == (1, 1, 480, 160)


def test_training_moves_statistics(variables):
  before = {name: variable.numpy() for name, variable in variables.items() if 'moving_' in name}
  images = tf.constant(np.random.default_rng(2).normal(size=[2, 33, 33, 3]), tf.float32)
  with variables_from(variables):
    convolved = tf.nn.conv2d(
      images, variables['MobilenetV2/Conv/weights'], strides=2, padding='SAME'
    ).numpy()
    network(images, is_training=True)
  mean = convolved.mean(axis=(0, 1, 2))
  np.testing.assert_allclose(
    variables['MobilenetV2/Conv/BatchNorm/moving_mean'].numpy(),
    0.997 * before['MobilenetV2/Conv/BatchNorm/moving_mean'] + 0.003 * mean,
    atol=1e-6,
  )
  for name, values in before.items():
    assert np.any(variables[name].numpy() != values), name
    variables[name].assign(values)
