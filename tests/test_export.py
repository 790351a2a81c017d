"""Exported models: the same numbers as the network, and none that is another one."""

import copy
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import trained_work

import deeplab
from deeplab.errors import InputError
from deeplab.export import (
  check,
  checking_images,
  description,
  exporter,
  int8_data,
  run_exported,
  saved_models,
)
from deeplab.export.description import LABELS, PROBABILITIES
from deeplab.export.exported_network import ExportedNetwork
from deeplab.export.portable_operations import PortableOperations
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.operations import plain
from deeplab.options import ModelExportOptions, ModelOptions, PredictionOptions
from deeplab.prediction import trained_network

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope='module')
def work(tmp_path_factory, short_networks):
  return trained_work.make(tmp_path_factory.mktemp('work'))


@pytest.fixture(scope='module')
def trained(work):
  return trained_network.load(str(work / 'model'), ModelOptions(), given=())


@pytest.fixture(scope='module')
def exported(work):
  """What a Python program gets, and where."""
  network = deeplab.load(work / 'model', class_names=['a', 'b', 'c', 'd'])
  return network.export(work / 'exported', check_images=work / 'photos'), work / 'exported'


def _in_this_process(file, path, batches, *, aside, environment):
  """As check.run, which takes seconds to import TensorFlow."""
  both, only_labels = run_exported.saved_model(path)
  outputs = {'labels': [], 'only_labels': [], 'probabilities': []}
  for batch in batches:
    found = both(batch)
    outputs['labels'].append(found[LABELS].numpy())
    outputs['probabilities'].append(found[PROBABILITIES].numpy()[:, ::8, ::8])
    outputs['only_labels'].append(only_labels(batch)[LABELS].numpy())
  return outputs


def test_saved_model_predicts_what_the_network_does(exported):
  (file,), directory = exported
  assert file.path == str(directory / 'saved_model')
  assert [finding.run for finding in file.findings] == ['', 'without oneDNN']
  for finding in file.findings:
    assert finding.comparison.num_different == 0
    assert finding.comparison.num_pixels > 3000
    assert finding.comparison.probability_difference < 1e-4
  assert sorted(path.name for path in directory.iterdir()) == ['export.json', 'saved_model']


def test_description_is_inside_and_beside(exported, work):
  (file,), directory = exported
  path = directory / 'saved_model' / 'assets' / 'deeplab.json'
  inside = description.from_json(path.read_bytes(), path=str(path))
  assert inside.class_names == ('a', 'b', 'c', 'd')
  assert inside.model_options.depth_multiplier == 0.35
  assert (inside.size, inside.pad, inside.ignore_label) == (None, 'none', 255)
  assert inside.checkpoint == str(work / 'model' / 'model.ckpt')
  entry = json.loads((directory / 'export.json').read_text())['models']['saved_model']
  assert json.dumps(entry['description']) == json.dumps(inside.as_dict())
  assert entry['check']['sizes'].endswith('(2 at once)')
  assert sum(one['bytes'] for one in entry['files']) == file.num_bytes
  assert {one['name'] for one in entry['files']} > {
    'saved_model/saved_model.pb',
    'saved_model/assets/deeplab.json',
  }


def test_signatures(exported):
  loaded = tf.saved_model.load(exported[0][0].path)
  predict, labels = (loaded.signatures[name] for name in ('serving_default', 'predict_labels'))
  ((name, spec),) = predict.structured_input_signature[1].items()
  assert (name, spec.dtype, spec.shape.as_list()) == (
    'ImageTensor',
    tf.uint8,
    [None, None, None, 3],
  )
  found = predict(ImageTensor=np.zeros([2, 20, 31, 3], np.uint8))
  assert {name: (value.dtype, value.shape.as_list()) for name, value in found.items()} == {
    'SemanticPredictions': (tf.int32, [2, 20, 31]),
    'SemanticProbabilities': (tf.float32, [2, 20, 31, 4]),
  }
  assert set(labels.structured_outputs) == {'SemanticPredictions'}


def test_weights_are_stored_once(exported, trained):
  """And are no constants of the graph."""
  directory = pathlib.Path(exported[0][0].path)
  weights = sum(4 * np.prod(one.shape) for one in trained.model.named_variables.values())
  data = (directory / 'variables' / 'variables.data-00000-of-00001').stat().st_size
  assert weights < data < 1.2 * weights
  largest = max(
    node.ByteSize()
    for function in tf.saved_model.load(str(directory))
    .signatures['serving_default']
    .graph.as_graph_def()
    .library.function
    for node in function.node_def
    if node.op == 'Const'
  )
  assert largest < 1000


def test_images_larger_than_the_padding_are_not_padded(trained):
  images = np.zeros([1, 40, 70, 3], np.uint8)
  both = [
    ExportedNetwork(
      trained.model.with_operations(PortableOperations()), pad_size=pad_size, size=None
    )
    for pad_size in ((33, 65), None)
  ]
  one, other = (network.predict_labels(images)[LABELS] for network in both)
  np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('pad, size', [('stride', None), ('65x97', (40, 65))])
