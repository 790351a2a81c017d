"""Every operation by TensorFlow's own: the reference, and what runs on a GPU.

These run on any device, with and without oneDNN, and can be converted. The computation follows the
dtype of the inputs; weights come in float32, as variables are, and are cast.
"""

import typing
from collections.abc import Callable, Sequence

import tensorflow as tf

from deeplab.operations import sizes

Activation = Callable[[tf.Tensor], tf.Tensor]


class BatchNorm(typing.NamedTuple):
  """What a batch norm computes with (Ioffe and Szegedy, 2015, arXiv:1502.03167).

  Attributes:
    gamma, beta: float32 [D].
    mean, variance: float32 [D], the stored statistics.
    epsilon: added to the variance.
    uses_batch: normalize with the statistics of the batch instead of the stored ones.
  """

  gamma: tf.Tensor
  beta: tf.Tensor
  mean: tf.Tensor
  variance: tf.Tensor
  epsilon: float
  uses_batch: bool


class Replicas(typing.NamedTuple):
  """Several devices that share a batch in equal parts.

  Attributes:
    number: of them.
    mean: float32 vector -> its mean over them; it has a gradient.
  """

  number: int
  mean: Callable[[tf.Tensor], tf.Tensor]


def conv2d(
  inputs: tf.Tensor, weights: tf.Tensor, *, stride: int = 1, rate: int = 1, padding: str = 'SAME'
) -> tf.Tensor:
  """2-D convolution.

  Args:
    inputs: float [B, H, W, D].
    weights: float32 [k, k, D, D'].
    stride, rate: at most one of them above 1; rate is the atrous (dilation) rate.
    padding: 'SAME' or 'VALID'.

  Returns:
    [B, H', W', D'] of the inputs' dtype.
  """
  weights = tf.cast(weights, inputs.dtype)
  return tf.nn.conv2d(inputs, weights, strides=stride, padding=padding, dilations=rate)


