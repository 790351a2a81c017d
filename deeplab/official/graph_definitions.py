"""A frozen TensorFlow graph as a net of nodes to walk in; it is parsed, never run."""

import collections
import dataclasses
import math
import os
import re
import stat

import numpy as np
import tensorflow as tf

from deeplab.errors import InputError, shown
from deeplab.official.official_names import LAST_WEIGHTS

CONVOLUTIONS = ('Conv2D', 'DepthwiseConv2dNative')
# What may stand between a weight constant and its convolution.
PASS_THROUGH = ('Identity', 'FakeQuantWithMinMaxVars', 'FakeQuantWithMinMaxArgs', 'Cast')

# What no frozen DeepLab comes near: the largest has 200 MB of weights and some thousand nodes.
_MOST_BYTES = 2**29
_MOST_STEPS = 1_000_000
_MOST_OF_A_LIST = 1024  # Strides and rates.
_REMEDY = 'the graph is damaged, or no frozen DeepLab; get it again, or give the checkpoint'


@dataclasses.dataclass
class Convolution:
  """A convolution node, the name of its weights, and its stride and atrous rate."""

  node: tf.compat.v1.NodeDef
  weights_name: str
  stride: int
  rate: int

  @property
  def scope(self) -> str:
    """The scope of its variables."""
    return self.weights_name.rsplit('/', 1)[0]


class GraphDefinition:
  """The nodes of a frozen graph.

  Attributes:
    path: of the file.
    nodes: dict of name -> NodeDef.
    consumers: dict of name -> NodeDefs that take an output of that node.
    convolutions: dict of scope -> Convolution, those with constant weights; the first of each
      scope, because with several scales they share their weights.
  """

  def __init__(self, path: str):
    """Parses the file. Raises InputError where it is no graph, or one without such convolutions.

    A node that lacks what its operation needs, a loop, or a constant of absurd size is one too,
    here and in the methods, once it is come across.
    """
    self.path = path
    self._num_steps = self._num_bytes = 0
    self.nodes = {node.name: node for node in _parse(path).node}
    self.consumers = collections.defaultdict(list)
    for node in self.nodes.values():
      for name in data_inputs(node):
        self.consumers[name].append(node)
    self._constants = {}
    self.convolutions = self._find_convolutions()
    if not self.convolutions:
      raise InputError(
        f'{path}: the graph has no convolution with constant weights; give a frozen inference '
        'graph, or the checkpoint'
      )

  def constant(self, name: str) -> np.ndarray | None:
    """The value of a constant, through operations that hand it on, as ndarray; None for other
    nodes.
    """
    node = self.source_constant(name)
    if node is None:
      return None
    if node.name not in self._constants:
      self._constants[node.name] = self._value(node)
    return self._constants[node.name]

  def input_name(self, node: tf.compat.v1.NodeDef, index: int) -> str:
    """Name of the node that gives `node` its input `index`. Raises InputError where it has none."""
    names = data_inputs(node)
    if index >= len(names):
      raise self.error(node, f'has {len(names)} inputs, needs {index + 1}')
    return names[index]

  def spatial_number(self, node: tf.compat.v1.NodeDef, attribute: str) -> int:
    """The height's entry of an attribute such as strides, four numbers of an NHWC operation."""
    numbers = node.attr[attribute].list.i
    if len(numbers) != 4 or not 1 <= numbers[1] <= _MOST_OF_A_LIST:
      raise self.error(node, f'has {attribute} {list(numbers)[:8]}')
    return int(numbers[1])

  def error(self, node: tf.compat.v1.NodeDef, what: str) -> InputError:
    """An InputError about a node."""
    return InputError(f'{self.path}: node {shown(node.name)} ({shown(node.op)}) {what}; {_REMEDY}')

  def step(self, node: tf.compat.v1.NodeDef, seen: set[str] | None = None) -> None:
    """Counts a step of a walk to `node`; `seen` has the names of the nodes of this walk.

    Raises InputError for a loop, or where all walks together are too long.
    """
    self._num_steps += 1
    if seen is not None:
      if node.name in seen:
        raise self.error(node, 'is part of a loop')
      seen.add(node.name)
    if self._num_steps > _MOST_STEPS:
      raise self.error(node, f'is reached after {_MOST_STEPS} steps')

  def _value(self, node):
    """The value of a Const node, whose size is looked at first."""
    tensor = node.attr['value'].tensor
    try:
      dtype = tf.as_dtype(tensor.dtype)
    except TypeError:
      raise self.error(node, 'has no value of a known type') from None
    if tensor.dtype != node.attr['dtype'].type:
      raise self.error(node, 'has a value of another type than it says')
    dimensions = [dimension.size for dimension in tensor.tensor_shape.dim]
    num_bytes = math.prod(dimensions) * max(dtype.size or 0, 1)
    if tensor.tensor_shape.unknown_rank or min(dimensions, default=0) < 0:
      raise self.error(node, f'has the shape {dimensions[:8]}')
    self._num_bytes += num_bytes
    if self._num_bytes > _MOST_BYTES:
      raise self.error(
        node, f'has the shape {dimensions[:8]}: constants of more than {_MOST_BYTES >> 20} MiB'
      )
    try:
      return tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
      raise self.error(node, f'has a value that does not fit its shape {dimensions[:8]}') from error

  def descendants(self, node: tf.compat.v1.NodeDef) -> list[tf.compat.v1.NodeDef]:
    """List of the nodes that depend on `node`."""
    seen, waiting = {}, [node]
    while waiting:
      for other in self.consumers[waiting.pop().name]:
        self.step(other)
        if other.name not in seen:
          seen[other.name] = other
          waiting.append(other)
    return list(seen.values())

  def before(self, node: tf.compat.v1.NodeDef) -> tf.compat.v1.NodeDef | None:
    """The node that gives `node` its first input that is not constant, or None."""
    return self.nodes.get(
      next((name for name in data_inputs(node) if self.constant(name) is None), None)
    )

  def _find_convolutions(self):
    found = {}
    for node in self.nodes.values():
      if node.op not in CONVOLUTIONS:
        continue
      weights = self.source_constant(self.input_name(node, 1))
      if weights is not None:
        convolution = Convolution(
          node,
          variable_name(weights.name),
          stride=self.spatial_number(node, 'strides'),
          rate=self._rate(node),
        )
        found.setdefault(convolution.scope, convolution)
    return found

  def _rate(self, node):
    before = self.nodes.get(self.input_name(node, 0))
    if before is not None and before.op == 'SpaceToBatchND':
      block_shape = self.constant(self.input_name(before, 1))
      if block_shape is None:
        return 1
      if (
        block_shape.ndim != 1
        or block_shape.dtype.kind != 'i'
        or not (block_shape.size and 1 <= block_shape[0] <= _MOST_OF_A_LIST)
      ):
        raise self.error(before, f'has the block shape {block_shape.ravel()[:8].tolist()}')
      return int(block_shape[0])
    return self.spatial_number(node, 'dilations') if node.attr['dilations'].list.i else 1

  def source_constant(self, name: str) -> tf.compat.v1.NodeDef | None:
    """The Const node that `name` reads, through operations that hand it on, or None."""
    node, seen = self.nodes.get(name), set()
    while node is not None and node.op != 'Const':
      self.step(node, seen)
      # In quantization-aware training the weights are multiplied by the folded batch norm.
      follow = node.op in PASS_THROUGH or node.op == 'Mul' and node.name.endswith('mul_fold')
      node = self.nodes.get(self.input_name(node, 0)) if follow else None
    return node


