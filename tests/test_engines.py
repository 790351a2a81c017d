"""Exported models, run by evaluator, inferencer and Python: the same numbers as the network's, what
is refused, and files that are damaged or of other programs.
"""

import contextlib
import hashlib
import json
import pathlib
import random
import sys

import exported_models
import fake_model
import numpy as np
import PIL.Image
import pytest
import record_makers
import tensorflow as tf
from exported_models import CLASS_NAMES, FILES

import deeplab
from deeplab import evaluation_run, given_paths, inference_run
from deeplab.engines import interface, model_files, opening, tflite_metadata
from deeplab.errors import InputError
from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.options import (
  EngineOptions,
  EvaluationOptions,
  InferenceOptions,
  ModelOptions,
  PredictionOptions,
)
from deeplab.prediction import given_network

_OPENVINO = pytest.param('openvino', marks=pytest.mark.slow)  # It takes seconds to start.


@pytest.fixture(scope='module', name='work')
def _work(tmp_path_factory):
  work = tmp_path_factory.mktemp('work')
  exported_models.write(work)
  rng = np.random.default_rng(0)
  (work / 'photos').mkdir()
  records = []
  for index, size in enumerate([(9, 12), (9, 12), (7, 12)]):
    image = rng.integers(0, 256, [*size, 3], np.uint8)
    label = rng.choice(np.array([0, 1, 2, 255], np.uint8), size)
    PIL.Image.fromarray(image).save(work / 'photos' / f'{index}.png')
    records.append(
      record_makers.record(
        index, size=size, image=record_makers.encode(image), label=record_makers.encode(label)
      )
    )
  record_makers.write(work / 'val.tfrecord', records)
  return work


@pytest.fixture(scope='module', name='fixed')
def _fixed(tmp_path_factory):
  """A model for images of 8 x 16."""
  return exported_models.write(
    tmp_path_factory.mktemp('fixed'), kinds=('TensorFlow Lite',), size=(8, 16)
  )['TensorFlow Lite']


@pytest.fixture(autouse=True)
def _in_work(work, monkeypatch):
  monkeypatch.chdir(work)


def _evaluate(path, *, prediction=(), engine=(), model=(), **evaluation):
  return evaluation_run.run(
    ModelOptions(**dict(model)),
    PredictionOptions(**dict(prediction)),
    EvaluationOptions(**{'filenames': ['val.tfrecord'], 'ckpt_path': path, **evaluation}),
    EngineOptions(**dict(engine)),
    given={*dict(prediction), *dict(engine), *dict(model), *evaluation},
  )


def _infer(path, output_path, *, prediction=(), **inference):
  return inference_run.run(
    ModelOptions(),
    PredictionOptions(**dict(prediction)),
    InferenceOptions(input=['photos'], ckpt_path=path, output_path=str(output_path), **inference),
    EngineOptions(),
  )


def _expected():
  """The EvaluationResult of the network itself."""
  from deeplab.data import input_pipeline

  model = fake_model.PixelModel(l2_loss=exported_models.L2_LOSS)
  labels = dict(num_classes=3, ignore_label=255)
  evaluator = DeepLabV3Evaluator(model, **labels)
  return evaluator.evaluate(input_pipeline.evaluation_examples(['val.tfrecord'], **labels))


