"""Maps taken apart into the lattices of an atrous rate: pixels that are `rate` apart, and see only
each other.

On its lattice an atrous convolution is a plain one. Space to batch makes all lattices equally large
by padding, in copies on one core. Here the pixels are only put in another order, in which lattices
of equal size follow one another; since a side has lattices of two lengths at most, that makes four
groups at most.
"""

import numpy as np
import tensorflow as tf


def depthwise_weights_gradient(inputs, upstream, *, rate):
  """Gradient of the weights of an atrous 3x3 depthwise convolution with stride 1 and 'SAME'
  padding.

  Args:
    inputs: float [B, H, W, D], of known shape.
    upstream: gradient of the outputs, of the same shape and dtype.
    rate: int, 1 or more.

  Returns:
    [3, 3, D, 1] of the same dtype.
  """
  batch, height, width, depth = inputs.shape
  pixels, shapes = _order(batch, height, width, rate)
  sizes = [np.prod(shape) for shape in shapes]

  def groups(tensor):
    ordered = tf.gather(tf.reshape(tensor, [-1, depth]), pixels)
    return [
      tf.reshape(group, [*shape, depth]) for group, shape in zip(tf.split(ordered, sizes), shapes)
    ]

  return tf.add_n(
    [
      tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=inputs_group,
        filter_sizes=[3, 3, depth, 1],
        out_backprop=upstream_group,
        strides=[1, 1, 1, 1],
        padding='SAME',
      )
      for inputs_group, upstream_group in zip(groups(inputs), groups(upstream))
    ]
  )


def _order(batch, height, width, rate):
  """(int32 ndarray [B * H * W] of the pixels in order, [(maps, height, width)] of the groups)."""
  pixels = np.arange(batch * height * width, dtype=np.int32).reshape(batch, height, width)
  groups = {}
  for row in range(min(rate, height)):
    for column in range(min(rate, width)):
      lattice = pixels[:, row::rate, column::rate]
      groups.setdefault(lattice.shape[1:], []).append(lattice)
  groups = [np.concatenate(lattices) for lattices in groups.values()]
  return np.concatenate([group.ravel() for group in groups]), [group.shape for group in groups]
