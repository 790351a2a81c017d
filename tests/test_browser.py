"""The page of examples/browser in headless Chromium, with the quickstart's network as ONNX.

DEEPLAB_TEST_BROWSER names a directory where `npm install onnxruntime-web playwright-core` was run.
"""

import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

_CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
_MODULES = os.environ.get('DEEPLAB_TEST_BROWSER', '')
_RUNTIME = ('ort.wasm.min.mjs', 'ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm')

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    not (os.path.isdir(_MODULES) and shutil.which('chromium') and shutil.which('node')),
    reason='needs chromium, node and DEEPLAB_TEST_BROWSER',
  ),
]


def _command(name, *arguments):
  subprocess.run(
    [sys.executable, str(_CHECKOUT / name), *arguments],
    env={**os.environ, 'PYTHONPATH': str(_CHECKOUT)},
    check=True,
    capture_output=True,
    text=True,
  )


@pytest.fixture(scope='module')
def work(tmp_path_factory):
  """model/, JPEGImages/ of the quickstart; exported/model.onnx; site/ with the page."""
  work = tmp_path_factory.mktemp('quickstart')
  _command('scripts/quickstart.py', f'--output_path={work}', '--num_steps=120', '--seed=1')
  exported = work / 'exported'
  _command(
    'export_model.py', f'--ckpt_path={work / "model"}', f'--output_path={exported}', '--format=onnx'
  )
  shutil.copytree(_CHECKOUT / 'examples' / 'browser', work / 'site')
  shutil.rmtree(work / 'site' / 'ort', ignore_errors=True)
  (work / 'site' / 'ort').mkdir()
  for name in _RUNTIME:
    source = pathlib.Path(_MODULES, 'node_modules', 'onnxruntime-web', 'dist', name)
    shutil.copyfile(source, work / 'site' / 'ort' / name)
  shutil.copyfile(exported / 'model.onnx', work / 'site' / 'model.onnx')
  return work


@pytest.fixture(scope='module')
def address(work):
  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      pass

  server = http.server.ThreadingHTTPServer(
    ('127.0.0.1', 0), functools.partial(Handler, directory=str(work / 'site'))
  )
  threading.Thread(target=server.serve_forever, daemon=True).start()
  yield f'http://127.0.0.1:{server.server_address[1]}/'
  server.shutdown()
  server.server_close()


def _drop(files, address, tmp_path):
  asked = {
    'modules': _MODULES,
    'chromium': shutil.which('chromium'),
    'profile': str(tmp_path / 'profile'),
    'url': address,
    'files': [str(file) for file in files],
    'screenshot': str(tmp_path / 'screenshot.png'),
  }
  script = _CHECKOUT / 'tests' / 'browser_page.mjs'
  done = subprocess.run(
    ['node', str(script), json.dumps(asked)], capture_output=True, text=True, timeout=300
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


def test_dropped_picture_gets_the_classes_that_the_inferencer_predicts(work, address, tmp_path):
  # PNG: of a JPEG, browser and toolkit may decode other pixels.
  picture = tmp_path / 'scene.png'
  Image.open(sorted((work / 'JPEGImages').iterdir())[-1]).convert('RGB').save(picture)
  _command(
    'run_inferencer.py',
    f'--ckpt_path={work / "model"}',
    f'--input={picture}',
    f'--output_path={tmp_path}',
    '--output_type=ids',
  )
  expected = np.asarray(Image.open(tmp_path / 'scene.png_ids.png'))
  page = _drop([picture], address, tmp_path)
  labels = np.array(page['labels']).reshape(page['height'], page['width'])
  assert labels.shape == expected.shape
  assert np.mean(labels != expected) <= 1e-4
  assert len(np.unique(labels)) > 1  # Else any colour would do.
  names = (work / 'class_names.txt').read_text().split()
  from deeplab import color_map

  colors = color_map.pascal_voc_color_map()
  counts = np.bincount(labels.ravel(), minlength=len(names))
  assert page['legend'] == [
    [
      'rgb({}, {}, {})'.format(*colors[index]),
      names[index],
      f'{100 * counts[index] / labels.size:.1f} %',
    ]
    for index in np.argsort(-counts, kind='stable')
    if counts[index]
  ]
  assert page['problems'] == []
  assert all(each.startswith(address) for each in page['requests'])


def test_what_is_no_picture_or_no_model_is_said(work, address, tmp_path):
  model = (work / 'exported' / 'model.onnx').read_bytes()
  files = {'cut.onnx': model[:100_000], 'text.jpg': b'no picture', 'other.onnx': model}
  for name, content in files.items():
    (tmp_path / name).write_bytes(content)
  page = _drop([tmp_path / name for name in files], address, tmp_path)
  ready, cut, text, other = page['said']
  assert ready == 'model.onnx: 7 classes. Ready.'
  assert cut == 'cut.onnx: is damaged, or no ONNX file'
  assert text.startswith('text.jpg: ')
  assert other == 'other.onnx: 7 classes. Ready.'
  assert page['problems'] == []
