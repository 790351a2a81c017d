"""A conversion by several processes: the same data set as by one."""

import json
import os
import re

import numpy as np
import pytest
from PIL import Image

from deeplab import atomic_files, conversion_run
from deeplab.conversion import trial_decoding
from deeplab.errors import InputError
from deeplab.options import ConversionOptions

_NUM_PAIRS = 11


@pytest.fixture(autouse=True)
def _data(tmp_path, monkeypatch):
  """11 pairs, whose labels hold two values each."""
  monkeypatch.chdir(tmp_path)
  # Tracing what decodes takes most of the time of so few pairs.
  monkeypatch.setattr(trial_decoding, 'try_decoding', lambda results, options: results)
  for directory in ('images', 'labels'):
    os.mkdir(directory)
  for number in range(_NUM_PAIRS):
    name = f'{number:02d}'
    Image.new('RGB', (6 + number % 3, 5), (number, 100, 200)).save(f'images/{name}.png')
    label = np.full([5, 6 + number % 3], number % 4, np.uint8)
    label[0] = 3
    _write_label(name, label)


def _write_label(name, array, palette=None):
  picture = Image.fromarray(array)
  if palette:
    picture.putpalette(palette)
  picture.save(f'labels/{name}.png')


def _convert(output_dir='out', *, num_workers=1, **changes):
  options = dict(
    images_dir='images', labels_dir='labels', split='train', output_dir=output_dir, **changes
  )
  return conversion_run.convert(ConversionOptions(num_workers=num_workers, **options))


def _merge(count, **changes):
  return _convert(num_shards=count, merge_shards=True, **changes)


def _files(directory):
  """Relative path -> bytes of all files below."""
  return {
    os.path.relpath(os.path.join(root, name), directory): open(
      os.path.join(root, name), 'rb'
    ).read()
    for root, _, names in os.walk(directory)
    for name in names
  }


def _same(files, others):
  """Whether they are the same but for the summary, which names its directory."""
  summaries = []
  for one in (files, others):
    path = next(path for path in one if path.endswith('-summary.json'))
    summaries.append({**json.loads(one.pop(path)), 'directory': ''})
  return files == others and summaries[0] == summaries[1]


@pytest.mark.parametrize(
  'record_format,num_per_shard', [('basic', 2), ('official', 2), ('official', 3), ('basic', None)]
)
def test_shards_in_any_order_are_the_data_set_of_one_process(record_format, num_per_shard):
  settings = dict(record_format=record_format)
  if num_per_shard:
    settings['num_per_shard'] = num_per_shard
  # Without it there are as many files as shards.
  _convert('whole', **{**settings, 'num_per_shard': num_per_shard or 4})
  summaries = [_convert(num_shards=3, shard_index=i, **settings) for i in (2, 0, 1)]
  assert sum(summary['num_records'] for summary in summaries) == _NUM_PAIRS
  assert not [name for name in _files('out') if '.shards-of-train' not in name]
  _merge(3, **settings)
  files = _files('out')
  names = sorted(name for name in files if name.endswith('.tfrecord'))
  assert len(names) == {2: 6, 3: 4, None: 3}[num_per_shard]
  assert _same(files, _files('whole'))


def test_what_the_whole_data_set_tells_is_told_by_the_merge(capsys):
  for number in range(_NUM_PAIRS):
    # Each shard has one class, which alone would be refused.
    _write_label(f'{number:02d}', np.full([5, 6 + number % 3], [1, 255][number % 2], np.uint8))
  settings = dict(num_per_shard=1)
  with pytest.raises(InputError, match='give --binary to make every value but 0 class 1'):
    _convert('whole', **settings)
  for index in range(2):
    _convert(num_shards=2, shard_index=index, **settings)
  with pytest.raises(InputError, match='give --binary to make every value but 0 class 1'):
    _merge(2, **settings)
  assert not [name for name in os.listdir('out/train') if not name.startswith('.')]


def test_palettes_of_two_shards_are_compared():
  for number in range(_NUM_PAIRS):
    label = np.full([5, 6 + number % 3], 1, np.uint8)
    label[0] = 0
    palette = [0, 0, 0, 200, 0, 0] if number % 2 else [0, 0, 0, 0, 200, 0]
    _write_label(f'{number:02d}', label, palette)
  for index in range(2):
    _convert(num_shards=2, shard_index=index, num_per_shard=1)
  with pytest.raises(InputError, match='index 1 has the colour .* in one palette and'):
    _merge(2, num_per_shard=1)


