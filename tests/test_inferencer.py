import numpy as np
import pytest
import tensorflow as tf
from fake_model import NeighbourModel, PixelModel

from deeplab.errors import InputError
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.options import PredictionOptions


def _images(*sizes):
  rng = np.random.default_rng(0)
  return [rng.integers(0, 256, [height, width, 3], np.uint8) for height, width in sizes]


def _inferencer(model=None, *, with_probabilities=False, **options):
  return DeepLabV3Inferencer(
    model or NeighbourModel(),
    options=PredictionOptions(**options),
    with_probabilities=with_probabilities,
  )


def test_labels_are_the_argmax():
  (image,) = _images((5, 6))
  ((labels, probabilities),) = _inferencer(PixelModel()).predict([image])
  np.testing.assert_array_equal(labels, image.argmax(axis=-1))
  assert labels.dtype == np.int32 and probabilities is None


def test_probabilities_are_the_softmax():
  (image,) = _images((5, 6))
  ((labels, probabilities),) = _inferencer(PixelModel(), with_probabilities=True).predict([image])
  exponentials = np.exp(image / 16.0)
  np.testing.assert_allclose(
    probabilities, exponentials / exponentials.sum(axis=-1, keepdims=True), rtol=1e-4
  )
  np.testing.assert_array_equal(labels, probabilities.argmax(axis=-1))


@pytest.mark.parametrize('options', [{}, {'eval_pad': 'stride'}, {'add_flipped_images': True}])
def test_a_batch_is_its_images_one_by_one(options):
  images = _images((5, 6), (5, 6), (5, 6))
  inferencer = _inferencer(with_probabilities=True, **options)
  together = inferencer.predict(images)
  for image, (labels, probabilities) in zip(images, together):
    ((expected_labels, expected),) = inferencer.predict([image])
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


def test_padding_lets_sizes_share_a_batch():
  inferencer = _inferencer(eval_pad='stride', with_probabilities=True)
  images = _images((5, 6), (9, 4))
  assert inferencer.batch_key(images[0]) == inferencer.batch_key(images[1])
  for image, (labels, probabilities) in zip(images, inferencer.predict(images)):
    ((expected_labels, expected),) = inferencer.predict([image])
    assert labels.shape == image.shape[:2]
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
  plain = _inferencer()
  assert plain.batch_key(images[0]) != plain.batch_key(images[1])


def test_tiles():
  (image,) = _images((50, 37))
  ((expected, _),) = _inferencer(PixelModel()).predict([image])
  tiled = _inferencer(PixelModel(), tile_size=24, with_probabilities=True)
  ((labels, probabilities),) = tiled.predict([image])
  np.testing.assert_array_equal(labels, expected)
  assert probabilities.shape == (50, 37, 3)
  np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)


def test_one_trace_for_all_sizes():
  inferencer = _inferencer()
  for image in _images((5, 6), (7, 8), (1, 1), (30, 2)):
    inferencer.predict([image])
  assert inferencer.num_traces == 1


def test_fixed_padding_too_small():
  (image,) = _images((50, 37))
  with pytest.raises(InputError, match='height 50, width 37 is larger'):
    _inferencer(eval_pad='40x40').batch_key(image)


class _PaddingModel(PixelModel):
  """Class 2 everywhere if the last row is what zero_mean_unit_range normalizes to zero, else class
  1.
  """

  def predict(self, images, **_):
    is_filled = tf.reduce_all(tf.equal(tf.cast(images[:, -1], tf.float32), 127.5))
    return tf.one_hot(tf.fill(tf.shape(images)[:3], 1 + tf.cast(is_filled, tf.int32)), 3)


@pytest.mark.parametrize('with_probabilities', [False, True])
def test_the_network_sees_padding_that_normalizes_to_zero(with_probabilities):
  model = _PaddingModel(preprocess_images_option='zero_mean_unit_range')
  for options, expected in (({}, 1), ({'eval_pad': 'stride'}, 2), ({'eval_pad': '40x40'}, 2)):
    inferencer = _inferencer(model, with_probabilities=with_probabilities, **options)
    assert np.all(inferencer.predict(_images((20, 20)))[0][0] == expected)
