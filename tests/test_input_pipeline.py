"""Records to batches: what comes, in which order, again and again alike."""

import collections

import numpy as np
import pytest
import record_makers
import tensorflow as tf

from deeplab.data import bad_records, input_pipeline, record_files, tfrecord
from deeplab.errors import InputError
from deeplab.options import TrainingInputOptions


@pytest.fixture
def shards(tmp_path):
  """A directory with 7 records in two files."""
  record_makers.write(
    tmp_path / 'a.tfrecord', [record_makers.record(number) for number in range(4)]
  )
  record_makers.write(
    tmp_path / 'b.tfrecord',
    [record_makers.record(number, record_format='official') for number in (4, 5, 6)],
  )
  return str(tmp_path)


def make_options(filenames, **changes):
  changes = {'batch_size': 3, 'crop_size_height': 17, 'crop_size_width': 19, 'seed': 1, **changes}
  return TrainingInputOptions(filenames=(filenames,), **changes)


def take(options, count, **settings):
  batches = input_pipeline.training_batches(options, num_classes=21, **settings).take(count)
  return [{key: value.numpy() for key, value in batch.items()} for batch in batches]


def assert_same(batches, others):
  assert len(batches) == len(others) > 0
  for batch, other in zip(batches, others):
    for key in ('images', 'labels', 'names'):
      np.testing.assert_array_equal(batch[key], other[key])


def names_of(batches):
  return [name.decode() for batch in batches for name in batch['names']]


def test_batches(shards):
  (batch,) = take(make_options(shards), 1)
  assert (batch['images'].shape, batch['images'].dtype) == ((3, 17, 19, 3), np.float32)
  assert (batch['labels'].shape, batch['labels'].dtype) == ((3, 17, 19), np.int32)
  for image, label, name in zip(batch['images'], batch['labels'], batch['names'].tolist()):
    number = int(name.decode().removeprefix('name'))
    np.testing.assert_array_equal(np.unique(label[label != 255]), [number])
    np.testing.assert_array_equal(image[label != 255], number)
    np.testing.assert_array_equal(image[label == 255], 127.5)


def test_static_shapes_let_the_network_be_built(shards):
  spec = input_pipeline.training_batches(make_options(shards), num_classes=21).element_spec
  assert (
    spec['images'].shape == [3, 17, 19, 3]
    and spec['labels'].shape == [3, 17, 19]
    and spec['names'].shape == [3]
  )


def test_every_epoch_has_every_record_once_in_another_order(shards):
  names = names_of(take(make_options(shards), 14))  # 6 epochs of 7 records in 14 batches of 3.
  epochs = [names[start : start + 7] for start in range(0, 42, 7)]
  for epoch in epochs:
    assert sorted(epoch) == [f'name{number}' for number in range(7)]
  assert len({tuple(epoch) for epoch in epochs}) == 6


def test_all_orders_are_equally_likely(tmp_path):
  path = record_makers.write(
    tmp_path / 'a.tfrecord', [record_makers.record(number) for number in range(3)]
  )
  names = names_of(
    take(make_options(path, crop_size_height=1, crop_size_width=1, batch_size=30), 60)
  )
  counts = collections.Counter(tuple(names[start : start + 3]) for start in range(0, 1800, 3))
  # 100 each, 4 standard deviations.
  assert len(counts) == 6 and min(counts.values()) > 65 and max(counts.values()) < 135


def test_seed_decides(shards):
  options = make_options(shards, color_jitter=0.5, max_rotation_degrees=20.0)
  assert_same(take(options, 5), take(options, 5))
  (other,) = take(options.replace(seed=2), 1)
  assert not np.array_equal(other['images'], take(options, 1)[0]['images'])


def test_tensorflows_own_seed_changes_nothing_and_is_not_changed(shards):
  expected = names_of(take(make_options(shards), 5))
  tf.random.set_seed(7)
  state = tf.random.get_global_generator().state.numpy()
  assert names_of(take(make_options(shards), 5)) == expected
  value = tf.random.uniform([]).numpy()
  tf.random.set_seed(7)
  assert tf.random.uniform([]).numpy() == value
  np.testing.assert_array_equal(tf.random.get_global_generator().state.numpy(), state)