def test_padding_is_that_of_the_evaluator(trained, pad, size):
  images = checking_images.batches([], size=size or (50, 70), several=True)[-1]
  inferencer = DeepLabV3Inferencer(
    trained.model.with_operations(PortableOperations()),
    options=PredictionOptions(eval_pad=pad),
    with_probabilities=True,
  )
  network = ExportedNetwork(
    trained.model.with_operations(PortableOperations()),
    pad_size=PredictionOptions(eval_pad=pad).pad_size(trained.options),
    size=size,
  )
  found = network.serving_default(images)
  for index, (labels, probabilities) in enumerate(inferencer.predict(list(images))):
    np.testing.assert_array_equal(found[LABELS][index], labels)
    np.testing.assert_allclose(found[PROBABILITIES][index], probabilities, atol=1e-5)


def test_a_network_of_another_type_is_exported_in_float32(trained):
  low = copy.copy(trained.model)
  low._compute_dtype = tf.bfloat16
  portable = low.with_operations(PortableOperations())
  assert (portable._compute_dtype, low._compute_dtype) == (tf.float32, tf.bfloat16)
  assert portable.named_variables is low.named_variables
  assert portable.operations is not low.operations


def test_convolutions_with_rates_are_one_operation_for_converters():
  operations = PortableOperations(for_converter=True, explicit_padding=True)

  @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None, None, 4], tf.float32)])
  def convolve(images):
    deep = operations.depthwise_conv2d(images, tf.ones([3, 3, 4, 1]), rate=5)
    return operations.conv2d(deep, tf.ones([3, 3, 4, 2]), rate=2)

  nodes = {
    node.op: node.attr for node in convolve.get_concrete_function().graph.as_graph_def().node
  }
  deep, full = nodes['DepthwiseConv2dNative'], nodes['Conv2D']
  assert list(deep['explicit_paddings'].list.i) == [0, 0, 5, 5, 5, 5, 0, 0]
  assert list(deep['dilations'].list.i) == [1, 5, 5, 1]
  assert list(full['explicit_paddings'].list.i) == [0, 0, 2, 2, 2, 2, 0, 0]
  assert 'SpaceToBatchND' not in nodes
  images = tf.random.stateless_uniform([1, 9, 11, 4], [1, 2])
  weights = tf.random.stateless_uniform([3, 3, 4, 2], [3, 4])
  np.testing.assert_allclose(
    operations.conv2d(images, weights, rate=2), plain.conv2d(images, weights, rate=2), rtol=1e-5
  )


def test_an_exported_model_is_not_exported_again(exported, tmp_path):
  network = deeplab.load(exported[1])
  with pytest.raises(
    InputError, match='saved_model: is an exported model, and this needs a checkpoint'
  ):
    network.export(tmp_path / 'again')


@pytest.fixture
def in_this_process(monkeypatch):
  monkeypatch.setattr(check, 'run', _in_this_process)


def _options(directory, **options):
  return ModelExportOptions(output_path=str(directory), **options)


def _export(trained, directory, **options):
  return exporter.export(trained, _options(directory, **options), trained.color_map(None))


def test_another_network_does_not_get_its_name(
  trained, tmp_path, monkeypatch, capsys, in_this_process
):
  class Mirrored(ExportedNetwork):
    def _logits(self, images):
      return super()._logits(images[:, :, ::-1])

  monkeypatch.setattr(exporter, 'ExportedNetwork', Mirrored)
  with pytest.raises(
    InputError, match=r'^1 of 1 models were not written to .*/new; they are named'
  ):
    _export(trained, tmp_path / 'new')
  problem = capsys.readouterr().err
  assert problem.startswith('problem: saved_model: not written: ')
  assert 'these were drawn scenes: --check_images' in problem
  assert 'pixels differ' in problem and '--max_different_pixels is 0.01 %' in problem
  assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there(trained, tmp_path, monkeypatch):
  def write(directory, network, description):
    os.makedirs(directory)
    raise tf.errors.ResourceExhaustedError(None, None, 'x; No space left on device')

  (tmp_path / 'saved_model').mkdir()
  (tmp_path / 'saved_model' / 'saved_model.pb').write_bytes(b'old')
  monkeypatch.setattr(saved_models, 'write', write)
  with pytest.raises(InputError, match=r'cannot be written \(.*No space left on device.*\); what'):
    _export(trained, tmp_path, overwrite=True)
  assert [path.name for path in tmp_path.iterdir()] == ['saved_model']
  assert (tmp_path / 'saved_model' / 'saved_model.pb').read_bytes() == b'old'


def test_advice_on_sizes(trained):
  def advice(align_corners, **options):
    network = dataclasses.replace(
      trained, options=trained.options.replace(align_corners=align_corners)
    )
    return exporter.advice(network, _options('x', **options))

  assert advice(True) == advice(False) == advice(True, size='65x33') == []
  assert advice(False, size='64x33') == advice(True, size='65x33', pad='none') == []
  (padded,) = advice(True, size='64x40')
  assert padded.startswith(
    '--size=64x40: no multiple of 16 plus 1, so each image is padded to 65x49'
  )
  for options in ({}, {'size': '64x33'}):
    (costly,) = advice(True, pad='none', **options)
    assert costly.endswith('multiple of 16 plus 1; leave --pad=none out')


