"""Benchmark worker: the way of the 2019 reference, and for Xception of the official DeepLab, built
anew with slim's own layers in a TensorFlow 1 graph.

Atrous convolutions by space to batch, float32, a Session, one image a run, all logits at full size,
then their argmax. It runs
on the TensorFlow of its interpreter: 2.12 is the last that the reference can be made to run on,
  newer ones work as well.
"""

import os

import worker_loop

os.environ['TF_USE_LEGACY_KERAS'] = '0'

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

if not hasattr(ops, 'Tensor'):
  ops.Tensor = tf.Tensor

import tf_slim as slim
from tf_slim.nets import resnet_v1, resnet_v2

tf1 = tf.compat.v1
NUM_CLASSES = 21
MOBILENET_BLOCKS = (
  (16, 1),
  (24, 2),
  (24, 1),
  (32, 2),
  (32, 1),
  (32, 1),
  (64, 2),
  (64, 1),
  (64, 1),
  (64, 1),
  (96, 1),
  (96, 1),
  (96, 1),
  (160, 2),
  (160, 1),
  (160, 1),
  (320, 1),
)


def main():
  settings = worker_loop.settings()
  is_training = settings['task'] == 'train'
  size, random = settings['size'], np.random.default_rng(0)
  with tf.Graph().as_default(), tf1.Session() as session:
    batch_size = settings.get('batch_size', 1)
    images = tf1.placeholder(
      tf.float32, [batch_size, size, size, 3] if is_training else [1, None, None, 3]
    )
    labels = tf1.placeholder(tf.int32, [batch_size, size, size])
    logits = network(images - tf.constant([122.68, 116.67, 104.01]), settings['model'], is_training)
    logits = tf1.image.resize_bilinear(logits, tf.shape(images)[1:3])
    if is_training:
      fetch = training_step(logits, labels)
    else:
      fetch = tf.argmax(logits, axis=-1)
    session.run(tf1.global_variables_initializer())
    feed = {images: random.uniform(0, 255, [batch_size if is_training else 1, size, size, 3])}
    if is_training:
      feed[labels] = random.integers(0, NUM_CLASSES, [batch_size, size, size])
    worker_loop.serve(lambda: session.run(fetch, feed))


def training_step(logits, labels):
  """Mean cross entropy over valid pixels plus L2, and one momentum update of it."""
  weights = tf.cast(tf.not_equal(labels, 255), tf.float32)
  loss = tf1.losses.sparse_softmax_cross_entropy(labels, logits, weights)
  loss += tf.add_n(
    [5e-4 * tf.nn.l2_loss(v) for v in tf1.trainable_variables() if v.op.name.endswith('/weights')]
  )
  step = tf1.train.MomentumOptimizer(1e-4, 0.9).minimize(loss)
  with tf.control_dependencies([step]):
    return tf.identity(loss)


def network(images, model, is_training):
  batch_norm = dict(
    decay=0.9997, epsilon=1e-5, scale=True, updates_collections=None, is_training=is_training
  )
  with (
    slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d],
      normalizer_fn=slim.batch_norm,
      normalizer_params=batch_norm,
    ),
    slim.arg_scope([slim.batch_norm], **batch_norm),
    slim.arg_scope([slim.max_pool2d], padding='SAME'),
  ):
    backbone = BACKBONES[model['model_variant'].split('_')[0]]
    net, low_level = backbone(images, model, is_training)
    net = aspp(net, model)
    if is_training:
      net = tf1.nn.dropout(net, keep_prob=0.9)
    if model.get('use_decoder'):
      net = decoder(net, low_level)
    return slim.conv2d(
      net, NUM_CLASSES, 1, activation_fn=None, normalizer_fn=None, scope='semantic'
    )


def resnet(images, model, is_training):
  name = model['model_variant']
  build = getattr(resnet_v2 if '_v2_' in name else resnet_v1, name)
  net, end_points = build(
    images,
    None,
    is_training=is_training,
    global_pool=False,
    output_stride=model.get('output_stride', 16),
  )
  low_level = next(
    value
    for key, value in end_points.items()
    if '/block1/unit_2/' in key and key.endswith('/conv3')
  )
  return net, low_level


