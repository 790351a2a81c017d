"""How a 3x3 convolution, atrous or not, is computed: the one place that decides.

TensorFlow 1's way with an atrous rate (and `tf.nn.depthwise_conv2d`'s still) splits the map into
rate * rate smaller ones (space to batch), convolves, and puts them together again. A dilated
convolution reads the same taps in place, which is several times faster. Minimal filtering needs
fewer multiplications where a map is deep, and products tap by tap need fewest where most taps fall
into the padding. The numbers are the same.
"""

import concurrent.futures
import functools

import tensorflow as tf

from deeplab.devices import has_gpu
from deeplab.model import lattices, minimal_filtering, pairs, tap_products
from deeplab.model.bilinear_algorithms import FOUR_TILES, PAIR, TILES, WHOLE
from deeplab.model.sizes import batch_and_spatial_size, maximum, minimum

# From these rates on, the CPU's kernels for dilations lose to the alternative: the 16-bit
# convolution, and the depthwise one. Measured on a processor with AVX-512 and AMX.
_LOW_PRECISION_RATE_LIMIT = 6
_DEPTHWISE_RATE_LIMIT = 8
# On smaller maps than that many pixels a side, the kernel for the gradient of depthwise weights is
# slow. Measured with AVX-512.
_PIXELS_OF_A_LATTICE = 5
# Below this depth the transforms of minimal filtering cost as much as it saves. Measured on
# processors with AVX-512.
_FILTERING_DEPTH = 256
# Reading one weight takes as long as that many products with it. Measured on a processor with
# AVX-512.
_COST_OF_WEIGHTS = 30
_NEVER = 2**31 - 1
# No map is worth a decision at run time up to this rate: those that are too small for tiles take no
# time.
_SMALL_RATE = 4


def conv2d(inputs, weights, *, rate=1):
  """Convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float [B, H, W, D].
    weights: [3, 3, D, D'] of the inputs' dtype.
    rate: int, 1 or more.

  Returns:
    [B, H, W, D'] of the inputs' dtype.
  """
  if _only_the_centre_counts(inputs, rate):
    return tf.nn.conv2d(inputs, weights[1:2, 1:2], strides=1, padding='SAME')
  if rate > 1 and not dilated_gradients_exist():
    return space_to_batch_conv2d(inputs, weights, rate=rate)
  if not _filtering_may_pay(inputs, weights):
    return _conv2d_without_filtering(inputs, weights, rate)
  if None not in inputs.shape[1:3]:
    return min(_ways(inputs, weights, rate), key=lambda way: way.cost).carry_out()
  if rate <= _SMALL_RATE:
    return _Filtering(inputs, weights, rate, TILES, {}).carry_out()
  ways = [way for way in _ways(inputs, weights, rate) if way.suits_unknown_sizes]
  outputs = tf.switch_case(
    tf.argmin(tf.stack([way.cost for way in ways]), output_type=tf.int32),
    [way.carry_out for way in ways],
  )
  return tf.ensure_shape(outputs, [*inputs.shape[:3], weights.shape[3]])


def _conv2d_without_filtering(inputs, weights, rate):
  if _taps_are_faster(inputs, rate):
    return tap_products.conv2d(inputs, weights, rate=rate)
  return _dilated_conv2d(inputs, weights, rate)


def _dilated_conv2d(inputs, weights, rate):
  return tf.nn.conv2d(inputs, weights, strides=1, padding='SAME', dilations=rate)


def _filtering_may_pay(inputs, weights):
  return inputs.dtype == tf.float32 and min(weights.shape[2:]) >= _FILTERING_DEPTH and not has_gpu()


def _ways(inputs, weights, rate):
  """All ways of a deep convolution in float32 on a CPU."""
  transformed = {}
  # The last for equal cost: it copies pixels.
  return [
    _Dilated(inputs, weights, rate),
    *([_Taps(inputs, weights, rate), _Pairs(inputs, weights, rate)] if rate > 1 else []),
    *(
      _Filtering(inputs, weights, rate, algorithm, transformed)
      for algorithm in (*WHOLE.values(), FOUR_TILES, TILES)
    ),
  ]