def test_sizes_of_a_check(work):
  drawn = checking_images.batches([], size=None, several=True)
  assert [batch.shape for batch in drawn] == [
    (1, 257, 257, 3),
    (1, 200, 300, 3),
    (1, 321, 225, 3),
    (2, 200, 257, 3),
  ]
  photos = checking_images.read([str(work / 'photos')])
  given = checking_images.batches(photos, size=None, several=True)
  assert len({batch.shape for batch in given[:-1]}) == 3 and len(given[-1]) == 2
  fixed = checking_images.batches(photos, size=(33, 65), several=False)
  assert {batch.shape for batch in fixed} == {(1, 33, 65, 3)}


def test_images_that_cannot_be_read(work):
  for name, message in (('none', '--check_images=none: no such'), ('val.tfrecord', 'not an image')):
    with pytest.raises(InputError, match=message):
      checking_images.read([name if name == 'none' else str(work / name)])


def test_fitting_an_image():
  image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
  padded = checking_images.fitted(image, (5, 8), fill=(1.4, 2.6, 3.0))
  np.testing.assert_array_equal(padded[:4, :6], image)
  assert padded[4, 7].tolist() == padded[0, 6].tolist() == [1, 3, 3]
  assert checking_images.fitted(image, (2, 9)).shape == (2, 9, 3)
  label = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
  np.testing.assert_array_equal(
    checking_images.fitted(label, (2, 2), fill=255), [[1, 3], [255, 255]]
  )


def _int8(**options):
  options = {'representative_filenames': (), **options}
  return ModelExportOptions(
    output_path='x', format=('tflite',), tflite_type=('int8',), size='33x33', **options
  )


def test_int8_is_measured_on_other_examples(work, trained):
  data = int8_data.load(_int8(representative_filenames=[str(work / 'val.tfrecord')]), trained)
  assert (len(data.representative), len(data.held_out), data.ignore_label) == (2, 1, 255)
  assert data.has_labels and data.held_out[0].image.shape == (33, 33, 3)
  assert set(np.unique(data.held_out[0].label)) <= {0, 1, 2, 255}
  images = int8_data.load(_int8(representative_filenames=[str(work / 'photos')]), trained)
  assert (len(images.representative), len(images.held_out)) == (2, 0)
  assert not images.has_labels
  both = int8_data.load(
    _int8(
      representative_filenames=[str(work / 'photos')], check_filenames=[str(work / 'val.tfrecord')]
    ),
    trained,
  )
  assert (len(both.representative), len(both.held_out)) == (2, 3) and both.has_labels


@pytest.mark.parametrize(
  'options, message',
  [
    ({'representative_filenames': ['nothing']}, '--representative_filenames=nothing: '),
    ({'representative_filenames': ['val.tfrecord', 'photos']}, 'gives both records and images'),
    (
      {'representative_filenames': ['val.tfrecord'], 'check_filenames': ['./val.tfrecord']},
      'is in --representative_filenames too',
    ),
    (
      {'representative_filenames': ['val.tfrecord'], 'check_filenames': ['none']},
      '--check_filenames=none: ',
    ),
  ],
)
def test_int8_data_that_is_refused(work, trained, monkeypatch, options, message):
  monkeypatch.chdir(work)
  with pytest.raises(InputError) as raised:
    int8_data.load(_int8(**options), trained)
  assert message in str(raised.value)


def test_records_of_more_classes_are_refused(work, trained):
  network = dataclasses.replace(trained, options=trained.options.replace(num_classes=2))
  with pytest.raises(InputError, match='label'):
    int8_data.load(_int8(representative_filenames=[str(work / 'val.tfrecord')]), network)


@pytest.mark.slow
def test_all_formats_by_the_command(work):
  done = subprocess.run(
    [
      sys.executable,
      CHECKOUT / 'export_model.py',
      '--ckpt_path=model',
      '--output_path=all',
      '--format=saved_model,tflite,onnx',
      '--tflite_type=float32,float16,int8',
      '--size=65x97',
      '--representative_filenames=val.tfrecord',
      '--max_different_pixels=20',
    ],
    cwd=work,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  for name in ('saved_model', 'model_float32.tflite', 'model_float16.tflite', 'model_int8.tflite'):
    assert any(line.startswith(f'all/{name}: ') for line in lines)
  assert 'on 1 records that were not used to calibrate' in done.stdout
  entries = json.loads((work / 'all' / 'export.json').read_text())['models']
  assert len(entries) == 5
  assert {name: entry['description']['weights'] for name, entry in entries.items()} == {
    'saved_model': 'float32',
    'model_float32.tflite': 'float32',
    'model_float16.tflite': 'float16',
    'model_int8.tflite': 'int8',
    'model.onnx': 'float32',
  }
