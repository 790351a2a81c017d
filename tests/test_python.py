"""The toolkit from Python: what `deeplab` offers, its page and its notebook."""

import logging
import os
import pathlib
import re
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import trained_work
from PIL import Image

import deeplab
from deeplab.inferencer import DeepLabV3Inferencer

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
CLASS_NAMES = trained_work.CLASS_NAMES


@pytest.fixture(scope='module')
def work(tmp_path_factory, short_networks):
  return trained_work.make(tmp_path_factory.mktemp('work'))


@pytest.fixture(scope='module')
def network(work):
  return deeplab.load(work / 'model', colormap=np.eye(4, 3) * 255)


@pytest.fixture(scope='module')
def image(work):
  return np.asarray(Image.open(work / 'photos' / 'a.png'))


@pytest.fixture(scope='module')
def prediction(network, image):
  return network.predict(image)


def test_importing_is_quick():
  code = """
import sys
import deeplab
deeplab.load, deeplab.convert, deeplab.train, deeplab.evaluate, deeplab.InputError
for mistake in [{'max_sise': 1}, {'max_size': 0}]:
  try:
    deeplab.load('model', **mistake)
  except (TypeError, deeplab.InputError) as error:
    print(error)
print({'tensorflow', 'numpy', 'PIL', 'absl'} & set(sys.modules))
"""
  done = subprocess.run(
    [sys.executable, '-c', code],
    env={**os.environ, 'PYTHONPATH': str(CHECKOUT)},
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.splitlines() == [
    "load() has no option 'max_sise'; did you mean max_size?",
    'max_size=0: must be at least 1 and at most 65535',
    'set()',
  ]
  assert done.stderr == ''


def test_what_the_package_offers():
  assert set(deeplab.__all__) <= set(dir(deeplab))
  assert all(getattr(deeplab, name).__doc__ for name in deeplab.__all__)
  with pytest.raises(AttributeError, match='no attribute'):
    deeplab.absent  # noqa: B018


def test_network(network, work):
  assert network.checkpoint == str(work / 'model' / 'model.ckpt')
  assert network.class_names == CLASS_NAMES
  assert network.model_options.depth_multiplier == 0.35  # Saved beside the checkpoint.
  assert repr(network).startswith('<Network mobilenet_v2 for 4 classes, output stride 16, of /')


def test_prediction(prediction, image):
  assert prediction.class_ids.dtype == np.uint8
  assert prediction.class_ids.shape == image.shape[:2]
  np.testing.assert_array_equal(prediction.image, image)
  assert prediction.class_names == CLASS_NAMES
  counts = prediction.counts()
  assert sum(counts.values()) == image.shape[0] * image.shape[1]
  assert list(counts.values()) == sorted(counts.values(), reverse=True)
  for index, name in enumerate(CLASS_NAMES):
    assert counts[name] == (prediction.class_ids == index).sum()
  assert 0 not in counts.values()
  first = next(iter(counts))
  assert repr(prediction).startswith(f'<Prediction of 48 x 30 pixels: {first} ')


def test_probabilities(prediction, network, image):
  probabilities = prediction.probabilities
  assert probabilities.shape == (*image.shape[:2], 4) and probabilities.dtype == np.float32
  np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
  np.testing.assert_array_equal(probabilities.argmax(axis=-1), prediction.class_ids)
  assert prediction.probabilities is probabilities
  at_once = network.predict(image, with_probabilities=True)
  np.testing.assert_array_equal(at_once.probabilities, probabilities)


def test_pictures(prediction, image):
  colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]])
  color = prediction.color()
  assert color.mode == 'RGB'
  np.testing.assert_array_equal(np.asarray(color), colors[prediction.class_ids])
  np.testing.assert_array_equal(np.asarray(prediction.overlay(0.0)), image)
  np.testing.assert_array_equal(np.asarray(prediction.overlay(overlay_alpha=1.0)), color)
  half = np.asarray(prediction.overlay()).astype(int)
  mean = (image.astype(int) + np.asarray(color)) / 2
  # But for outlines.
  assert (np.abs(half - mean) <= 1).all(axis=-1).mean() > 0.5
  for alpha in (1.5, -1, float('nan'), 'half', None):
    with pytest.raises(deeplab.InputError, match=r'^overlay_alpha=.*: must be a number from 0'):
      prediction.overlay(alpha)


def test_cutouts(network, image, prediction, monkeypatch):
  from deeplab.prediction import python_prediction

  cut = prediction.cutout(['tree', 'road'])
  assert cut.mode == 'RGBA' and cut.size == (48, 30)
  np.testing.assert_array_equal(prediction.cutout('tree, road'), cut)
  np.testing.assert_array_equal(prediction.cutout([1, np.int64(2)]), cut)
  everything = np.asarray(prediction.cutout(CLASS_NAMES))
  assert (everything[..., 3] == 255).all()
  np.testing.assert_array_equal(everything[..., :3], image)
  # Of a large image only what is needed is computed.
  monkeypatch.setattr(python_prediction, '_MANY_PROBABILITIES', 10)
  large = network.predict(image)
  monkeypatch.setattr(python_prediction.Prediction, 'probabilities', None)
  np.testing.assert_array_equal(large.cutout(['tree', 'road']), cut)