def mobilenet_v2(images, model, is_training):
  del is_training
  output_stride, current_stride, rate = model.get('output_stride', 16), 2, 1
  with (
    tf1.variable_scope('MobilenetV2'),
    slim.arg_scope([slim.conv2d, slim.separable_conv2d], activation_fn=tf.nn.relu6),
  ):
    net = slim.conv2d(images, 32, 3, stride=2)
    for index, (depth, stride) in enumerate(MOBILENET_BLOCKS):
      inputs, block_rate = net, rate
      if current_stride == output_stride:
        rate, stride = rate * stride, 1
      current_stride *= stride
      if index:
        net = slim.conv2d(net, 6 * inputs.shape[-1], 1)
      net = slim.separable_conv2d(net, None, 3, depth_multiplier=1, stride=stride, rate=block_rate)
      if index == 2:
        low_level = net
      net = slim.conv2d(net, depth, 1, activation_fn=None)
      if stride == 1 and inputs.shape[-1] == depth:
        net += inputs
  return net, low_level


def xception(images, model, is_training):
  del is_training
  name = model['model_variant']
  # (scope, depths, stride, shortcut) of the units.
  units = [
    ('entry_flow/block1', (128, 128, 128), 2, 'conv'),
    ('entry_flow/block2', (256, 256, 256), 2, 'conv'),
    ('entry_flow/block3', (728, 728, 728), 2, 'conv'),
    *[(f'middle_flow/unit_{unit}', (728, 728, 728), 1, 'sum') for unit in range(1, 17)],
    ('exit_flow/block1', (728, 1024, 1024), 2, 'conv'),
    ('exit_flow/block2', (1536, 1536, 2048), 1, 'none'),
  ]
  if name != 'xception_65':
    raise ValueError(f'{name} is not built here')
  output_stride, current_stride, rate = model.get('output_stride', 16), 2, 1
  with tf1.variable_scope(name):
    net = slim.conv2d(padded(images), 32, 3, stride=2, padding='VALID')
    net = slim.conv2d(net, 64, 3)
    for scope, depths, stride, shortcut in units:
      inputs, unit_rate = net, rate
      if current_stride == output_stride:
        rate, stride = rate * stride, 1
      current_stride *= stride
      with tf1.variable_scope(scope):
        for index, depth in enumerate(depths):
          net = net if shortcut == 'none' else tf.nn.relu(net)
          own_stride = stride if index == 2 else 1
          net = slim_separable(
            net, depth, own_stride, unit_rate, tf.nn.relu if shortcut == 'none' else None
          )
          if scope == 'entry_flow/block2' and index == 1:
            low_level = net
        if shortcut == 'conv':
          net += slim.conv2d(inputs, depths[-1], 1, stride=stride, activation_fn=None)
        elif shortcut == 'sum':
          net += inputs
  return net, low_level


def slim_separable(net, depth, stride, rate, activation_fn):
  padding = 'SAME'
  if stride > 1:
    net, padding = padded(net), 'VALID'
  with slim.arg_scope([slim.conv2d, slim.separable_conv2d], activation_fn=activation_fn):
    net = slim.separable_conv2d(
      net, None, 3, depth_multiplier=1, stride=stride, rate=rate, padding=padding
    )
    return slim.conv2d(net, depth, 1)


def padded(net):
  return tf.pad(net, [[0, 0], [1, 1], [1, 1], [0, 0]])


BACKBONES = {'resnet': resnet, 'mobilenet': mobilenet_v2, 'xception': xception}


def aspp(net, model):
  size = tf.shape(net)[1:3]
  branches = [slim.conv2d(net, 256, 1)]
  for rate in model.get('atrous_rates', ()):
    if model.get('aspp_with_separable_conv'):
      branches.append(
        slim.conv2d(slim.separable_conv2d(net, None, 3, depth_multiplier=1, rate=rate), 256, 1)
      )
    else:
      branches.append(slim.conv2d(net, 256, 3, rate=rate))
  pooled = slim.conv2d(tf.reduce_mean(net, axis=[1, 2], keepdims=True), 256, 1)
  branches.append(tf1.image.resize_bilinear(pooled, size))
  return slim.conv2d(tf.concat(branches, axis=-1), 256, 1)


def decoder(net, low_level):
  low_level = slim.conv2d(low_level, 48, 1)
  net = tf.concat([tf1.image.resize_bilinear(net, tf.shape(low_level)[1:3]), low_level], axis=-1)
  for _ in range(2):
    net = slim.conv2d(slim.separable_conv2d(net, None, 3, depth_multiplier=1), 256, 1)
  return net


if __name__ == '__main__':
  main()
