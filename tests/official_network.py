"""The official DeepLab network written down a second time, in its own order, for tests to compare
with.

It shares nothing with deeplab/model. `make_weights` draws weights under the official names,
`logits` computes with them, eagerly or as nodes of a frozen graph.
"""

import dataclasses
import functools

import numpy as np
import official_backbones
import tensorflow as tf


@dataclasses.dataclass(unsafe_hash=True)
class Official:
  """An official network, and the ways to get it wrong."""

  backbone: str = 'mobilenet_v2'  # a --model_variant
  middle_units: int | None = None  # Fewer than an Xception has.
  resnet_units: tuple | None = None  # Likewise, of the four blocks of a ResNet.
  multiplier: float = 1.0
  num_classes: int = 5
  rates: tuple = ()
  separable: bool = False
  pooled: bool = True
  decoder: str | None = None  # separable, plain
  output_stride: int = 16
  multi_grid: tuple = (1, 1, 1)
  align_corners: bool = True
  pooling_first: bool = True
  backbone_epsilon: float | None = None
  head_epsilon: float = 1e-5
  normalization: str | None = None
  # How a frozen graph holds batch norm and atrous convolutions.
  batch_norm: str = 'fused'  # fused, spelled_out, folded, scaled
  space_to_batch: bool = False

  @functools.lru_cache(maxsize=2)  # noqa: B019
  def make_weights(self):
    """Random weights by name (not to be changed), such that the activations of all layers stay near
    1.
    """
    rng = np.random.default_rng(0)
    weights = {}

    def draw(name, shape):
      if name not in weights:
        kind = name.rsplit('/', 1)[1]
        if kind in ('weights', 'depthwise_weights'):
          fan_in = shape[0] * shape[1] * (1 if kind == 'depthwise_weights' else shape[2])
          # Small: against a variance near 0.05 an epsilon of 1e-3 shows.
          scale = (
            1.0
            if name.startswith('logits')
            else 0.005
            if name.startswith('resnet_v1_50/conv1/')
            else 0.3
          )
          value = rng.standard_normal(shape) * scale / np.sqrt(fan_in)
        else:
          low, high = {
            'gamma': (0.8, 1.6),
            'moving_variance': (0.02, 0.1),
            'beta': (-0.2, 0.4),
          }.get(kind, (-0.1, 0.1))
          value = rng.uniform(low, high, shape)
          if name.endswith('conv3/BatchNorm/gamma'):  # What is added up, unit after unit.
            value *= 0.3
          elif name.endswith('separable_conv3_pointwise/BatchNorm/gamma'):
            value *= 0.1
        weights[name] = value.astype(np.float32)
      return tf.constant(weights[name])

    self._run(tf.zeros([1, 33, 33, 3]), draw)
    weights['global_step'] = np.int64(1234)
    return weights

  def logits(self, weights, images):
    """float32 [B, H, W, classes] of float32 images [B, H, W, 3] in [0, 255]; weights that are
    tensors get gradients.
    """
    return self._run(images, lambda name, shape: tf.convert_to_tensor(weights[name]))

  def frozen_graph(self, weights, size=65):
    """GraphDef as freezing leaves it: input ImageTensor uint8 [1, size, size, 3], output
    `logits_full`.
    """
    with tf.Graph().as_default() as graph:
      made = {}

      def constant(name, shape, value=None):
        if name not in made:
          with tf.name_scope(''):
            with tf.control_dependencies(None):
              value = tf.compat.v1.constant(weights[name] if value is None else value, name=name)
              made[name] = tf.identity(value, name=name + '/read')
        return made[name]

      images = tf.cast(
        tf.compat.v1.placeholder(tf.uint8, [1, size, size, 3], name='ImageTensor'), tf.float32
      )
      tf.identity(self._run(images, constant, weights), name='logits_full')
      return graph.as_graph_def()

  # -- the network

  def _run(self, images, get, weights=None):
    self._get, self._weights = get, weights
    mean = self.backbone in ('resnet_v1_50', 'resnet_v1_101')
    normalization = self.normalization or ('mean' if mean else 'unit')
    if normalization == 'unit':
      images = (2.0 / 255.0) * images - 1.0
    else:
      images = images - np.array([123.15, 115.90, 103.06], np.float32)
    backbone = getattr(official_backbones, self.backbone.split('_')[0])
    features, low_level = backbone(self, images)
    return self._head(features, low_level, images.shape[1:3])

  def _head(self, features, low_level, image_size):
    size = features.shape[1:3]
    pooled = []
    if self.pooled:
      pooled = [
        self._resize(
          self.conv(tf.reduce_mean(features, [1, 2], keepdims=True), 256, 1, 'image_pooling'), size
        )
      ]
    branches = [self.conv(features, 256, 1, 'aspp0')]
    for index, rate in enumerate(self.rates, 1):
      if self.separable:
        branches.append(self._separable(features, f'aspp{index}', rate=rate))
      else:
        branches.append(self.conv(features, 256, 3, f'aspp{index}', rate=rate))
    branches = pooled + branches if self.pooling_first else branches + pooled
    net = self.conv(
      tf.concat(branches, 3) if len(branches) > 1 else branches[0], 256, 1, 'concat_projection'
    )
    if self.decoder:
      low_level = self.conv(low_level, 48, 1, 'decoder/feature_projection0')
      net = tf.concat([self._resize(net, low_level.shape[1:3]), low_level], 3)
      for index in range(2):
        if self.decoder == 'separable':
          net = self._separable(net, f'decoder/decoder_conv{index}')
        else:
          net = self.conv(net, 256, 3, f'decoder/decoder_conv0/decoder_conv0_{index + 1}')
    kernel = self._get('logits/semantic/weights', [1, 1, net.shape[-1], self.num_classes])
    net = tf.nn.bias_add(
      tf.nn.conv2d(net, kernel, 1, 'SAME'), self._get('logits/semantic/biases', [self.num_classes])
    )
    return self._resize(net, image_size)

  # -- the layers

  def _resize(self, net, size):
    return tf.compat.v1.image.resize_bilinear(
      net, [int(size[0]), int(size[1])], align_corners=self.align_corners
    )

  def _separable(self, net, scope, rate=1):
    return self.conv(
      self.depthwise(net, scope + '_depthwise', rate=rate), 256, 1, scope + '_pointwise'
    )

  def conv(
    self, net, depth, size, scope, *, stride=1, rate=1, padding='SAME', activation=tf.nn.relu
  ):
    kernel, finish = self._kernel(scope, 'weights', [size, size, net.shape[-1], depth], axis=3)
    if rate > 1 and self.space_to_batch:
      net = tf.nn.with_space_to_batch(
        net,
        [rate, rate],
        'SAME',
        lambda net, *_: tf.nn.conv2d(net, kernel, 1, 'VALID'),
        tf.constant([size, size]),
      )
    else:
      net = tf.nn.conv2d(net, kernel, stride, padding, dilations=rate)
    net = finish(net)
    return net if activation is None else activation(net)

  def depthwise(self, net, scope, *, stride=1, rate=1, padding='SAME', activation=tf.nn.relu):
    kernel, finish = self._kernel(scope, 'depthwise_weights', [3, 3, net.shape[-1], 1], axis=2)
    if rate > 1:
      op = lambda net, *_: tf.nn.depthwise_conv2d(net, kernel, [1, 1, 1, 1], 'VALID')
      if self.space_to_batch:
        net = tf.nn.with_space_to_batch(net, [rate, rate], 'SAME', op, tf.constant([3, 3]))
      else:
        net = tf.compat.v1.nn.depthwise_conv2d_native(
          net, kernel, [1, 1, 1, 1], 'SAME', dilations=[1, rate, rate, 1]
        )
    else:
      net = tf.compat.v1.nn.depthwise_conv2d_native(net, kernel, [1, stride, stride, 1], padding)
    net = finish(net)
    return net if activation is None else activation(net)

  def _kernel(self, scope, kind, shape, *, axis):
    """The kernel of a convolution, and the function that normalizes what it gives."""
    epsilon = self.head_epsilon
    if scope.startswith(('MobilenetV2/', 'resnet_', 'xception_')):
      epsilon = self.backbone_epsilon or (1e-5 if scope.startswith('resnet_') else 1e-3)
    name, depth = f'{scope}/{kind}', [shape[axis]]
    statistics = [
      f'{scope}/BatchNorm/{each}' for each in ('gamma', 'beta', 'moving_mean', 'moving_variance')
    ]
    if self.batch_norm in ('fused', 'spelled_out') or self._weights is None:
      kernel = self._get(name, shape)
      gamma, beta, mean, variance = [self._get(each, depth) for each in statistics]
      if self.batch_norm == 'spelled_out' and self._weights is not None:
        epsilon = self._get(f'{scope}/BatchNorm/batchnorm/add/y', [], np.float32(epsilon))
        inverse = tf.math.rsqrt(variance + epsilon) * gamma
        return kernel, lambda net: net * inverse + (beta - mean * inverse)
      return kernel, lambda net: tf.compat.v1.nn.fused_batch_norm(
        net, gamma, beta, mean=mean, variance=variance, epsilon=epsilon, is_training=False
      )[0]
    gamma, beta, mean, variance = [self._weights[each] for each in statistics]
    inverse = gamma / np.sqrt(variance + np.float32(epsilon))
    offset = self._get(f'{scope}/bn_offset', depth, beta - mean * inverse)
    if self.batch_norm == 'scaled':
      factor = self._get(f'{scope}/bn_factor', depth, inverse)
      return self._get(name, shape), lambda net: net * factor + offset
    shape_of_factor = [1] * 4
    shape_of_factor[axis] = -1
    return self._get(
      name, shape, self._weights[name] * inverse.reshape(shape_of_factor)
    ), lambda net: tf.nn.bias_add(net, offset)
