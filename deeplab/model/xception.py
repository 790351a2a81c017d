"""Xception (Chollet, 2017, arXiv:1610.02357) as a dense feature extractor, in the aligned form that
DeepLabv3+ uses (arXiv:1802.02611, section 3.2): deeper, strides instead of max pooling, and batch
norm after each depthwise convolution.

The names and numbers are those of the official DeepLab's xception, so its checkpoints fit.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from deeplab.model.layers import conv2d, conv2d_same, depthwise_conv2d, depthwise_conv2d_same
from deeplab.model.recomputation import maybe_recompute
from deeplab.model.slim_bridge import slim, variable_scope

ROOT_STRIDE = 2
# Units of the middle flow.
MIDDLE_UNITS = {41: 8, 65: 16, 71: 16}


class Block(NamedTuple):
  """Units of one kind.

  Attributes:
    scope: of the block, below that of the network.
    depths: of the three separable convolutions of a unit.
    shortcut: 'convolution', 'identity' or 'none': what a unit adds to its separable convolutions.
    stride: of the last of them, and of the shortcut.
    activates_inside: each of the convolutions is followed by ReLU; else ReLU comes before each
      separable one.
  """

  scope: str
  depths: tuple[int, int, int]
  shortcut: str = 'convolution'
  stride: int = 1
  activates_inside: bool = False


_SHORT_ENTRY = (
  Block('entry_flow/block1', (128, 128, 128), stride=2),
  Block('entry_flow/block2', (256, 256, 256), stride=2),
  Block('entry_flow/block3', (728, 728, 728), stride=2),
)
_LONG_ENTRY = (
  Block('entry_flow/block1', (128, 128, 128), stride=2),
  Block('entry_flow/block2', (256, 256, 256)),
  Block('entry_flow/block3', (256, 256, 256), stride=2),
  Block('entry_flow/block4', (728, 728, 728)),
  Block('entry_flow/block5', (728, 728, 728), stride=2),
)
ENTRY_FLOW = {41: _SHORT_ENTRY, 65: _SHORT_ENTRY, 71: _LONG_ENTRY}
MIDDLE_FLOW = Block('middle_flow/block1', (728, 728, 728), shortcut='identity')
EXIT_FLOW = (
  Block('exit_flow/block1', (728, 1024, 1024), stride=2),
  Block('exit_flow/block2', (1536, 1536, 2048), shortcut='none', activates_inside=True),
)


def xception(
  images: tf.Tensor,
  *,
  num_layers: int,
  output_stride: int,
  multi_grid: Sequence[int] = (),
  recompute: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """The convolutional part of Xception, inside an arg_scope of `backbone_arg_scope`.

  Args:
    images: float [B, H, W, 3], normalized.
    num_layers: 41, 65 or 71.
    output_stride: 8, 16 or 32. Where the next stride would exceed it, the depthwise convolutions
      that follow get an atrous rate instead.
    multi_grid: extra rates of the three separable convolutions of the last block, or ().
    recompute: compute the activations inside a unit again for the gradients instead of keeping
      them.

  Returns:
    features [B, H/output_stride, W/output_stride, 2048], sizes rounded up, and a dict of end
    points: `entry_flow/block2/unit_1/xception_module/separable_conv2_pointwise` and so on, the
    second separable convolution of each unit, at the unit's inputs' stride.
  """
  initializer = tf.compat.v1.truncated_normal_initializer(stddev=0.09)
  with (
    variable_scope(f'xception_{num_layers}'),
    slim.arg_scope([conv2d, depthwise_conv2d], weights_initializer=initializer),
  ):
    net = conv2d_same(images, 32, 3, stride=2, scope='entry_flow/conv1_1')
    net = conv2d_same(net, 64, 3, stride=1, scope='entry_flow/conv1_2')
    return _stack_units(
      net, _units(num_layers, multi_grid), output_stride=output_stride, recompute=recompute
    )


def _units(num_layers, multi_grid):
  """(scope, Block, extra rates of the three separable convolutions) of every unit."""
  ones = (1, 1, 1)
  units = [(f'{block.scope}/unit_1', block, ones) for block in ENTRY_FLOW[num_layers]]
  units += [
    (f'{MIDDLE_FLOW.scope}/unit_{unit}', MIDDLE_FLOW, ones)
    for unit in range(1, MIDDLE_UNITS[num_layers] + 1)
  ]
  first, last = EXIT_FLOW
  units.append((f'{first.scope}/unit_1', first, ones))
  units.append((f'{last.scope}/unit_1', last, tuple(multi_grid) or ones))
  return units


def _stack_units(net, units, *, output_stride, recompute):
  end_points, current_stride = {}, ROOT_STRIDE
  # What the strides that were left out would have been: the rate that makes a unit see the same
  # pixels.
  rate = 1
  for scope, block, extra_rates in units:
    stride, unit_rate = block.stride, rate
    if current_stride == output_stride:
      rate *= stride
      stride = 1
    current_stride *= stride
    unit = functools.partial(
      xception_module,
      block=block,
      stride=stride,
      rates=[unit_rate * extra for extra in extra_rates],
      scope=scope,
    )
    net, second = maybe_recompute(unit, recompute)(net)
    end_points[f'{scope}/xception_module/separable_conv2_pointwise'] = second
  return net, end_points


def xception_module(
  inputs: tf.Tensor, *, block: Block, stride: int, rates: Sequence[int], scope: str
) -> tuple[tf.Tensor, tf.Tensor]:
  """Three separable convolutions, and the shortcut added.

  Args:
    inputs: float [B, H, W, D].
    block: what the unit is made of.
    stride: of the unit; at most one of it and of the rates is above 1.
    rates: of the three depthwise convolutions.
    scope: of the unit.

  Returns:
    the unit's output, and the output of its second separable convolution.
  """
  net, separable_outputs = inputs, []
  with variable_scope(scope), variable_scope('xception_module'):
    for index, (depth, rate) in enumerate(zip(block.depths, rates), start=1):
      net = _separable_conv2d(
        net,
        depth,
        stride=stride if index == 3 else 1,
        rate=rate,
        activates_inside=block.activates_inside,
        scope=f'separable_conv{index}',
      )
      separable_outputs.append(net)
    if block.shortcut == 'convolution':
      net += conv2d(
        inputs, block.depths[-1], 1, stride=stride, activation_fn=None, scope='shortcut'
      )
    elif block.shortcut == 'identity':
      net += inputs
  return net, separable_outputs[1]


def _separable_conv2d(inputs, depth, *, stride, rate, activates_inside, scope):
  """3x3 depthwise and 1x1 convolution, batch norm after each; ReLU after each or before both."""
  activation_fn = tf.nn.relu if activates_inside else None
  net = inputs if activates_inside else tf.nn.relu(inputs)
  with slim.arg_scope([conv2d, depthwise_conv2d], activation_fn=activation_fn):
    net = depthwise_conv2d_same(net, 3, stride=stride, rate=rate, scope=f'{scope}_depthwise')
    return conv2d(net, depth, 1, scope=f'{scope}_pointwise')
