"""A frozen TensorFlow graph as a net of nodes to walk in; it is parsed, never run."""

import collections
import dataclasses
import re

import numpy as np
import tensorflow as tf

from deeplab.errors import InputError
from deeplab.official.official_names import LAST_WEIGHTS

CONVOLUTIONS = ('Conv2D', 'DepthwiseConv2dNative')
# What may stand between a weight constant and its convolution.
PASS_THROUGH = ('Identity', 'FakeQuantWithMinMaxVars', 'FakeQuantWithMinMaxArgs', 'Cast')


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
    """Parses the file. Raises InputError where it is no graph, or one without such convolutions."""
    self.path = path
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
    if name not in self._constants:
      node = self.source_constant(name)
      self._constants[name] = None if node is None else tf.make_ndarray(node.attr['value'].tensor)
    return self._constants[name]

  def descendants(self, node: tf.compat.v1.NodeDef) -> list[tf.compat.v1.NodeDef]:
    """List of the nodes that depend on `node`."""
    seen, waiting = {}, [node]
    while waiting:
      for other in self.consumers[waiting.pop().name]:
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
      weights = self.source_constant(data_inputs(node)[1]) if node.op in CONVOLUTIONS else None
      if weights is not None:
        convolution = Convolution(
          node,
          variable_name(weights.name),
          stride=node.attr['strides'].list.i[1],
          rate=self._rate(node),
        )
        found.setdefault(convolution.scope, convolution)
    return found

  def _rate(self, node):
    before = self.nodes.get(data_inputs(node)[0])
    if before is not None and before.op == 'SpaceToBatchND':
      block_shape = self.constant(data_inputs(before)[1])
      return 1 if block_shape is None else int(block_shape[0])
    dilations = node.attr['dilations'].list.i
    return int(dilations[1]) if dilations else 1

  def source_constant(self, name: str) -> tf.compat.v1.NodeDef | None:
    """The Const node that `name` reads, through operations that hand it on, or None."""
    node = self.nodes.get(name)
    while node is not None and node.op != 'Const':
      # In quantization-aware training the weights are multiplied by the folded batch norm.
      follow = node.op in PASS_THROUGH or node.op == 'Mul' and node.name.endswith('mul_fold')
      node = self.nodes.get(data_inputs(node)[0]) if follow else None
    return node


def data_inputs(node: tf.compat.v1.NodeDef) -> list[str]:
  """Names of the nodes whose outputs a node takes."""
  return [name.split(':')[0] for name in node.input if not name.startswith('^')]


def variable_name(constant_name: str) -> str:
  """The name of the variable that a constant was."""
  return re.sub(r'/(read|ReadVariableOp|Read/ReadVariableOp)$', '', constant_name)


def _parse(path):
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