@pytest.mark.parametrize('engine', ['auto', _OPENVINO])
@pytest.mark.parametrize('kind', FILES)
def test_an_evaluation_gives_the_numbers_of_the_network(kind, engine, capsys):
  if engine == 'openvino':
    if kind != 'SavedModel':
      pytest.skip('OpenVINO runs SavedModels')
    pytest.importorskip('openvino')
  expected = _expected()
  (report,) = _evaluate(
    FILES[kind], prediction=dict(batch_size=2), engine=dict(engine=engine), report_path='report'
  )
  assert report.result.confusion.tolist() == expected.confusion.tolist()
  np.testing.assert_allclose(report.result.loss, expected.loss, rtol=1e-5)
  out = capsys.readouterr().out.splitlines()
  runner = {'SavedModel': 'TensorFlow', 'TensorFlow Lite': 'LiteRT', 'ONNX': 'onnxruntime'}[kind]
  runner = 'OpenVINO' if engine == 'openvino' else runner
  assert out[:5] == [
    f'exported model: {FILES[kind]} ({kind}), run by {runner}',
    f'architecture from {FILES[kind]}: mobilenet_v2, 3 classes',
    'Num of images evaluated: 3',
    f'Loss: {report.result.loss:.8f}',
    f'mIOU: {expected.summary.mean_iou:.8f}',
  ]
  written = json.loads(pathlib.Path('report/report.json').read_text())
  assert written['global_step'] == 30
  assert [row['name'] for row in written['classes']] == list(CLASS_NAMES)


@pytest.mark.parametrize('kind', FILES)
def test_pictures_have_the_colours_of_the_model(kind, tmp_path):
  types = ['color', 'ids', 'overlay', 'cutout', 'probabilities']
  summary = _infer(FILES[kind], tmp_path, output_type=types, legend=True, cutout_classes=['blue'])
  assert (summary.num_predicted, summary.num_bad) == (3, 0)
  image = np.asarray(PIL.Image.open('photos/2.png'))
  ids = np.asarray(PIL.Image.open(tmp_path / '2.png_ids.png'))
  assert ids.tolist() == image.argmax(axis=-1).tolist()
  color = np.asarray(PIL.Image.open(tmp_path / '2.png.png').convert('RGB'))
  assert color.tolist() == (np.eye(3, dtype=np.uint8) * 200)[ids].tolist()
  logits = image / 16
  probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
  with np.load(tmp_path / '2.png_probabilities.npz') as saved:
    np.testing.assert_allclose(saved['probabilities'], probabilities, atol=1e-3)


def test_from_python(work):
  image = np.asarray(PIL.Image.open('photos/0.png'))
  network = deeplab.load('model.tflite')
  assert tuple(network.class_names) == CLASS_NAMES
  one, two = network.predict([image, np.tile(image, [2, 3, 1])])
  assert one.class_ids.tolist() == image.argmax(axis=-1).tolist()
  assert two.class_ids.tolist() == np.tile(one.class_ids, [2, 3]).tolist()
  np.testing.assert_allclose(one.probabilities.sum(axis=-1), 1.0, rtol=1e-5)
  with pytest.raises(InputError, match='eval_scales=0.5: not for exported models'):
    network.predict(image, eval_scales=0.5)
  with pytest.raises(InputError, match=r'needs a checkpoint; .* \(model/model.ckpt\)'):
    network.export('never')


def test_larger_images_are_reduced_and_smaller_ones_padded_for_a_model_of_one_size(
  fixed, tmp_path, capsys
):
  types = dict(output_type=['ids', 'probabilities'])
  summary = _infer(fixed, tmp_path / 'a', **types)
  assert (summary.num_predicted, summary.num_bad) == (1, 2)  # 7 x 12 fits, 9 x 12 does not.
  assert 'height 9, width 12 is larger than' in (err := capsys.readouterr().err)
  assert 'the size that the model was exported for; --max_size=8 predicts it smaller' in err
  summary = _infer(fixed, tmp_path / 'b', prediction=dict(max_size=10, batch_size=2), **types)
  assert (summary.num_predicted, summary.num_bad) == (3, 0)
  image = np.asarray(PIL.Image.open('photos/2.png'))
  for name in ('a', 'b'):
    ids = np.asarray(PIL.Image.open(tmp_path / name / '2.png_ids.png'))
    assert ids.shape == (7, 12)
  assert np.asarray(PIL.Image.open(tmp_path / 'a' / '2.png_ids.png')).tolist() == (
    image.argmax(axis=-1).tolist()
  )


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    (dict(prediction=dict(eval_scales=[0.5, 1.0])), '--eval_scales=0.5,1.0: not for exported'),
    (dict(prediction=dict(add_flipped_images=True)), '--add_flipped_images=True: not for exported'),
    (dict(prediction=dict(tile_size=65)), '--tile_size=65: not for exported models'),
    (dict(prediction=dict(eval_pad='stride')), '--eval_pad=stride: .* with --eval_pad=none'),
    (dict(engine=dict(operations='plain')), '--operations=plain: not for exported models'),
    (dict(engine=dict(compute_dtype='bfloat16')), '--compute_dtype=bfloat16: an exported model'),
    (dict(engine=dict(engine='openvino')), '--engine=openvino: runs SavedModels, and model.tflite'),
    (dict(engine=dict(engine='tensorflow')), '--engine=tensorflow: runs SavedModels'),
    (dict(model=dict(num_classes=4)), '--num_classes=4: .* with --num_classes=3'),
    (dict(model=dict(output_stride=8)), '--output_stride=8: an exported model cannot be changed'),
    (dict(class_names='camvid'), '--class_names=camvid: 11 names for --num_classes=3'),
  ],
)
def test_options_that_it_does_not_take_are_refused_by_name(settings, message):
  with pytest.raises(InputError, match=message):
    _evaluate('model.tflite', **settings)


