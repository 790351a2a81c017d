"""The layers all networks here are made of: convolution, atrous convolution, batch norm, pooling,
resize.

They take slim's arguments and make slim's variables, so slim's arg_scopes and checkpoints fit. They
differ from slim in
three things: an atrous convolution is computed as a dilated convolution where that is faster, the
  computation follows the
dtype of the inputs while variables and statistics stay float32, and batch norm updates its
statistics in place. Where that is faster, batch norm with stored statistics is folded into the
weights of the convolution before it.
"""

import contextlib

import numpy as np
import tensorflow as tf

from deeplab.model import convolution, expansion, own_gradients, projection
from deeplab.model.slim_bridge import get_variable, slim, variable_scope

_updates_statistics = [True]
_weights_are_frozen = [False]


@contextlib.contextmanager
def statistics_not_updated():
  """While open, batch norm does not update its moving statistics: for the second run of a
  recomputed block.
  """
  _updates_statistics.append(False)
  try:
    yield
  finally:
    _updates_statistics.pop()


@contextlib.contextmanager
def frozen_weights():
  """While open, weights are folded and cast once, while tracing, instead of in each run: they must
  not change any more.
  """
  _weights_are_frozen.append(True)
  try:
    with projection.remembered():
      yield
  finally:
    _weights_are_frozen.pop()


@slim.add_arg_scope
def conv2d(
  inputs,
  num_outputs,
  kernel_size,
  *,
  constant=None,
  stride=1,
  rate=1,
  padding='SAME',
  activation_fn=tf.nn.relu,
  normalizer_fn=None,
  weights_initializer=None,
  scope,
):
  """2-D convolution with variables `scope/weights`, and `scope/biases` where there is no
  normalizer.

  Args:
    inputs: float [B, H, W, D]; with kernel_size 1 and batch norm also a projection.Projection.
    num_outputs: depth of the output.
    kernel_size: side of the square kernel.
    constant: with kernel_size 1, float [B, 1, 1, K] or None: channels that have one value
      everywhere, counted after those of `inputs`. The result is that of their concatenation,
      without the work.
    stride, rate: at most one of them above 1; rate is the atrous (dilation) rate.
    padding: 'SAME' or 'VALID'.
    activation_fn: applied last, or None.
    normalizer_fn: applied to the convolution's output instead of adding biases, or None.
    weights_initializer: initializer of the weights.
    scope: name of the variable scope.

  Returns:
    [B, H', W', num_outputs] of the inputs' dtype.

  Raises:
    ValueError: `constant` or a Projection with another kernel or stride.
  """
  is_pointwise = kernel_size == 1 and stride == 1
  if not is_pointwise and (constant is not None or isinstance(inputs, projection.Projection)):
    raise ValueError(f'{scope}: a constant or a Projection needs kernel_size 1 and stride 1')
  with variable_scope(scope):
    depth = inputs.shape[-1]
    all_depth = depth if constant is None else depth + constant.shape[-1]
    weights = get_variable(
      'weights', [kernel_size, kernel_size, all_depth, num_outputs], initializer=weights_initializer
    )
    if (
      is_pointwise
      and normalizer_fn is batch_norm
      and constant is None
      and expansion.pays(inputs, num_outputs)
    ):
      outputs = expansion_batch_norm(inputs, weights, activation_fn=activation_fn)
      if outputs is not None:
        return outputs
    # In float32 TensorFlow's own optimizer fuses the two.
    foldable = normalizer_fn is batch_norm and (
      inputs.dtype != tf.float32 or _weights_are_frozen[-1]
    )
    weights, biases = _prepare(weights, inputs.dtype, depth=num_outputs if foldable else None)
    if isinstance(inputs, projection.Projection):
      with _once_if_frozen():
        weights, biases = inputs.followed_by(weights, biases)
      inputs = inputs.inputs
    if constant is not None:
      with _once_if_frozen():
        # Not slices: their gradient is written element by element.
        weights, weights_of_constant = tf.split(weights, [depth, all_depth - depth], axis=2)
      constant = tf.nn.conv2d(constant, weights_of_constant, strides=1, padding='SAME')
    if kernel_size == 3 and stride == 1 and padding == 'SAME':
      outputs = convolution.conv2d(inputs, weights, rate=rate)
    elif is_pointwise and own_gradients.pointwise_pays():
      outputs = own_gradients.pointwise_conv2d(inputs, weights)
    else:
      outputs = tf.nn.conv2d(inputs, weights, strides=stride, padding=padding)
    if constant is not None:
      outputs += constant
    result = _normalize_and_activate(outputs, biases, normalizer_fn, activation_fn)
    if is_pointwise and biases is not None and constant is None and activation_fn is None:
      projection.remember(result, inputs=inputs, weights=weights, biases=biases)
    return result


