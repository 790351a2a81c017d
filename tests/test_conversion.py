"""Image and label files to records."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab import atomic_files, color_map, conversion_run
from deeplab.conversion import source_files, trial_decoding
from deeplab.data import labels, tfrecord
from deeplab.errors import InputError
from deeplab.options import ConversionOptions


@pytest.fixture
def data(tmp_path):
  """A directory with images and labels a, b, c of 6x5 pixels, and list.txt."""
  for directory in ('images', 'labels'):
    (tmp_path / directory).mkdir()
  for number, name in enumerate('abc'):
    Image.new('RGB', (6, 5), (number, 100, 200)).save(tmp_path / 'images' / f'{name}.jpg')
    write_label(tmp_path, name, np.full([5, 6], number, np.uint8))
  (tmp_path / 'list.txt').write_text('c\n\n  a\nb\n\n')
  return tmp_path


def write_label(directory, name, array):
  Image.fromarray(array).save(directory / 'labels' / f'{name}.png')


def make_options(directory, **changes):
  changes = {
    'list_path': str(directory / 'list.txt'),
    'output_dir': str(directory / 'out'),
    'num_workers': 1,
    **changes,
  }
  return ConversionOptions(
    images_dir=str(directory / 'images'),
    labels_dir=str(directory / 'labels'),
    split='train',
    **changes,
  )


def read(path):
  return [tfrecord.parts_of(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]


def files_below(directory):
  return sorted(
    os.path.relpath(os.path.join(root, name), directory)
    for root, _, names in os.walk(directory)
    for name in names
  )


@pytest.mark.parametrize('num_workers', [1, 2])
def test_files_go_into_the_records_as_they_are_in_the_order_of_the_list(data, num_workers):
  conversion_run.convert(make_options(data, num_workers=num_workers))
  assert files_below(data / 'out') == [
    'train/dataset.json',
    'train/train-00001-of-00001.tfrecord',
    'train/train-summary.json',
  ]
  records = read(data / 'out/train/train-00001-of-00001.tfrecord')
  assert [record['name'] for record in records] == [b'c', b'a', b'b']
  for record in records:
    name = record['name'].decode()
    assert record['image'] == (data / 'images' / f'{name}.jpg').read_bytes()
    assert record['label'] == (data / 'labels' / f'{name}.png').read_bytes()


def test_shards_of_the_reference_layout_are_numbered_from_1(data):
  conversion_run.convert(make_options(data, num_per_shard=2))
  assert files_below(data / 'out') == [
    'train/dataset.json',
    'train/train-00001-of-00002.tfrecord',
    'train/train-00002-of-00002.tfrecord',
    'train/train-summary.json',
  ]
  assert [
    len(read(data / 'out/train' / f'train-0000{number}-of-00002.tfrecord')) for number in (1, 2)
  ] == [2, 1]


def test_official_layout(data):
  conversion_run.convert(make_options(data, record_format='official', num_per_shard=2))
  assert files_below(data / 'out') == [
    'dataset.json',
    'train-00000-of-00002.tfrecord',
    'train-00001-of-00002.tfrecord',
    'train-summary.json',
  ]
  record = next(
    iter(tf.data.TFRecordDataset(str(data / 'out/train-00000-of-00002.tfrecord')))
  ).numpy()
  feature = tf.train.Example.FromString(record).features.feature
  assert feature['image/filename'].bytes_list.value == [b'c']
  assert (
    feature['image/height'].int64_list.value[0],
    feature['image/width'].int64_list.value[0],
  ) == (5, 6)


def test_without_list_all_names_with_both_files(data):
  Image.new('RGB', (6, 5)).save(data / 'images' / 'unlabelled.jpg')
  conversion_run.convert(make_options(data, list_path=None))
  assert [record['name'] for record in read(data / 'out/train/train-00001-of-00001.tfrecord')] == [
    b'a',
    b'b',
    b'c',
  ]


def test_summary_counts_pixels_images_and_sizes(data):
  write_label(data, 'b', np.array([[0, 0, 0, 0, 0, 255]] * 5, np.uint8))
  summary = conversion_run.convert(make_options(data, num_classes=21))
  assert summary == json.loads((data / 'out/train/train-summary.json').read_text())
  assert summary['labels'] == {
    '0': {'pixels': 55, 'images': 2},
    '2': {'pixels': 30, 'images': 1},
    '255': {'pixels': 5, 'images': 1},
  }
  assert summary['num_records'] == 3 and summary['height'] == {'min': 5, 'max': 5, 'mean': 5.0}
  assert summary['images_encoded_again'] == summary['labels_encoded_again'] == 0


def test_colours_become_the_same_records_as_indices(data):
  colors = color_map.pascal_voc_color_map()
  indices = {
    name: np.random.default_rng(number).choice([0, 1, 20, 255], [5, 6]).astype(np.uint8)
    for number, name in enumerate('abc')
  }
  for name, label in indices.items():
    write_label(data, name, label)
  plain = conversion_run.convert(make_options(data, output_dir=str(data / 'plain')))
  for name, label in indices.items():
    write_label(data, name, colors[label])
  mapped = conversion_run.convert(
    make_options(data, output_dir=str(data / 'mapped'), colormap='voc', num_classes=21)
  )
  assert mapped['labels'] == plain['labels'] and mapped['labels_encoded_again'] == 3
  for one, other in zip(
    *(
      read(data / directory / 'train/train-00001-of-00001.tfrecord')
      for directory in ('plain', 'mapped')
    )
  ):
    assert (one['image'], one['name']) == (other['image'], other['name'])
    np.testing.assert_array_equal(
      labels.read_png(one['label'])[0], labels.read_png(other['label'])[0]
    )
  with pytest.raises(InputError, match='all 3 have the same fault; .*c.png is an RGB picture'):
    conversion_run.convert(make_options(data, output_dir=str(data / 'refused')))
  assert not files_below(data / 'refused')


def test_label_offset_makes_zero_ignored(data):
  summary = conversion_run.convert(make_options(data, label_offset=-1, num_classes=2))
  assert {value: entry['images'] for value, entry in summary['labels'].items()} == {
    '0': 1,
    '1': 1,
    '255': 1,
  }


def problem_of(data, capsys, **changes):
  """The text that a conversion with problems prints; nothing is left in the output directory."""
  with pytest.raises(InputError) as error:
    conversion_run.convert(make_options(data, **changes))
  assert not files_below(data / 'out')
  return capsys.readouterr().err + str(error.value)


def test_missing_and_duplicate_names(data, capsys):
  (data / 'list.txt').write_text('a\nb\na\nx\nc.jpg\n')
  text = problem_of(data, capsys)
  assert f'a: named 2 times in {data}/list.txt' in text
  assert f'x: no file {data}/images/x.jpg' in text and f'x: no file {data}/labels/x.png' in text
  assert '3 problems (listed above)' in text


def test_label_without_image_is_named(data, capsys):
  write_label(data, 'orphan', np.zeros([5, 6], np.uint8))
  assert f'orphan: no file {data}/images/orphan.jpg' in problem_of(data, capsys, list_path=None)


@pytest.mark.parametrize(
  'content, message',
  [('', 'no names in it'), ('\n  \n', 'no names in it'), (None, 'cannot be read')],
)
def test_empty_or_missing_list(data, content, message, capsys):
  (data / 'list.txt').unlink()
  if content is not None:
    (data / 'list.txt').write_text(content)
  assert message in problem_of(data, capsys)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'images_ext': '.bmp'}, 'no .*bmp files in it'),
    ({'labels_ext': 'mat'}, 'no .*mat files in it'),
  ],
)
def test_directories_without_such_files(data, changes, message):
  with pytest.raises(InputError, match=message):
    conversion_run.convert(make_options(data, list_path=None, **changes))


def test_no_name_of_the_list_has_files(data, capsys):
  (data / 'list.txt').write_text('x\ny\n')
  assert '4 problems (listed above)' in problem_of(data, capsys)


def test_missing_directory(data):
  with pytest.raises(InputError, match='--images_dir=.*no such directory'):
    conversion_run.convert(
      ConversionOptions(
        images_dir=str(data / 'none'), labels_dir=str(data / 'labels'), split='train'
      )
    )


def test_every_bad_file_is_listed(data, capsys):
  (data / 'images' / 'a.jpg').write_text('no image')
  write_label(data, 'b', np.full([5, 6], 77, np.uint8))
  write_label(data, 'c', np.zeros([6, 5], np.uint8))
  text = problem_of(data, capsys, num_classes=21)
  assert f'a: {data}/images/a.jpg is not an image (' in text
  assert f'b: {data}/labels/b.png: label value 77: allowed are 0 to 20 and ignore_label 255' in text
  assert f'c: {data}/images/c.jpg is 6x5 but {data}/labels/c.png is 5x6' in text
  assert '3 problems (listed above)' in text


def test_truncated_image_and_label_and_a_text(data, capsys):
  noise = np.random.default_rng(0).integers(0, 255, [50, 60, 3]).astype(np.uint8)
  Image.fromarray(noise).save(data / 'images' / 'a.jpg')
  content = (data / 'images' / 'a.jpg').read_bytes()
  (data / 'images' / 'a.jpg').write_bytes(content[: len(content) // 2])
  (data / 'labels' / 'b.png').write_bytes((data / 'labels' / 'b.png').read_bytes()[:45])
  (data / 'images' / 'c.jpg').write_text('no picture')
  text = problem_of(data, capsys)
  # What the inferencer says of the same file.
  damaged = (
    'is a damaged or truncated image ({} bytes); copy it again, or remove it from the inputs'
  )
  assert f'images/a.jpg {damaged.format(len(content) // 2)}' in text
  assert f'labels/b.png {damaged.format(45)}' in text
  assert 'images/c.jpg is not an image (10 bytes); remove it from the inputs' in text


def test_single_problem_is_the_error_line(data, capsys):
  write_label(data, 'b', np.full([5, 6], 77, np.uint8))
  assert problem_of(data, capsys, num_classes=21).startswith(
    f'b: {data}/labels/b.png: label value 77'
  )


def test_only_the_first_20_problems_are_listed(data, capsys):
  (data / 'list.txt').write_text('a\n' + ''.join(f'x{number}\n' for number in range(30)))
  text = problem_of(data, capsys)
  assert (
    text.count('problem: x') == 20 and 'problem: ... and 40 more' in text and '60 problems' in text
  )


def test_large_image_is_refused_before_it_is_decoded(data, capsys):
  assert 'c.jpg has 6x5 pixels (width x height), more than --max_image_pixels=29' in problem_of(
    data, capsys, max_image_pixels=29
  )


def test_shards_of_another_conversion_are_not_mixed_with_ours(data):
  conversion_run.convert(make_options(data))
  conversion_run.convert(make_options(data))  # The same shards are replaced.
  with pytest.raises(
    InputError, match='has 1 shards of another conversion .train-00001-of-00001.tfrecord'
  ):
    conversion_run.convert(make_options(data, num_per_shard=1))


def test_a_split_is_converted_by_one_process_at_a_time(data):
  conversion_run.convert(make_options(data))
  directory = data / 'out' / 'train'
  before = {path: path.read_bytes() for path in directory.iterdir()}
  (directory / '.unfinished-abcdefgh-dataset.json').touch()
  with atomic_files.claimed_directory(str(directory), 'split-train'):
    with pytest.raises(
      InputError, match='^--split=train: another process is writing these records in .*/train; wait'
    ):
      conversion_run.convert(make_options(data))
  conversion_run.convert(make_options(data))
  assert {path: path.read_bytes() for path in directory.iterdir()} == before


def test_failure_while_writing_leaves_nothing(data, monkeypatch):
  calls = []

  def fail_the_third_time(**settings):
    calls.append(settings['name'])
    if len(calls) == 3:
      raise OSError(28, 'No space left on device')
    return b'record'

  monkeypatch.setattr(tfrecord, 'serialize', fail_the_third_time)
  with pytest.raises(OSError, match='No space left'):
    conversion_run.convert(make_options(data, num_per_shard=1))
  assert not files_below(data / 'out')


def test_image_turned_by_exif_is_turned_for_its_label(data):
  left, right = np.full([4, 3, 3], 250, np.uint8), np.full([4, 3, 3], 5, np.uint8)
  # 6 wide, 4 high; left half bright.
  picture = Image.fromarray(np.concatenate([left, right], axis=1))
  exif = Image.Exif()
  exif[0x0112] = 6  # Show it turned by 90 degrees clockwise: the left half comes to the top.
  picture.save(data / 'images' / 'a.jpg', exif=exif, quality=95)
  options = make_options(data)
  pair = source_files.Pair(
    name='a', image_path=str(data / 'images' / 'a.jpg'), label_path=str(data / 'labels' / 'a.png')
  )
  write_label(data, 'a', np.zeros([6, 4], np.uint8))
  converted = source_files.convert_pair(pair, options, None)
  assert (converted.problem, converted.height, converted.width, converted.image_encoded_again) == (
    None,
    6,
    4,
    True,
  )
  converted = next(trial_decoding.try_decoding([converted], options))
  image = tf.io.decode_png(converted.image).numpy()
  assert image.shape == (6, 4, 3) and image[:2].min() > 200 and image[-2:].max() < 50
  # A label of the stored size was drawn on the stored image, which then stays as it is.
  write_label(data, 'a', np.zeros([4, 6], np.uint8))
  converted = source_files.convert_pair(pair, options, None)
  assert (converted.problem, converted.height, converted.width, converted.image_encoded_again) == (
    None,
    4,
    6,
    False,
  )
  assert converted.image == (data / 'images' / 'a.jpg').read_bytes()


@pytest.mark.parametrize(
  'mode, settings', [('L', {}), ('CMYK', {}), ('RGB', {'progressive': True})]
)
def test_jpegs_of_other_kinds_stay_as_they_are(data, mode, settings):
  Image.new('RGB', (6, 5), (10, 20, 200)).convert(mode).save(data / 'images' / 'a.jpg', **settings)
  summary = conversion_run.convert(make_options(data))
  assert summary['images_encoded_again'] == 0


def test_palette_labels_are_stored_as_they_are(data):
  picture = Image.frombytes('P', (6, 5), bytes(range(10, 40)))
  picture.putpalette(color_map.pascal_voc_color_map().ravel().tolist())
  picture.save(data / 'labels' / 'a.png')
  summary = conversion_run.convert(make_options(data))
  assert {str(value) for value in range(10, 40)} <= set(summary['labels']) and summary[
    'labels_encoded_again'
  ] == 0


def test_ade20k_colours_that_two_classes_share_are_ambiguous():
  colors = source_files.color_indices('ade20k')
  assert colors[(120, 120, 120)] == 1 and colors[(140, 140, 140)] == labels.AMBIGUOUS


def test_color_file_lists_only_its_own_colours(tmp_path):
  path = tmp_path / 'map.txt'
  path.write_text('2 10 20 30 road\n255 0 0 1\n')
  assert source_files.color_indices(str(path)) == {(10, 20, 30): 2, (0, 0, 1): 255}


def test_voc8_records_hold_the_indices_of_the_pngs(tmp_path):
  directory = os.environ.get('DEEPLAB_TEST_DATA')
  if not directory:
    pytest.skip('DEEPLAB_TEST_DATA is not set')
  voc8 = os.path.join(directory, 'voc8')
  summary = conversion_run.convert(
    ConversionOptions(
      images_dir=os.path.join(voc8, 'JPEGImages'),
      labels_dir=os.path.join(voc8, 'SegmentationClass'),
      split='voc',
      list_path=os.path.join(voc8, 'list.txt'),
      output_dir=str(tmp_path),
      num_classes=21,
      num_workers=1,
    )
  )
  assert summary['num_records'] == 8 and summary['labels_encoded_again'] == 0
  assert sorted(map(int, summary['labels'])) == [0, 2, 7, 8, 10, 12, 13, 15, 17, 255]


def test_output_directory_that_cannot_be_made(data):
  (data / 'file').write_text('')
  with pytest.raises(
    InputError, match='--output_dir: the directory .*file/train cannot be made .*; choose another'
  ):
    conversion_run.convert(make_options(data, output_dir=str(data / 'file')))


@pytest.mark.parametrize('existing', [False, True])
def test_a_failed_conversion_leaves_no_directory_it_made(data, existing):
  if existing:
    (data / 'new').mkdir()
  (data / 'images' / 'b.jpg').write_text('no image')
  with pytest.raises(InputError, match='nothing was written'):
    conversion_run.convert(make_options(data, output_dir=str(data / 'new' / 'deep')))
  assert (data / 'new').exists() == existing and not (data / 'new' / 'deep').exists()


@pytest.mark.parametrize(
  'changes', [dict(label_offset=-300), dict(label_offset=-300, ignore_label=7)]
)
def test_labels_without_a_counted_pixel_are_refused(data, changes):
  value = changes.get('ignore_label', 255)
  words = rf'every pixel of all 3 labels is ignored \(value {value}\); check --label_offset'
  with pytest.raises(InputError, match=words):
    conversion_run.convert(make_options(data, **changes))
  assert not (data / 'out').exists()


def test_a_label_without_a_counted_pixel_among_others_is_taken(data):
  write_label(data, 'b', np.full([5, 6], 255, np.uint8))
  assert conversion_run.convert(make_options(data))['num_records'] == 3


def test_an_empty_output_directory_is_refused(data):
  with pytest.raises(InputError, match='^--output_dir= is empty; give a directory'):
    make_options(data, output_dir='')


def test_summary_of_a_single_record_counts_in_numbers(data):
  (data / 'list.txt').write_text('a\n')
  conversion_run.convert(make_options(data))
  assert '"labels_encoded_again": 0' in (data / 'out/train/train-summary.json').read_text()
