"""Which implementation of an operation applies where: the only module that knows the device,
dtypes, whether sizes are known, and measured constants.

Each implementation other than `plain` has a function here that says in words why it does not apply
to a case, or None. `benchmarks/ablation.py` measures what each brings.
"""

import concurrent.futures
import functools
import typing

import tensorflow as tf

from deeplab.operations import depthwise, plain, sizes, tiles

# What follows was measured on processors with AVX-512; benchmarks/convolutions.py shows it.
# Below this many channels the transforms of tiles, and the copies of taps, cost what they save.
_DEEP = 256
# Up to this rate a map that is too small for tiles takes no time worth a decision while running.
_SMALL_RATE = 4
# Reading one weight takes as long as that many products with it.
_COST_OF_WEIGHTS = 30
# From these rates on, the kernels for dilations lose: that of 16-bit convolutions to taps, the
# depthwise one to space to batch.
_LOW_PRECISION_RATE = 6
_DEPTHWISE_RATE = 8
# With fewer pixels a side on a lattice, the kernel for gradients of depthwise weights is slow.
_PIXELS_OF_A_LATTICE = 5
# Below these ratios the covariance of an expansion's inputs costs what the passes over outputs do.
_OUTPUTS_FOR_AN_INPUT = 4
_PIXELS_FOR_AN_INPUT = 24


class Convolution(typing.NamedTuple):
  """What the choice of a convolution depends on.

  Attributes:
    dtype: of the inputs.
    batch, height, width: ints, or int32 scalars where they are unknown while tracing.
    kernel_size, depth, outputs_depth, stride, rate: ints; a depthwise one has outputs_depth 1.
    padding: 'SAME' or 'VALID'.
    norm: the plain.BatchNorm that follows, or None.
    has_constant_weights: nobody wants gradients of the weights.
  """

  dtype: tf.DType
  batch: sizes.Size
  height: sizes.Size
  width: sizes.Size
  kernel_size: int
  depth: int
  outputs_depth: int
  stride: int = 1
  rate: int = 1
  padding: str = 'SAME'
  norm: plain.BatchNorm | None = None
  has_constant_weights: bool = False

  @classmethod
  def of(cls, inputs: tf.Tensor, weights: tf.Tensor, **settings: typing.Any) -> 'Convolution':
    """That of tensors; `settings` are the fields with defaults."""
    kernel_size, _, depth, outputs_depth = weights.shape
    size = sizes.batch_and_spatial_size(inputs)
    return cls(inputs.dtype, *size, kernel_size, depth, outputs_depth, **settings)

  @property
  def has_known_size(self) -> bool:
    return sizes.are_known(self.height, self.width)

  @property
  def is_same_3x3(self) -> bool:
    return self.kernel_size == 3 and self.stride == 1 and self.padding == 'SAME'

  @property
  def is_deep(self) -> bool:
    return min(self.depth, self.outputs_depth) >= _DEEP

  def cost(self, num_products: sizes.Size, num_weights: int) -> sizes.Size:
    """Of products of a pixel, and of reading weights, with a [D, D'] matrix each, in products."""
    batch = self.batch
    if self.has_known_size and not sizes.are_known(batch):
      batch = 1  # What is best for one image is good for more.
    if not sizes.are_known(batch, num_products):  # Whole numbers could overflow.
      batch, num_products = (tf.cast(each, tf.float32) for each in (batch, num_products))
    return batch * num_products + _COST_OF_WEIGHTS * num_weights


# === What the devices can do ===


def has_gpu() -> bool:
  """Whether operations run on a GPU here."""
  return bool(tf.config.list_logical_devices('GPU'))


def _once_and_eagerly(function):
  """`function`, run once and eagerly even while a graph is being built; `init_scope` does not lead
  out of a plain graph.
  """

  @functools.cache
  def run():
    with concurrent.futures.ThreadPoolExecutor(1) as new_thread:  # A new thread has no graph.
      return new_thread.submit(function).result()

  return run


@_once_and_eagerly
def dilated_gradients_exist() -> bool:
  """Whether this device has the gradients of a dilated convolution; a CPU has them with oneDNN."""
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


_depthwise_heeds_dilations = _once_and_eagerly(depthwise.heeds_dilations)


# === Why an implementation does not apply ===

_NO_DECISION = f'no map is worth a decision while running up to rate {_SMALL_RATE}'
_NO_GRADIENT = 'only its gradient is faster, and constant weights have none'