class _Way:
  """One way of a convolution.

  Attributes:
    cost: int, or a scalar where the size is unknown: products for each pair of channels, counting
      what reads the weights too.
    suits_unknown_sizes: whether it may stand beside others in the graph for maps of unknown size.
  """

  suits_unknown_sizes = True

  def __init__(self, inputs, weights, rate):
    self._inputs, self._weights, self._rate = inputs, weights, rate
    self._batch, self._height, self._width = batch_and_spatial_size(inputs)
    if None not in inputs.shape[1:3] and inputs.shape[0] is None:
      self._batch = 1  # What is best for one is good for more.


class _Dilated(_Way):
  suits_unknown_sizes = False  # Never much better than the next.

  @property
  def cost(self):
    return 9 * (self._batch * self._height * self._width + _COST_OF_WEIGHTS)

  def carry_out(self):
    return _dilated_conv2d(self._inputs, self._weights, self._rate)


class _Taps(_Way):
  @property
  def cost(self):
    rows, columns = (
      length + 2 * maximum(length - self._rate, 0) for length in (self._height, self._width)
    )
    return self._batch * rows * columns + 9 * _COST_OF_WEIGHTS

  def carry_out(self):
    return tap_products.conv2d(self._inputs, self._weights, rate=self._rate)


class _Pairs(_Way):
  @property
  def cost(self):
    rows, columns = (
      minimum(length, self._rate) + 2 * maximum(length - self._rate, 0)
      for length in (self._height, self._width)
    )
    cost = self._batch * rows * columns + PAIR.num_weights * _COST_OF_WEIGHTS
    return _where(maximum(self._height, self._width) <= 2 * self._rate, cost, _NEVER)

  def carry_out(self):
    return pairs.conv2d(self._inputs, _transformed(self._weights, PAIR, {}), rate=self._rate)


class _Filtering(_Way):
  def __init__(self, inputs, weights, rate, algorithm, transformed):
    """`transformed` is common to all ways of a convolution, for `_transformed`."""
    super().__init__(inputs, weights, rate)
    self._algorithm, self._transformed = algorithm, transformed
    # The weights of the others are many: each would be kept for maps that may never come.
    self.suits_unknown_sizes = algorithm.num_weights <= TILES.num_weights

  @property
  def cost(self):
    rows, columns = (
      minimal_filtering.num_blocks(length, self._rate, self._algorithm)
      for length in (self._height, self._width)
    )
    cost = self._batch * rows * columns * self._rate**2 * self._algorithm.num_products
    cost += self._algorithm.num_weights * _COST_OF_WEIGHTS
    return cost if self._algorithm.overlap else _where(maximum(rows, columns) == 1, cost, _NEVER)

  def carry_out(self):
    weights = _transformed(self._weights, self._algorithm, self._transformed)
    return minimal_filtering.conv2d(self._inputs, weights, self._algorithm, rate=self._rate)


def _transformed(weights, algorithm, already):
  """Weights for that Algorithm; if they are values already, `already` keeps the results, for
  algorithms with the same matrix.
  """
  # Of a variable too: its value here is none of the moment of tracing.
  weights = tf.convert_to_tensor(weights)
  if tf.executing_eagerly() or tf.is_symbolic_tensor(weights):
    return minimal_filtering.transform_weights(weights, algorithm)
  key = id(algorithm.weights)
  if key not in already:
    with tf.init_scope():  # Once, while this is traced.
      already[key] = minimal_filtering.transform_weights(weights, algorithm)
  return already[key]


def _where(condition, one, other):
  return (
    (one if condition else other)
    if isinstance(condition, bool)
    else tf.where(condition, one, other)
  )


def depthwise_conv2d(inputs, weights, *, rate):
  """Atrous depthwise convolution with stride 1 and 'SAME' padding.

  Args:
    inputs: float [B, H, W, D].
    weights: [3, 3, D, 1] of the inputs' dtype.
    rate: int above 1.

  Returns:
    [B, H, W, D] of the inputs' dtype.
  """
  if _only_the_centre_counts(inputs, rate):
    return inputs * weights[1, 1, :, 0]
  if rate < _DEPTHWISE_RATE_LIMIT and dilated_depthwise_is_right():
    return _dilated_depthwise_conv2d(inputs, weights, rate)
  return space_to_batch_depthwise_conv2d(inputs, weights, rate=rate)


def space_to_batch_conv2d(inputs, weights, *, rate):
  """The same as `conv2d`, TensorFlow 1's way; for devices without dilated gradients, and to compare
  with.
  """
  return _with_space_to_batch(
    inputs, rate, lambda inputs: tf.nn.conv2d(inputs, weights, strides=1, padding='VALID')
  )


