"""The description of a data set: what is combined, what is refused, what its file holds."""

import json

import pytest

from deeplab import data_set, data_set_files
from deeplab.data_set import DataSet, Split
from deeplab.errors import InputError

THREE = DataSet(
  num_classes=3,
  ignore_label=7,
  class_names=('sky', 'road', 'car'),
  colors=((1, 2, 3), (4, 5, 6), (7, 8, 9)),
  splits={
    'train': Split(
      num_records=2,
      files=('train-00001-of-00001.tfrecord',),
      labels={0: 2, 2: 1, 7: 1},
      source={'images_dir': '/pictures'},
    )
  },
)


def test_file_holds_everything_and_a_split_more(tmp_path):
  path = data_set_files.write(str(tmp_path), THREE, split_name='train')
  assert path == str(tmp_path / 'dataset.json')
  val = Split(num_records=1, files=('val-00001-of-00001.tfrecord',), labels={1: 1})
  data_set_files.write(str(tmp_path), THREE.replace(splits={'val': val}), split_name='val')
  found = data_set_files.read(str(tmp_path))
  assert (found.num_classes, found.ignore_label) == (3, 7)
  assert (found.class_names, found.colors) == (THREE.class_names, THREE.colors)
  assert found.color_map().tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
  assert {name: split.num_records for name, split in found.splits.items()} == {'train': 2, 'val': 1}
  assert found.splits['train'].labels == {0: 2, 2: 1, 7: 1}
  assert found.splits['train'].source == {'images_dir': '/pictures'}
  assert json.loads((tmp_path / 'dataset.json').read_text())['num_classes'] == 3


def test_another_data_set_does_not_enter_the_file(tmp_path):
  data_set_files.write(str(tmp_path), THREE, split_name='train')
  before = (tmp_path / 'dataset.json').read_bytes()
  other = DataSet(num_classes=4, ignore_label=7, splits={'val': Split(num_records=1)})
  with pytest.raises(InputError, match='says num_classes 3, --split=val says 4; remove'):
    data_set_files.write(str(tmp_path), other, split_name='val')
  assert (tmp_path / 'dataset.json').read_bytes() == before
  # The same split anew may be another one.
  anew = other.replace(splits={'train': Split(num_records=1)})
  data_set_files.write(str(tmp_path), anew, split_name='train')
  assert data_set_files.read(str(tmp_path)).num_classes == 4


def test_of_records_takes_the_splits_of_the_files(tmp_path):
  for name in ('train', 'val'):
    (tmp_path / name).mkdir()
    split = Split(num_records=1, files=(f'{name}-00001-of-00001.tfrecord',))
    data_set_files.write(str(tmp_path / name), THREE.replace(splits={name: split}), split_name=name)
  paths = [str(tmp_path / name / f'{name}-00001-of-00001.tfrecord') for name in ('train', 'val')]
  assert list(data_set_files.of_records(paths).splits) == ['train', 'val']
  assert list(data_set_files.of_records(paths[1:]).splits) == ['val']
  renamed = str(tmp_path / 'train' / 'renamed.tfrecord')
  found = data_set_files.of_records([renamed])
  assert (found.num_classes, found.class_names, found.splits) == (3, THREE.class_names, {})
  (line,) = data_set_files.warnings_about([renamed])
  assert 'renamed.tfrecord' in line and 'does not name it' in line
  assert data_set_files.warnings_about(paths) == []
  assert data_set_files.of_records([str(tmp_path / 'elsewhere.tfrecord')]) is None


def test_summary_of_an_older_conversion_counts(tmp_path):
  summary = {
    'num_records': 4,
    'files': ['val-00000-of-00001.tfrecord'],
    'num_classes': 11,
    'ignore_label': 11,
    'labels': {'0': {'pixels': 5, 'images': 4}, '11': {'pixels': 1, 'images': 1}},
  }
  (tmp_path / 'val-summary.json').write_text(json.dumps(summary))
  found = data_set_files.of_records([str(tmp_path / 'val-00000-of-00001.tfrecord')])
  assert (found.num_classes, found.ignore_label, found.class_names) == (11, 11, ())
  assert found.splits['val'].labels == {0: 4, 11: 1}
  assert found.path == str(tmp_path / 'val-summary.json')


def test_combined_fills_gaps_and_refuses_contradictions():
  bare = DataSet(ignore_label=7, splits={'val': Split(num_records=1)}, path='val/dataset.json')
  both = data_set.combined([bare, THREE])
  assert (both.num_classes, both.class_names) == (3, THREE.class_names)
  assert set(both.splits) == {'train', 'val'}
  renamed = THREE.replace(class_names=('sky', 'tree', 'car'), path='b.json')
  with pytest.raises(InputError, match=r'says class_names road \(class 1\), b.json says tree \(cl'):
    data_set.combined([THREE, renamed])
  assert data_set.combined([THREE, renamed], settled=['class_names']).class_names[1] == 'road'
  ignoring = DataSet(num_classes=3, ignore_label=255, path='b.json')
  with pytest.raises(InputError, match='ignore_label 7, b.json says 255'):
    data_set.combined([THREE, ignoring])


@pytest.mark.parametrize(
  'allowed, given, message',
  [
    (dict(num_classes=2, ignore_label=7), ['num_classes'], r'^--num_classes=2: .*label 2 \(car\)'),
    (dict(num_classes=2, ignore_label=7), [], r'^2 classes: the records of train hold label 2'),
    (dict(num_classes=3, ignore_label=255), ['ignore_label'], '^--ignore_label=255: .* label 7 in'),
  ],
)
def test_labels_that_are_not_allowed(allowed, given, message):
  with pytest.raises(InputError, match=message):
    THREE.refuse_other_labels(**allowed, given=given)


@pytest.mark.parametrize(
  'allowed', [dict(num_classes=3, ignore_label=7), dict(num_classes=9, ignore_label=255)]
)
def test_labels_that_are_allowed(allowed):
  THREE.refuse_other_labels(**allowed)


@pytest.mark.parametrize(
  'text',
  [
    '',
    'null',
    '[]',
    '{"num_classes": "3"}',
    '{"num_classes": true}',
    '{"num_classes": 0}',
    '{"num_classes": 65536}',
    '{"ignore_label": 65536}',
    '{"splits": {"train": {"num_records": 1, "images_with_label": {"0": 1.5}}}}',
    '{"splits": {"train": {"num_records": 1, "images_with_label": {"x": 1}}}}',
    '{"splits": {"train": {"num_records": "1"}}}',
    '{"splits": []}',
    '{"num_classes": 2, "num_classes": 3}',
    '{"num_classes": 2, "class_names": ["a"]}',
    '{"class_names": [1]}',
    '{"colors": [[1, 2]]}',
    '{"colors": [[1, 2, 256]]}',
    '{"splits": {"train": 5}}',
    '[' * 100_000,
  ],
)
def test_damaged_file_is_one_line(tmp_path, text):
  path = tmp_path / 'dataset.json'
  path.write_text(text)
  with pytest.raises(InputError, match='dataset.json: not a description of a data set') as caught:
    data_set_files.read(str(path))
  assert '\n' not in str(caught.value)


def test_ignored_class_that_nobody_chose():
  with pytest.raises(InputError, match='--num_classes=300: class 255 would be ignored'):
    data_set.refuse_ignored_class(num_classes=300, ignore_label=255)
  data_set.refuse_ignored_class(num_classes=255, ignore_label=255)
