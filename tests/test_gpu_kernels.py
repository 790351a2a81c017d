"""What a GPU runs: every operation of the plain graphs has a kernel for it in this TensorFlow, and
none of those kernels computes on the host with more than sizes.

The wheel lists its GPU kernels on a machine without one. Nothing is computed here, only traced.
"""

import functools

import pytest
import tensorflow as tf
import tiny_model
from tensorflow.python.framework import kernels, op_def_registry

from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.losses import SegmentationLoss
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.operations.dispatch import Operations
from deeplab.options import (
  COMPUTE_DTYPES,
  LossOptions,
  ModelOptions,
  PredictionOptions,
  TrainingOptions,
)
from deeplab.training.training_step import TrainingStep

pytestmark = [
  pytest.mark.skipif(
    not tf.test.is_built_with_cuda(), reason='this TensorFlow is built without GPU kernels'
  ),
  pytest.mark.usefixtures('short_networks'),
]

_USUAL = {
  ('mobilenet_v2', 'float32'),
  ('mobilenet_v2', 'bfloat16'),
  ('resnet_v2_50', 'float32'),
  ('resnet_v2_50', 'float16'),
}


def nodes(graph):
  """Those of a graph and of all functions it calls."""
  definition = graph.as_graph_def()
  yield from definition.node
  for function in definition.library.function:
    yield from function.node_def


def kernel_on_a_gpu(node):
  """The KernelDef that TensorFlow chooses: one for GPUs before one for any device; or None."""
  types = ((name, value.type) for name, value in node.attr.items() if value.type)
  return _kernel_on_a_gpu(node.op, frozenset(types))


@functools.cache
def _kernel_on_a_gpu(operation, types):
  types = dict(types)
  fitting = {
    kernel.device_type: kernel
    for kernel in kernels.get_registered_kernels_for_op(operation).kernel
    if not kernel.label
    and all(
      types[constraint.name] in constraint.allowed_values.list.type
      for constraint in kernel.constraint
      if constraint.name in types
    )
  }
  return fitting.get('GPU') or fitting.get('DEFAULT')


def runs_on_a_gpu(node):
  if node.op == 'Const' and node.attr['dtype'].type == tf.string.as_datatype_enum:
    return True  # The text of an assertion, which the host prints.
  return kernel_on_a_gpu(node) is not None


def without_gpu_kernel(graph):
  """Names of the operations that a GPU cannot run, with the types of their attributes."""
  return sorted(
    {
      (node.op, *(tf.as_dtype(value.type).name for value in node.attr.values() if value.type))
      for node in nodes(graph)
      if not runs_on_a_gpu(node)
    }
  )


# Operations that call functions. TensorFlow puts those in the place of the calls, with identities,
# switches and merges at the seams, which have kernels on the host only for int32.
_CALLS = {
  *('If', 'StatelessIf', 'While', 'StatelessWhile', 'Case', 'StatelessCase'),
  *('PartitionedCall', 'StatefulPartitionedCall'),
}
# A tensor of a few numbers describes sizes: a shape, or the paddings of space to batch, [2, 2].
_MOST_SIZES = 8


def graphs(graph, seen=None):
  """A graph and those of all functions it calls, which know the shapes of their tensors."""
  seen = set() if seen is None else seen
  yield graph
  for name, function in graph._functions.items():
    if name not in seen:
      seen.add(name)
      yield from graphs(function.graph, seen)


def by_argument(arguments, node, tensors):
  """Yields (name of the argument, tensor); an argument may be a list of tensors."""
  tensors = iter(tensors)
  for argument in arguments:
    number = 1
    if argument.number_attr:
      number = node.attr[argument.number_attr].i
    elif argument.type_list_attr:
      number = len(node.attr[argument.type_list_attr].list.type)
    yield from ((argument.name, next(tensors)) for _ in range(number))


