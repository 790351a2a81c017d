"""What inspection and preview say and draw."""

import errno
import importlib.util
import os

import numpy as np
import pytest
import record_makers
import tensorflow as tf
from PIL import Image

from deeplab import color_map, output_places
from deeplab.data import inspection
from deeplab.errors import InputError
from deeplab.options import InspectionOptions, PreviewOptions, TrainingInputOptions


def load_script(name):
  path = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'scripts', f'{name}.py'
  )
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture
def records(tmp_path):
  """A directory with four good records, one with a label value 30, and a cut off file."""
  record_makers.write(
    tmp_path / 'a.tfrecord',
    [
      record_makers.record(0),
      record_makers.record(1, size=(10, 40)),
      record_makers.record(30, value=30),
      record_makers.record(1, record_format='official'),
    ],
  )
  path = record_makers.write(
    tmp_path / 'b.tfrecord', [record_makers.record(3), record_makers.record(4)]
  )
  data = open(path, 'rb').read()
  open(path, 'wb').write(data[:-1])
  return tmp_path


def test_samples_leave_the_background_as_it_is(tmp_path):
  record_makers.write(tmp_path / 'a.tfrecord', [record_makers.record(200, value=0)])
  options = InspectionOptions(filenames=(str(tmp_path),))
  samples = [
    inspection.inspect(
      options, color_map=color_map.pascal_voc_color_map(), num_samples=1, background=background
    ).samples[0][1]
    for background in (0, None)
  ]
  assert samples[1].mean() < 0.6 * samples[0].mean()


def test_inspection_counts(records):
  options = InspectionOptions(filenames=(str(records),), num_classes=21)
  found = inspection.inspect(options, color_map=color_map.pascal_voc_color_map(), num_samples=2)
  assert found.layouts == {'basic': 3, 'official': 1}
  assert found.sizes == {(20, 30): 3, (10, 40): 1}
  assert found.pixels == {0: 600, 1: 400 + 600, 3: 600} and found.images == {0: 1, 1: 2, 3: 1}
  assert [(os.path.basename(bad.path), bad.index, bad.reason) for bad in found.bad] == [
    ('a.tfrecord', 2, 'label value 30: allowed are 0 to 20 and ignore_label 255'),
    ('b.tfrecord', None, 'is cut off after 1 whole records'),
  ]
  assert [title for title, _ in found.samples] == ['name0', 'name3']


def test_without_num_classes_every_value_is_good(records):
  found = inspection.inspect(
    InspectionOptions(filenames=(str(records / 'a.tfrecord'),)),
    color_map=color_map.pascal_voc_color_map(),
    num_samples=0,
  )
  assert not found.bad and found.images == {0: 1, 1: 2, 30: 1} and not found.samples


def test_inspect_command(records, capsys):
  script = load_script('inspect_tfrecord')
  sheet = records / 'sheet.png'
  status = script.main(
    InspectionOptions(
      filenames=(str(records),), num_classes=21, class_names='voc', contact_sheet=str(sheet)
    )
  )
  lines = capsys.readouterr().out.splitlines()
  assert status == 1
  assert f'{records}/b.tfrecord: 1 records, 0.0 MB, is cut off after 1 whole records' in lines
  assert (
    'layout: 3 basic, 1 official' in lines
    and 'height: 10 to 20' in lines
    and 'width: 30 to 40' in lines
  )
  assert any(line.split() == ['1', '1000', '45.45%', '2', 'aeroplane'] for line in lines)
  assert '4 good records, 2 problems' in lines and f'Contact sheet written to {sheet}' in lines
  assert Image.open(sheet).width > 4 * 256


def test_inspect_command_is_content_with_good_records(tmp_path, capsys):
  path = record_makers.write(tmp_path / 'a.tfrecord', [record_makers.record(1)])
  assert load_script('inspect_tfrecord').main(InspectionOptions(filenames=(path,))) == 0
  assert '1 good records, 0 problems' in capsys.readouterr().out


def test_class_names_from_a_file_need_a_number(tmp_path):
  path = record_makers.write(tmp_path / 'a.tfrecord', [record_makers.record(1)])
  with pytest.raises(InputError, match='need --num_classes too'):
    load_script('inspect_tfrecord').main(
      InspectionOptions(filenames=(path,), class_names='names.txt')
    )


