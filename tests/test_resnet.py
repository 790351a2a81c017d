"""The ResNets against tf_slim.nets' own builders with the same variables: an independent oracle."""

import numpy as np
import pytest
import tensorflow as tf
from tf_slim.nets import resnet_v1, resnet_v2

from deeplab.model.arg_scopes import arg_scope
from deeplab.model.resnet import resnet
from deeplab.model.slim_bridge import create_variables, slim, variables_from
from deeplab.operations.dispatch import Operations

SLIM_NETS = {1: resnet_v1.resnet_v1_50, 2: resnet_v2.resnet_v2_50}
LOW_LEVEL = 'resnet_v{0}_50/block1/unit_2/bottleneck_v{0}/conv3'


def ours(images, *, version, output_stride, is_training):
  # Plain operations: rounding of others would be amplified; tests/test_network.py compares them.
  settings = dict(is_training=is_training, decay=0.9, epsilon=1e-5)
  with slim.arg_scope(arg_scope(operations=Operations('plain'), **settings)):
    features, end_points = resnet(
      images, version=version, num_layers=50, output_stride=output_stride
    )
  return features, end_points[f'block1/unit_2/bottleneck_v{version}/conv3']


def slims(images, *, version, output_stride, is_training):
  batch_norm = dict(
    decay=0.9, epsilon=1e-5, scale=True, updates_collections=None, is_training=is_training
  )
  with slim.arg_scope(
    [slim.conv2d],
    activation_fn=tf.nn.relu,
    normalizer_fn=slim.batch_norm,
    normalizer_params=batch_norm,
  ):
    with (
      slim.arg_scope([slim.batch_norm], **batch_norm),
      slim.arg_scope([slim.max_pool2d], padding='SAME'),
    ):
      features, end_points = SLIM_NETS[version](
        images, None, is_training=is_training, global_pool=False, output_stride=output_stride
      )
  return features, end_points.get(LOW_LEVEL.format(version))


def random_variables(version):
  variables = create_variables(
    lambda: ours(
      tf.compat.v1.placeholder(tf.float32, [1, 33, 33, 3]),
      version=version,
      output_stride=16,
      is_training=False,
    )
  )
  random = np.random.default_rng(version)
  for name, variable in variables.items():
    shape = variable.shape
    if name.endswith('weights'):
      fan_in = np.prod(shape[:-1])
      variable.assign(random.normal(size=shape) * np.sqrt(1.5 / fan_in))
    elif name.endswith(('gamma', 'moving_variance')):
      variable.assign(random.uniform(0.5, 1.5, size=shape))
    else:
      variable.assign(random.normal(size=shape) * 0.1)
  return variables


@pytest.fixture(scope='module', params=[1, 2])
def version_and_variables(request):
  return request.param, random_variables(request.param)


def images_of(height, width, *, batch_size=1):
  return tf.constant(
    np.random.default_rng(5).normal(size=[batch_size, height, width, 3]) * 50, tf.float32
  )


def assert_close(actual, expected, relative):
  np.testing.assert_allclose(actual, expected, rtol=0, atol=relative * np.abs(expected).max())


@pytest.mark.parametrize('output_stride', [8, 16, 32])
def test_features_equal_slims_at_odd_and_even_sizes(version_and_variables, output_stride):
  version, variables = version_and_variables
  settings = dict(version=version, output_stride=output_stride, is_training=False)
  with variables_from(variables):
    for height, width in ((65, 97), (64, 98)):
      images = images_of(height, width)
      (features, low_level_features), (expected, expected_low_level) = (
        ours(images, **settings),
        slims(images, **settings),
      )
      assert features.shape[1:] == [-(-height // output_stride), -(-width // output_stride), 2048]
      assert_close(features, expected, 1e-4)
      assert low_level_features.shape[1:] == [-(-height // 4), -(-width // 4), 256]
      if expected_low_level is not None:
        assert_close(low_level_features, expected_low_level, 1e-4)


def test_training_step_equals_slims(version_and_variables):
  """Features, gradients and moving statistics with the batch's statistics, units after the stride
  limit included.
  """
  version, variables = version_and_variables
  before = {name: variable.numpy() for name, variable in variables.items()}
  trained = [variable for variable in variables.values() if variable.trainable]
  images = images_of(65, 65, batch_size=2)
  results = []
  for network in (ours, slims):
    for name, variable in variables.items():
      variable.assign(before[name])
    with tf.GradientTape() as tape, variables_from(variables):
      features = network(images, version=version, output_stride=8, is_training=True)[0]
      loss = tf.reduce_mean(features * tf.cos(tf.range(2048.0)))
    gradients = [gradient.numpy() for gradient in tape.gradient(loss, trained)]
    statistics = [variable.numpy() for name, variable in variables.items() if '/moving_' in name]
    results.append((features.numpy(), gradients, statistics))
  for name, variable in variables.items():
    variable.assign(before[name])
  (features, gradients, statistics), (expected, expected_gradients, expected_statistics) = results
  assert_close(features, expected, 1e-4)
  for actual, expected in zip(statistics, expected_statistics):
    assert_close(actual, expected, 1e-4)
  # Fifty layers of rectifiers and batch norm amplify rounding; a wrong gradient would differ by as
  # much as its norm.
  scale = max(np.linalg.norm(gradient) for gradient in expected_gradients)
  for actual, expected in zip(gradients, expected_gradients):
    assert np.linalg.norm(actual - expected) <= 0.01 * max(np.linalg.norm(expected), 1e-3 * scale)


def test_101_layers_have_23_units_in_block_3():
  names = create_variables(_resnet_v2_101)
  assert 'resnet_v2_101/block3/unit_23/bottleneck_v2/conv3/weights' in names
  assert 'resnet_v2_101/block3/unit_24/bottleneck_v2/conv3/weights' not in names
  assert sum(name.endswith('conv2/weights') for name in names) == 3 + 4 + 23 + 3


def _resnet_v2_101():
  images = tf.compat.v1.placeholder(tf.float32, [1, 33, 33, 3])
  settings = dict(is_training=False, decay=0.9, epsilon=1e-5)
  with slim.arg_scope(arg_scope(operations=Operations('plain'), **settings)):
    return resnet(images, version=2, num_layers=101, output_stride=16)
