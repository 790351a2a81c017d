"""The client of examples/serving against a server that knows a SavedModel by its signatures."""

import json
import pathlib
import runpy

import numpy as np
import pytest
import serving_stub
import tensorflow as tf
from PIL import Image

from deeplab.export.description import Description
from deeplab.options import ModelOptions

_CLIENT = pathlib.Path(__file__).resolve().parent.parent / 'examples' / 'serving' / 'client.py'
_COLORS = ((10, 20, 30), (200, 0, 0), (0, 210, 0), (0, 0, 220))


def _write_model(directory, *, size=None):
  """A SavedModel with the signatures of an exported one: the class is red // 64."""
  height, width = size or (None, None)

  @tf.function(
    autograph=False,
    input_signature=[tf.TensorSpec([None, height, width, 3], tf.uint8, name='ImageTensor')],
  )
  def predict_labels(images):
    return {'SemanticPredictions': tf.cast(images[..., 0] // 64, tf.int32)}

  @tf.function(autograph=False, input_signature=predict_labels.input_signature)
  def predict(images):
    labels = predict_labels(images)['SemanticPredictions']
    return {'SemanticPredictions': labels, 'SemanticProbabilities': tf.one_hot(labels, 4)}

  module = tf.Module()
  tf.saved_model.save(
    module,
    str(directory),
    signatures={
      'serving_default': predict.get_concrete_function(),
      'predict_labels': predict_labels.get_concrete_function(),
    },
  )
  described = Description(
    deeplab_version='1.0',
    tensorflow_version=tf.__version__,
    model_options=ModelOptions(num_classes=4),
    class_names=('dark', 'dim', 'pale', 'red'),
    colors=_COLORS,
    ignore_label=255,
    size=size,
    pad='none',
    trained_size=None,
    l2_loss=0.0,
    checkpoint='model',
    global_step=1,
  )
  (directory / 'assets' / 'deeplab.json').write_text(described.to_json())
  return directory


@pytest.fixture(scope='module')
def client():
  return runpy.run_path(str(_CLIENT))['main']


@pytest.fixture(scope='module')
def served(tmp_path_factory):
  """(directory of the model, where REST is answered, where gRPC is)."""
  pytest.importorskip('tensorflow_serving')
  directory = _write_model(tmp_path_factory.mktemp('served') / 'saved_model')
  with serving_stub.serving(directory) as addresses:
    yield directory, *addresses


@pytest.fixture
def photo(tmp_path):
  """A JPEG of two halves, red 20 and red 150: classes 0 and 2."""
  pixels = np.full([40, 60, 3], 20, np.uint8)
  pixels[:, 32:, 0] = 150
  Image.fromarray(pixels).save(tmp_path / 'photo.jpg', quality=95)
  return tmp_path / 'photo.jpg'


def _colors_of(path):
  return np.asarray(Image.open(path))


@pytest.mark.parametrize('way', ['rest', 'grpc'])
def test_answer_becomes_a_picture_in_the_colours_of_the_model(
  way, client, served, photo, tmp_path, capsys
):
  model, rest, grpc = served
  output = tmp_path / 'prediction.png'
  address = f'--rest={rest}' if way == 'rest' else f'--grpc={grpc}'
  client([f'--image={photo}', f'--output={output}', f'--model={model}', address])
  expected = np.zeros([40, 60, 3], np.uint8)
  expected[:, :32], expected[:, 32:] = _COLORS[0], _COLORS[2]
  np.testing.assert_array_equal(_colors_of(output), expected)
  assert capsys.readouterr().out.splitlines()[:2] == [' 53.3%  dark', ' 46.7%  pale']


def test_large_pictures_are_sent_smaller(client, served, photo, tmp_path):
  model, rest, _ = served
  output = tmp_path / 'prediction.png'
  arguments = [f'--image={photo}', f'--output={output}', f'--model={model}', f'--rest={rest}']
  client([*arguments, '--max_size=30'])
  colors = _colors_of(output)
  assert colors.shape == (40, 60, 3)
  assert (colors[:, 34:] == _COLORS[2]).all() and (colors[:, :30] == _COLORS[0]).all()


def test_a_model_of_one_size_gets_that_size(client, photo, tmp_path):
  pytest.importorskip('tensorflow_serving')
  model, output = _write_model(tmp_path / 'model', size=(48, 48)), tmp_path / 'prediction.png'
  with serving_stub.serving(model) as (rest, _):
    client([f'--image={photo}', f'--output={output}', f'--model={model}', f'--rest={rest}'])
  colors = _colors_of(output)
  assert colors.shape == (40, 60, 3)
  assert (colors[:, 35:] == _COLORS[2]).all() and (colors[:, :29] == _COLORS[0]).all()


@pytest.mark.parametrize('way', ['rest', 'grpc'])
def test_what_fails_is_said_in_a_line(way, client, served, photo, tmp_path):
  model, rest, grpc = served
  address = f'--rest={rest}' if way == 'rest' else f'--grpc={grpc}'
  arguments = [f'--image={photo}', f'--output={tmp_path / "p.png"}', f'--model={model}']
  with pytest.raises(SystemExit, match='Servable not found'):
    client([*arguments, address, '--name=another'])
  with pytest.raises(SystemExit, match='client.py: error: .*no-model'):
    client([*arguments[:2], f'--model={tmp_path / "no-model"}', address])
  nowhere = '--rest=http://localhost:1' if way == 'rest' else '--grpc=localhost:1'
  with pytest.raises(SystemExit, match='efused'):
    client([*arguments, nowhere])
  assert not (tmp_path / 'p.png').exists()


def test_the_stub_answers_rows_as_well_as_columns(served):
  import urllib.request

  _, rest, _ = served
  body = {'signature_name': 'serving_default', 'instances': [[[[70, 0, 0]]]]}
  request = urllib.request.Request(f'{rest}/v1/models/deeplab:predict', json.dumps(body).encode())
  predictions = json.load(urllib.request.urlopen(request))['predictions']
  assert predictions['SemanticPredictions'] == [[[1]]]