def test_preview_command(tmp_path, capsys):
  record_makers.write(
    tmp_path / 'a.tfrecord', [record_makers.record(number) for number in range(3)]
  )
  sheet = tmp_path / 'sheet.png'
  load_script('preview_augmentation').main(
    PreviewOptions(output_path=str(sheet), num_batches=1, class_names='voc'),
    TrainingInputOptions(
      filenames=(str(tmp_path),), batch_size=3, crop_size_height=64, crop_size_width=64, seed=1
    ),
  )
  assert capsys.readouterr().out == f'Contact sheet written to {sheet}\n'
  pixels = np.asarray(Image.open(sheet)).reshape(-1, 3)
  assert (pixels == [128, 128, 128]).all(axis=1).any()  # Padding.


@pytest.mark.parametrize(
  'name,words',
  [
    ('nodir/x.png', 'nodir/x.png: the directory nodir does not exist; make it'),
    ('.', '=.: is a directory; give a file name'),
    ('a.tfrecord/x.png', 'a.tfrecord is not a directory'),
  ],
)
def test_places_for_contact_sheets_are_tried_before_the_work(
  tmp_path, monkeypatch, capsys, name, words
):
  monkeypatch.chdir(tmp_path)
  record_makers.write('a.tfrecord', [record_makers.record(0)])
  with pytest.raises(InputError, match=f'^--contact_sheet={name}.*') as raised:
    load_script('inspect_tfrecord').main(
      InspectionOptions(filenames=('a.tfrecord',), contact_sheet=name)
    )
  assert words in str(raised.value)
  with pytest.raises(InputError, match=f'^--output_path={name}.*') as raised:
    load_script('preview_augmentation').main(
      PreviewOptions(output_path=name), TrainingInputOptions(filenames=('a.tfrecord',))
    )
  assert words in str(raised.value)
  assert not capsys.readouterr().out and os.listdir(tmp_path) == ['a.tfrecord']


def test_a_contact_sheet_that_fails_in_the_end_names_the_flag(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(
    InputError,
    match='^--contact_sheet=x.png: cannot be written .No space left on device.; free space',
  ):
    with output_places.replacing_file('x.png', flag='contact_sheet'):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '.unfinished-1')
  assert not os.listdir(tmp_path)


def test_preview_explains_a_bad_record(tmp_path):
  path = record_makers.write(tmp_path / 'a.tfrecord', [record_makers.record(0, value=40)])
  with pytest.raises(InputError, match='a.tfrecord, record 0 .*label value 40'):
    load_script('preview_augmentation').main(
      PreviewOptions(output_path=str(tmp_path / 'sheet.png')),
      TrainingInputOptions(
        filenames=(path,), batch_size=1, crop_size_height=17, crop_size_width=17
      ),
    )
  assert not (tmp_path / 'sheet.png').exists()


def test_values_that_do_not_look_like_indices_are_pointed_out():
  script = load_script('write_tfrecord')
  suspicious = lambda *values: script.suspicious_values(
    {'ignore_label': 255, 'labels': {str(value): {} for value in values}}
  )
  assert 'label values 0, 128:' in suspicious(0, 128, 255)
  assert 'label values 0, 38, 75:' in suspicious(0, 38, 75)
  assert (
    suspicious(*range(21)) is None and suspicious(0, 1, 255) is None and suspicious(255) is None
  )


def test_feature_whose_name_is_no_text_is_a_bad_record(tmp_path, capsys):
  example = tf.train.Example.FromString(record_makers.record(0))
  example.features.feature['extra'].int64_list.value.append(1)
  serialized = example.SerializeToString().replace(b'extra', b'extr\xff')
  path = record_makers.write(tmp_path / 'a.tfrecord', [serialized])
  options = InspectionOptions(filenames=(path,), bad_records_path=str(tmp_path / 'bad.txt'))
  assert load_script('inspect_tfrecord').main(options) == 1
  line = f'{path}, record 0 (counted from 0): a feature has a name that is no UTF-8'
  assert f'bad: {line}\n' in capsys.readouterr().out
  assert (tmp_path / 'bad.txt').read_text() == f'{line}\n'
