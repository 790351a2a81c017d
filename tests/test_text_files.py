"""Text files of any encoding that marks itself, and names that are no UTF-8."""

import codecs
import os

import pytest

from deeplab import data_set_files, undecodable_names
from deeplab.class_names import load_class_names
from deeplab.color_map import read_entries
from deeplab.errors import InputError
from deeplab.prediction import image_files
from deeplab.text_files import read_lines

ENCODINGS = [
  (b'', 'utf-8'),
  (codecs.BOM_UTF8, 'utf-8'),
  (codecs.BOM_UTF16_LE, 'utf-16-le'),
  (codecs.BOM_UTF16_BE, 'utf-16-be'),
  (codecs.BOM_UTF32_LE, 'utf-32-le'),
]
every_encoding = pytest.mark.parametrize('mark, encoding', ENCODINGS)


@every_encoding
def test_lines(tmp_path, mark, encoding):
  path = tmp_path / 'list.txt'
  path.write_bytes(mark + 'é one\r\n\r\ntwo'.encode(encoding))
  assert read_lines(str(path), what='list') == ['é one', '', 'two']


def test_bytes_that_are_no_utf8(tmp_path):
  path = tmp_path / 'list.txt'
  path.write_bytes(b'caf\xe9\n')
  assert os.fsencode(read_lines(str(path), what='list')[0]) == b'caf\xe9'
  assert read_lines(str(path), what='list', undecodable='replace')[0] == 'caf\ufffd'


@pytest.mark.parametrize(
  'content, message',
  [
    (b'\x89PNG\r\n\x1a\n\0\0', '--list_path=x: is no text file; give a text file'),
    (codecs.BOM_UTF16_LE + b'abc', '--list_path=x: cannot be read as text .*begins as UTF-16'),
    (None, '--list_path=x: cannot be read .No such file'),
  ],
)
def test_what_is_no_text(tmp_path, content, message):
  path = tmp_path / 'list.txt'
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(InputError, match=message):
    read_lines(str(path), what='--list_path=x')


@every_encoding
def test_names_colours_and_image_lists_are_read_the_same_way(tmp_path, mark, encoding):
  path = tmp_path / 'text.txt'
  path.write_bytes(mark + 'sky\r\nStraße\r\n'.encode(encoding))
  assert load_class_names(str(path), 2) == ('sky', 'Straße')
  path.write_bytes(mark + '0 1 2 3 sky\r\n1 4 5 6 Straße\r\n'.encode(encoding))
  assert read_entries(str(path))[1] == (1, (4, 5, 6), 'Straße')
  path.write_bytes(mark + 'a/é.jpg\r\nb.jpg\r\n'.encode(encoding))
  assert [image.path for image in image_files.listed_images(str(path))] == ['a/é.jpg', 'b.jpg']


def test_backslashes_of_a_list_are_slashes_where_a_file_is_so_named(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'images').mkdir()
  (tmp_path / 'images' / 'a.jpg').write_bytes(b'')
  (tmp_path / 'list.txt').write_text('images\\a.jpg\nimages\\absent.jpg\n')
  assert [image.path for image in image_files.listed_images('list.txt')] == [
    'images/a.jpg',
    'images\\absent.jpg',
  ]


@pytest.mark.parametrize(
  'name, text',
  [
    (b'plain', 'plain'),
    ('Straße'.encode(), 'Straße'),
    (rb'a\b', r'a\b'),
    (b'caf\xe9', r'caf\xe9'),
    (b'a\\b\xff', r'a\\b\xff'),
    (rb'caf\xe9', r'caf\\xe9'),  # The name of a file with a backslash in it.
  ],
)
def test_undecodable_names_as_text_and_back(name, text):
  assert undecodable_names.to_text(os.fsdecode(name)) == text
  assert os.fsencode(undecodable_names.from_text(text)) == name


def test_undecodable_names_in_json():
  value = {'a\udcff': ['b\udcfe', 1, None, 2.5, True]}
  assert undecodable_names.for_json(value) == {r'a\xff': [r'b\xfe', 1, None, 2.5, True]}


def test_what_has_no_end_is_not_read(tmp_path):
  os.mkfifo(tmp_path / 'pipe')
  for path in (tmp_path / 'pipe', '/dev/zero', '/proc/self/cmdline', tmp_path):
    with pytest.raises(InputError, match='^--list_path=x: is no ordinary file; give a text file$'):
      read_lines(str(path), what='--list_path=x')
    with pytest.raises(InputError, match='is not a regular file|no such file|cannot be read'):
      data_set_files.read(str(path))


def test_the_pipe_of_a_shell_is_read(tmp_path):
  ours, theirs = os.pipe()
  os.write(theirs, b'a\nb')
  os.close(theirs)
  assert read_lines(f'/dev/fd/{ours}', what='list') == ['a', 'b']
  os.close(ours)