def on_the_host(operation):
  """Yields the tensors that the kernel wants to have, or leaves, in the host's memory."""
  if operation.type in _CALLS:
    yield from (each for each in operation.inputs if each.dtype == tf.int32)
    return
  kernel = kernel_on_a_gpu(operation.node_def)
  if kernel is None:
    return
  definition = op_def_registry.get(operation.type)
  for arguments, tensors in (
    (definition.input_arg, operation.inputs),
    (definition.output_arg, operation.outputs),
  ):
    for name, tensor in by_argument(arguments, operation.node_def, tensors):
      if name in kernel.host_memory_arg:
        yield tensor


def large_on_the_host(graph):
  """(operation, type, shape) for each tensor larger than sizes that a GPU's host would compute
  with; those with an unknown number of entries are large.

  What a function returns is not counted: the host asks for it, and that takes one copy.
  """
  found = set()
  for each in graphs(graph):
    returned = {id(tensor.op) for tensor in each.outputs} if each is graph else ()
    for operation in each.get_operations():
      if operation.type == 'Identity' and id(operation) in returned:
        continue
      for tensor in on_the_host(operation):
        number = tensor.shape.num_elements()
        if number is None or number > _MOST_SIZES:
          found.add((operation.type, tensor.dtype.name, str(tensor.shape)))
  return sorted(found)


@pytest.mark.parametrize(
  'variant, compute_dtype',
  # Both kinds of ResNet are made of the same operations, and each type meets one network here.
  [
    pytest.param(variant, dtype, marks=() if (variant, dtype) in _USUAL else pytest.mark.slow)
    for variant in ('mobilenet_v2', 'resnet_v2_50', 'resnet_v1_50')
    for dtype in COMPUTE_DTYPES
  ],
)
def test_plain_graphs(variant, compute_dtype):
  """All kinds of layers; deeper networks have the same ones more often."""
  options = ModelOptions(
    model_variant=variant, atrous_rates=(6, 12), use_decoder=True, output_stride=8
  )
  model = DeepLabV3PredictionModel(options, compute_dtype=compute_dtype, operations='plain')
  step = TrainingStep(
    model,
    TrainingOptions(),
    loss=SegmentationLoss(LossOptions(), ignore_label=255),
    strategy=tf.distribute.get_strategy(),
    scale_loss=compute_dtype == 'float16',
  )
  update = step._update.get_concrete_function(
    tf.TensorSpec([2, 33, 33, 3]),
    tf.TensorSpec([2, 33, 33], tf.uint8),
    tf.TensorSpec([]),
    tf.TensorSpec([], tf.int64),
    tf.TensorSpec([]),
  )
  evaluation = DeepLabV3Evaluator(model, num_classes=21)._step.get_concrete_function()
  prediction = DeepLabV3Inferencer(model)._step.get_concrete_function()
  for function in (update, evaluation, prediction):
    assert 'Conv2D' in {node.op for node in nodes(function.graph)}
    assert without_gpu_kernel(function.graph) == []
    assert large_on_the_host(function.graph) == []


_IMAGES = tf.TensorSpec([2, 33, 33, 3])
_SCALAR = tf.TensorSpec([])
_NUMBER = tf.TensorSpec([], tf.int64)


def functions_of_updates(step, *, label_dtype, accumulate_steps):
  """The traced functions of a TrainingStep."""
  labels = tf.TensorSpec([2, 33, 33], label_dtype)
  if accumulate_steps == 1:
    return [step._update.get_concrete_function(_IMAGES, labels, _SCALAR, _NUMBER, _SCALAR)]
  counts = dict.fromkeys(step._loss.parts, _SCALAR)
  return [
    step._count.get_concrete_function([labels] * accumulate_steps),
    step._accumulate.get_concrete_function(_IMAGES, labels, counts, _NUMBER, _NUMBER),
    step._finish.get_concrete_function(_SCALAR, _NUMBER, _SCALAR),
  ]