def test_records_of_more_classes_are_refused(work):
  record_makers.write(work / 'more.tfrecord', [record_makers.record(7)])
  with pytest.raises(InputError, match='label value.* 7'):
    _evaluate('model.tflite', filenames=['more.tfrecord'])


def test_which_model_a_path_means(tmp_path, work):
  assert model_files.find(str(tmp_path)) is None
  assert model_files.find(str(work / 'photos' / '0.png')) is None
  assert model_files.find(str(work / 'val')) is None  # A checkpoint's prefix, if anything.
  assert model_files.find(str(work / 'saved_model')).kind == 'SavedModel'
  nameless = tmp_path / 'model'
  nameless.write_bytes((work / 'model.tflite').read_bytes())
  assert model_files.find(str(nameless)).kind == 'TensorFlow Lite'
  (tmp_path / 'export').mkdir()
  (tmp_path / 'export' / 'a.onnx').touch()
  (tmp_path / 'export' / 'export.json').write_text('{}')
  assert model_files.find(str(tmp_path / 'export')).path == str(tmp_path / 'export' / 'a.onnx')
  with pytest.raises(
    InputError, match=r'3 exported models \(model.tflite, model.onnx, saved_model\); name one'
  ):
    model_files.find(str(work))
  with pytest.raises(InputError, match=r'--ckpt_path=nothing.onnx: no such file'):
    model_files.find('nothing.onnx')
  (tmp_path / 'export' / 'model.ckpt.index').touch()  # A run's own directory means its checkpoints.
  assert model_files.find(str(tmp_path / 'export')) is None
  (tmp_path / 'saved_model.pb').touch()
  with pytest.raises(InputError, match='a SavedModel of another program'):
    model_files.find(str(tmp_path))


@pytest.mark.parametrize('flag', ['best', 'all_checkpoints', 'watch'])
def test_what_needs_checkpoints_is_refused_at_once(flag):
  options = EvaluationOptions(filenames=['val.tfrecord'], ckpt_path='model.onnx', **{flag: True})
  with pytest.raises(InputError, match=rf'--{flag}: model.onnx is an exported model \(ONNX\)'):
    given_paths.check(options)


def test_openvino_is_refused_for_a_checkpoint():
  with pytest.raises(InputError, match='--engine=openvino: runs exported SavedModels'):
    given_network.load('model', ModelOptions(), given=(), options=EngineOptions(engine='openvino'))


@pytest.mark.parametrize(
  ('kind', 'module', 'extra'),
  [
    ('TensorFlow Lite', 'ai_edge_litert.interpreter', 'tflite'),
    ('ONNX', 'onnxruntime', 'onnx'),
    ('SavedModel', 'openvino', 'openvino'),
  ],
)
def test_a_missing_package_is_named_with_its_extra(kind, module, extra, monkeypatch):
  monkeypatch.setitem(sys.modules, module, None)
  engine = 'openvino' if kind == 'SavedModel' else 'auto'
  with pytest.raises(InputError, match=rf"needs .*: pip install 'deeplab-tf\[{extra}\]'"):
    _open(FILES[kind], engine=engine)


