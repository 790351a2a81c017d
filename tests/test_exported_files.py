"""What an export may write where, and what it says of it: no TensorFlow needed."""

import hashlib
import json
import subprocess
import sys

import pytest

from deeplab.errors import InputError
from deeplab.export import exported_files, own_process, run_exported, summary
from deeplab.export.exported_files import ExportedFile
from deeplab.options import ModelExportOptions

ALL = ModelExportOptions(
  output_path='x',
  format=('tflite', 'saved_model', 'onnx', 'tflite'),
  tflite_type=('int8', 'float32'),
  size='33x65',
  representative_filenames=('records',),
)


def test_plan_names_each_file_once():
  assert [file.name for file in exported_files.planned(ALL)] == [
    'model_int8.tflite',
    'model_float32.tflite',
    'saved_model',
    'model.onnx',
  ]
  assert exported_files.planned(ModelExportOptions(output_path='x')) == [
    ExportedFile('saved_model', 'saved_model', 'float32')
  ]


@pytest.mark.parametrize(
  'options, message',
  [
    ({'format': ()}, '--format: give at least one of saved_model, tflite, onnx'),
    ({'format': ('pb',)}, '--format=pb: must be one of'),
    ({'tflite_type': ('float16',)}, '--tflite_type=float16: give --format=tflite too'),
    ({'size': '513'}, '--size=513: must be dynamic, or HEIGHTxWIDTH such as 513x513'),
    ({'size': '0x513'}, '--size=0x513: must be dynamic'),
    ({'size': '20000x513'}, 'at most 16384x16384'),
    ({'pad': 'some'}, '--pad=some: must be auto, none, stride, or HEIGHTxWIDTH'),
    ({'pad': '65x65', 'size': '65x66'}, '--pad=65x65: smaller than --size=65x66'),
    ({'max_different_pixels': 101.0}, '--max_different_pixels=101.0: must be at most 100'),
    ({'check_filenames': ('a',)}, '--check_filenames: only int8 needs it'),
    (
      {'format': ('tflite',), 'tflite_type': ('int8',), 'representative_filenames': ('a',)},
      '--tflite_type=int8: give --size=HEIGHTxWIDTH too',
    ),
    (
      {'format': ('tflite',), 'tflite_type': ('int8',), 'size': '33x33'},
      '--tflite_type=int8: give --representative_filenames too',
    ),
    ({'output_path': ''}, '--output_path is required'),
  ],
)
def test_options_that_do_not_fit(options, message):
  with pytest.raises(InputError) as raised:
    ModelExportOptions(**{'output_path': 'x', **options})
  assert message in str(raised.value)


def test_existing_files_are_refused(tmp_path):
  files = exported_files.planned(ALL)
  exported_files.refuse_existing(str(tmp_path), files, overwrite=False)
  (tmp_path / 'model.onnx').write_bytes(b'x')
  with pytest.raises(InputError, match=r'holds model\.onnx already; give --overwrite to replace'):
    exported_files.refuse_existing(str(tmp_path), files, overwrite=False)
  exported_files.refuse_existing(str(tmp_path), files, overwrite=True)
  (tmp_path / 'saved_model').mkdir()
  (tmp_path / 'saved_model' / 'thesis.txt').write_text('x')
  with pytest.raises(InputError, match='what is saved_model there is no exported model; remove it'):
    exported_files.refuse_existing(str(tmp_path), files, overwrite=True)


def test_missing_extras_are_named(monkeypatch):
  monkeypatch.setattr(exported_files.importlib.util, 'find_spec', lambda name: None)
  exported_files.refuse_without_extras(['saved_model'])
  with pytest.raises(InputError) as raised:
    exported_files.refuse_without_extras(['saved_model', 'onnx'])
  assert str(raised.value) == (
    "--format=onnx: needs tf2onnx, onnx, onnxruntime: pip install 'deeplab-tf[onnx]' (or pip "
    'install tf2onnx onnx onnxruntime)'
  )


def test_placing_replaces_files_and_directories(tmp_path):
  with exported_files.unfinished_directory(str(tmp_path)) as aside:
    for content in ('old', 'new'):
      for name in ('model.onnx', 'saved_model/part/x'):
        path = tmp_path / aside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
      for name in ('model.onnx', 'saved_model'):
        exported_files.place(str(tmp_path / aside / name), str(tmp_path / name))
  assert sorted(path.name for path in tmp_path.iterdir()) == ['model.onnx', 'saved_model']
  assert (tmp_path / 'model.onnx').read_text() == 'new'
  assert (tmp_path / 'saved_model' / 'part' / 'x').read_text() == 'new'
  digest = hashlib.sha256(b'new').hexdigest()
  assert exported_files.checksums(str(tmp_path / 'saved_model')) == [
    {'name': 'saved_model/part/x', 'bytes': 3, 'sha256': digest}
  ]


def test_summary_keeps_what_is_there(tmp_path):
  directory = str(tmp_path)
  assert summary.read(directory) == {}
  for name in ('a.onnx', 'b.tflite'):
    (tmp_path / name).write_text('x')
    summary.update(directory, name, {'format': name[2:]})
  assert summary.read(directory) == {
    'a.onnx': {'format': 'onnx'},
    'b.tflite': {'format': 'tflite'},
  }
  (tmp_path / 'a.onnx').unlink()
  summary.update(directory, 'b.tflite', None)
  assert json.loads((tmp_path / 'export.json').read_text())['models'] == {}


@pytest.mark.parametrize('content', ['', '[]', '{"format_version": 2, "models": {}}', '{"a": 1}'])
def test_another_export_json_is_not_replaced(tmp_path, content):
  (tmp_path / 'export.json').write_text(content)
  with pytest.raises(InputError, match='export.json: not the summary of an export'):
    summary.update(str(tmp_path), 'a.onnx', {})
  assert (tmp_path / 'export.json').read_text() == content


@pytest.mark.parametrize(
  'code, reason',
  [
    ('raise ValueError("two\\nlines")', 'ValueError: two'),
    ('import sys; sys.exit("no more")', 'no more'),
    ('import os; os.abort()', 'its process was ended by signal 6'),
    (
      'import os; os.kill(os.getpid(), 9)',
      'its process was ended by signal 9, as a system does that runs out of memory',
    ),
    ('import sys; sys.exit(3)', 'no reason given'),
  ],
)
def test_why_a_process_failed(tmp_path, code, reason):
  (tmp_path / 'script.py').write_text(code)
  with pytest.raises(own_process.ProcessError) as raised:
    own_process.run(str(tmp_path / 'script.py'), directory=str(tmp_path))
  assert str(raised.value) == reason


def test_models_run_without_the_toolkit():
  """Though it may be installed for the interpreter."""
  code = (
    'import sys; sys.path.insert(0, sys.argv[1]); sys.path.insert(0, sys.argv[2]); '
    'import run_exported; import deeplab; sys.meta_path.insert(0, run_exported.NoToolkit()); '
    'del sys.modules["deeplab"]\n'
    'try: import deeplab\n'
    'except ImportError as error: print(error)'
  )
  here = run_exported.__file__.rsplit('/', 1)[0]
  done = subprocess.run(
    [sys.executable, '-c', code, here, here.rsplit('/', 2)[0]], capture_output=True, text=True
  )
  assert done.stdout == 'an exported model has to run without the toolkit\n', done.stderr