def space_to_batch_conv2d(inputs: tf.Tensor, weights: tf.Tensor, *, rate: int) -> tf.Tensor:
  """The same for stride 1 and 'SAME' padding, by splitting the map into rate * rate smaller ones.

  It was TensorFlow 1's way. A CPU without oneDNN has no gradients of dilated convolutions.
  """
  weights = tf.cast(weights, inputs.dtype)
  margin = rate * (weights.shape[0] // 2)
  paddings, crops = tf.required_space_to_batch_paddings(
    tf.shape(inputs)[1:3], [rate, rate], base_paddings=[[margin, margin], [margin, margin]]
  )
  maps = tf.space_to_batch(inputs, [rate, rate], paddings)
  return tf.batch_to_space(tf.nn.conv2d(maps, weights, 1, 'VALID'), [rate, rate], crops)


def depthwise_conv2d(
  inputs: tf.Tensor, weights: tf.Tensor, *, stride: int = 1, rate: int = 1, padding: str = 'SAME'
) -> tf.Tensor:
  """Depthwise 2-D convolution, one filter a channel.

  Args:
    inputs: float [B, H, W, D].
    weights: float32 [k, k, D, 1].
    stride, rate: at most one of them above 1. TensorFlow computes rates by space to batch.
    padding: 'SAME' or 'VALID'.

  Returns:
    [B, H', W', D] of the inputs' dtype.
  """
  weights = tf.cast(weights, inputs.dtype)
  return tf.nn.depthwise_conv2d(
    inputs, weights, strides=[1, stride, stride, 1], padding=padding, dilations=[rate, rate]
  )


def bias_add(inputs: tf.Tensor, biases: tf.Tensor) -> tf.Tensor:
  """Adds biases, float32 [D], to a float [B, H, W, D]; the result has the inputs' dtype."""
  # In float32, or in bfloat16 their gradient would add up in bfloat16: 6000 values about 1 give
  # 512.
  return tf.cast(tf.nn.bias_add(tf.cast(inputs, tf.float32), biases), inputs.dtype)


def batch_norm(inputs: tf.Tensor, norm: BatchNorm) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Batch norm; statistics are computed in float32.

  Args:
    inputs: float [B, H, W, D].

  Returns:
    [B, H, W, D] of the inputs' dtype, and mean and variance float32 [D] of the batch for the stored
    statistics to follow: the variance is divided by the number of pixels less one. Without
    `uses_batch` they are the stored ones.
  """
  stored = {} if norm.uses_batch else dict(mean=norm.mean, variance=norm.variance)
  return tf.compat.v1.nn.fused_batch_norm(
    inputs, norm.gamma, norm.beta, epsilon=norm.epsilon, is_training=norm.uses_batch, **stored
  )


def synchronized_batch_norm(
  inputs: tf.Tensor, norm: BatchNorm, replicas: Replicas
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """`batch_norm` with the statistics of the batches of all replicas together, for `uses_batch`.

  Args:
    inputs: float [B, H, W, D], of the same shape on all replicas.

  Returns:
    as `batch_norm`, of the pixels of all replicas.
  """
  values = tf.cast(inputs, tf.float32)
  # Deviations from a value near the mean: the difference of two mean squares loses less.
  shift = tf.stop_gradient(tf.convert_to_tensor(norm.mean))
  deviations = values - shift
  moments = [
    tf.reduce_mean(deviations, axis=[0, 1, 2]),
    tf.reduce_mean(tf.square(deviations), axis=[0, 1, 2]),
  ]
  mean, square = tf.split(replicas.mean(tf.concat(moments, axis=0)), 2)
  variance = tf.maximum(square - tf.square(mean), 0.0)
  mean += shift
  scale = norm.gamma * tf.math.rsqrt(variance + norm.epsilon)
  outputs = values * scale + (norm.beta - mean * scale)
  num_pixels = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]) * replicas.number, tf.float32)
  unbiased = variance * (num_pixels / tf.maximum(num_pixels - 1.0, 1.0))
  return tf.cast(outputs, inputs.dtype), mean, unbiased


def spatial_mean(inputs: tf.Tensor) -> tf.Tensor:
  """Mean over height and width: float [B, H, W, D] to [B, 1, 1, D]."""
  # Summed in float32: a low-precision mean over thousands of pixels drifts.
  mean = tf.reduce_mean(tf.cast(inputs, tf.float32), axis=[1, 2], keepdims=True)
  return tf.cast(mean, inputs.dtype)


def max_pool2d(inputs: tf.Tensor, kernel_size: int, *, stride: int) -> tf.Tensor:
  """Max pooling with 'SAME' padding."""
  return tf.nn.max_pool2d(inputs, kernel_size, stride, padding='SAME')


def subsample(inputs: tf.Tensor, *, stride: int) -> tf.Tensor:
  """Every stride-th row and column."""
  # The mean of one value is that value, ten times as fast as a strided slice on a CPU.
  return inputs if stride == 1 else tf.nn.avg_pool2d(inputs, 1, stride, padding='SAME')


def resize_bilinear(
  inputs: tf.Tensor, size: Sequence[sizes.Size], *, align_corners: bool
) -> tf.Tensor:
  """TensorFlow 1's bilinear resize, the one convention of this project's networks.

  Without align_corners, output pixel i samples the input at i * in / out (no half-pixel shift);
  with it, at i * (in - 1) / (out - 1). `tf.image.resize` has a third convention, with other
  numbers.

  Args:
    inputs: float [B, H, W, D].
    size: (height, width), ints or int32 scalars.
    align_corners: which convention.

  Returns:
    [B, height, width, D] of the inputs' dtype.
  """
  # The operation answers in float32 whatever it gets. Cast before, because XLA's gradient of it
  # forgets to cast back.
  outputs = tf.raw_ops.ResizeBilinear(
    images=tf.cast(inputs, tf.float32),
    size=tf.stack([*size]),
    align_corners=align_corners,
    half_pixel_centers=False,
  )
  return tf.cast(outputs, inputs.dtype)


def concat(maps: Sequence[tf.Tensor]) -> tf.Tensor:
  """Concatenates maps along their channels.

  Args:
    maps: float [B, H, W, D]; after the first, [B, 1, 1, D] is one pixel for the whole map.

  Returns:
    [B, H, W, sum of D].
  """
  size = sizes.spatial_size(maps[0])
  whole = [
    # One pixel is the same everywhere, whatever the convention.
    resize_bilinear(each, size, align_corners=False) if each.shape[1:3] == [1, 1] else each
    for each in maps
  ]
  return tf.concat(whole, axis=-1)


def resized_argmax(
  logits: tf.Tensor, size: Sequence[sizes.Size], *, align_corners: bool
) -> tf.Tensor:
  """The class with the largest logit, of logits resized as `resize_bilinear` does it.

  Args:
    logits: float32 [B, h, w, C].
    size: (height, width), ints or int32 scalars.
    align_corners: convention of the resize.

  Returns:
    int32 [B, height, width].
  """
  logits = resize_bilinear(logits, size, align_corners=align_corners)
  return tf.argmax(logits, axis=-1, output_type=tf.int32)


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """Softmax cross entropy of each pixel.

  Args:
    logits: float32 [..., C].
    labels: int32 [...], values in [0, C).

  Returns:
    float32 [...].
  """
  # It reshapes them, which for int32 has a kernel on the host only.
  labels = tf.cast(labels, tf.int64)
  return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def resized_cross_entropy(
  logits: tf.Tensor, labels: tf.Tensor, *, align_corners: bool
) -> tf.Tensor:
  """Cross entropy of each pixel with logits that are resized to the labels' size.

  Args:
    logits: float32 [B, h, w, C].
    labels: int32 [B, H, W], values in [0, C).
    align_corners: convention of `resize_bilinear`.

  Returns:
    float32 [B, H, W].
  """
  size = sizes.spatial_size(labels)
  return cross_entropy(resize_bilinear(logits, size, align_corners=align_corners), labels)