def space_to_batch_depthwise_conv2d(inputs, weights, *, rate):
  """The same as `depthwise_conv2d`, TensorFlow 1's way."""
  return _with_space_to_batch(
    inputs,
    rate,
    lambda inputs: tf.nn.depthwise_conv2d(inputs, weights, strides=[1, 1, 1, 1], padding='VALID'),
  )


def _with_space_to_batch(inputs, rate, convolve):
  paddings, crops = tf.required_space_to_batch_paddings(
    tf.shape(inputs)[1:3], [rate, rate], base_paddings=[[rate, rate], [rate, rate]]
  )
  return tf.batch_to_space(
    convolve(tf.space_to_batch(inputs, [rate, rate], paddings)), [rate, rate], crops
  )


def _only_the_centre_counts(inputs, rate):
  """True where the other taps fall into the padding for every output pixel: the map is not larger
  than the rate.
  """
  height, width = inputs.shape[1:3]
  return height is not None and width is not None and max(height, width) <= rate


def _taps_are_faster(inputs, rate):
  if rate == 1 or has_gpu():
    return False
  if inputs.dtype != tf.float32:
    return rate >= _LOW_PRECISION_RATE_LIMIT
  height, width = inputs.shape[1:3]
  return height is not None and width is not None and max(height, width) <= 2 * rate


def _dilated_depthwise_conv2d(inputs, weights, rate):
  """TensorFlow's own gradients of this operation ignore the dilations on a CPU, so they are written
  out here.
  """

  @tf.custom_gradient
  def convolve(inputs, weights):
    def gradient(upstream):
      # The rate keeps the taps apart, so the adjoint is the same convolution with the taps
      # mirrored.
      inputs_gradient = _raw_depthwise(upstream, weights[::-1, ::-1], rate)
      if inputs.shape.is_fully_defined() and min(inputs.shape[1:3]) >= _PIXELS_OF_A_LATTICE * rate:
        return inputs_gradient, lattices.depthwise_weights_gradient(inputs, upstream, rate=rate)
      with tf.GradientTape() as tape:
        tape.watch(weights)
        outputs = space_to_batch_depthwise_conv2d(inputs, weights, rate=rate)
      return inputs_gradient, tape.gradient(outputs, weights, output_gradients=upstream)

    return _raw_depthwise(inputs, weights, rate), gradient

  return convolve(inputs, weights)


def _raw_depthwise(inputs, weights, rate):
  return tf.raw_ops.DepthwiseConv2dNative(
    input=inputs, filter=weights, strides=[1, 1, 1, 1], padding='SAME', dilations=[1, rate, rate, 1]
  )


def _eagerly(function):
  """`function`, run eagerly even while a graph is being built; `init_scope` does not lead out of a
  plain graph.
  """

  def run():
    with concurrent.futures.ThreadPoolExecutor(1) as new_thread:  # A new thread has no graph.
      return new_thread.submit(function).result()

  return run


@functools.cache
@_eagerly
def dilated_gradients_exist():
  """Whether this device has the gradients of a dilated convolution; the CPU has them only with
  oneDNN.
  """
  # With a depth of 1 other kernels answer, which have them everywhere.
  inputs, weights = tf.zeros([1, 5, 5, 4]), tf.zeros([3, 3, 4, 4])
  settings = dict(strides=[1, 1, 1, 1], padding='SAME', dilations=[1, 2, 2, 1])
  try:
    tf.raw_ops.Conv2DBackpropInput(
      input_sizes=inputs.shape, filter=weights, out_backprop=inputs, **settings
    )
    tf.raw_ops.Conv2DBackpropFilter(
      input=inputs, filter_sizes=weights.shape, out_backprop=inputs, **settings
    )
  except tf.errors.OpError:
    return False
  return True


@functools.cache
@_eagerly
def dilated_depthwise_is_right():
  """Whether this device's depthwise convolution heeds dilations; not all do, and those that do not
  may not say so.
  """
  inputs = tf.reshape(tf.range(25.0), [1, 5, 5, 1])
  try:
    outputs = _raw_depthwise(inputs, tf.ones([3, 3, 1, 1]), rate=2).numpy()
  except (tf.errors.OpError, ValueError):
    return False
  # In the middle all taps count, rows and columns 0, 2 and 4; in the corner rows and columns 0 and
  # 2.
  return bool(outputs[0, 2, 2, 0] == 108.0 and outputs[0, 0, 0, 0] == 0.0 + 2.0 + 10.0 + 12.0)
