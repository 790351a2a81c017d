import os

import pytest

from deeplab import output_places
from deeplab.errors import InputError


def test_make_directory(tmp_path):
  path = str(tmp_path / 'x' / 'y')
  output_places.make_directory(path, flag='output_path')
  output_places.make_directory(path, flag='output_path')
  assert os.listdir(path) == []
  (tmp_path / 'file').touch()
  for name, words in (
    ('file', '^--report_path: .*/file is a file; give a directory$'),
    ('file/below', 'the directory .*/file/below cannot be made .Not a directory.; choose another$'),
  ):
    with pytest.raises(InputError, match=words):
      output_places.make_directory(str(tmp_path / name), flag='report_path')


def test_a_directory_that_takes_no_files(tmp_path, monkeypatch):
  def refuse(**_):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(output_places.tempfile, 'TemporaryFile', refuse)
  with pytest.raises(InputError, match='cannot be written to .Permission denied.; choose another'):
    output_places.make_directory(str(tmp_path), flag='output_path')


def test_an_error_removes_the_directories_that_are_left_empty(tmp_path):
  with pytest.raises(KeyError):
    with output_places.new_directory(str(tmp_path / 'a' / 'b'), flag='output_path'):
      (tmp_path / 'a' / 'full').touch()
      raise KeyError
  assert os.listdir(tmp_path / 'a') == ['full']


def test_explaining_names_file_and_flag():
  with pytest.raises(
    InputError,
    match=r'^x\\n.png: cannot be written: No space left on device; free space there or choose '
    'another --report_path$',
  ):
    with output_places.explaining('x\n.png', flag='report_path'):
      raise OSError(28, 'No space left on device')