@pytest.mark.parametrize('accumulate_steps', [1, 2])
@pytest.mark.parametrize(
  'loss, class_weights, label_dtype',
  [
    ({}, None, tf.uint16),
    ({'loss': 'cross_entropy_and_dice'}, (1.0, 2.0, 0.5), tf.uint8),
    (
      {'loss': 'focal', 'top_k_percent_pixels': 0.5, 'hard_example_mining_step': 9},
      (1.0, 2.0, 0.5),
      tf.int32,
    ),
  ],
)
def test_losses_on_the_device(loss, class_weights, label_dtype, accumulate_steps):
  """All parts of an update around the network, which computes them in float32 in any dtype."""
  model = tiny_model.TinyModel()
  model.operations = Operations('plain')
  step = TrainingStep(
    model,
    TrainingOptions(
      accumulate_steps=accumulate_steps, ema_decay=0.9, optimizer='adam', clip_gradient_norm=1.0
    ),
    loss=SegmentationLoss(LossOptions(**loss), ignore_label=255, class_weights=class_weights),
    strategy=tf.distribute.get_strategy(),
    scale_loss=True,
  )
  for function in functions_of_updates(
    step, label_dtype=label_dtype, accumulate_steps=accumulate_steps
  ):
    assert without_gpu_kernel(function.graph) == []
    assert large_on_the_host(function.graph) == []


def test_predictions_on_the_device():
  """Padded, at several scales, mirrored, with all that can be asked for."""
  model = tiny_model.TinyModel()
  model.operations = Operations('plain')
  options = PredictionOptions(eval_pad='33x33', eval_scales=(0.5, 1.0), add_flipped_images=True)
  inferencer = DeepLabV3Inferencer(
    model, options=options, with_probabilities=True, foreground_classes=[1]
  )
  evaluator = DeepLabV3Evaluator(model, num_classes=3, options=options)
  for step in (inferencer._step, evaluator._step):
    graph = step.get_concrete_function().graph
    assert without_gpu_kernel(graph) == []
    assert large_on_the_host(graph) == []


def test_an_operation_without_a_kernel_is_seen():
  """Counting in int64 has none."""
  graph = tf.function(
    lambda cells: tf.math.bincount(cells, minlength=4, maxlength=4, dtype=tf.int64)
  ).get_concrete_function(tf.TensorSpec([3], tf.int32))
  assert [operation[0] for operation in without_gpu_kernel(graph.graph)] == ['DenseBincount']


_LABELS = tf.TensorSpec([2, 33, 33], tf.int32)


@pytest.mark.parametrize(
  'function, operation',
  [
    (lambda labels: tf.not_equal(labels, 255), 'NotEqual'),
    (lambda labels: tf.clip_by_value(labels, 0, 20), 'Minimum'),
    (tf.reduce_max, 'Max'),
    (lambda labels: labels * 21, 'Mul'),
    (lambda labels: tf.reshape(labels, [-1]) > 0, 'Reshape'),
    # In a function that is called, and at its seam.
    (lambda labels: tf.cond(tf.equal(labels[0, 0, 0], 0), lambda: labels + 1, lambda: 0), 'AddV2'),
    (lambda labels: tf.map_fn(lambda image: image - 1, labels), 'Sub'),
    (lambda labels: tf.cast(tf.function(tf.identity)(labels), tf.float32), 'PartitionedCall'),
    # Of unknown size.
    (lambda labels: tf.boolean_mask(tf.range(9), labels[0, 0, :9] > 0) + 1, 'AddV2'),
  ],
)
def test_a_kernel_on_the_host_is_seen(function, operation):
  traced = tf.function(function, autograph=False).get_concrete_function(_LABELS)
  assert without_gpu_kernel(traced.graph) == []
  assert operation in {found[0] for found in large_on_the_host(traced.graph)}


@pytest.mark.parametrize(
  'function',
  [
    lambda labels: tf.not_equal(tf.cast(labels, tf.float32), 255.0),
    lambda labels: tf.zeros(tf.shape(labels)[1:] + 1),  # Sizes.
    lambda labels: labels,
  ],
)
def test_what_a_device_does_itself_is_none(function):
  traced = tf.function(function, autograph=False).get_concrete_function(_LABELS)
  assert large_on_the_host(traced.graph) == []