def test_problems_of_shards_are_counted_and_mended(capsys):
  with open('images/04.png', 'w') as file:
    file.write('text')
  settings = dict(num_per_shard=1)
  failed = []
  for index in range(3):
    try:
      _convert(num_shards=3, shard_index=index, **settings)
    except InputError as error:
      assert '04: images/04.png is not an image' in str(error)
      failed.append(index)
  assert failed == [1]
  with pytest.raises(InputError) as raised:
    _merge(3, **settings)
  assert str(raised.value) == (
    '--merge_shards: shard 1 found 1 problem (listed above); mend the files and run it again; '
    'nothing was written'
  )
  assert 'problem: shard 1 of 3: 04: images/04.png is not an image' in capsys.readouterr().err
  Image.new('RGB', (7, 5)).save('images/04.png')
  _convert(num_shards=3, shard_index=1, **settings)
  assert _merge(3, **settings)['num_records'] == _NUM_PAIRS


def test_more_shards_than_record_files():
  counts = [
    _convert(num_shards=4, shard_index=index, num_per_shard=6)['num_records'] for index in range(4)
  ]
  assert counts == [6, 5, 0, 0]
  assert _merge(4, num_per_shard=6)['num_records'] == _NUM_PAIRS


def test_shards_run_at_the_same_time_but_no_shard_twice():
  _convert(num_shards=2, shard_index=0)
  with atomic_files.claimed_directory('out/train', 'split-train-00000-of-00002'):
    _convert(num_shards=2, shard_index=1)
    with pytest.raises(InputError, match='another process is writing these records'):
      _convert(num_shards=2, shard_index=0)
  with pytest.raises(InputError, match='shard 0 of 2 is missing'):
    _merge(2)
  _convert(num_shards=2, shard_index=0)
  assert _merge(2)['num_records'] == _NUM_PAIRS


def test_missing_and_other_parts_are_named():
  with pytest.raises(InputError, match='shards 0, 1 of 2 are missing in out/train/.shards-of-tr'):
    _merge(2)
  _convert(num_shards=2, shard_index=1)
  with pytest.raises(InputError, match='shard 0 of 2 is missing in .*; run it with --shard_index'):
    _merge(2)
  _convert(num_shards=2, shard_index=0, label_offset=1)
  with pytest.raises(InputError, match='shard 0 of 2 was made with --label_offset=1, the merge ha'):
    _merge(2)
  os.rename('labels/00.png', 'left_out.png')
  _convert(num_shards=2, shard_index=0)
  with pytest.raises(InputError, match='shard 1 of 2 was made with other image and label files'):
    _merge(2)
  _convert(num_shards=2, shard_index=1)
  os.remove('out/train/.shards-of-train/train-00002-of-00002.tfrecord')
  with pytest.raises(InputError, match='train-00002-of-00002.tfrecord is gone from .*; run shard'):
    _merge(2)
  _convert(num_shards=2, shard_index=1)
  part = 'out/train/.shards-of-train/00001-of-00002.json'
  with open(part) as file:
    content = json.load(file)
  for change in (dict(summary=3), dict(num_per_shard=0), dict(palettes=[1]), dict(problems=None)):
    with open(part, 'w') as file:
      json.dump({**content, 'num_problems': 1, **change}, file)
    with pytest.raises(InputError, match='not the part of a shard|found 1 problem'):
      _merge(2)


def test_a_merge_that_was_killed_goes_on(monkeypatch):
  for index in range(2):
    _convert(num_shards=2, shard_index=index)

  def killed(*args):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(conversion_run, '_write_summary', killed)
    with pytest.raises(KeyboardInterrupt):
      _merge(2)
  _merge(2)
  _convert('whole', num_per_shard=6)
  assert _same(_files('out'), _files('whole'))


@pytest.mark.parametrize(
  'flags,words',
  [
    (dict(num_shards=0, shard_index=0), '--num_shards=0: must be at least 1'),
    (dict(num_shards=3, shard_index=3), '--shard_index=3: must be 0 to 2 with --num_shards=3; sha'),
    (dict(num_shards=4), '--num_shards=4: give --shard_index too'),
    (dict(shard_index=0), '--shard_index=0: give --num_shards too'),
    (dict(merge_shards=True), '--merge_shards: give --num_shards too'),
  ],
)
def test_flags_that_say_no_shard(flags, words):
  with pytest.raises(InputError, match=re.escape(words)):
    _convert(**flags)
