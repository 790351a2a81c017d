import pytest

from deeplab import json_files


def test_an_object_is_read_and_nothing_else(tmp_path):
  path = tmp_path / 'a.json'
  path.write_text('{"a": [1, {"b": "]]][[["}], "c": 1.5e3}', encoding='utf-8')
  assert json_files.read(str(path)) == {'a': [1, {'b': ']]][[['}], 'c': 1500.0}
  with pytest.raises(ValueError, match='^is a directory$'):
    json_files.read(str(tmp_path))
  with open(path, 'wb') as file:
    file.truncate(2**26 + 1)
  with pytest.raises(ValueError, match='^has more than 67108864 bytes$'):
    json_files.read(str(path))


@pytest.mark.parametrize(
  'text, problem',
  [
    ('  ', 'is empty'),
    ('[1]', r'holds \[1\], not an object'),
    ('{"a": 1, "a": 2}', '"a" comes twice'),
    ('{"a": -Infinity}', '-Infinity is not a finite number'),
    ('{"a": 1e999}', '1e999 is not a finite number'),
    ('{"a":' * 60 + '1' + '}' * 60, 'is nested more than 50 levels deep'),
    ('{"a": 1', 'Expecting'),
  ],
)
def test_what_is_wrong_is_said(text, problem):
  with pytest.raises(ValueError, match=problem):
    json_files.as_object(text)


def test_values_have_their_types():
  assert json_files.whole_number(3, 'x', minimum=3) == 3 and json_files.number(2, 'x') == 2
  assert json_files.texts(None, 'x') == [] and json_files.mapping(None, 'x') == {}
  for check, value in (
    (json_files.whole_number, True),
    (json_files.whole_number, 2.0),
    (json_files.whole_number, 10**30),
    (json_files.number, '1'),
    (json_files.number, True),
    (json_files.texts, ['a', 1]),
    (json_files.texts, 'a'),
    (json_files.mapping, []),
  ):
    with pytest.raises(ValueError, match='^x is '):
      check(value, 'x')