def test_number_of_threads_does_not_change_batches(shards):
  options = make_options(shards, color_jitter=0.5)
  assert_same(
    take(options.replace(num_input_threads=1), 20), take(options.replace(num_input_threads=2), 20)
  )


@pytest.mark.parametrize('start_step', [1, 12])
def test_starting_at_a_step_continues_as_if_the_earlier_batches_had_been_drawn(shards, start_step):
  options = make_options(shards)
  assert_same(take(options, start_step + 2)[start_step:], take(options, 2, start_step=start_step))


def test_starting_late_is_quick_because_whole_epochs_are_not_read(shards):
  assert names_of(take(make_options(shards), 1, start_step=10**12))


def test_without_seed_runs_differ(shards):
  options = make_options(shards, seed=None)
  assert not np.array_equal(take(options, 1)[0]['images'], take(options, 1)[0]['images']) or (
    names_of(take(options, 4)) != names_of(take(options, 4))
  )


def test_buffer_of_one_keeps_the_order_of_the_files(shards):
  assert (
    names_of(take(make_options(shards, shuffle_buffer_size=1), 7))
    == [f'name{number}' for number in range(7)] * 3
  )


@pytest.mark.parametrize(
  'records, mean_bytes, size_limit, mb_limit, expected',
  [
    (100_000, 100_000, 10_000, 1024, 10_000),
    (100_000, 1_000_000, 10_000, 1024, 1073),
    (100_000, 10**10, 10_000, 1, 1),
    (50, 1_000, 10_000, 1024, 50),
  ],
)
def test_shuffle_buffer_is_bounded_by_bytes(records, mean_bytes, size_limit, mb_limit, expected):
  files = [record_files.RecordFile(path='a', num_records=records, num_bytes=records * mean_bytes)]
  options = make_options('a', shuffle_buffer_size=size_limit, shuffle_buffer_mb=mb_limit)
  assert input_pipeline._shuffle_buffer_size(files, options) == expected


def evaluate(filenames, **settings):
  settings = {'num_classes': 21, 'ignore_label': 255, **settings}
  return list(input_pipeline.evaluation_examples(filenames, **settings).as_numpy_iterator())


def test_evaluation_examples_are_whole_and_in_order(shards):
  dataset = input_pipeline.evaluation_examples([shards], num_classes=21, ignore_label=255)
  assert dataset.cardinality().numpy() == 7
  examples = list(dataset.as_numpy_iterator())
  assert [example['name'] for example in examples] == [
    f'name{number}'.encode() for number in range(7)
  ]
  for number, example in enumerate(examples):
    assert example['image'].dtype == np.uint8 and example['label'].dtype == np.int32
    np.testing.assert_array_equal(example['image'], np.full([20, 30, 3], number))
    np.testing.assert_array_equal(example['label'], np.full([20, 30], number))


def test_records_without_name_are_called_by_file_and_number(tmp_path):
  path = record_makers.write(
    tmp_path / 'a.tfrecord', [record_makers.record(0, name=''), record_makers.record(1, name='')]
  )
  assert [example['name'].decode() for example in evaluate([path])] == [f'{path}:0', f'{path}:1']


def bad_file(tmp_path, bad, *, before=2, after=1):
  return record_makers.write(
    tmp_path / 'bad.tfrecord',
    [
      *(record_makers.record(number) for number in range(before)),
      bad,
      *(record_makers.record(9) for _ in range(after)),
    ],
  )


def other_keys():
  example = tf.train.Example()
  example.features.feature['picture'].bytes_list.value.append(b'im')
  return example.SerializeToString()


def numbers_instead_of_bytes():
  example = tf.train.Example()
  for key in ('image', 'label'):
    example.features.feature[key].int64_list.value.append(1)
  return example.SerializeToString()


def with_a_key_that_is_no_text():
  example = tf.train.Example.FromString(record_makers.record(0))
  example.features.feature['extra'].int64_list.value.append(1)
  return example.SerializeToString().replace(b'extra', b'extr\xff')


