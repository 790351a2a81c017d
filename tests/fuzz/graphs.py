"""Damaged frozen graphs: read without being run, in bounded steps and memory."""

import functools
import os

import numpy as np
import tensorflow as tf
from official_network import Official

from deeplab.official import official_checkpoints
from deeplab.official.official_architectures import recognize

from . import damages
from .cases import Case, Target

_NETWORKS = (
  Official(multiplier=0.5, num_classes=3, rates=(2, 4)),
  Official(multiplier=0.5, num_classes=3, batch_norm='spelled_out', decoder='separable'),
  Official(multiplier=0.5, num_classes=3, batch_norm='folded', rates=(2,), space_to_batch=True),
)
_ABSURD = (0, -1, -(2**31), 2**31 - 1, 2**40, 2**62)


def prepare(directory: str) -> None:
  """Writes graphs whose constants are one value each, so that they are small."""
  for number, network in enumerate(_NETWORKS):
    graph = network.frozen_graph(network.make_weights(), size=65)
    for node in graph.node:
      if node.op == 'Const' and len(node.attr['value'].tensor.tensor_content) > 64:
        tensor = node.attr['value'].tensor
        value = float(np.frombuffer(tensor.tensor_content, np.float32)[0])
        tensor.tensor_content = b''
        tensor.float_val[:] = [abs(value) + 0.1]
    with open(os.path.join(directory, f'graph{number}.pb'), 'wb') as file:
      file.write(graph.SerializeToString())


def run(case: Case) -> None:
  """Damages one graph and imports it."""
  number = int(case.random.integers(len(_NETWORKS)))
  data = _whole(case.seeds, number)
  if case.chance(0.35):
    path = case.write('graph.pb', damages.bytes_of(case, data))
  else:
    graph = tf.compat.v1.GraphDef.FromString(data)
    for _ in range(case.random.integers(1, 4)):
      _change(case, graph)
    path = case.write('graph.pb', graph.SerializeToString())
  with official_checkpoints.opened(path) as (source, name):
    recognized = recognize(source, name=name, given={})
    official_checkpoints.to_ours(source, recognized)


@functools.cache
def _whole(directory, number):
  with open(os.path.join(directory, f'graph{number}.pb'), 'rb') as file:
    return file.read()


def _change(case, graph):
  node = case.choose(graph.node)
  other = case.choose(graph.node)
  if case.chance(0.5):  # Where it matters most.
    operation = case.choose(['Conv2D', 'Identity', 'Const', 'SpaceToBatchND', 'FusedBatchNormV3'])
    node = case.choose([each for each in graph.node if each.op == operation] or graph.node)
  kind = int(case.random.integers(12))
  case.note(f'node change {kind} at {node.op} {node.name}, {other.name}')
  if kind == 0:
    del node.input[:]
  elif kind == 1 and node.input:
    node.input[int(case.random.integers(len(node.input)))] = case.choose(
      [node.name, other.name, 'nowhere', '', '^' + other.name, node.name + ':7', ':', '^']
    )
  elif kind == 2:
    node.input.append(other.name)
  elif kind == 3 and node.attr:
    del node.attr[case.choose(sorted(node.attr))]
  elif kind == 4 and node.attr:
    node.attr[case.choose(sorted(node.attr))].CopyFrom(
      case.choose(
        [
          tf.compat.v1.AttrValue(i=2**62),
          tf.compat.v1.AttrValue(s=b'\xff'),
          tf.compat.v1.AttrValue(type=case.choose([0, 1, 7, 21, 250])),
          tf.compat.v1.AttrValue(f=float('nan')),
          tf.compat.v1.AttrValue(),
        ]
      )
    )
  elif kind == 5 and node.attr['strides'].list.i:
    node.attr['strides'].list.i[int(case.random.integers(4))] = case.choose(_ABSURD)
  elif kind in (6, 7):
    _change_constant(case, case.choose([each for each in graph.node if each.op == 'Const']))
  elif kind == 8:
    node.name = other.name
  elif kind == 9:
    node.op = case.choose(['Identity', 'Const', 'Conv2D', 'Nothing', '', 'SpaceToBatchND', 'Mul'])
  elif kind == 10:
    graph.node.remove(node)
  else:  # A loop of two.
    node.input[:], other.input[:] = [other.name], [node.name]
    node.op = other.op = case.choose(['Identity', 'Mul', node.op])


def _change_constant(case, node):
  tensor = node.attr['value'].tensor
  kind = int(case.random.integers(6))
  case.note(f'constant change {kind} at {node.name}')
  if kind == 0 and tensor.tensor_shape.dim:
    dimensions = tensor.tensor_shape.dim
    dimensions[int(case.random.integers(len(dimensions)))].size = case.choose(_ABSURD)
  elif kind == 1:
    tensor.dtype = case.choose([0, 1, 2, 3, 7, 9, 14, 19, 21, 23, 101, 9999])
  elif kind == 2:
    node.attr['value'].Clear()
  elif kind == 3:
    tensor.float_val[:] = case.choose([[], [float('nan')], [float('inf')], [1.0, 2.0]])
  elif kind == 4:
    tensor.tensor_content = case.random.bytes(int(case.choose([1, 3, 4, 1000])))
  else:
    tensor.tensor_shape.unknown_rank = True


TARGETS = (Target('graphs', run, weight=8, prepare=prepare),)