def _open(path, *, engine='auto'):
  file = model_files.find(str(path))
  return opening.open_model(file, engine=engine, compute_dtype='float32')


@pytest.mark.parametrize('kind', ['TensorFlow Lite', 'ONNX'])
def test_a_file_of_another_program_is_refused_with_what_it_has(kind, tmp_path):
  path = tmp_path / FILES[kind]
  if kind == 'ONNX':
    onnx = pytest.importorskip('onnx')
    values = [
      onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8])
      for name in 'xy'
    ]
    node = onnx.helper.make_node('Relu', ['x'], ['y'])
    graph = onnx.helper.make_graph([node], 'graph', values[:1], values[1:])
    opset = onnx.helper.make_opsetid('', 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    has = r'it has input x float32 \[1, 3, 8, 8\]; output y float32 \[1, 3, 8, 8\], and no desc'
  else:
    module = tf.Module()
    module.double = tf.function(
      lambda x: 2 * x, input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32)]
    )
    function = module.double.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    path.write_bytes(converter.convert())
    has = r'it has input x float32 \[1, 8, 8, 3\]; output .* float32 \[1, 8, 8, 3\], and no desc'
  with pytest.raises(InputError, match=f'is no model that export_model.py wrote: {has}'):
    _open(path)


def test_a_saved_model_without_its_weights_is_refused(tmp_path, work):
  path = tmp_path / 'saved_model'
  (path / 'assets').mkdir(parents=True)
  for name in ('assets/deeplab.json', 'saved_model.pb'):
    (path / name).write_bytes((work / 'saved_model' / name).read_bytes())
  with pytest.raises(InputError, match='cannot be read as SavedModel; it is damaged or not whole'):
    _open(path)


def test_classes_that_the_description_does_not_know_are_refused(tmp_path):
  options = ModelOptions(model_variant='mobilenet_v2', num_classes=2)
  paths = exported_models.write(
    tmp_path,
    kinds=('SavedModel',),
    model_options=options,
    class_names=('a', 'b'),
    colors=((0, 0, 0), (1, 1, 1)),
  )
  with pytest.raises(InputError, match='computes 3 classes, and its description says 2'):
    _open(paths['SavedModel'])


def test_a_changed_file_is_told_by_the_checksum_beside_it(tmp_path, work):
  content = bytearray((work / 'model.onnx').read_bytes())
  (tmp_path / 'model.onnx').write_bytes(content)
  entry = {'name': 'model.onnx', 'sha256': hashlib.sha256(content).hexdigest()}
  (tmp_path / 'export.json').write_text(json.dumps({'models': {'model.onnx': {'files': [entry]}}}))
  _open(tmp_path / 'model.onnx')
  weights = content.index(np.float32(1 / 16).tobytes())
  content[weights] ^= 1
  (tmp_path / 'model.onnx').write_bytes(content)
  with pytest.raises(InputError, match='not the file that export.json beside it describes'):
    _open(tmp_path / 'model.onnx')
  (tmp_path / 'export.json').write_text('[' * 100_000)  # As if it were not there.
  _open(tmp_path / 'model.onnx')


_DAMAGED = """
import sys
from deeplab.engines import model_files, opening
from deeplab.errors import InputError
counts = [0, 0]
for path in sys.argv[1:]:
  try:
    opening.open_model(model_files.find(path), engine='auto', compute_dtype='float32')
    counts[0] += 1
  except InputError as error:
    assert str(error).startswith(path) and '\\n' not in str(error), error
    counts[1] += 1
print(*counts)
"""


