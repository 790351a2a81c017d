"""The layers all networks here are made of: they make variables and name them; `operations`
computes.

They take slim's arguments and make slim's variables, so slim's arg_scopes and checkpoints fit. The
computation follows the dtype of the inputs, while variables and statistics stay float32.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from deeplab.model.slim_bridge import get_variable, slim, variable_scope
from deeplab.operations.dispatch import Operations
from deeplab.operations.plain import Activation, BatchNorm


@slim.add_arg_scope
def conv2d(
  inputs: tf.Tensor,
  num_outputs: int,
  kernel_size: int,
  *,
  stride: int = 1,
  rate: int = 1,
  padding: str = 'SAME',
  activation_fn: Activation | None = tf.nn.relu,
  normalizer_fn: Callable | None = None,
  addend: tf.Tensor | None = None,
  weights_initializer: Callable | None = None,
  operations: Operations,
  scope: str,
) -> tf.Tensor:
  """2-D convolution with variables `scope/weights`, and `scope/biases` where there is no
  normalizer.

  Args:
    inputs: float [B, H, W, D].
    num_outputs: depth of the output.
    kernel_size: side of the square kernel.
    stride, rate: at most one of them above 1; rate is the atrous (dilation) rate.
    padding: 'SAME' or 'VALID'.
    activation_fn: applied last, or None.
    normalizer_fn: `normalization`, or None for biases.
    addend: [B, H', W', num_outputs], added after batch norm and before the activation, or None;
      only with a normalizer.
    weights_initializer: initializer of the weights.
    operations: what to compute with.
    scope: name of the variable scope.

  Returns:
    [B, H', W', num_outputs] of the inputs' dtype.
  """
  with variable_scope(scope):
    shape = [kernel_size, kernel_size, inputs.shape[-1], num_outputs]
    weights = get_variable('weights', shape, initializer=weights_initializer)
    settings = dict(stride=stride, rate=rate, padding=padding)
    if normalizer_fn is not None:
      norm, update_statistics = normalizer_fn(num_outputs)
      outputs, mean, variance = operations.conv2d_batch_norm(
        inputs, weights, norm, activation_fn=activation_fn, addend=addend, **settings
      )
      update_statistics(mean, variance)
      return outputs
    assert addend is None
    biases = get_variable('biases', [num_outputs], initializer=tf.compat.v1.zeros_initializer())
    outputs = operations.bias_add(operations.conv2d(inputs, weights, **settings), biases)
    return outputs if activation_fn is None else activation_fn(outputs)


@slim.add_arg_scope
def concat_conv2d(
  maps: Sequence[tf.Tensor],
  num_outputs: int,
  *,
  activation_fn: Activation | None = tf.nn.relu,
  normalizer_fn: Callable | None = None,
  weights_initializer: Callable | None = None,
  operations: Operations,
  scope: str,
) -> tf.Tensor:
  """1x1 convolution of a concatenation, with batch norm and variable `scope/weights`.

  Args:
    maps: float [B, H, W, D]; the last may have one pixel, which is then the same everywhere.
    num_outputs, activation_fn, normalizer_fn, weights_initializer, operations, scope: as for
      `conv2d`, but for the normalizer, which must be there.

  Returns:
    [B, H, W, num_outputs] of the maps' dtype.
  """
  with variable_scope(scope):
    shape = [1, 1, sum(each.shape[-1] for each in maps), num_outputs]
    weights = get_variable('weights', shape, initializer=weights_initializer)
    norm, update_statistics = normalizer_fn(num_outputs)
    outputs, mean, variance = operations.concat_conv2d_batch_norm(
      maps, weights, norm, activation_fn=activation_fn
    )
    update_statistics(mean, variance)
    return outputs


@slim.add_arg_scope
def depthwise_conv2d(
  inputs: tf.Tensor,
  kernel_size: int,
  *,
  stride: int = 1,
  rate: int = 1,
  padding: str = 'SAME',
  activation_fn: Activation | None = tf.nn.relu,
  normalizer_fn: Callable | None = None,
  weights_initializer: Callable | None = None,
  operations: Operations,
  scope: str,
) -> tf.Tensor:
  """Depthwise 2-D convolution, one filter a channel, with batch norm.

  The variable is `scope/depthwise_weights`; arguments and result are those of `conv2d`.
  """
  with variable_scope(scope):
    depth = inputs.shape[-1]
    shape = [kernel_size, kernel_size, depth, 1]
    weights = get_variable('depthwise_weights', shape, initializer=weights_initializer)
    norm, update_statistics = normalizer_fn(depth)
    settings = dict(stride=stride, rate=rate, padding=padding)
    outputs, mean, variance = operations.depthwise_conv2d_batch_norm(
      inputs, weights, norm, activation_fn=activation_fn, **settings
    )
    update_statistics(mean, variance)
    return outputs


def separable_conv2d(
  inputs: tf.Tensor, num_outputs: int, *, rate: int = 1, scope: str
) -> tf.Tensor:
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


def conv2d_same(
  inputs: tf.Tensor, num_outputs: int, kernel_size: int, *, stride: int, rate: int = 1, scope: str
) -> tf.Tensor:
  """Convolution whose result with a stride is the stride-1 result, subsampled.

  'SAME' padding with a stride depends on whether the size is even; explicit zeros on both sides do
  not, so pretrained ResNets mean the same at every image size.
  """
  if stride == 1:
    return conv2d(inputs, num_outputs, kernel_size, rate=rate, scope=scope)
  inputs = _with_margins(inputs, kernel_size)
  return conv2d(inputs, num_outputs, kernel_size, stride=stride, padding='VALID', scope=scope)


def depthwise_conv2d_same(
  inputs: tf.Tensor, kernel_size: int, *, stride: int, rate: int = 1, scope: str
) -> tf.Tensor:
  """The same for a depthwise convolution; at most one of stride and rate is above 1."""
  if stride == 1:
    return depthwise_conv2d(inputs, kernel_size, rate=rate, scope=scope)
  inputs = _with_margins(inputs, kernel_size)
  return depthwise_conv2d(inputs, kernel_size, stride=stride, padding='VALID', scope=scope)


def _with_margins(inputs, kernel_size):
  """[B, H, W, D] with the zeros around it that a convolution with stride 1 would see."""
  before = (kernel_size - 1) // 2
  after = kernel_size - 1 - before
  return tf.pad(inputs, [[0, 0], [before, after], [before, after], [0, 0]])


@slim.add_arg_scope
def batch_norm(
  inputs: tf.Tensor,
  *,
  activation_fn: Activation | None = None,
  operations: Operations,
  scope: str = 'BatchNorm',
) -> tf.Tensor:
  """Batch norm by itself: float [B, H, W, D] to the same, `activation_fn` applied last if any."""
  norm, update_statistics = normalization(inputs.shape[-1], scope=scope)
  outputs, mean, variance = operations.batch_norm(inputs, norm)
  update_statistics(mean, variance)
  return outputs if activation_fn is None else activation_fn(outputs)


@slim.add_arg_scope
def normalization(
  depth: int,
  *,
  decay: float,
  epsilon: float,
  is_training: bool,
  updates_statistics: bool = True,
  scope: str = 'BatchNorm',
) -> tuple[BatchNorm, Callable[[tf.Tensor, tf.Tensor], None]]:
  """The variables of a batch norm.

  Args:
    depth: channels.
    decay: decay of the moving statistics.
    epsilon: added to the variance.
    is_training: normalize with the batch's statistics.
    updates_statistics: with `is_training`, let the moving statistics follow, in place.
    scope: name of the variable scope.

  Returns:
    plain.BatchNorm, and what to call with the batch's mean and variance afterwards.
  """
  zeros, ones = tf.compat.v1.zeros_initializer(), tf.compat.v1.ones_initializer()
  # Each replica follows its own images; the training step makes them equal after each update, so
  # the first replica's are everyone's, and a checkpoint or a validation needs no other device.
  statistic = dict(
    trainable=False,
    synchronization=tf.VariableSynchronization.ON_READ,
    aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
  )
  with variable_scope(scope):
    beta = get_variable('beta', [depth], initializer=zeros)
    gamma = get_variable('gamma', [depth], initializer=ones)
    moving_mean = get_variable('moving_mean', [depth], initializer=zeros, **statistic)
    moving_variance = get_variable('moving_variance', [depth], initializer=ones, **statistic)

  def update(mean, variance):
    if is_training and updates_statistics:
      moving_mean.assign_sub((1 - decay) * (moving_mean - mean))
      moving_variance.assign_sub((1 - decay) * (moving_variance - variance))

  norm = BatchNorm(gamma, beta, moving_mean, moving_variance, epsilon, uses_batch=is_training)
  return norm, update


@slim.add_arg_scope
def max_pool2d(
  inputs: tf.Tensor, kernel_size: int, *, stride: int, operations: Operations
) -> tf.Tensor:
  """Max pooling with 'SAME' padding."""
  return operations.max_pool2d(inputs, kernel_size, stride=stride)
