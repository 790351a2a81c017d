"""Frozen graphs that lack what their operations need, go in circles or claim any size."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.errors import InputError
from deeplab.official import graph_definitions
from deeplab.official.frozen_graphs import FrozenGraph


def nodes():
  """name -> NodeDef of an image, two convolutions, and a scale and a shift behind the second."""
  with tf.Graph().as_default() as graph:
    net = tf.compat.v1.placeholder(tf.float32, [1, 9, 9, 3], name='ImageTensor')
    for scope, depth in (('MobilenetV2/Conv', 3), ('aspp0', 4)):
      weights = tf.constant(np.ones([1, 1, depth, 4], np.float32), name=f'{scope}/weights')
      weights = tf.identity(weights, name=f'{scope}/weights/read')
      net = tf.nn.conv2d(net, weights, 1, 'SAME', name=f'{scope}/Conv2D')
    net = tf.multiply(net, tf.constant(np.ones(4, np.float32), name='scale'), name='mul')
    tf.add(net, tf.constant(np.ones(4, np.float32), name='shift'), name='add')
  return {node.name: node for node in graph.as_graph_def().node}


def set_constant(node, value):
  node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(value))
  node.attr['dtype'].type = node.attr['value'].tensor.dtype


def shape_of(node):
  return node.attr['value'].tensor.tensor_shape


def make_space_to_batch(node, block):
  node['ImageTensor'].op = 'SpaceToBatchND'
  node['ImageTensor'].input[:] = ['scale', 'shift', 'shift']
  set_constant(node['shift'], block)


_CONV, _WEIGHTS = 'MobilenetV2/Conv/Conv2D', 'MobilenetV2/Conv/weights'
_CHANGES = {
  'no inputs': (
    lambda node: node[_CONV].input[:].clear() or node[_CONV].ClearField('input'),
    '0 inp',
  ),
  'one input': (lambda node: node[_CONV].input.pop(), 'has 1 inputs, needs 2'),
  'no strides': (lambda node: node[_CONV].attr['strides'].list.Clear(), r'has strides \[\]'),
  'strides': (lambda node: node[_CONV].attr['strides'].list.i.__setitem__(1, -2), 'has strides'),
  'dilations': (lambda node: node[_CONV].attr['dilations'].list.i.pop(), 'has dilations'),
  'loop': (
    lambda node: node[f'{_WEIGHTS}/read'].input.__setitem__(0, f'{_WEIGHTS}/read'),
    'weights/read .Identity. is part of a loop',
  ),
  'identity': (lambda node: node[f'{_WEIGHTS}/read'].input.pop(), 'has 0 inputs, needs 1'),
  'no value': (lambda node: node[_WEIGHTS].attr.pop('value'), 'no value of a known type'),
  'dtype': (lambda node: node[_WEIGHTS].attr['dtype'].__setattr__('type', 3), 'of another type'),
  'strings': (lambda node: set_constant(node[_WEIGHTS], [['a']]), 'has weights object'),
  'rank': (lambda node: set_constant(node[_WEIGHTS], [1.0, 2.0]), r'has weights float32 \[2\]'),
  'negative': (lambda node: shape_of(node[_WEIGHTS]).dim.add(size=-7), r'has the shape .*-7\]'),
  'huge': (
    lambda node: [shape_of(node[_WEIGHTS]).dim.add(size=10**5) for _ in range(2)],
    'constants of more than 512 MiB',
  ),
  'cut': (
    lambda node: node[_WEIGHTS].attr['value'].tensor.__setattr__('tensor_content', b'123'),
    'has a value that does not fit its shape',
  ),
  'block': (lambda node: make_space_to_batch(node, np.int32([-3])), 'has the block shape'),
  'no block': (lambda node: make_space_to_batch(node, np.float32(2.0)), 'has the block shape'),
  'channels': (
    lambda node: (set_constant(node['scale'], np.ones(3, np.float32)),),
    'constants that do not fit its channels',
  ),
}


@pytest.mark.parametrize('name', _CHANGES)
def test_what_no_graph_has_is_one_line(tmp_path, name):
  change, message = _CHANGES[name]
  changed = nodes()
  change(changed)
  with pytest.raises(InputError, match=message) as error:
    read(tmp_path, changed.values())
  assert '; the graph is damaged, or no frozen DeepLab' in str(error.value)
  assert '\n' not in str(error.value)


def test_the_graph_itself_is_read(tmp_path):
  assert read(tmp_path, nodes().values()).shapes['aspp0/weights'] == [1, 1, 4, 4]


def test_long_chains_end_after_some_steps(tmp_path, monkeypatch):
  monkeypatch.setattr(graph_definitions, '_MOST_STEPS', 10_000)
  changed = nodes()
  chain = [tf.compat.v1.NodeDef(name='i0', op='Identity', input=['none'])]
  for index in range(1, 300):
    chain.append(tf.compat.v1.NodeDef(name=f'i{index}', op='Identity', input=[f'i{index - 1}']))
  convolutions = []
  for index in range(300):
    node = tf.compat.v1.NodeDef()
    node.CopyFrom(changed[_CONV])
    node.name, node.input[1] = f'c{index}', 'i299'
    convolutions.append(node)
  with pytest.raises(InputError, match='is reached after 10000 steps'):
    read(tmp_path, [*changed.values(), *chain, *convolutions])


def read(directory, graph_nodes):
  path = directory / 'graph.pb'
  path.write_bytes(tf.compat.v1.GraphDef(node=graph_nodes).SerializeToString())
  return FrozenGraph(str(path))
