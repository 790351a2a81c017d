"""What a GPU runs: every operation of the plain graphs has a kernel for it in this TensorFlow.

The wheel lists its GPU kernels on a machine without one. Nothing is computed here, only traced.
"""

import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.losses import SegmentationLoss
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import COMPUTE_DTYPES, LossOptions, ModelOptions, TrainingOptions
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


def runs_on_a_gpu(node):
  if node.op == 'Const' and node.attr['dtype'].type == tf.string.as_datatype_enum:
    return True  # The text of an assertion, which the host prints.
  for kernel in kernels.get_registered_kernels_for_op(node.op).kernel:
    if kernel.device_type not in ('GPU', 'DEFAULT'):
      continue
    if all(
      node.attr[constraint.name].type in constraint.allowed_values.list.type
      for constraint in kernel.constraint
      if node.attr[constraint.name].WhichOneof('value') == 'type'
    ):
      return True
  return False


def without_gpu_kernel(graph):
  """Names of the operations that a GPU cannot run, with the types of their attributes."""
  return sorted(
    {
      (node.op, *(tf.as_dtype(value.type).name for value in node.attr.values() if value.type))
      for node in nodes(graph)
      if not runs_on_a_gpu(node)
    }
  )


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
    tf.TensorSpec([2, 33, 33], tf.int32),
    tf.TensorSpec([]),
    tf.TensorSpec([], tf.int64),
  )
  evaluation = DeepLabV3Evaluator(model, num_classes=21)._step.get_concrete_function()
  prediction = DeepLabV3Inferencer(model)._step.get_concrete_function()
  for function in (update, evaluation, prediction):
    assert 'Conv2D' in {node.op for node in nodes(function.graph)}
    assert without_gpu_kernel(function.graph) == []


def test_an_operation_without_a_kernel_is_seen():
  """Counting in int64 has none."""
  graph = tf.function(
    lambda cells: tf.math.bincount(cells, minlength=4, maxlength=4, dtype=tf.int64)
  ).get_concrete_function(tf.TensorSpec([3], tf.int32))
  assert [operation[0] for operation in without_gpu_kernel(graph.graph)] == ['DenseBincount']