@slim.add_arg_scope
def depthwise_conv2d(
  inputs,
  kernel_size,
  *,
  stride=1,
  rate=1,
  activation_fn=tf.nn.relu,
  normalizer_fn=None,
  weights_initializer=None,
  scope,
):
  """Depthwise 2-D convolution, one filter a channel, with 'SAME' padding and variable
  `scope/depthwise_weights`.

  The arguments and the result are those of `conv2d`.
  """
  with variable_scope(scope):
    weights = get_variable(
      'depthwise_weights',
      [kernel_size, kernel_size, inputs.shape[-1], 1],
      initializer=weights_initializer,
    )
    weights, biases = _prepare(
      weights, inputs.dtype, depth=inputs.shape[-1] if normalizer_fn is batch_norm else None
    )
    if rate > 1:
      outputs = convolution.depthwise_conv2d(inputs, weights, rate=rate)
    elif stride > 1 and own_gradients.strided_depthwise_pays(inputs.dtype):
      outputs = own_gradients.strided_depthwise_conv2d(inputs, weights, stride=stride)
    else:
      outputs = tf.nn.depthwise_conv2d(
        inputs, weights, strides=[1, stride, stride, 1], padding='SAME'
      )
    return _normalize_and_activate(outputs, biases, normalizer_fn, activation_fn)


def separable_conv2d(inputs, num_outputs, *, rate=1, scope):
  """3x3 depthwise convolution `SCOPE_depthwise`, then 1x1 convolution `SCOPE_pointwise`
  (DeepLabv3+, section 3.1).
  """
  outputs = depthwise_conv2d(
    inputs,
    3,
    rate=rate,
    weights_initializer=tf.compat.v1.truncated_normal_initializer(stddev=0.33),
    scope=scope + '_depthwise',
  )
  return conv2d(
    outputs,
    num_outputs,
    1,
    weights_initializer=tf.compat.v1.truncated_normal_initializer(stddev=0.06),
    scope=scope + '_pointwise',
  )


def conv2d_same(inputs, num_outputs, kernel_size, *, stride, rate=1, scope):
  """Convolution whose result with a stride is the stride-1 result, subsampled.

  'SAME' padding with a stride depends on whether the size is even; explicit zeros on both sides do
  not, so pretrained ResNets mean the same at every image size.
  """
  if stride == 1:
    return conv2d(inputs, num_outputs, kernel_size, rate=rate, scope=scope)
  before = (kernel_size - 1) // 2
  after = kernel_size - 1 - before
  inputs = tf.pad(inputs, [[0, 0], [before, after], [before, after], [0, 0]])
  return conv2d(inputs, num_outputs, kernel_size, stride=stride, padding='VALID', scope=scope)


@slim.add_arg_scope
def batch_norm(inputs, *, decay, epsilon, is_training, activation_fn=None, scope='BatchNorm'):
  """Batch norm with gamma and beta (Ioffe and Szegedy, 2015); statistics are computed and kept in
  float32.

  Args:
    inputs: float [B, H, W, D].
    decay: decay of the moving statistics.
    epsilon: added to the variance.
    is_training: normalize with the batch's statistics and update the moving ones in place.
    activation_fn: applied last, or None.
    scope: name of the variable scope.

  Returns:
    [B, H, W, D] of the inputs' dtype.
  """
  with variable_scope(scope):
    gamma, beta, moving_mean, moving_variance = _batch_norm_variables(inputs.shape[-1])
    if is_training:
      outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        inputs, gamma, beta, epsilon=epsilon
      )
      _update_statistics(moving_mean, moving_variance, mean, variance, decay)
    else:
      outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
        inputs,
        gamma,
        beta,
        mean=moving_mean,
        variance=moving_variance,
        epsilon=epsilon,
        is_training=False,
      )
    return outputs if activation_fn is None else activation_fn(outputs)


@slim.add_arg_scope
def affine_batch_norm(depth, *, decay, epsilon, is_training, scope='BatchNorm'):
  """Batch norm as (scale, offset), float32 [depth] each, with the variables of `batch_norm`; None
  with `is_training`.
  """
  del decay
  if is_training:
    return None
  with variable_scope(scope):
    gamma, beta, moving_mean, moving_variance = _batch_norm_variables(depth)
    scale = gamma * tf.math.rsqrt(moving_variance + epsilon)
    return scale, beta - moving_mean * scale


