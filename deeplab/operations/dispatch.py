"""The operations of the network behind one door; `choice` says which implementations apply."""

import functools
from collections.abc import Collection, Sequence
from typing import Any

import tensorflow as tf

from deeplab.operations import (
  bands,
  choice,
  cross_entropy,
  depthwise,
  expansions,
  low_precision_biases,
  plain,
  pointwise,
  products,
  sizes,
  taps,
  tiles,
)

NAMES = ('auto', 'plain')


class Operations:
  """The operations of the network; each computes with the implementation that suits its inputs.

  Arguments and results are those of the functions of the same names in `plain`.

  Attributes:
    name: 'auto', or 'plain' for nothing but `plain`.
  """

  def __init__(
    self,
    name: str = 'auto',
    *,
    constant_weights: bool = False,
    keep_prepared: bool = True,
    without: Collection[str] = (),
    replicas: plain.Replicas | None = None,
  ):
    """Decides what holds for all operations.

    Args:
      name: of NAMES. On a GPU 'auto' is 'plain': what a GPU runs is what tests run on a CPU.
      constant_weights: nobody wants gradients of the weights, which are constant in a prediction.
      keep_prepared: the constant weights do not change between predictions either, so what depends
        on nothing else is computed once, while a function is traced, and kept by it. Else each
        call of the function computes it: the same numbers, to the bit.
      without: names of implementations to leave out, for measurements: keys of `choice.WHY_NOT`.
      replicas: batch norm in training takes the statistics of them all; None: each by itself.

    Raises:
      ValueError: there is no such name.
    """
    for each, allowed in ((name, NAMES), *((each, choice.WHY_NOT) for each in without)):
      if each not in allowed:
        raise ValueError(f'operations {each!r}: must be one of {", ".join(allowed)}')
    self.name, self._without, self._replicas = name, frozenset(without), replicas
    self._all_plain = None  # In words why all operations are plain, if they are.
    if name == 'plain':
      self._all_plain = 'plain operations were asked for'
    elif choice.has_gpu():
      self._all_plain = 'a GPU computes, and there plain operations are used'
    self._constant_weights = constant_weights and not self._all_plain
    self._keep_prepared = keep_prepared

  def with_constant_weights(self, *, keep_prepared: bool = True) -> 'Operations':
    """The same for predictions; `keep_prepared` as in `__init__`."""
    return Operations(
      self.name, constant_weights=True, keep_prepared=keep_prepared, without=self._without
    )

  def why_not(self, implementation: str, case: Any = None) -> str | None:
    """In words why an implementation, a key of `choice.WHY_NOT`, is not used; None if it may be.

    Args:
      implementation: its name.
      case: what its function there takes; choice.Convolution for convolutions.
    """
    if self._all_plain:
      return self._all_plain
    if implementation in self._without:
      return 'it is left out'
    if implementation == 'expansions' and self._replicas is not None:
      return 'the statistics are those of all replicas'
    return choice.WHY_NOT[implementation](case)

  # === Convolutions ===

  def conv2d(
    self,
    inputs: tf.Tensor,
    weights: tf.Tensor,
    *,
    stride: int = 1,
    rate: int = 1,
    padding: str = 'SAME',
  ) -> tf.Tensor:
    case = self._case(inputs, weights, stride=stride, rate=rate, padding=padding)
    weights = self._prepared(lambda weights: tf.cast(weights, inputs.dtype), weights)
    if rate > 1 and not choice.dilated_gradients_exist():
      return plain.space_to_batch_conv2d(inputs, weights, rate=rate)
    if self.why_not('pointwise', case) is None:
      return pointwise.conv2d(inputs, weights)
    ways = []  # (cost, computation)
    if self.why_not('taps', case) is None:
      number = taps.num_products(case.height, case.width, rate)
      ways.append((case.cost(number, 9), lambda: taps.conv2d(inputs, weights, rate=rate)))
    for name, algorithm in (('tiles', tiles.TILES), ('whole', tiles.WHOLE)):
      if self.why_not(name, case) is None:
        ways.append(self._by_blocks(inputs, weights, case, algorithm))
    if case.has_known_size or not ways:  # Where sizes are unknown, never much better than taps.
      number = case.kernel_size**2 * case.height * case.width
      ways.append(
        (
          case.cost(number, case.kernel_size**2),
          lambda: plain.conv2d(inputs, weights, stride=stride, rate=rate, padding=padding),
        )
      )
    return _cheapest(ways)

  def _by_blocks(self, inputs, weights, case, algorithm):
    number = tiles.num_products(case.height, case.width, case.rate, algorithm)
    transform = functools.partial(tiles.transform_weights, algorithm=algorithm)
    transformed = self._prepared(transform, weights)
    return (
      case.cost(number, algorithm.num_products),
      lambda: tiles.conv2d(inputs, transformed, algorithm, rate=case.rate),
    )

  def concat_conv2d(self, maps: Sequence[tf.Tensor], weights: tf.Tensor) -> tf.Tensor:
    """1x1 convolution of the concatenation of `maps`, as `plain.concat` makes it."""
    *whole, pixel = maps
    if self.why_not('one_pixel', pixel):
      return self.conv2d(plain.concat(maps), weights)
    depths = [weights.shape[2] - pixel.shape[3], pixel.shape[3]]
    # Not slices: their gradient is written element by element.
    of_whole, of_pixel = self._prepared(lambda weights: tf.split(weights, depths, axis=2), weights)
    return self.conv2d(plain.concat(whole), of_whole) + self.conv2d(pixel, of_pixel)

  def depthwise_conv2d(
    self,
    inputs: tf.Tensor,
    weights: tf.Tensor,
    *,
    stride: int = 1,
    rate: int = 1,
    padding: str = 'SAME',
  ) -> tf.Tensor:
    case = self._case(inputs, weights, stride=stride, rate=rate, padding=padding)
    weights = self._prepared(lambda weights: tf.cast(weights, inputs.dtype), weights)
    if self.why_not('depthwise', case) is None:
      on_lattices = self.why_not('lattices', case) is None
      return depthwise.conv2d(inputs, weights, rate=rate, on_lattices=on_lattices)
    if self.why_not('strided_depthwise', case) is None:
      return depthwise.strided_conv2d(inputs, weights, stride=stride, padding=padding)
    return plain.depthwise_conv2d(inputs, weights, stride=stride, rate=rate, padding=padding)

  # === What follows a convolution ===

  def conv2d_batch_norm(
    self,
    inputs: tf.Tensor,
    weights: tf.Tensor,
    norm: plain.BatchNorm,
    *,
    activation_fn: plain.Activation | None = None,
    addend: tf.Tensor | None = None,
    **settings: int | str,
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Convolution, batch norm and activation.

    Args:
      inputs, weights: as for `conv2d`.
      activation_fn: applied last, or None.
      addend: float [B, H', W', D'], added before it, or None.
      **settings: stride, rate and padding, as for `conv2d`.

    Returns:
      outputs [B, H', W', D'], mean and variance, as `plain.batch_norm`.
    """
    case = self._case(inputs, weights, norm=norm, **settings)
    if addend is None and self.why_not('expansions', case) is None:
      return expansions.conv2d_batch_norm(inputs, weights, norm, activation_fn=activation_fn)
    convolve = functools.partial(self.conv2d, inputs, **settings)
    return self._with_batch_norm(
      convolve, weights, norm, activation_fn, inputs.dtype, addend=addend
    )

  def depthwise_conv2d_batch_norm(
    self,
    inputs: tf.Tensor,
    weights: tf.Tensor,
    norm: plain.BatchNorm,
    *,
    activation_fn: plain.Activation | None = None,
    **settings: int | str,
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The same for a depthwise convolution."""
    convolve = functools.partial(self.depthwise_conv2d, inputs, **settings)
    return self._with_batch_norm(convolve, weights, norm, activation_fn, inputs.dtype)

  def concat_conv2d_batch_norm(
    self,
    maps: Sequence[tf.Tensor],
    weights: tf.Tensor,
    norm: plain.BatchNorm,
    *,
    activation_fn: plain.Activation | None = None,
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The same for the 1x1 convolution of a concatenation."""
    convolve = functools.partial(self.concat_conv2d, maps)
    return self._with_batch_norm(convolve, weights, norm, activation_fn, maps[0].dtype)

  def _with_batch_norm(self, convolve, weights, norm, activation_fn, dtype, *, addend=None):
    mean, variance = norm.mean, norm.variance
    if self.why_not('folding', (norm, dtype, self._constant_weights)) is None:
      folded = functools.partial(_folded, epsilon=norm.epsilon)
      weights, biases = self._prepared(folded, weights, norm.gamma, norm.beta, mean, variance)
      outputs = convolve(weights)
      # Before the biases: TensorFlow's remapper gives up the whole graph, with all that it would
      # fuse, where it meets sums of sums behind biases.
      outputs = self.bias_add(outputs if addend is None else outputs + addend, biases)
    else:
      outputs, mean, variance = self.batch_norm(convolve(weights), norm)
      outputs = outputs if addend is None else outputs + addend
    return outputs if activation_fn is None else activation_fn(outputs), mean, variance

  def bias_add(self, inputs: tf.Tensor, biases: tf.Tensor) -> tf.Tensor:
    if not self._constant_weights:
      way = plain if self.why_not('biases', inputs.dtype) else low_precision_biases
      return way.bias_add(inputs, biases)
    biases = self._prepared(lambda biases: tf.cast(biases, inputs.dtype), biases)
    return tf.nn.bias_add(inputs, biases)  # Nobody wants a gradient of it, so none can drift.

  def batch_norm(
    self, inputs: tf.Tensor, norm: plain.BatchNorm
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    if self._replicas is None or not norm.uses_batch:
      return plain.batch_norm(inputs, norm)
    return plain.synchronized_batch_norm(inputs, norm, self._replicas)

  # === Logits and what is read off them ===

  def resized_argmax(
    self, logits: tf.Tensor, size: Sequence[sizes.Size], *, align_corners: bool
  ) -> tf.Tensor:
    way = plain if self.why_not('bands') else bands
    return way.resized_argmax(logits, size, align_corners=align_corners)

  def cross_entropy(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    way = plain if self.why_not('softmax') else cross_entropy
    return way.cross_entropy(logits, labels)

  def resized_cross_entropy(
    self, logits: tf.Tensor, labels: tf.Tensor, *, align_corners: bool
  ) -> tf.Tensor:
    resize = plain if self.why_not('products', (logits, labels)) else products
    size = sizes.spatial_size(labels)
    logits = resize.resize_bilinear(logits, size, align_corners=align_corners)
    return self.cross_entropy(logits, labels)

  def _case(self, inputs, weights, **settings):
    return choice.Convolution.of(
      inputs, weights, has_constant_weights=self._constant_weights, **settings
    )

  def _prepared(self, function, *values):
    """function(*values); where it is kept once, outside of the function that is being traced."""
    if not (self._constant_weights and self._keep_prepared):
      return function(*values)
    with tf.init_scope():
      # Of a variable its value, which is none of the moment of tracing.
      return function(*(tf.convert_to_tensor(value) for value in values))


def _folded(weights, gamma, beta, mean, variance, *, epsilon):
  """Weights with a batch norm of stored statistics folded in, and its biases, float32."""
  scale = gamma * tf.math.rsqrt(variance + epsilon)
  # A depthwise convolution's channels stand one axis further left.
  factor = scale if weights.shape[3] == scale.shape[0] else scale[:, tf.newaxis]
  return weights * factor, beta - mean * scale


def _cheapest(ways):
  """The result of the way of least cost, given (cost, computation) pairs; of equal ones the last.

  Where sizes are unknown while tracing, all stand in the graph, and each map takes its own.
  """
  costs = [cost for cost, _ in ways]
  if len(ways) == 1 or sizes.are_known(*costs):
    return min(reversed(ways), key=lambda way: way[0])[1]()
  chosen = tf.argmin(tf.stack(costs), output_type=tf.int32)
  return tf.switch_case(chosen, [compute for _, compute in ways])
