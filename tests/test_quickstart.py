import importlib.util
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from deeplab import synthetic_scenes
from deeplab.errors import InputError

_SCRIPTS = pathlib.Path(__file__).parent.parent / 'scripts'


def _load(name):
  spec = importlib.util.spec_from_file_location(name, _SCRIPTS / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


quickstart = _load('quickstart')


def test_new_directory(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert quickstart._new_directory(None) == str(tmp_path / 'quickstart')
  assert quickstart._new_directory(None) == str(tmp_path / 'quickstart-2')
  assert quickstart._new_directory('deep/er') == str(tmp_path / 'deep' / 'er')
  assert quickstart._new_directory('deep/er') == str(tmp_path / 'deep' / 'er')  # Still empty.
  (tmp_path / 'deep' / 'er' / 'file').write_text('')
  with pytest.raises(InputError, match='not an empty directory'):
    quickstart._new_directory('deep/er')
  with pytest.raises(InputError, match='not an empty directory'):
    quickstart._new_directory('deep/er/file')


def test_commands_are_printed_and_passed_on(tmp_path, capsys, monkeypatch):
  command = tmp_path / 'echo arguments.py'
  command.write_text('import os, sys\nprint(os.getcwd(), sys.argv[1:])\n')
  monkeypatch.setattr(quickstart, '_find', lambda name: str(command))
  output = quickstart._run('echo', ['echo.py', '--a=b c', '--d'], str(tmp_path))
  assert output == f"{tmp_path} ['--a=b c', '--d']\n"
  printed = capsys.readouterr().out
  assert f"'{command}' \\\n    '--a=b c' \\\n    --d\n" in printed and output in printed


def test_failed_command(tmp_path, monkeypatch):
  command = tmp_path / 'fail.py'
  command.write_text('raise SystemExit(3)\n')
  monkeypatch.setattr(quickstart, '_find', lambda name: str(command))
  with pytest.raises(InputError, match='run_trainer.py ended with status 3'):
    quickstart._run('run_trainer.py', ['run_trainer.py'], str(tmp_path))


def test_commands_exist():
  for _, arguments in quickstart.command_lines(quickstart.QuickstartOptions()):
    assert os.access(quickstart._find(arguments[0]), os.X_OK)
  with pytest.raises(InputError, match='run_absent.py is neither in'):
    quickstart._find('run_absent.py')


def test_contact_sheet(tmp_path):
  names, _ = synthetic_scenes.write_data_set(str(tmp_path), num_training=3, num_held_out=0)
  (tmp_path / 'predictions').mkdir()
  paths = []
  for name in names:
    paths.append(os.path.join('predictions', name + '.jpg.png'))
    Image.fromarray(np.full([20, 20, 3], (1, 2, 3), np.uint8)).save(tmp_path / paths[-1])
  sheet = quickstart.contact_sheet(str(tmp_path), names, paths)
  pixels = np.asarray(sheet)
  # Three square predictions fill their cells of 192 pixels, two in the first row and one in the
  # second.
  rows, columns = np.nonzero((pixels == (1, 2, 3)).all(axis=-1))
  assert len(rows) == 3 * 192 * 192
  assert (columns < pixels.shape[1] // 2).sum() == 2 * 192 * 192
  assert ((pixels == (224, 224, 192)).all(axis=-1)).any()  # The ignored borders.


def test_color_map_sheets_name_every_class():
  pytest.importorskip('matplotlib')
  draw_color_maps = _load('draw_color_maps')
  for _, title, names, color_map, columns in draw_color_maps.SHEETS:
    colors = draw_color_maps.color_maps.load_color_map(color_map)
    axes = draw_color_maps.draw(title, names, colors, columns=columns).axes[0]
    assert {*names, title} <= {text.get_text() for text in axes.texts}
    drawn = [np.rint(np.array(patch.get_facecolor()[:3]) * 255) for patch in axes.patches]
    np.testing.assert_array_equal(drawn, colors[: len(names)])
