"""Frozen graphs made from the official network of official_network.py: the variables and the facts
read back.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from official_network import Official

from deeplab.errors import InputError
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.official import official_checkpoints
from deeplab.official.frozen_graphs import FrozenGraph
from deeplab.official.official_architectures import recognize

SMALL = Official(multiplier=0.5)
IMAGE = np.random.default_rng(0).integers(0, 256, (1, 65, 65, 3), dtype=np.uint8)


def freeze(official, directory, *, size=65, change=None):
  graph = official.frozen_graph(official.make_weights(), size=size)
  if change:
    change(graph)
  path = directory / 'frozen_inference_graph.pb'
  path.write_bytes(graph.SerializeToString())
  return str(path), graph


def run(graph, image):
  """The logits of a frozen graph."""
  function = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=''), [])
  return function.prune('ImageTensor:0', 'logits_full:0')(tf.constant(image)).numpy()


def load(path, **given):
  with official_checkpoints.opened(path) as (source, name):
    recognized = recognize(source, name=name, given=given)
    tensors = official_checkpoints.to_ours(source, recognized)
  model = DeepLabV3PredictionModel(recognized.options)
  for name, variable in model.named_variables.items():
    variable.assign(tensors[name])
  return model, recognized, tensors


@pytest.mark.parametrize(
  'official',
  [
    SMALL,
    dataclasses.replace(SMALL, batch_norm='spelled_out', backbone_epsilon=1e-2),
    dataclasses.replace(
      SMALL, batch_norm='folded', output_stride=8, rates=(6, 12), space_to_batch=True
    ),
    dataclasses.replace(
      SMALL,
      batch_norm='scaled',
      rates=(2, 3, 4),
      separable=True,
      pooling_first=False,
      align_corners=False,
      normalization='mean',
      decoder='plain',
    ),
    dataclasses.replace(
      SMALL, head_epsilon=1e-3, backbone_epsilon=1e-5, rates=(2, 4, 6), decoder='separable'
    ),
  ],
  ids=['fused', 'spelled_out', 'folded', 'scaled', 'other_epsilons'],
)
def test_imported_graph_gives_its_own_logits(official, tmp_path):
  path, graph = freeze(official, tmp_path)
  model, recognized, _ = load(path)
  expected = run(graph, IMAGE)
  np.testing.assert_allclose(model.predict(IMAGE), expected, rtol=0, atol=3e-4 * expected.std())
  # All read from the nodes, nothing assumed.
  assert recognized.assumed == ()
  assert model.options.output_stride == official.output_stride
  assert model.options.atrous_rates == official.rates
  assert model.options.align_corners == official.align_corners
  assert model.options.preprocess_images_option == (
    'subtract_official_mean' if official.normalization else 'zero_mean_unit_range'
  )
  assert (recognized.order[0] == 'image_pooling') == official.pooling_first
  assert not recognized.unknown and not recognized.optimizer_state


def test_resnet_graph_tells_stride_rates_and_multi_grid(tmp_path):
  official = Official(
    backbone='resnet_v1_50',
    output_stride=8,
    multi_grid=(1, 2, 4),
    pooled=False,
    batch_norm='folded',
  )
  path, _ = freeze(official, tmp_path, size=33)
  facts = FrozenGraph(path).facts
  assert facts.output_stride == 8
  assert facts.multi_grid == (1, 2, 4)
  assert facts.preprocess_images_option == 'subtract_official_mean'
  assert facts.align_corners is True
  assert facts.atrous_rates == ()


def test_constants_are_the_variables_bit_for_bit(tmp_path):
  path, _ = freeze(SMALL, tmp_path)
  graph = FrozenGraph(path)
  weights = SMALL.make_weights()
  assert set(graph.shapes) == set(weights) - {'global_step'}
  for name in graph.shapes:
    assert graph.get(name).tobytes() == weights[name].tobytes(), name
  _, _, tensors = load(path)
  assert tensors['global_step'] == 0


def test_folded_batch_norm_divides_by_one(tmp_path):
  path, _ = freeze(dataclasses.replace(SMALL, batch_norm='folded'), tmp_path)
  graph = FrozenGraph(path)
  for scope, epsilon in (('MobilenetV2/Conv', 1e-3), ('aspp0', 1e-5)):
    np.testing.assert_array_equal(graph.get(f'{scope}/BatchNorm/gamma'), 1.0)
    variance = graph.get(f'{scope}/BatchNorm/moving_variance')
    assert variance.dtype == np.float32
    np.testing.assert_array_equal(variance + np.float32(epsilon), np.float32(1.0))


def test_rates_follow_a_stride_that_is_asked_for(tmp_path):
  path, _ = freeze(dataclasses.replace(SMALL, output_stride=8, rates=(4, 8, 12)), tmp_path)
  with official_checkpoints.opened(path) as (source, name):
    assert recognize(source, name=name, given={'output_stride': 16}).options.atrous_rates == (
      2,
      4,
      6,
    )
    with pytest.raises(
      InputError, match='--align_corners=False: the graph .* has True; leave the flag out'
    ):
      recognize(source, name=name, given={'align_corners': False})


def test_prefix_of_an_imported_graph_does_not_matter(tmp_path):
  def add_prefix(graph):
    for node in graph.node:
      node.name = 'import/' + node.name
      node.input[:] = ['import/' + name for name in node.input]

  path, _ = freeze(SMALL, tmp_path, change=add_prefix)
  assert set(FrozenGraph(path).shapes) == set(SMALL.make_weights()) - {'global_step'}


def test_half_pixel_centres_are_refused(tmp_path):
  def shift(graph):
    for node in graph.node:
      if node.op == 'ResizeBilinear':
        node.attr['align_corners'].b, node.attr['half_pixel_centers'].b = False, True

  path, _ = freeze(SMALL, tmp_path, change=shift)
  with pytest.raises(InputError, match='half-pixel centres'):
    FrozenGraph(path)


def test_detector_is_refused(tmp_path):
  with tf.Graph().as_default() as graph:
    images = tf.compat.v1.placeholder(tf.float32, [1, 9, 9, 3])
    weights = tf.identity(
      tf.constant(
        np.ones([3, 3, 3, 8], np.float32), name='FeatureExtractor/MobilenetV2/Conv/weights'
      ),
      name='FeatureExtractor/MobilenetV2/Conv/weights/read',
    )
    tf.nn.conv2d(images, weights, 1, 'SAME')
  path = tmp_path / 'frozen_inference_graph.pb'
  path.write_bytes(graph.as_graph_def().SerializeToString())
  with pytest.raises(InputError, match='is an object detector, not DeepLab'):
    load(str(path))


@pytest.mark.parametrize(
  'content, message',
  [
    (b'', 'holds no graph'),
    (b'not a graph', 'not a frozen graph, or a damaged one'),
    (
      tf.compat.v1.GraphDef(node=[tf.compat.v1.NodeDef(name='a', op='NoOp')]).SerializeToString(),
      'no convolution with const',
    ),
  ],
)
def test_other_files_are_refused(content, message, tmp_path):
  path = tmp_path / 'graph.pb'
  path.write_bytes(content)
  with pytest.raises(InputError, match=message):
    FrozenGraph(str(path))


def test_truncated_graph_is_refused(tmp_path):
  path, graph = freeze(SMALL, tmp_path)
  with open(path, 'wb') as file:
    file.write(graph.SerializeToString()[:100_000])
  with pytest.raises(InputError, match='damaged'):
    FrozenGraph(path)
