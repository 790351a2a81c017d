"""Sizes of maps, as far as they are known while tracing."""

import tensorflow as tf


def batch_and_spatial_size(inputs):
  """[batch, height, width] of [B, H, W, D]: ints where they are known while tracing, else int32
  scalars.
  """
  known = list(inputs.shape[:3])
  if None not in known:
    return known
  dynamic = tf.shape(inputs)
  return [dynamic[axis] if size is None else size for axis, size in enumerate(known)]


def spatial_size(inputs):
  """[height, width] of [B, H, W, D] in the same way."""
  return batch_and_spatial_size(inputs)[1:]


def minimum(one, other):
  """The smaller of two sizes: an int if both are, else an int32 scalar."""
  return (
    min(one, other) if isinstance(one, int) and isinstance(other, int) else tf.minimum(one, other)
  )


def maximum(one, other):
  """The larger of two sizes in the same way."""
  return (
    max(one, other) if isinstance(one, int) and isinstance(other, int) else tf.maximum(one, other)
  )


def as_matrix(net):
  """[B, H, W, D] as [B * H * W, D], for empty maps too: a reshape to [-1, D] fails for them."""
  return tf.reshape(net, tf.stack([tf.reduce_prod(tf.shape(net)[:3]), net.shape[3]]))