@pytest.mark.parametrize('chosen', ['unicorn', 99, ['tree', 'unicorn'], -1])
def test_unknown_classes_to_cut_out(prediction, chosen):
  with pytest.raises(
    deeplab.InputError, match=r'^cutout_classes=.*: no such class; the network has'
  ):
    prediction.cutout(chosen)


@pytest.mark.parametrize('chosen', [[], (), ''])
def test_no_classes_to_cut_out(prediction, chosen):
  with pytest.raises(deeplab.InputError, match='^cutout_classes: names no class; choose of sky'):
    prediction.cutout(chosen)


def test_no_background_to_leave_out(prediction):
  with pytest.raises(deeplab.InputError, match='choose what to keep with cutout_classes, of sky'):
    prediction.cutout()


def test_a_notebook_shows_a_picture(prediction, monkeypatch):
  monkeypatch.delenv('DISPLAY', raising=False)
  png = prediction._repr_png_()
  assert png.startswith(b'\x89PNG') and len(png) < 500_000


def test_lists_keep_their_order(network, work, image):
  paths = [work / 'photos' / name for name in ('b.png', 'a.png', 'deep/a.png')]
  images = [paths[0], image, str(paths[2]), Image.open(paths[1]), image[:, ::-1]]
  for batch_size in (1, 2):
    predictions = network.predict(images, batch_size=batch_size)
    assert len(predictions) == 5
    for one, prediction in zip(images, predictions):
      np.testing.assert_array_equal(prediction.class_ids, network.predict(one).class_ids)
  assert network.predict([]) == []
  assert len(network.predict((image,))) == 1


def test_the_callers_array_may_change(network, image):
  mine = image.copy()
  prediction = network.predict(mine)
  mine[:] = 0
  np.testing.assert_array_equal(prediction.image, image)


def test_options_of_predict(network, work, image):
  small = network.predict(image, max_size=24, with_probabilities=True)
  assert small.class_ids.shape == image.shape[:2]
  loaded = deeplab.load(work / 'model', max_size=24, eval_pad='stride')
  np.testing.assert_array_equal(
    loaded.predict(image, eval_pad='auto', with_probabilities=True).probabilities,
    small.probabilities,
  )


def test_tf32_is_off_while_a_network_predicts_that_wants_it_so(work, image, monkeypatch):
  import tensorflow as tf

  has_tf32 = tf.config.experimental.tensor_float_32_execution_enabled
  seen, predict = [], DeepLabV3Inferencer.predict_with_foreground

  def look(inferencer, images):
    seen.append(has_tf32())
    return predict(inferencer, images)

  monkeypatch.setattr(DeepLabV3Inferencer, 'predict_with_foreground', look)
  before = has_tf32()
  exact = deeplab.load(work / 'model', tf32=False)
  assert has_tf32() == before
  exact.predict(image).probabilities  # noqa: B018 (computed when it is asked for)
  assert seen == [False, False] and has_tf32() == before


def test_mistakes(network, work, image):
  with pytest.raises(TypeError, match=r'give it to deeplab.load\(\)'):
    network.predict(image, output_stride=8)
  for options, message in [
    ({'max_size': 0}, 'max_size=0: must be at least 1'),
    ({'tile_size': 8}, 'tile_size=8: must be greater than output_stride=16'),
    ({'eval_scales': []}, 'eval_scales: give at least one scale'),
  ]:
    with pytest.raises(deeplab.InputError, match='^' + message):
      network.predict(image, **options)
  with pytest.raises(
    deeplab.InputError, match=r'^images\[1\]: an array float64 \[30, 48, 3\]; must'
  ):
    network.predict([image, image / 255])
  with pytest.raises(deeplab.InputError, match=r'^ckpt_path=\S+/absent: not found'):
    deeplab.load(work / 'absent')
  with pytest.raises(deeplab.InputError, match='^ckpt_path: NoneType; must be the path'):
    deeplab.load(None)
  with pytest.raises(TypeError, match='has no option .zzz.; it has .*best, class_names, colormap'):
    deeplab.load(work / 'model', zzz=1)
  with pytest.raises(deeplab.InputError, match=r'^ckpt_path=\S+: holds no best.ckpt'):
    deeplab.load(work / 'model', best=True)
  with pytest.raises(deeplab.InputError, match='^class_names: 2 names for the 4 classes'):
    deeplab.load(work / 'model', class_names=['a', 'b'])
  with pytest.raises(deeplab.InputError, match='^colormap has 3 colours, fewer than the 4 classes'):
    deeplab.load(work / 'model', colormap=np.zeros([3, 3], np.uint8))
  with pytest.raises(deeplab.InputError, match='^filenames is required'):
    deeplab.evaluate(ckpt_path=work / 'model')


