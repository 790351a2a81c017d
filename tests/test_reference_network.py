"""The whole network against the 2019 program's, rebuilt here from tf-slim's own layers and its
ResNets.

Both read the same variables, so a wrong epsilon, end point, rate, padding, resize or order of
branches shows in the logits.
"""

import numpy as np
import pytest
import tensorflow as tf
from tf_slim.nets import resnet_v1, resnet_v2

from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.model.slim_bridge import slim, variable_scope, variables_from
from deeplab.options import ModelOptions

RESNETS = {
  'resnet_v1_50': resnet_v1.resnet_v1_50,
  'resnet_v1_101': resnet_v1.resnet_v1_101,
  'resnet_v2_50': resnet_v2.resnet_v2_50,
  'resnet_v2_101': resnet_v2.resnet_v2_101,
}
# (expansion, depth, repeats, stride): table 2 of the MobileNetV2 paper.
MOBILENET_V2 = [
  (1, 16, 1, 1),
  (6, 24, 2, 2),
  (6, 32, 3, 2),
  (6, 64, 4, 2),
  (6, 96, 3, 1),
  (6, 160, 3, 2),
  (6, 320, 1, 1),
]


def slim_scope(*, epsilon, activation_fn):
  batch_norm = dict(epsilon=epsilon, scale=True, updates_collections=None, is_training=False)
  with slim.arg_scope(
    [slim.conv2d, slim.separable_conv2d],
    activation_fn=activation_fn,
    normalizer_fn=slim.batch_norm,
    normalizer_params=batch_norm,
  ):
    with (
      slim.arg_scope([slim.batch_norm], **batch_norm),
      slim.arg_scope([slim.max_pool2d], padding='SAME') as scope,
    ):
      return scope


def slim_mobilenet_v2(images, output_stride):
  end_points, index, current_stride, rate = [], 0, 2, 1
  with (
    slim.arg_scope(slim_scope(epsilon=1e-3, activation_fn=tf.nn.relu6)),
    variable_scope('MobilenetV2'),
  ):
    net = slim.conv2d(images, 32, 3, stride=2, scope='Conv')
    for expansion, depth, repeats, first_stride in MOBILENET_V2:
      for repeat in range(repeats):
        stride = 1 if repeat else first_stride
        layer_stride, layer_rate = (1, rate) if current_stride == output_stride else (stride, 1)
        if current_stride == output_stride:
          rate *= stride
        else:
          current_stride *= stride
        inputs = net
        with variable_scope('expanded_conv' + (f'_{index}' if index else '')):
          if expansion > 1:
            net = slim.conv2d(net, net.shape[-1] * expansion, 1, scope='expand')
          net = slim.separable_conv2d(
            net,
            None,
            3,
            depth_multiplier=1,
            stride=layer_stride,
            rate=layer_rate,
            scope='depthwise',
          )
          end_points.append(net)
          net = slim.conv2d(net, depth, 1, activation_fn=None, scope='project')
          if layer_stride == 1 and net.shape[-1] == inputs.shape[-1]:
            net += inputs
        index += 1
  return net, end_points[2]


def slim_resnet(images, variant, output_stride):
  with slim.arg_scope(slim_scope(epsilon=1e-5, activation_fn=tf.nn.relu)):
    # The end points are found by the name that the network's own collection gives them.
    net, end_points = RESNETS[variant](
      images, None, is_training=False, global_pool=False, output_stride=output_stride
    )
  version = variant.split('_')[1]
  name = next(
    name for name in end_points if name.endswith(f'block1/unit_2/bottleneck_{version}/conv3')
  )
  return net, end_points[name]


def slim_separable(net, rate, scope):
  net = slim.separable_conv2d(
    net, None, 3, depth_multiplier=1, rate=rate, scope=scope + '_depthwise'
  )
  return slim.conv2d(net, 256, 1, scope=scope + '_pointwise')


def resize(images, like):
  return tf.compat.v1.image.resize_images(
    images, tf.shape(like)[1:3], method=tf.image.ResizeMethod.BILINEAR
  )