BAD_RECORDS = {
  'key that is no UTF-8': (
    with_a_key_that_is_no_text,
    'a feature has a name that is no UTF-8',
  ),
  'label range': (
    lambda: record_makers.record(2, value=30),
    'label value 30: allowed are 0 to 20 and ignore_label 255',
  ),
  'image size': (
    lambda: record_makers.record(2, label=record_makers.encode(np.zeros([20, 31], np.uint8))),
    'the image is 30x20 but the label 31x20',
  ),
  'image': (lambda: record_makers.record(2, image=b'no image'), 'the image is no picture'),
  'image cut off': (
    lambda: record_makers.record(
      2,
      image=record_makers.encode(
        np.random.default_rng(0).integers(0, 255, [20, 30, 3]).astype(np.uint8)
      )[:-900],
    ),
    'the image cannot be decoded',
  ),
  'label': (lambda: record_makers.record(2, label=b'no label'), 'the label is no picture'),
  'RGB label': (
    lambda: record_makers.record(
      2, label=record_makers.encode(np.full([20, 30, 3], [9, 0, 0], np.uint8))
    ),
    'the label is an RGB picture',
  ),
  'empty image': (lambda: record_makers.record(2, image=b''), 'no image in it'),
  'keys': (other_keys, 'no features image and label'),
  'types': (numbers_instead_of_bytes, 'no image in it'),
  'no example': (lambda: b'\xff\xff\xff', 'not a tf.train.Example'),
}


@pytest.mark.parametrize('kind', BAD_RECORDS)
def test_bad_record_is_explained_by_file_number_and_reason(tmp_path, kind):
  make, reason = BAD_RECORDS[kind]
  path = bad_file(tmp_path, make())
  with pytest.raises(tf.errors.OpError) as error:
    evaluate([path])
  explained = input_pipeline.explain_failure(
    error.value, [str(tmp_path)], num_classes=21, ignore_label=255
  )
  assert isinstance(explained, InputError)
  assert str(explained).startswith(f'{path}, record 2 (counted from 0)') and reason in str(
    explained
  )
  assert '\n' not in str(explained)


def test_bad_record_stops_training(tmp_path):
  path = bad_file(tmp_path, record_makers.record(2, value=30))
  with pytest.raises(tf.errors.OpError):
    take(make_options(path), 4)


def test_bad_records_are_skipped_on_request(tmp_path, capfd):
  kinds = [make() for make, _ in BAD_RECORDS.values()]
  path = record_makers.write(
    tmp_path / 'a.tfrecord',
    [
      record_makers.record(0),
      *kinds[:5],
      record_makers.record(1),
      *kinds[5:],
      record_makers.record(2),
    ],
  )
  # Three epochs of the three good records.
  listed = tmp_path / 'bad_records.txt'
  options = make_options(path, skip_bad_records=True)
  batches = take(options, 3, bad_records_path=str(listed))
  for batch in batches:
    assert sorted(names_of([batch])) == ['name0', 'name1', 'name2']
  lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith('warning')]
  indices = [1, 2, 3, 4, 5, *range(7, 7 + len(kinds) - 5)]
  in_file = listed.read_text(encoding='utf-8').splitlines()
  assert len(in_file) == len(kinds)
  for line, index, (_, reason) in zip(in_file, indices, BAD_RECORDS.values()):
    assert line.startswith(f'{path}, record {index} (counted from 0)') and reason in line
  assert lines[:-1] == [f'warning: skipped: {line}' for line in in_file[:10]]
  assert lines[-1].startswith(
    f'warning: {len(kinds)} problems in {len(kinds) + 3} records, all are listed in {listed}; '
  )


def test_damaged_record_is_explained_and_skipped_with_those_behind_it(tmp_path, capfd):
  path = record_makers.write(
    tmp_path / 'a.tfrecord', [record_makers.record(number) for number in range(4)]
  )
  first = record_files.index_file(path)
  data = bytearray(open(path, 'rb').read())
  # In record 2; the records are equally long but for some bytes.
  position = 2 * len(data) // 4 + 60
  data[position] ^= 1
  open(path, 'wb').write(data)
  assert record_files.index_file(path) == first  # The lengths are whole.
  with pytest.raises(tf.errors.OpError) as error:
    evaluate([path])
  explained = str(
    input_pipeline.explain_failure(error.value, [path], num_classes=21, ignore_label=255)
  )
  assert explained.startswith(f'{path}, record 2 (counted from 0): damaged')
  assert set(names_of(take(make_options(path, skip_bad_records=True, batch_size=2), 3))) == {
    'name0',
    'name1',
  }
  assert (
    'damaged (wrong check sum); the 1 records behind it in the file are out of reach'
    in capfd.readouterr().err
  )


