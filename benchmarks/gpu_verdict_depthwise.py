"""The ways of an atrous depthwise convolution: which are right on this device, and the fastest."""

import itertools
import statistics
import time

import numpy as np

# batch, side, depth, rate: units of MobileNetV2 at output stride 8, and branches of a separable
# ASPP.
_CASES = (
  (2, 65, 384, 2),
  (2, 65, 960, 4),
  (2, 33, 2048, 6),
  (2, 33, 2048, 12),
  (2, 33, 2048, 18),
)
_SMALL_CASES = ((2, 9, 8, 2), (2, 9, 8, 4))
# Relative to the largest value, of outputs and both gradients.
_LIMITS = {'float32': 1e-5, 'float16': 1e-2}
_SLOWER_LIMIT = 1.5  # What the toolkit takes may take so many times as long as the fastest.
_ROUNDS = 5
_CHOSEN = 'the toolkit'


def depthwise(work):
  """Every way in every case, against NumPy."""
  dtypes = ('float32',) if work.is_dry_run else ('float32', 'float16')
  for dtype, case in itertools.product(dtypes, _SMALL_CASES if work.is_dry_run else _CASES):
    batch, side, depth, rate = case
    title = f'{dtype} [{batch}, {side}, {side}, {depth}], rate {rate}'
    if work.has_time_for(title):
      _one_case(work, title, case, dtype)
  if work.is_dry_run:
    work.findings.not_run('float16', 'this toolkit computes in float16 on GPUs only')


def _one_case(work, title, case, dtype):
  import tensorflow as tf

  batch, side, depth, rate = case
  random = np.random.default_rng(0)
  arrays = [
    random.standard_normal(shape).astype(dtype)
    for shape in ([batch, side, side, depth], [3, 3, depth, 1], [batch, side, side, depth])
  ]
  expected = by_numpy(*arrays, rate=rate)
  tensors = [tf.constant(array) for array in arrays]
  errors, seconds = {}, {}
  for name, way in ways().items():
    run = _with_gradients(way, rate)
    try:
      results = [result.numpy() for result in run(*tensors)]
    except Exception as error:  # Whatever a device makes of a way it does not have.
      if name == _CHOSEN:
        work.findings.fail(f'{title}: {name}', f'{type(error).__name__}: {error}')
      work.findings.row(
        'Atrous depthwise convolutions',
        case=title,
        way=name,
        equal=f'not run: {type(error).__name__}',
      )
      continue
    errors[name] = largest_error(results, expected)
    seconds[name] = _median_seconds(run, tensors)
    work.findings.row(
      'Atrous depthwise convolutions',
      case=title,
      way=name,
      equal='yes' if errors[name] <= _LIMITS[dtype] else 'NO',
      error=errors[name],
      **{'ms, forward and gradients': 1e3 * seconds[name]},
    )
  _judge(work.findings, title, errors, seconds, limit=_LIMITS[dtype], is_dry_run=work.is_dry_run)


def _judge(findings, title, errors, seconds, *, limit, is_dry_run):
  """Of the way that the toolkit takes: whether it is right, and how far from the fastest."""
  if _CHOSEN not in errors:
    return
  findings.judge(f'{title}: error of {_CHOSEN}', errors[_CHOSEN], limit)
  right = {name: seconds[name] for name, error in errors.items() if error <= limit}
  if not right:
    return
  fastest = min(right, key=right.get)
  what = f'{title}: time of {_CHOSEN} to that of the fastest way that is right'
  if is_dry_run:
    findings.not_run(what, f'times of a CPU; there {fastest} is')
  else:
    ratio = seconds[_CHOSEN] / right[fastest]
    findings.judge(what, ratio, _SLOWER_LIMIT, note=f'the fastest is {fastest}')