def slim_logits(images, options):
  normalized = images - tf.constant([122.67891434, 116.66876762, 104.00698793])
  if options.model_variant == 'mobilenet_v2':
    features, low_level = slim_mobilenet_v2(normalized, options.output_stride)
  else:
    features, low_level = slim_resnet(normalized, options.model_variant, options.output_stride)
  with slim.arg_scope(slim_scope(epsilon=1e-5, activation_fn=tf.nn.relu)):
    branches = [slim.conv2d(features, 256, 1, scope='aspp0')]
    for index, rate in enumerate(options.atrous_rates, start=1):
      if options.aspp_with_separable_conv:
        branches.append(slim_separable(features, rate, f'aspp{index}'))
      else:
        branches.append(slim.conv2d(features, 256, 3, rate=rate, scope=f'aspp{index}'))
    if options.use_image_level_feature:
      pooled = slim.conv2d(
        tf.reduce_mean(features, [1, 2], keepdims=True), 256, 1, scope='image_pooling'
      )
      branches.append(resize(pooled, features))
    net = slim.conv2d(tf.concat(branches, 3), 256, 1, scope='concat_projection')
    if options.use_decoder:
      with variable_scope('decoder'):
        low_level = slim.conv2d(low_level, 48, 1, scope='feature_projection0')
        net = tf.concat([resize(net, low_level), low_level], 3)
        for index in range(2):
          if options.decoder_with_separable_conv:
            net = slim_separable(net, 1, f'decoder_conv{index}')
          else:
            net = slim.conv2d(net, 256, 3, scope='Conv_1' if index else 'Conv')
    with variable_scope('logits'):
      logits = slim.conv2d(
        net, options.num_classes, 1, activation_fn=None, normalizer_fn=None, scope='semantic'
      )
  return resize(logits, images)


def randomize(model):
  """Statistics and biases away from their initial 0 and 1, so that each of them counts."""
  random = np.random.RandomState(0)
  for name, variable in model.named_variables.items():
    if name.endswith(('gamma', 'moving_variance')):
      variable.assign(random.uniform(0.5, 1.2, variable.shape))
    elif name.endswith(('beta', 'biases', 'moving_mean')):
      variable.assign(random.normal(0.0, 0.2, variable.shape))


@pytest.mark.parametrize(
  'variant, stride, changes',
  [
    ('mobilenet_v2', 16, {}),
    ('mobilenet_v2', 8, dict(atrous_rates=(2, 5), use_decoder=True)),
    (
      'mobilenet_v2',
      32,
      dict(atrous_rates=(1, 3), aspp_with_separable_conv=True, use_image_level_feature=False),
    ),
    (
      'resnet_v1_50',
      8,
      dict(atrous_rates=(3, 6, 9), aspp_with_separable_conv=True, use_decoder=True),
    ),
    (
      'resnet_v2_50',
      16,
      dict(atrous_rates=(2, 4), use_decoder=True, decoder_with_separable_conv=False),
    ),
    pytest.param('resnet_v1_101', 32, dict(use_decoder=True), marks=pytest.mark.slow),
    pytest.param('resnet_v2_101', 16, dict(atrous_rates=(2,)), marks=pytest.mark.slow),
  ],
)
def test_logits_are_those_of_the_2019_network(variant, stride, changes):
  tf.random.set_seed(1)
  options = ModelOptions(model_variant=variant, output_stride=stride, num_classes=5, **changes)
  model = DeepLabV3PredictionModel(options)
  randomize(model)
  images = tf.random.stateless_uniform([1, 83, 98, 3], seed=[1, 2], maxval=255.0)

  @tf.function(autograph=False)
  def expected_logits():
    with variables_from(model.named_variables):
      return slim_logits(images, options)

  expected = expected_logits().numpy()
  actual = tf.function(model.predict, autograph=False)(images).numpy()
  assert expected.std() > 0.01
  np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


def test_l2_loss_counts_convolution_weights_only():
  model = DeepLabV3PredictionModel(
    ModelOptions(
      model_variant='mobilenet_v2',
      atrous_rates=(2,),
      aspp_with_separable_conv=True,
      weight_decay=0.01,
    )
  )
  counted = [
    variable.numpy()
    for name, variable in model.named_variables.items()
    if name.split('/')[-1] == 'weights'
  ]
  # The backbone: root, 16 expand, 17 project; then aspp0, aspp1_pointwise, image_pooling,
  # concat_projection, logits.
  assert len(counted) == 34 + 5
  expected = 0.01 * sum((weights.astype(np.float64) ** 2).sum() for weights in counted) / 2
  np.testing.assert_allclose(model.l2_loss(), expected, rtol=1e-6)