@slim.add_arg_scope
def expansion_batch_norm(
  inputs, weights, *, decay, epsilon, is_training, activation_fn=None, scope='BatchNorm'
):
  """Pointwise convolution with `batch_norm` and activation, computed as in expansion.py; None
  without `is_training`.
  """
  if not is_training:
    return None
  with variable_scope(scope):
    gamma, beta, moving_mean, moving_variance = _batch_norm_variables(weights.shape[3])
    outputs, mean, variance = expansion.normalized_expansion(
      inputs, weights, gamma, beta, epsilon=epsilon, activation_fn=activation_fn
    )
    _update_statistics(moving_mean, moving_variance, mean, variance, decay)
    return outputs


def _update_statistics(moving_mean, moving_variance, mean, variance, decay):
  if _updates_statistics[-1]:
    moving_mean.assign_sub((1 - decay) * (moving_mean - mean))
    moving_variance.assign_sub((1 - decay) * (moving_variance - variance))


def _batch_norm_variables(depth):
  beta = get_variable('beta', [depth], initializer=tf.compat.v1.zeros_initializer())
  gamma = get_variable('gamma', [depth], initializer=tf.compat.v1.ones_initializer())
  # Each replica keeps its own; reading from outside, for a checkpoint, takes the mean.
  statistic = dict(
    trainable=False,
    synchronization=tf.VariableSynchronization.ON_READ,
    aggregation=tf.VariableAggregation.MEAN,
  )
  moving_mean = get_variable(
    'moving_mean', [depth], initializer=tf.compat.v1.zeros_initializer(), **statistic
  )
  moving_variance = get_variable(
    'moving_variance', [depth], initializer=tf.compat.v1.ones_initializer(), **statistic
  )
  return gamma, beta, moving_mean, moving_variance


def max_pool2d(inputs, kernel_size, *, stride):
  """Max pooling with 'SAME' padding; with kernel_size 1 it subsamples."""
  if kernel_size == 1:
    # The mean of one value is that value, ten times as fast as a strided slice.
    return inputs if stride == 1 else tf.nn.avg_pool2d(inputs, 1, stride, padding='SAME')
  return tf.nn.max_pool2d(inputs, kernel_size, stride, padding='SAME')


def resize_bilinear(inputs, size, *, align_corners):
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


def interpolation_matrix(size, out_size, *, align_corners):
  """What `resize_bilinear` does along one side: float32 ndarray [out_size, size] to multiply with,
  for known sizes.
  """
  scale = (size - 1) / (out_size - 1) if align_corners and out_size > 1 else size / out_size
  # In float32 as TensorFlow's own resize, so that both give the same weights.
  positions = np.arange(out_size, dtype=np.float32) * np.float32(scale)
  below = np.floor(positions).astype(int)
  above = np.minimum(below + 1, size - 1)
  matrix = np.zeros([out_size, size], np.float32)
  np.add.at(matrix, (np.arange(out_size), below), 1 - (positions - below))
  np.add.at(matrix, (np.arange(out_size), above), positions - below)
  return matrix


def _prepare(weights, dtype, *, depth):
  """(weights, biases) to compute with: batch norm of that depth folded in, where there is one with
  stored statistics.

  Args:
    weights: float32 [k, k, D, D'].
    dtype: of the results.
    depth: D' or, for a depthwise convolution, D; None for no folding, then biases is None.
  """

  def prepare():
    affine = affine_batch_norm(depth) if depth is not None else None
    if affine is None:
      return tf.cast(weights, dtype), None
    scale, offset = affine
    factor = scale if weights.shape[3] == depth else scale[:, tf.newaxis]
    return tf.cast(weights * factor, dtype), tf.cast(offset, dtype)

  with _once_if_frozen():
    return prepare()


def _once_if_frozen():
  """Where what depends on nothing but frozen weights belongs: out of the function that is traced,
  which keeps the results.
  """
  return tf.init_scope() if _weights_are_frozen[-1] else contextlib.nullcontext()


def _normalize_and_activate(outputs, biases, normalizer_fn, activation_fn):
  if biases is not None:
    outputs = own_gradients.bias_add(outputs, biases)
  elif normalizer_fn is not None:
    outputs = normalizer_fn(outputs)
  else:
    biases = get_variable(
      'biases', [outputs.shape[-1]], initializer=tf.compat.v1.zeros_initializer()
    )
    outputs = own_gradients.bias_add(outputs, tf.cast(biases, outputs.dtype))
  return outputs if activation_fn is None else activation_fn(outputs)
