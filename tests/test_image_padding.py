import numpy as np
import pytest
import tensorflow as tf

from deeplab.errors import InputError
from deeplab.options import ModelOptions, PredictionOptions, ValidationOptions
from deeplab.prediction import image_padding


@pytest.mark.parametrize(
  'size,expected',
  [(1, 1), (2, 17), (16, 17), (17, 17), (18, 33), (375, 385), (500, 513), (513, 513)],
)
def test_next_stride_size(size, expected):
  assert image_padding.next_stride_size(size, 16) == expected


def test_padded_size():
  assert image_padding.padded_size(375, 500, pad_size=None, output_stride=16) == (375, 500)
  assert image_padding.padded_size(375, 500, pad_size='stride', output_stride=8) == (377, 505)
  assert image_padding.padded_size(375, 500, pad_size=(513, 513), output_stride=16) == (513, 513)
  with pytest.raises(
    InputError, match=r'height 375, width 500 is larger than --eval_pad=400x400 \(height x width\)'
  ):
    image_padding.padded_size(375, 500, pad_size=(400, 400), output_stride=16)


def test_stack_padded():
  stacked = image_padding.stack_padded(
    [np.array([[1, 2]]), np.array([[3], [4]])], size=(2, 2), value=9
  )
  assert stacked.tolist() == [[[1, 2], [9, 9]], [[3, 9], [4, 9]]]
  image = np.zeros([2, 3, 3], np.uint8)
  assert image_padding.stack_padded([image], size=(2, 3), value=9).shape == (1, 2, 3, 3)


@pytest.mark.parametrize(
  'option,pixel',
  [
    ('zero_mean_unit_range', [127.5, 127.5, 127.5]),
    ('subtract_imagenet_mean', [122.67891434, 116.66876762, 104.00698793]),
    ('subtract_official_mean', [123.15, 115.90, 103.06]),
  ],
)
def test_padding_normalizes_to_zero(option, pixel):
  from deeplab.model.normalization import normalize

  images = np.full([2, 3, 3, 3], 200, np.uint8)
  filled = image_padding.fill_padding(images, np.array([[3, 2], [2, 3]], np.int32), option).numpy()
  np.testing.assert_allclose(filled[0, :, 2], [pixel] * 3, rtol=1e-6)
  np.testing.assert_allclose(filled[1, 2], [pixel] * 3, rtol=1e-6)
  assert (filled[0, :, :2] == 200).all() and (filled[1, :2] == 200).all()
  np.testing.assert_allclose(normalize(filled, option)[1, 2], 0, atol=1e-5)


def test_pad_to_stride():
  images = np.full([2, 5, 8, 3], 30, np.float32)
  padded = image_padding.pad_to_stride(images, 8, 'zero_mean_unit_range').numpy()
  assert padded.shape == (2, 9, 9, 3)
  assert (
    (padded[:, :5, :8] == 30).all()
    and (padded[:, 5:] == 127.5).all()
    and (padded[:, :, 8:] == 127.5).all()
  )


@pytest.mark.parametrize(
  'eval_pad, align_corners, expected',
  [
    ('auto', True, 'stride'),
    ('auto', False, None),
    ('none', True, None),
    ('stride', False, 'stride'),
    ('40x50', True, (40, 50)),
  ],
)
def test_auto_pads_where_the_network_aligns_corners(eval_pad, align_corners, expected):
  network = ModelOptions(align_corners=align_corners)
  assert PredictionOptions(eval_pad=eval_pad).pad_size(network) == expected


@pytest.mark.parametrize('options', [PredictionOptions, ValidationOptions])
def test_padding_that_is_none_is_refused(options):
  assert options().eval_pad == 'auto'
  with pytest.raises(InputError, match='--eval_pad=513: must be auto, none, stride, or HEIGHTx'):
    options(eval_pad='513')


def test_padding_of_bytes_is_the_rounded_value_and_leaves_the_rest():
  images = np.arange(54, dtype=np.uint8).reshape([2, 3, 3, 3])
  sizes = np.array([[3, 2], [2, 3]], np.int32)
  filled = image_padding.fill_padding_with_bytes(
    tf.constant(images), sizes, 'zero_mean_unit_range'
  ).numpy()
  assert filled.dtype == np.uint8
  expected = images.copy()
  expected[0, :, 2:] = expected[1, 2:] = 128  # 127.5, rounded to even.
  assert filled.tolist() == expected.tolist()
  whole = np.array([[3, 3], [3, 3]], np.int32)
  again = image_padding.fill_padding_with_bytes(
    tf.constant(images), whole, 'subtract_imagenet_mean'
  ).numpy()
  assert again.tolist() == images.tolist()
