"""The trainer stops at labels of one class and the ignored value."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab import conversion_run
from deeplab.data import labels, tfrecord
from deeplab.errors import InputError
from deeplab.options import (
  ConversionOptions,
  ModelOptions,
  RunOptions,
  TrainingInputOptions,
  ValidationOptions,
)
from deeplab.training import one_class, training_data


def write_records(path, all_labels):
  with tf.io.TFRecordWriter(str(path)) as writer:
    for label in all_labels:
      data = label if isinstance(label, bytes) else labels.write_png(np.array(label, np.uint8))
      writer.write(
        tfrecord.serialize(
          record_format='basic', image=b'image', label=data, name='a', height=1, width=2
        )
      )
  return str(path)


MASK, PLAIN, OTHER = [[0, 255]], [[0, 0]], [[2, 255]]


@pytest.mark.parametrize('contents', [[MASK], [MASK, PLAIN], [PLAIN, b'no picture', MASK]])
def test_one_class_and_the_ignored_value_stop(tmp_path, contents):
  path = write_records(tmp_path / 'a.tfrecord', contents)
  with pytest.raises(
    InputError, match='a.tfrecord the labels hold one class, 0, and the ignored value 255, .*binary'
  ):
    one_class.refuse([path], num_classes=21, ignore_label=255)
  one_class.refuse([path], num_classes=1, ignore_label=255)
  one_class.refuse([path], num_classes=256, ignore_label=7)


@pytest.mark.parametrize('contents', [[PLAIN], [MASK, OTHER], [[[0, 1]]], [[[255, 255]]], [b'x']])
def test_other_labels_pass(tmp_path, contents):
  path = write_records(tmp_path / 'a.tfrecord', contents)
  one_class.refuse([path], num_classes=21, ignore_label=255)


def test_several_files_count_together(tmp_path):
  paths = [
    write_records(tmp_path / 'a.tfrecord', [MASK]),
    write_records(tmp_path / 'b.tfrecord', [OTHER]),
  ]
  one_class.refuse(paths, num_classes=21, ignore_label=255)
  with pytest.raises(InputError, match='a.tfrecord and 1 more files the labels'):
    one_class.refuse([paths[0]] * 2, num_classes=21, ignore_label=255)


@pytest.mark.parametrize('accept', [(), ('one_class',)])
def test_the_trainer_takes_what_the_converter_was_told(tmp_path, accept):
  for directory in ('images', 'labels'):
    (tmp_path / directory).mkdir()
  Image.new('RGB', (2, 1)).save(tmp_path / 'images' / 'a.jpg')
  Image.fromarray(np.array(MASK, np.uint8)).save(tmp_path / 'labels' / 'a.png')
  conversion_run.convert(
    ConversionOptions(
      images_dir=str(tmp_path / 'images'),
      labels_dir=str(tmp_path / 'labels'),
      output_dir=str(tmp_path),
      split='train',
      num_classes=2,
      num_workers=1,
      accept=('one_class',),
    )
  )
  if not accept:
    (tmp_path / 'train' / 'dataset.json').unlink()
    (tmp_path / 'train' / 'train-summary.json').unlink()
  arguments = (
    ModelOptions(num_classes=2),
    TrainingInputOptions(filenames=(str(tmp_path / 'train'),)),
    ValidationOptions(),
    RunOptions(output_path=str(tmp_path / 'model')),
  )
  if accept:
    assert training_data.find(*arguments, saved=None, given=()).described.num_classes == 2
    return
  with pytest.raises(InputError, match='one class, 0'):
    training_data.find(*arguments, saved=None, given=())