@pytest.mark.parametrize(
  ('kind', 'count'),
  [
    ('TensorFlow Lite', 24),
    ('ONNX', 24),
    pytest.param('TensorFlow Lite', 200, marks=pytest.mark.slow),
    pytest.param('ONNX', 200, marks=pytest.mark.slow),
  ],
)
def test_no_damage_ends_the_process(kind, count, tmp_path, work, command_processes):
  """Each file opens or is refused in one line, in a process that an engine could take down."""
  whole, rng = (work / FILES[kind]).read_bytes(), random.Random(0)
  paths = []
  for index in range(count):
    content = bytearray(whole)
    if index % 3 == 0:
      content = content[: rng.randrange(len(content))]
    for _ in range(rng.choice([1, 5, 50])) if index % 3 else ():
      content[rng.randrange(len(content))] = rng.randrange(256)
    path = tmp_path / f'{index}{pathlib.Path(FILES[kind]).suffix}'
    path.write_bytes(content)
    paths.append(str(path))
  (tmp_path / 'damaged.py').write_text(_DAMAGED)
  done = command_processes.run([tmp_path / 'damaged.py', *paths], directory=tmp_path)
  assert done.returncode == 0, done.stderr[-2000:]
  opened, refused = map(int, done.stdout.split()[-2:])
  assert opened + refused == count and refused > count / 3


def test_metadata_of_a_damaged_file_is_never_read_outside_of_it(work):
  whole = (work / 'model.tflite').read_bytes()
  assert json.loads(tflite_metadata.read(whole, 'deeplab.json'))['num_classes'] == 3
  assert tflite_metadata.read(whole, 'other') is None
  rng = random.Random(0)
  for index in range(300):
    content = bytearray(whole)
    for _ in range(20):
      content[rng.randrange(len(content))] = rng.randrange(256)
    content = content[: rng.randrange(len(content))] if index % 2 else content
    with contextlib.suppress(ValueError):
      tflite_metadata.read(bytes(content), 'deeplab.json')


def test_what_an_engine_raises_becomes_one_line(monkeypatch, tmp_path):
  network = given_network.load('model.tflite', ModelOptions(), given=(), options=EngineOptions())

  predict = tf.function(network.model.predict_labels, autograph=False)

  def fail(output, images):
    raise RuntimeError('node 7\nfailed')

  monkeypatch.setattr(network.model._runner._runner, 'run', fail)
  with pytest.raises(InputError, match='^model.tflite: the engine failed .node 7 failed.$'):
    with network.explaining_failures():
      predict(tf.zeros([1, 8, 8, 3], tf.uint8))

  def want(output, images):
    raise RuntimeError('std::bad_alloc')

  monkeypatch.setattr(network.model._runner._runner, 'run', want)
  with pytest.raises(tf.errors.ResourceExhaustedError):
    with network.explaining_failures():
      predict(tf.zeros([1, 8, 8, 3], tf.uint8))


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['TensorFlow Lite', 'ONNX'])
def test_memory_does_not_grow_with_the_number_of_sizes(kind):
  def resident():
    with open('/proc/self/statm', encoding='ascii') as file:
      return int(file.read().split()[1]) * 4096 / 2**20

  network, rng = deeplab.load(FILES[kind]), np.random.default_rng(0)

  def predict(count):
    for _ in range(count):
      network.predict(rng.integers(0, 256, [*rng.integers(100, 400, 2), 3], np.uint8))

  predict(100)
  before = resident()
  predict(300)
  assert resident() - before < 40


@pytest.mark.parametrize('name', ['a.onnx', 'a.tflite'])
def test_an_empty_file_is_called_so(tmp_path, name):
  (tmp_path / name).touch()
  with pytest.raises(
    InputError, match=f'^--ckpt_path=.*{name}: is empty; copy it again, or export'
  ):
    model_files.find(str(tmp_path / name))


def test_onnxruntimes_codes_are_not_repeated(tmp_path):
  said = RuntimeError('[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from a failed:x.cc')
  message = str(interface.unreadable(str(tmp_path), 'ONNX', said))
  assert 'cannot be read as ONNX (it is no protobuf of an ONNX model)' in message
