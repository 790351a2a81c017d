import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab.data import tfrecord
from deeplab.errors import InputError
from deeplab.options import LossOptions
from deeplab.training import class_balance


def test_median_frequency_by_hand():
  # Frequencies 60/100, 30/60, 10/100; the median is 0.5. Class 3 does not occur.
  weights = class_balance.median_frequency_weights([60, 30, 10, 0], [100, 60, 100, 0])
  np.testing.assert_allclose(weights, [0.5 / 0.6, 1.0, 5.0, 1.0])


def test_no_class_at_all():
  np.testing.assert_array_equal(class_balance.median_frequency_weights([0, 0], [0, 0]), [1.0, 1.0])


def write(path, labels):
  with tf.io.TFRecordWriter(str(path)) as writer:
    for label in labels:
      buffer = io.BytesIO()
      Image.fromarray(np.array(label, np.uint8)).save(buffer, 'PNG')
      writer.write(
        tfrecord.serialize(
          record_format='basic', image=b'', label=buffer.getvalue(), name='n', height=1, width=4
        )
      )
  return (str(path),)


def test_weights_of_records(tmp_path):
  files = write(tmp_path / 'a.tfrecord', [[[0, 0, 1, 255]], [[0, 2, 2, 2]]])
  # Pixels 3, 1, 3 in images of 3 + 4, 3 and 4 pixels: frequencies 3/7, 1/3, 3/4; the median is 3/7.
  weights = class_balance.weights_of_records(files, num_classes=4, ignore_label=255)
  np.testing.assert_allclose(weights, [1.0, 9 / 7, 4 / 7, 1.0])


def test_weights_are_chosen_as_the_options_say(tmp_path, capsys):
  files = write(tmp_path / 'a.tfrecord', [[[0, 0, 1, 255]], [[0, 2, 2, 2]]])

  def chosen(class_weights, num_classes=4):
    return class_balance.chosen_weights(
      LossOptions(class_weights=class_weights), files, num_classes=num_classes, ignore_label=255
    )

  assert chosen(None) is None
  assert chosen('1,0,2.5,1') == (1.0, 0.0, 2.5, 1.0)
  assert capsys.readouterr().out == ''
  np.testing.assert_allclose(chosen('auto'), [1.0, 9 / 7, 4 / 7, 1.0])
  assert capsys.readouterr().out == 'class weights: 1,1.286,0.5714,1\n'
  np.testing.assert_allclose(chosen('auto_sqrt'), np.sqrt([1.0, 9 / 7, 4 / 7, 1.0]))
  assert capsys.readouterr().out == 'class weights: 1,1.134,0.7559,1\n'
  with pytest.raises(InputError, match='--class_weights=auto_cube: must be auto, auto_sqrt, or'):
    chosen('auto_cube')
  with pytest.raises(InputError, match='has 4 values and --num_classes is 3: give one a class'):
    chosen('1,0,2.5,1', num_classes=3)


def test_a_bad_label_is_named(tmp_path):
  with pytest.raises(InputError, match='a.tfrecord'):
    class_balance.weights_of_records(
      write(tmp_path / 'a.tfrecord', [[[0, 9, 0, 0]]]), num_classes=4, ignore_label=255
    )