def data_inputs(node: tf.compat.v1.NodeDef) -> list[str]:
  """Names of the nodes whose outputs a node takes."""
  return [name.split(':')[0] for name in node.input if not name.startswith('^')]


def variable_name(constant_name: str) -> str:
  """The name of the variable that a constant was."""
  return re.sub(r'/(read|ReadVariableOp|Read/ReadVariableOp)$', '', constant_name)


def _parse(path):
  status = os.stat(path)
  if not stat.S_ISREG(status.st_mode) or status.st_size >= 2**31:  # protobuf's limit.
    raise InputError(f'{path}: not a frozen graph ({status.st_size} bytes)')
  with open(path, 'rb') as file:
    content = file.read()
  graph = tf.compat.v1.GraphDef()
  try:
    graph.ParseFromString(content)
  except Exception as error:  # protobuf's DecodeError; its home differs between versions.
    raise InputError(
      f'{path}: not a frozen graph, or a damaged one '
      f'({" ".join(str(error).split()) or "cannot be parsed"}); download it again'
    ) from error
  if not graph.node:
    raise InputError(
      f'{path}: holds no graph (of a SavedModel, give the checkpoint it was made from)'
    )
  _remove_prefix(graph)
  return graph


def _remove_prefix(graph):
  """Takes away what importing a graph into another puts before every name, such as `import/`."""
  ends = (LAST_WEIGHTS, LAST_WEIGHTS + '/read')
  prefix = next(
    (node.name.split(LAST_WEIGHTS)[0] for node in graph.node if node.name.endswith(ends)), ''
  )
  if prefix:
    for node in graph.node:
      node.name = node.name.removeprefix(prefix)
      node.input[:] = [re.sub(r'^(\^?)' + re.escape(prefix), r'\1', name) for name in node.input]