def _why_not_taps(case):
  if not case.is_same_3x3:
    return 'only for 3x3 convolutions with stride 1 and SAME padding'
  if case.rate == 1:
    return 'at rate 1 next to no tap falls into the padding'
  if case.dtype == tf.float32:
    if not case.has_known_size and case.rate <= _SMALL_RATE:
      return _NO_DECISION
    return None if case.is_deep else f'copies cost what is saved below {_DEEP} channels'
  if case.rate < _LOW_PRECISION_RATE:
    return f'the {case.dtype.name} kernel for dilations wins below rate {_LOW_PRECISION_RATE}'
  return None


def _why_not_tiles(case):
  if not case.is_same_3x3:
    return 'only for 3x3 convolutions with stride 1 and SAME padding'
  if case.dtype != tf.float32:
    return f'its sums of pixels and of taps need float32, not {case.dtype.name}'
  return None if case.is_deep else f'transforms cost what is saved below {_DEEP} channels'


def _why_not_whole(case):
  if case.has_known_size and max(case.height, case.width) > tiles.SIDE * case.rate:
    return f'the map has more than {tiles.SIDE} pixels a side on a lattice of the rate'
  if not case.has_known_size and case.rate <= _SMALL_RATE:
    return _NO_DECISION
  return _why_not_tiles(case)


def _why_not_pointwise(case):
  if case.kernel_size != 1 or case.stride != 1:
    return 'only for 1x1 convolutions with stride 1'
  return _NO_GRADIENT if case.has_constant_weights else None


def _why_not_depthwise(case):
  if not case.is_same_3x3 or case.rate == 1:
    return 'only for atrous 3x3 convolutions'
  if case.rate >= _DEPTHWISE_RATE:
    return f'space to batch is faster from rate {_DEPTHWISE_RATE} on'
  if not _depthwise_heeds_dilations():
    return 'the kernel of this device ignores dilations'
  return None


def _why_not_lattices(case):
  if not sizes.are_known(case.batch, case.height, case.width):
    return 'only for known sizes'
  if min(case.height, case.width) < _PIXELS_OF_A_LATTICE * case.rate:
    return f'the kernel is slow on lattices of fewer than {_PIXELS_OF_A_LATTICE} pixels a side'
  return None


def _why_not_strided_depthwise(case):
  if case.stride == 1:
    return 'only for strides'
  if case.has_constant_weights:
    return _NO_GRADIENT
  return 'the gradient is fast in float32' if case.dtype == tf.float32 else None


def _why_not_expansions(case):
  if case.kernel_size != 1 or case.stride != 1:
    return 'only for 1x1 convolutions with stride 1'
  if not case.norm.uses_batch:
    return 'only where the statistics of the batch normalize'
  if case.dtype != tf.float32:
    return f'variances of {case.dtype.name} inputs would cancel'
  if not sizes.are_known(case.batch, case.height, case.width):
    return 'only for known sizes'
  if case.outputs_depth < _OUTPUTS_FOR_AN_INPUT * case.depth:
    return f'only where channels become {_OUTPUTS_FOR_AN_INPUT} times as many'
  if case.batch * case.height * case.width < _PIXELS_FOR_AN_INPUT * case.depth:
    return f'only from {_PIXELS_FOR_AN_INPUT} pixels for each channel on'
  return None


def _why_not_biases(dtype):
  return 'TensorFlow adds up in float32' if dtype == tf.float32 else None


def _why_not_one_pixel(pixel):
  return None if pixel.shape[1:3] == [1, 1] else 'the last map has more than one pixel'


def _why_not_folding(case):
  norm, dtype, weights_are_constant = case
  if norm.uses_batch:
    return 'the statistics of the batch normalize'
  if dtype == tf.float32 and not weights_are_constant:
    return "TensorFlow's own optimizer fuses the two in float32"
  return None


def _why_not_products(case):
  logits, labels = case
  known = logits.shape.is_fully_defined() and labels.shape.is_fully_defined()
  return None if known else 'only for known sizes'


# Implementation -> the function that says why it does not apply to a case, or None.
WHY_NOT = {
  'taps': _why_not_taps,
  'tiles': _why_not_tiles,
  'whole': _why_not_whole,
  'pointwise': _why_not_pointwise,
  'depthwise': _why_not_depthwise,
  'lattices': _why_not_lattices,
  'strided_depthwise': _why_not_strided_depthwise,
  'expansions': _why_not_expansions,
  'biases': _why_not_biases,
  'one_pixel': _why_not_one_pixel,
  'folding': _why_not_folding,
  'softmax': lambda _: None,
  'products': _why_not_products,
  'bands': lambda _: None,
}
