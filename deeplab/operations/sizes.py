"""Sizes of maps, which may be unknown while tracing: ints where they are known, else int32 scalars.

Arithmetic that is written with these works for both; nobody else asks which they are.
"""

import tensorflow as tf

Size = int | tf.Tensor


def batch_and_spatial_size(inputs: tf.Tensor) -> list[Size]:
  """[batch, height, width] of [B, H, W, ...]."""
  known = list(inputs.shape[:3])
  if None not in known:
    return known
  dynamic = tf.shape(inputs)
  return [dynamic[axis] if size is None else size for axis, size in enumerate(known)]


def spatial_size(inputs: tf.Tensor) -> list[Size]:
  """[height, width] of [B, H, W, ...]."""
  return batch_and_spatial_size(inputs)[1:]


def are_known(*sizes: Size) -> bool:
  """Whether all of them are ints."""
  return all(isinstance(size, int) for size in sizes)


def minimum(one: Size, other: Size) -> Size:
  """The smaller of two sizes."""
  return min(one, other) if are_known(one, other) else tf.minimum(one, other)


def maximum(one: Size, other: Size) -> Size:
  """The larger of two sizes."""
  return max(one, other) if are_known(one, other) else tf.maximum(one, other)


def as_matrix(net: tf.Tensor) -> tf.Tensor:
  """[B, H, W, D] as [B * H * W, D], for empty maps too: a reshape to [-1, D] fails for them."""
  return tf.reshape(net, tf.stack([tf.reduce_prod(tf.shape(net)[:3]), net.shape[3]]))