def ways():
  """name -> function of (inputs, weights, rate)."""
  import tensorflow as tf

  from deeplab.operations import depthwise, plain
  from deeplab.operations.dispatch import Operations

  operations = Operations()

  def dilated_kernel(inputs, weights, rate):
    return tf.raw_ops.DepthwiseConv2dNative(
      input=inputs,
      filter=weights,
      strides=[1, 1, 1, 1],
      padding='SAME',
      dilations=[1, rate, rate, 1],
    )

  def grouped(inputs, weights, rate):
    filters = tf.transpose(weights, [0, 1, 3, 2])  # [3, 3, 1, D]: as many groups as channels.
    return tf.nn.conv2d(inputs, filters, 1, 'SAME', dilations=rate)

  def taps(inputs, weights, rate):
    height, width = inputs.shape[1:3]
    padded = tf.pad(inputs, [[0, 0], [rate, rate], [rate, rate], [0, 0]])
    return tf.add_n(
      [
        padded[:, row * rate : row * rate + height, column * rate : column * rate + width]
        * weights[row, column, :, 0]
        for row in range(3)
        for column in range(3)
      ]
    )

  return {
    _CHOSEN: lambda inputs, weights, rate: operations.depthwise_conv2d(inputs, weights, rate=rate),
    'space to batch': lambda inputs, weights, rate: plain.depthwise_conv2d(
      inputs, weights, rate=rate
    ),
    'dilated kernel': dilated_kernel,
    'dilated kernel, gradient of the weights on lattices': (
      lambda inputs, weights, rate: depthwise.conv2d(inputs, weights, rate=rate, on_lattices=True)
    ),
    'grouped convolution': grouped,
    'taps': taps,
  }


def _with_gradients(way, rate):
  import tensorflow as tf

  @tf.function(autograph=False)
  def run(inputs, weights, upstream):
    with tf.GradientTape() as tape:
      tape.watch([inputs, weights])
      outputs = way(inputs, weights, rate)
    return outputs, *tape.gradient(outputs, [inputs, weights], output_gradients=upstream)

  return run


def _median_seconds(run, tensors):
  seconds = []
  for _ in range(_ROUNDS):
    started = time.perf_counter()
    for result in run(*tensors):
      result[0, 0, 0, 0].numpy()  # Waits for it.
    seconds.append(time.perf_counter() - started)
  return statistics.median(seconds)


def by_numpy(inputs, weights, upstream, *, rate):
  """Outputs, gradient of the inputs and gradient of the weights, float64, tap by tap.

  Args:
    inputs: [B, H, W, D].
    weights: [3, 3, D, 1].
    upstream: gradient of the outputs, [B, H, W, D].
  """
  inputs, weights, upstream = (array.astype(np.float64) for array in (inputs, weights, upstream))
  outputs, weights_gradient = np.zeros_like(inputs), np.zeros_like(weights)
  inputs_gradient = np.zeros_like(inputs)
  for row, column in itertools.product(range(3), range(3)):
    read_rows, written_rows = _overlap(inputs.shape[1], (row - 1) * rate)
    read_columns, written_columns = _overlap(inputs.shape[2], (column - 1) * rate)
    read, written = (
      (slice(None), read_rows, read_columns),
      (slice(None), written_rows, written_columns),
    )
    tap = weights[row, column, :, 0]
    outputs[written] += inputs[read] * tap
    inputs_gradient[read] += upstream[written] * tap
    weights_gradient[row, column, :, 0] = (inputs[read] * upstream[written]).sum(axis=(0, 1, 2))
  return outputs, inputs_gradient, weights_gradient


def _overlap(size, offset):
  """(slice read, slice written) along a side where output i reads input i + offset."""
  missing = min(abs(offset), size)
  early, late = slice(0, size - missing), slice(missing, size)
  return (late, early) if offset > 0 else (early, late)


def largest_error(results, expected):
  """The largest of the differences, each relative to the largest value of its array."""
  errors = [
    np.abs(result.astype(np.float64) - value).max() / np.abs(value).max()
    for result, value in zip(results, expected)
  ]
  return float(np.max(errors))
