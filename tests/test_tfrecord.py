"""Records of both layouts, and the files that hold them."""

import os

import numpy as np
import pytest
import record_makers
import tensorflow as tf

from deeplab.data import record_files, tfrecord
from deeplab.errors import InputError


@pytest.mark.parametrize('record_format', ['basic', 'official'])
def test_parse_reads_what_serialize_wrote(record_format):
  serialized = tfrecord.serialize(
    record_format=record_format, image=b'im', label=b'la', name='n', height=2, width=3
  )
  assert [part.numpy() for part in tfrecord.parse(tf.constant(serialized))] == [b'im', b'la', b'n']
  assert tfrecord.layout_of(serialized) == record_format
  assert tfrecord.parts_of(serialized) == {'image': b'im', 'label': b'la', 'name': b'n'}


def test_features_of_the_layouts():
  basic, official = (
    tf.train.Example.FromString(
      tfrecord.serialize(
        record_format=record_format,
        image=b'\xff\xd8',
        label=b'\x89PNG',
        name='n',
        height=2,
        width=3,
      )
    ).features.feature
    for record_format in tfrecord.RECORD_FORMATS
  )
  assert sorted(basic) == ['height', 'image', 'label', 'name', 'width']
  assert sorted(official) == [
    'image/channels',
    'image/encoded',
    'image/filename',
    'image/format',
    'image/height',
    'image/segmentation/class/encoded',
    'image/segmentation/class/format',
    'image/width',
  ]
  assert official['image/format'].bytes_list.value == [b'jpeg']
  assert official['image/height'].int64_list.value == [2] and official[
    'image/width'
  ].int64_list.value == [3]


def test_record_of_the_2019_reference_has_no_name():
  example = tf.train.Example()
  example.features.feature['image'].bytes_list.value.append(b'im')
  example.features.feature['label'].bytes_list.value.append(b'la')
  assert [part.numpy() for part in tfrecord.parse(tf.constant(example.SerializeToString()))] == [
    b'im',
    b'la',
    b'',
  ]


def test_other_records_have_no_layout():
  example = tf.train.Example()
  example.features.feature['picture'].bytes_list.value.append(b'im')
  assert tfrecord.layout_of(example.SerializeToString()) is None


def test_official_sample(official_sample):
  records = [record.numpy() for record in tf.data.TFRecordDataset(official_sample)]
  assert [tfrecord.layout_of(record) for record in records] == ['official'] * 3
  assert [tfrecord.parts_of(record)['name'] for record in records] == [
    b'2007_000033',
    b'2007_000042',
    b'2007_000061',
  ]


@pytest.fixture
def official_sample():
  directory = os.environ.get('DEEPLAB_TEST_DATA')
  if not directory:
    pytest.skip('DEEPLAB_TEST_DATA is not set')
  return os.path.join(directory, 'official_sample', 'val-00000-of-00001.tfrecord')


def test_masked_crc32c_is_tensorflows(tmp_path):
  path = record_makers.write(tmp_path / 'a.tfrecord', [b'x' * 1000])
  header = open(path, 'rb').read()[:12]
  assert record_files.masked_crc32c(header[:8]) == int.from_bytes(header[8:], 'little')


def test_index_counts_records_and_bytes(tmp_path):
  path = record_makers.write(tmp_path / 'a.tfrecord', [b'x' * 1000, b'', b'y' * 7])
  assert record_files.index_file(path) == record_files.RecordFile(
    path=path, num_records=3, num_bytes=1007
  )


@pytest.mark.parametrize(
  'change, num_records, problem',
  [
    (lambda data: data[:-1], 1, 'is cut off after 1 whole records'),
    (lambda data: data[:120], 1, 'is cut off after 1 whole records'),
    (lambda data: data[:5], 0, 'is not a TFRecord file'),
    (lambda data: data[:50], 0, 'is cut off after 0 whole records'),
    (lambda data: b'', 0, 'is empty (0 bytes)'),
    (lambda data: b'this is a text file\n', 0, 'is not a TFRecord file'),
    (lambda data: data[:116] + b'garbage garbage garbage', 1, 'is corrupt after 1 whole records'),
  ],
)
def test_index_says_what_is_wrong_with_a_file(tmp_path, change, num_records, problem):
  path = record_makers.write(tmp_path / 'a.tfrecord', [b'x' * 100, b'y' * 100])  # 116 bytes each.
  data = open(path, 'rb').read()
  with open(path, 'wb') as file:
    file.write(change(data))
  found = record_files.index_file(path)
  assert (found.num_records, found.problem) == (num_records, problem)
  with pytest.raises(InputError, match=f'{path} is '):
    record_files.index_files([path])
  if num_records:
    assert record_files.index_files([path], allow_problems=True)[0].num_records == num_records


def test_files_without_any_record_are_refused_even_where_problems_are_allowed(tmp_path):
  path = tmp_path / 'a.tfrecord'
  path.write_bytes(b'')
  with pytest.raises(InputError, match='no records'):
    record_files.index_files([str(path)], allow_problems=True)


def test_expand_filenames(tmp_path):
  for name in (
    'b-00001-of-00002.tfrecord',
    'a.tfrecord',
    '.unfinished-c.tfrecord',
    'a-summary.json',
    'd.record',
  ):
    (tmp_path / name).write_bytes(b'')
  (tmp_path / 'sub').mkdir()
  names = lambda *patterns: [
    os.path.basename(path)
    for path in tfrecord.expand_filenames([str(tmp_path / pattern) for pattern in patterns])
  ]
  assert names('') == ['a.tfrecord', 'b-00001-of-00002.tfrecord', 'd.record']
  assert names('*.tfrecord') == ['a.tfrecord', 'b-00001-of-00002.tfrecord']
  assert names('*') == ['a.tfrecord', 'b-00001-of-00002.tfrecord', 'd.record']
  assert names('a-summary.json') == ['a-summary.json']
  os.mkfifo(tmp_path / 'pipe')
  with pytest.raises(InputError, match='pipe: is not a regular file'):
    names('pipe')
  assert names('d.record', '*.tfrecord', 'a.tfrecord') == [
    'd.record',
    'a.tfrecord',
    'b-00001-of-00002.tfrecord',
  ]


@pytest.mark.parametrize(
  'pattern, message',
  [
    ('missing.tfrecord', 'no such file or directory'),
    ('*.tfrecord', 'no file matches'),
    ('', 'has no .*tfrecord files'),
  ],
)
def test_pattern_that_matches_nothing_is_refused(tmp_path, pattern, message):
  with pytest.raises(InputError, match=message):
    tfrecord.expand_filenames([str(tmp_path / pattern)])


def test_no_pattern_is_refused():
  with pytest.raises(InputError, match='no file given'):
    tfrecord.expand_filenames([])


def test_parse_checked_gives_the_label(tmp_path):
  del tmp_path
  serialized = record_makers.record(5, value=7)
  _, label, name = tfrecord.parse_checked(
    tf.constant(serialized), 'fallback', num_classes=21, ignore_label=255, max_image_pixels=600
  )
  np.testing.assert_array_equal(label, np.full([20, 30], 7))
  assert name.numpy() == b'name5'
  with pytest.raises(tf.errors.InvalidArgumentError, match='too large'):
    tfrecord.parse_checked(
      tf.constant(serialized), '', num_classes=21, ignore_label=255, max_image_pixels=599
    )
