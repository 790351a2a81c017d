"""ResNet v1 (He et al., 2015, arXiv:1512.03385) and v2 (He et al., 2016, arXiv:1603.05027) as dense
feature extractors.

The names and numbers are those of slim's resnet_v1 and resnet_v2, and for the beta variants those
of the official DeepLab's resnet_v1_beta, so their checkpoints fit.
"""

import functools
from collections.abc import Sequence

import tensorflow as tf

from deeplab.model.layers import batch_norm, conv2d, conv2d_same
from deeplab.model.recomputation import maybe_recompute
from deeplab.model.slim_bridge import slim, variable_scope
from deeplab.operations.plain import max_pool2d, subsample

# Units in each of the four blocks.
UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BASE_DEPTHS = (64, 128, 256, 512)
# The last unit of a block has the block's stride.
BLOCK_STRIDES = (2, 2, 2, 1)
ROOT_STRIDE = 4


def resnet(
  images: tf.Tensor,
  *,
  version: int,
  num_layers: int,
  output_stride: int,
  beta: bool = False,
  multi_grid: Sequence[int] = (),
  recompute: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """The convolutional part of a ResNet, inside an arg_scope of `backbone_arg_scope`.

  Args:
    images: float [B, H, W, 3], normalized.
    version: 1 or 2; v2 normalizes before each convolution (pre-activation).
    num_layers: 50 or 101.
    output_stride: 8, 16 or 32. Where the next stride would exceed it, the units that follow get an
      atrous rate instead.
    beta: the root is three 3x3 convolutions instead of one of 7x7: the beta variants of the
      official DeepLab, of version 1.
    multi_grid: extra rates of the three units of the last block (DeepLabv3, section 3.3), or ().
    recompute: compute the activations inside a unit again for the gradients instead of keeping
      them.

  Returns:
    features [B, H/output_stride, W/output_stride, 2048], sizes rounded up, and a dict of end
    points: `block1/unit_2/bottleneck_v1/conv3` and so on, the last convolution of each unit before
    the sum.
  """
  with variable_scope(f'resnet_v{version}_{num_layers}'):
    net = _root(images, version=version, beta=beta)
    net, end_points = _stack_blocks(
      net,
      version=version,
      units=UNITS[num_layers],
      output_stride=output_stride,
      multi_grid=multi_grid or (1, 1, 1),
      recompute=recompute,
    )
    if version == 2:
      net = batch_norm(net, activation_fn=tf.nn.relu, scope='postnorm')
  return net, end_points


def _root(images, *, version, beta):
  if beta:
    net = conv2d_same(images, 64, 3, stride=2, scope='conv1_1')
    net = conv2d_same(net, 64, 3, stride=1, scope='conv1_2')
    net = conv2d_same(net, 128, 3, stride=1, scope='conv1_3')
  elif version == 1:
    net = conv2d_same(images, 64, 7, stride=2, scope='conv1')
  else:
    # v2 starts every unit with batch norm, so the root has none.
    with slim.arg_scope([conv2d], activation_fn=None, normalizer_fn=None):
      net = conv2d_same(images, 64, 7, stride=2, scope='conv1')
  return max_pool2d(net, 3, stride=2)


def _stack_blocks(net, *, version, units, output_stride, multi_grid, recompute):
  end_points, current_stride = {}, ROOT_STRIDE
  # What the strides that were left out would have been: the rate that makes a unit see the same
  # pixels.
  rate = 1
  for block, (num_units, base_depth, block_stride) in enumerate(
    zip(units, BASE_DEPTHS, BLOCK_STRIDES), start=1
  ):
    for unit in range(1, num_units + 1):
      stride = block_stride if unit == num_units else 1
      unit_rate = rate * (multi_grid[unit - 1] if block == 4 else 1)
      if current_stride == output_stride:
        rate *= stride
        stride = 1
      current_stride *= stride
      bottleneck = functools.partial(
        BOTTLENECKS[version],
        base_depth=base_depth,
        stride=stride,
        rate=unit_rate,
        scope=f'block{block}/unit_{unit}',
      )
      net, residual = maybe_recompute(bottleneck, recompute)(net)
      end_points[f'block{block}/unit_{unit}/bottleneck_v{version}/conv3'] = residual
  return net, end_points


def bottleneck_v1(
  inputs: tf.Tensor, *, base_depth: int, stride: int, rate: int, scope: str
) -> tuple[tf.Tensor, tf.Tensor]:
  """1x1, 3x3, 1x1 convolutions beside a shortcut, activated after the sum.

  Returns:
    the unit's output, and the output of its last convolution before the sum.
  """
  depth = 4 * base_depth
  with variable_scope(scope), variable_scope('bottleneck_v1'):
    if inputs.shape[-1] == depth:
      shortcut = subsample(inputs, stride=stride)
    else:
      shortcut = conv2d(inputs, depth, 1, stride=stride, activation_fn=None, scope='shortcut')
    residual = conv2d(inputs, base_depth, 1, scope='conv1')
    residual = conv2d_same(residual, base_depth, 3, stride=stride, rate=rate, scope='conv2')
    residual = conv2d(residual, depth, 1, activation_fn=None, scope='conv3')
    return tf.nn.relu(shortcut + residual), residual


def bottleneck_v2(
  inputs: tf.Tensor, *, base_depth: int, stride: int, rate: int, scope: str
) -> tuple[tf.Tensor, tf.Tensor]:
  """As `bottleneck_v1`, but normalized and activated before the convolutions, not after the sum."""
  depth = 4 * base_depth
  with variable_scope(scope), variable_scope('bottleneck_v2'):
    preactivated = batch_norm(inputs, activation_fn=tf.nn.relu, scope='preact')
    if inputs.shape[-1] == depth:
      shortcut = subsample(inputs, stride=stride)
    else:
      shortcut = conv2d(
        preactivated,
        depth,
        1,
        stride=stride,
        normalizer_fn=None,
        activation_fn=None,
        scope='shortcut',
      )
    residual = conv2d(preactivated, base_depth, 1, scope='conv1')
    residual = conv2d_same(residual, base_depth, 3, stride=stride, rate=rate, scope='conv2')
    residual = conv2d(residual, depth, 1, normalizer_fn=None, activation_fn=None, scope='conv3')
    return shortcut + residual, residual


BOTTLENECKS = {1: bottleneck_v1, 2: bottleneck_v2}