def test_warnings_point_at_the_program(network, image, monkeypatch):
  monkeypatch.setitem(network._trained.__dict__, 'trained_size', (9, 9))
  with pytest.warns(deeplab.DeepLabWarning, match=r'; max_size=9 predicts such images') as warned:
    network.predict(image, eval_scales=[0.75])
  assert [one.filename for one in warned] == [__file__]
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    network.predict(image, eval_scales=[0.75])  # It is said once.


def test_problems_of_files_are_in_the_error(work, tmp_path, capfd):
  (tmp_path / 'labels').mkdir()
  for name in ('a.png', 'absent.png'):
    (tmp_path / 'labels' / name).write_bytes(b'no picture')
  with pytest.raises(deeplab.InputError) as raised:
    deeplab.convert(
      split='train',
      images_dir=work / 'photos',
      labels_dir=tmp_path / 'labels',
      output_dir=tmp_path / 'records',
      num_classes=2,
    )
  lines = str(raised.value).splitlines()
  assert '(listed below)' in lines[0] and len(lines) == 3
  assert tuple(capfd.readouterr()) == ('', '') and os.listdir(tmp_path) == ['labels']


def _state_of_the_process():
  import tensorflow as tf

  return {
    'environment': dict(os.environ),
    'directory': os.getcwd(),
    'signals': [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
    'warnings': list(warnings.filters),
    'levels': [logging.getLogger(name).level for name in ('', 'tensorflow', 'absl', 'PIL')],
    'handlers': list(logging.getLogger().handlers),
    'streams': [sys.stdin, sys.stdout, sys.stderr],
    'numpy': np.random.get_state()[1].tolist(),
    'seed': tf.compat.v1.get_seed(None)[0],
    'pixels': Image.MAX_IMAGE_PIXELS,
    'tf32': tf.config.experimental.tensor_float_32_execution_enabled(),
  }


def _code(page):
  return re.findall(r'^```python\n(.*?)^```$', page, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings('ignore::deeplab.guest.DeepLabWarning')
def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capfd, short_networks):
  blocks = _code((CHECKOUT / 'docs' / 'python.md').read_text(encoding='utf-8'))
  assert len(blocks) >= 6
  monkeypatch.chdir(tmp_path)
  before, printed, namespace = _state_of_the_process(), [], {'print': lambda *_: None}
  namespace['print'] = lambda *values: printed.append(' '.join(map(str, values)))
  for block in blocks:
    exec(compile(block, 'docs/python.md', 'exec'), namespace)
  # Quiet, but for what the page prints itself, and for lines of the C++ of a TensorFlow that was
  # imported before.
  out, err = capfd.readouterr()
  assert out == '' and re.sub(r'^[IW]0000 .*\n', '', err, flags=re.MULTILINE) == ''
  assert _state_of_the_process() == before
  assert 'True' in printed and any('did you mean max_size?' in line for line in printed)
  # Validation, evaluation from Python and what the command prints are one number.
  report, result = namespace['report'], namespace['result']
  assert report.mean_iou == result.best_mean_iou > 0
  assert repr(report) == str(report) and f'mIOU: {report.mean_iou:.8f}' in str(report)
  again = deeplab.evaluate(filenames='val', ckpt_path=result.best_checkpoint, verbose=True)
  assert again.mean_iou == report.mean_iou
  assert f'mIOU: {report.mean_iou:.8f}\n' in capfd.readouterr().out
  assert (tmp_path / 'shapes.png').exists()


def test_evaluations_of_several_checkpoints_are_a_list(work, capfd):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', deeplab.DeepLabWarning)
    reports = deeplab.evaluate(
      filenames=work / 'val.tfrecord', ckpt_path=work / 'model', all_checkpoints=True
    )
  assert [report.checkpoint for report in reports] == [str(work / 'model' / 'model.ckpt')]
  assert capfd.readouterr().out == ''


@pytest.mark.slow  # A kernel of its own; its calls are those of the page above.
def test_the_notebook_runs(tmp_path, monkeypatch):
  nbclient = pytest.importorskip('nbclient')
  pytest.importorskip('ipykernel')
  import nbformat

  path = CHECKOUT / 'examples' / 'predict.ipynb'
  assert path.stat().st_size < 100_000
  notebook = nbformat.read(path, as_version=4)
  nbformat.validate(notebook)
  assert not any(cell.get('outputs') for cell in notebook.cells)
  monkeypatch.setenv('DEEPLAB_EXAMPLE_STEPS', '2')
  monkeypatch.setenv('DEEPLAB_EXAMPLE_SCENES', '8')
  monkeypatch.setenv('TMPDIR', str(tmp_path))
  monkeypatch.setenv('PYTHONPATH', str(CHECKOUT))
  monkeypatch.delenv('DISPLAY', raising=False)
  client = nbclient.NotebookClient(
    notebook, timeout=600, kernel_name='python3', resources={'metadata': {'path': str(tmp_path)}}
  )
  client.execute()
  outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
  shown = [output['data'] for output in outputs if output['output_type'] == 'execute_result']
  assert sum('image/png' in data for data in shown) == 4
  assert any(data['text/plain'].startswith('Num of images evaluated: 8') for data in shown)
