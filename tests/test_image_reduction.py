"""Shrinking images, enlarging logits, and the advice to do so."""

import numpy as np
import pytest
import tensorflow as tf
from fake_model import PixelModel

from deeplab.errors import InputError
from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.options import PredictionOptions
from deeplab.prediction import image_reduction
from deeplab.prediction.image_reduction import SizeAdvice


@pytest.mark.parametrize(
  'size, max_size, expected',
  [
    ((3000, 4000), 513, (385, 513)),
    ((4000, 3000), 500, (500, 375)),
    ((375, 500), 500, (375, 500)),
    ((375, 500), 513, (375, 500)),
    ((375, 500), None, (375, 500)),
    ((2, 5000), 100, (1, 100)),
  ],
)
def test_size(size, max_size, expected):
  assert image_reduction.reduced_size(*size, max_size) == expected


def test_shrinking_is_anti_aliased():
  stripes = np.zeros([64, 64, 3], np.uint8)
  stripes[:, ::2] = 200
  small = image_reduction.shrink(stripes, (16, 16))
  assert small.shape == (16, 16, 3)
  np.testing.assert_allclose(small[:, 2:-2].astype(int), 100, atol=3)


def test_enlarging_keeps_areas_in_place(monkeypatch):
  logits = np.array([[[0.0], [4.0]], [[8.0], [12.0]]], np.float32)
  row = np.array([0, 1, 3, 4])
  expected = np.stack([row, row + 2, row + 6, row + 8])[..., np.newaxis]
  (whole,) = image_reduction.enlarged_bands(logits, (4, 4))
  assert whole[0] == 0
  np.testing.assert_allclose(whole[1], expected)
  monkeypatch.setattr(image_reduction, '_BAND_BYTES', 3 * 4 * 4)
  (first, upper), (second, lower) = image_reduction.enlarged_bands(logits, (4, 4))
  assert (first, second) == (0, 3)
  np.testing.assert_allclose(np.concatenate([upper, lower]), expected)


def _blocks(*, side):
  """A picture of 6 x 8 flat blocks, red, green or blue, with `side` pixels a side."""
  classes = np.random.default_rng(0).integers(0, 3, [6, 8])
  small = np.where(np.eye(3)[classes] == 1, 200, 40).astype(np.uint8)
  return small, np.kron(small, np.ones([side, side, 1], np.uint8))


@pytest.mark.parametrize(
  'options', [{}, {'tile_size': 24}, {'eval_pad': 'stride', 'add_flipped_images': True}]
)
@pytest.mark.parametrize('with_probabilities', [False, True])
def test_the_result_has_the_size_of_the_image(options, with_probabilities):
  small, image = _blocks(side=20)
  # Between the centres of blocks lies a mixture, so what counts here are the centres.
  centres = np.s_[10::20, 10::20]
  inferencer = DeepLabV3Inferencer(
    PixelModel(),
    options=PredictionOptions(max_size=32, **options),
    with_probabilities=with_probabilities,
  )
  ((labels, probabilities),) = inferencer.predict([image])
  assert labels.shape == (120, 160) and labels.dtype == np.int32
  np.testing.assert_array_equal(labels[centres], small.argmax(axis=-1))
  if with_probabilities:
    assert probabilities.shape == (120, 160, 3)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(axis=-1), labels)


def test_the_network_sees_the_shrunk_image_and_smaller_ones_as_they_are():
  seen = []

  class Recorder(PixelModel):
    def predict(self, images, **settings):
      tf.py_function(lambda shape: seen.append(tuple(shape.numpy())), [tf.shape(images)], [])
      return super().predict(images, **settings)

  inferencer = DeepLabV3Inferencer(Recorder(), options=PredictionOptions(max_size=32, batch_size=2))
  large, larger, small = (np.zeros([h, w, 3], np.uint8) for h, w in [(64, 32), (96, 48), (32, 16)])
  assert inferencer.batch_key(large) == inferencer.batch_key(larger)
  assert inferencer.batch_key(large) != inferencer.batch_key(small)
  shapes = [labels.shape for labels, _ in inferencer.predict([large, larger])]
  assert shapes == [(64, 32), (96, 48)] and seen == [(2, 32, 16, 3)]
  inferencer.predict([small])
  assert seen[1:] == [(1, 32, 16, 3)]


def test_the_foreground_is_the_sum_of_its_probabilities():
  _, image = _blocks(side=5)
  for options in ({}, {'max_size': 20}, {'tile_size': 24}):
    with_all = DeepLabV3Inferencer(
      PixelModel(),
      options=PredictionOptions(**options),
      with_probabilities=True,
      foreground_classes=(0, 2),
    )
    alone = DeepLabV3Inferencer(
      PixelModel(), options=PredictionOptions(**options), foreground_classes=(0, 2)
    )
    (expected,) = with_all.predict_with_foreground([image])
    (found,) = alone.predict_with_foreground([image])
    assert found.probabilities is None
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(
      found.foreground, expected.probabilities[..., [0, 2]].sum(axis=-1), rtol=1e-5
    )


def test_the_evaluator_counts_the_pixels_of_the_image_itself():
  small, image = _blocks(side=20)
  label = np.kron(small.argmax(axis=-1), np.ones([20, 20])).astype(np.int32)
  label[::7] = 255
  example = {'image': image, 'label': label, 'name': b'a'}
  options = PredictionOptions(max_size=32)
  evaluator = DeepLabV3Evaluator(PixelModel(), num_classes=3, options=options)
  seen = []
  result = evaluator.evaluate([example], on_image=seen.append)
  inferencer = DeepLabV3Inferencer(PixelModel(), options=options, with_probabilities=True)
  ((labels, probabilities),) = inferencer.predict([image])
  np.testing.assert_array_equal(seen[0].prediction, labels)
  valid = label != 255
  assert result.confusion.sum() == valid.sum()
  assert np.trace(result.confusion) == (labels == label)[valid].sum() > 0.8 * valid.sum()
  expected = -np.log(np.take_along_axis(probabilities, label[..., np.newaxis] % 255, -1))[..., 0]
  np.testing.assert_allclose(result.loss, expected[valid].mean(), rtol=1e-4)


def test_one_warning_for_images_far_larger_than_the_crops():
  small, large = np.zeros([40, 66, 3], np.uint8), np.zeros([40, 67, 3], np.uint8)
  advice = SizeAdvice((21, 33), PredictionOptions())
  assert advice.line('small.jpg', small) is None
  assert advice.line('large.jpg', large) == (
    'large.jpg: height 40, width 67 is more than twice the 21 x 33 pixels that the network was '
    'trained on, so it may know nothing at this size; --max_size=33 predicts such images smaller'
  )
  assert advice.line('large.jpg', large) is None


@pytest.mark.parametrize(
  'trained_size, options',
  [(None, {}), ((21, 33), {'max_size': 60}), ((21, 33), {'tile_size': 60})]
  + [((21, 33), {'eval_scales': (0.9,)})],
)
def test_no_warning_where_the_size_is_chosen_or_unknown(trained_size, options):
  advice = SizeAdvice(trained_size, PredictionOptions(**options))
  assert advice.line('large.jpg', np.zeros([40, 67, 3], np.uint8)) is None


def test_no_size_at_all_is_refused():
  with pytest.raises(InputError, match='--max_size=0: must be at least 1'):
    PredictionOptions(max_size=0)
