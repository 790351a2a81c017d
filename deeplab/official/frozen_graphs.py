"""Frozen inference graphs (`frozen_inference_graph.pb`) as sources of variables.

Freezing turned each variable into a constant of its name; optimizing may have folded batch norm
into the convolutions.
"""

import math

import numpy as np
import tensorflow as tf

from deeplab.errors import InputError
from deeplab.official.graph_definitions import GraphDefinition, data_inputs, variable_name
from deeplab.official.graph_facts import gather_facts
from deeplab.official.official_names import batch_norm_epsilon

_FUSED_BATCH_NORMS = ('FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3')
_ADDITIONS = ('Add', 'AddV2', 'BiasAdd')
_STATISTICS = ('gamma', 'beta', 'moving_mean', 'moving_variance')


class FrozenGraph:
  """Reads the variables of a frozen graph; the interface is that of `checkpoints.Reader`.

  Attributes:
    prefix: path of the file.
    shapes: dict of variable name -> list of ints.
    facts: graph_facts.Facts.
    global_step: None, a graph has none.
  """

  global_step = None

  def __init__(self, path: str):
    """Parses the file. Raises InputError where it is no graph, or not one to infer with."""
    self.prefix = path
    self._graph = GraphDefinition(path)
    self._notes = []
    self._values = self._read_variables()
    for convolution in self._graph.convolutions.values():
      self._values[convolution.weights_name] = self._weights(convolution)
      try:
        self._read_normalization(convolution)
      except (TypeError, ValueError) as error:  # numpy's, of shapes that do not go together.
        if isinstance(error, InputError):
          raise
        raise self._graph.error(
          convolution.node, 'is followed by constants that do not fit its channels'
        ) from error
    self.shapes = {name: list(value.shape) for name, value in self._values.items()}
    self.facts = gather_facts(self._graph, notes=self._notes)

  def get(self, name: str) -> np.ndarray:
    """The value of variable `name` as ndarray."""
    return self._values[name]

  def _weights(self, convolution):
    value = self._graph.constant(self._graph.input_name(convolution.node, 1))
    if value.ndim != 4 or value.dtype.kind != 'f':
      raise self._graph.error(
        convolution.node, f'has weights {value.dtype} {list(value.shape)}, not four-dimensional'
      )
    return value

  def _read_variables(self):
    """The constants that were variables: those that an Identity `NAME/...` reads."""
    values = {}
    for node in self._graph.nodes.values():
      if node.op == 'Const' and node.attr['dtype'].type == tf.float32.as_datatype_enum:
        readers = [reader for reader in self._graph.consumers[node.name] if reader.op == 'Identity']
        if any(reader.name.startswith(node.name + '/') for reader in readers):
          values[variable_name(node.name)] = self._graph.constant(node.name)
    return values

  def _read_normalization(self, convolution):
    """Adds what follows a convolution: biases, or batch norm, be it one operation, folded, or
    spelled out.
    """
    scope = convolution.scope
    scale, offset, folded = None, None, []
    for node in self._followers(convolution.node):
      operands = [self._graph.constant(name) for name in data_inputs(node)]
      if node.op in _FUSED_BATCH_NORMS:
        self._read_fused(scope, node, operands)
        return
      constant = next((operand for operand in operands if operand is not None), None)
      if (
        constant is None
        or constant.dtype.kind != 'f'
        or (constant.ndim > 1 and constant.size != constant.shape[-1])
      ):
        break
      constant = constant.reshape(-1)
      if node.op == 'Mul' and offset is None:
        scale = constant if scale is None else scale * constant
      elif node.op in _ADDITIONS or node.op == 'Sub' and operands[-1] is not None:
        constant = -constant if node.op == 'Sub' else constant
        offset = constant if offset is None else offset + constant
      else:
        break
      folded += data_inputs(node)
    for node in filter(None, map(self._graph.source_constant, folded)):
      self._values.pop(variable_name(node.name), None)
    if offset is None:
      self._read_spelled_out(scope)
    elif scope.startswith('logits/'):
      self._values[scope + '/biases'] = offset
    else:
      self._unfold(scope, scale, offset)

  def _followers(self, node):
    """The chain of operations that may belong to a convolution, each alone in computing on from the
    one before.
    """
    seen = set()
    while True:
      self._graph.step(node, seen)
      following = [
        other
        for other in self._graph.consumers[node.name]
        if other.op
        in _FUSED_BATCH_NORMS + _ADDITIONS + ('Mul', 'Sub', 'BatchToSpaceND', 'Identity')
      ]
      if len(following) != 1:
        return
      node = following[0]
      if node.op not in ('BatchToSpaceND', 'Identity'):
        yield node

  def _read_fused(self, scope, node, operands):
    if len(operands) < 5 or any(operand is None for operand in operands[1:5]):
      raise InputError(
        f'{self.prefix}: batch norm {node.name} has no constant statistics; freeze the graph for '
        'inference'
      )
    self._set_batch_norm(scope, *operands[1:5], epsilon=node.attr['epsilon'].f)

  def _read_spelled_out(self, scope):
    """Batch norm as multiplications and additions of its variables, which have been read: only
    epsilon may differ.
    """
    values = [self._values.get(f'{scope}/BatchNorm/{name}') for name in _STATISTICS]
    epsilon_name = f'{scope}/BatchNorm/batchnorm/add/y'
    epsilon = self._graph.constant(epsilon_name)
    self._values.pop(epsilon_name, None)
    if epsilon is not None and all(value is not None for value in values):
      self._set_batch_norm(scope, *values, epsilon=float(epsilon))

  def _unfold(self, scope, scale, offset):
    """Folded batch norm as one that does nothing but scale and shift."""
    epsilon = np.float32(batch_norm_epsilon(scope))
    ones = np.ones_like(offset)
    gamma = ones if scale is None else np.broadcast_to(scale, offset.shape)
    self._set_batch_norm(scope, gamma, offset, 0 * ones, ones - epsilon, epsilon=epsilon)

  def _set_batch_norm(self, scope, gamma, beta, mean, variance, *, epsilon):
    expected = batch_norm_epsilon(scope)
    if not math.isclose(epsilon, expected, rel_tol=1e-3):
      # Only the sum of variance and epsilon counts.
      variance = (variance.astype(np.float64) + (epsilon - expected)).astype(np.float32)
      self._notes.append(
        f'{scope}/BatchNorm: epsilon {epsilon:.3g} in the graph, {expected:g} here; the difference '
        'is in moving_variance now'
      )
    for name, value in zip(_STATISTICS, (gamma, beta, mean, variance)):
      self._values[f'{scope}/BatchNorm/{name}'] = value
