"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381) as a dense feature extractor.

The names and numbers are those of slim's mobilenet_v2 up to its layer 18: the last 1x1 convolution
is left out.
"""

import functools

import tensorflow as tf

from deeplab.model.layers import conv2d, depthwise_conv2d
from deeplab.model.recomputation import maybe_recompute
from deeplab.model.slim_bridge import slim, variable_scope

# (output depth, stride) of the 17 inverted residual blocks; table 2 of the paper, a row a stage.
# fmt: off
BLOCKS = (
  (16, 1),
  (24, 2), (24, 1),
  (32, 2), (32, 1), (32, 1),
  (64, 2), (64, 1), (64, 1), (64, 1),
  (96, 1), (96, 1), (96, 1),
  (160, 2), (160, 1), (160, 1),
  (320, 1),
)
# fmt: on
ROOT_DEPTH = 32
EXPANSION = 6


def mobilenet_v2(
  images: tf.Tensor, *, output_stride: int, depth_multiplier: float = 1.0, recompute: bool = False
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """The convolutional part of MobileNetV2, inside an arg_scope of `backbone_arg_scope`.

  Args:
    images: float [B, H, W, 3], normalized.
    output_stride: 8, 16 or 32. Where the next stride would exceed it, the depthwise convolutions
      that follow get an atrous rate instead.
    depth_multiplier: factor of all depths.
    recompute: compute the activations inside a block again for the gradients instead of keeping
      them.

  Returns:
    features [B, H/output_stride, W/output_stride, 320] at multiplier 1, sizes rounded up, and a
    dict
    of end points: `layer_2/depthwise_output` and so on, the depthwise convolution of each block.
  """
  scaled = functools.partial(scaled_depth, multiplier=depth_multiplier)
  end_points = {}
  initializer = tf.compat.v1.truncated_normal_initializer(stddev=0.09)
  with (
    variable_scope('MobilenetV2'),
    slim.arg_scope(
      [conv2d, depthwise_conv2d], activation_fn=tf.nn.relu6, weights_initializer=initializer
    ),
  ):
    net = conv2d(images, scaled(ROOT_DEPTH), 3, stride=2, scope='Conv')
    current_stride = 2
    # What the strides that were left out would have been: the rate that makes a block see the same
    # pixels.
    rate = 1
    for index, (depth, stride) in enumerate(BLOCKS):
      block_rate = rate
      if current_stride == output_stride:
        rate *= stride
        stride = 1
      current_stride *= stride
      block = functools.partial(
        inverted_residual,
        depth=scaled(depth),
        expansion=EXPANSION if index else 1,
        stride=stride,
        rate=block_rate,
        scope=f'expanded_conv_{index}' if index else 'expanded_conv',
      )
      net, depthwise_output = maybe_recompute(block, recompute)(net)
      # Slim counts the root as layer 1.
      end_points[f'layer_{index + 2}/depthwise_output'] = depthwise_output
  return net, end_points


def inverted_residual(
  inputs: tf.Tensor, *, depth: int, expansion: int, stride: int, rate: int, scope: str
) -> tuple[tf.Tensor, tf.Tensor]:
  """1x1 expansion, 3x3 depthwise convolution, linear 1x1 projection; the inputs are added where the
  shapes agree.

  Returns:
    the block's output, and the output of its depthwise convolution.
  """
  inputs_depth = inputs.shape[-1]
  net = inputs
  with variable_scope(scope):
    if expansion > 1:
      net = conv2d(
        net, _round_to_multiple(inputs_depth * expansion, of=8, at_least=8), 1, scope='expand'
      )
    depthwise_output = depthwise_conv2d(net, 3, stride=stride, rate=rate, scope='depthwise')
    net = conv2d(depthwise_output, depth, 1, activation_fn=None, scope='project')
    if stride == 1 and inputs_depth == depth:
      net += inputs
  return net, depthwise_output


def scaled_depth(depth: int, *, multiplier: float) -> int:
  """The depth of a layer at a depth multiplier."""
  # Official DeepLab checkpoints of other multipliers are not rounded to multiples of 8.
  if multiplier == 1.0:
    return depth
  return _round_to_multiple(depth * multiplier, of=1, at_least=1)


def _round_to_multiple(value, *, of, at_least):
  """The nearest multiple, but never more than 10 % below `value`."""
  rounded = max(at_least, int(value + of / 2) // of * of)
  return rounded + of if rounded < 0.9 * value else rounded