def test_cut_off_and_empty_files_are_refused_at_once_or_skipped(tmp_path, capfd):
  path = record_makers.write(
    tmp_path / 'a.tfrecord', [record_makers.record(number) for number in range(3)]
  )
  data = open(path, 'rb').read()
  open(path, 'wb').write(data[:-10])
  (tmp_path / 'b.tfrecord').write_bytes(b'')
  (tmp_path / 'c.tfrecord').write_text('text')
  options = make_options(str(tmp_path), batch_size=2)
  with pytest.raises(InputError, match='a.tfrecord is cut off after 2 whole records'):
    take(options, 1)
  with pytest.raises(InputError, match='a.tfrecord is cut off after 2 whole records'):
    evaluate([str(tmp_path)])
  assert set(names_of(take(options.replace(skip_bad_records=True), 4))) == {'name0', 'name1'}
  error = capfd.readouterr().err
  assert 'b.tfrecord is empty (0 bytes)' in error and 'c.tfrecord is not a TFRecord file' in error


def test_only_bad_records_are_an_error(tmp_path):
  path = bad_file(tmp_path, record_makers.record(2, value=30), before=0, after=0)
  with pytest.raises(InputError, match='no good record'):
    take(make_options(path, skip_bad_records=True), 1)


def test_failure_without_bad_record_repeats_the_error(shards):
  settings = dict(num_classes=21, ignore_label=255)
  error = tf.errors.InternalError(None, None, 'Graph execution error:\n\nno\nluck [[{{node A}}]]')
  explained = str(input_pipeline.explain_failure(error, [shards], **settings))
  assert explained.endswith(' failed: the device or its driver failed')
  error = tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating [[{{node A}}]]')
  explained = str(input_pipeline.explain_failure(error, [shards], **settings))
  assert explained.startswith('out of memory with the records of ') and 'OOM' not in explained


def test_image_larger_than_the_limit(tmp_path):
  path = record_makers.write(tmp_path / 'a.tfrecord', [record_makers.record(0)])
  assert len(evaluate([path], max_image_pixels=600)) == 1
  with pytest.raises(tf.errors.OpError) as error:
    evaluate([path], max_image_pixels=599)
  explained = bad_records.explain_failure(
    error.value, [path], num_classes=21, ignore_label=255, max_image_pixels=599
  )
  assert 'the image has 30x20 pixels (width x height), more than --max_image_pixels=599' in str(
    explained
  )


def test_huge_image_is_refused_by_its_header_alone(tmp_path):
  # 20000x20000 in the header, hardly any pixels behind it: decoding would fail otherwise, or take
  # 1.2 GB.
  png = bytearray(record_makers.encode(np.zeros([20, 30, 3], np.uint8)))
  png[16:24] = (20000).to_bytes(4, 'big') * 2
  path = record_makers.write(tmp_path / 'a.tfrecord', [record_makers.record(0, image=bytes(png))])
  with pytest.raises(tf.errors.OpError, match='too large'):
    evaluate([path])


def test_many_classes(tmp_path):
  label = record_makers.encode(np.full([20, 30], 300, np.uint16))
  path = record_makers.write(tmp_path / 'a.tfrecord', [record_makers.record(0, label=label)])
  (example,) = evaluate([path], num_classes=301)
  assert example['label'].max() == 300 and example['label'].dtype == np.int32
  with pytest.raises(tf.errors.OpError):
    evaluate([path], num_classes=300)


def test_records_of_both_layouts_in_one_file(tmp_path):
  path = record_makers.write(
    tmp_path / 'a.tfrecord',
    [
      record_makers.record(number, record_format=record_format)
      for number, record_format in enumerate(tfrecord.RECORD_FORMATS)
    ],
  )
  assert [example['label'].max() for example in evaluate([path])] == [0, 1]
