import numpy as np
import pytest
import tensorflow as tf
from fake_model import NeighbourModel

from deeplab.errors import InputError
from deeplab.options import ModelOptions, PredictionOptions
from deeplab.prediction import image_padding, multi_scale


def _images(height=20, width=27, batch=2):
  return np.random.default_rng(0).integers(0, 256, [batch, height, width, 3], np.uint8)


def _sizes(images):
  return np.array([images.shape[1:3]] * len(images), np.int32)


def _logits(model, images, **options):
  return multi_scale.predict_logits(
    model, images, _sizes(images), PredictionOptions(**options)
  ).numpy()


def _softmax(logits):
  exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
  return exponentials / exponentials.sum(axis=-1, keepdims=True)


def _resized(array, size):
  return tf.compat.v1.image.resize_bilinear(
    tf.cast(array, tf.float32), size, align_corners=True
  ).numpy()


def test_scale_one_is_the_network_itself():
  model, images = NeighbourModel(), _images()
  np.testing.assert_array_equal(_logits(model, images, eval_scales=(1.0,)), model.predict(images))


def test_flip_alone_is_the_mean_of_both_softmaxes():
  model, images = NeighbourModel(), _images()
  flipped = model.predict(images[:, :, ::-1]).numpy()[:, :, ::-1]
  expected = (_softmax(model.predict(images).numpy()) + _softmax(flipped)) / 2
  logits = _logits(model, images, add_flipped_images=True)
  np.testing.assert_allclose(_softmax(logits), expected, atol=1e-5)
  np.testing.assert_allclose(np.exp(logits), expected, atol=1e-5)
  assert np.abs(expected - _softmax(model.predict(images).numpy())).max() > 0.01


def test_scales_are_the_mean_of_single_runs():
  model, images = NeighbourModel(), _images(21, 33)
  half = _resized(model.predict(_resized(images, [11, 17])), [21, 33])
  double = _resized(model.predict(_resized(images, [41, 65])), [21, 33])
  expected = np.mean(
    [_softmax(half), _softmax(model.predict(images).numpy()), _softmax(double)], axis=0
  )
  logits = _logits(model, images, eval_scales=(0.5, 1.0, 2.0))
  np.testing.assert_allclose(_softmax(logits), expected, atol=1e-5)


def test_scales_and_flips_together():
  model, images = NeighbourModel(), _images()
  single = [
    _softmax(_logits(model, images, eval_scales=(scale,), add_flipped_images=True))
    for scale in (0.75, 1.25)
  ]
  both = _softmax(_logits(model, images, eval_scales=(0.75, 1.25), add_flipped_images=True))
  np.testing.assert_allclose(both, np.mean(single, axis=0), atol=1e-5)


def test_one_pixel_image_at_any_scale():
  logits = _logits(NeighbourModel(), _images(1, 1), eval_scales=(0.25, 1.0, 2.0))
  assert logits.shape == (2, 1, 1, 3) and np.isfinite(logits).all()


def test_padding_is_what_the_network_sees():
  model = NeighbourModel(preprocess_images_option='zero_mean_unit_range')
  images = _images(20, 27)
  padded = np.full([2, 33, 33, 3], 127.5, np.float32)
  padded[:, :20, :27] = images
  stacked = image_padding.stack_padded(list(images), size=(33, 33), value=0)
  for pad in ('stride', '33x33'):
    logits = multi_scale.predict_logits(
      model, stacked, _sizes(images), PredictionOptions(eval_pad=pad)
    )
    np.testing.assert_array_equal(logits, model.predict(padded))


def test_scaled_images_are_padded_to_the_stride_too():
  seen = []

  class Recorder(NeighbourModel):
    def predict(self, images, **settings):
      seen.append(tuple(images.shape[1:3]))
      return super().predict(images, **settings)

  images = _images(33, 49)
  logits = _logits(Recorder(), images, eval_scales=(0.75, 1.0), eval_pad='stride')
  assert seen == [(33, 49), (33, 49)] and logits.shape == (2, 33, 49, 3)


def test_scales_that_leave_no_picture_are_refused():
  assert PredictionOptions(eval_scales=(0.1,)).eval_scales == (0.1,)
  with pytest.raises(InputError, match='--eval_scales=0.01: must be at least 0.1'):
    PredictionOptions(eval_scales=(1.0, 0.01))


@pytest.mark.usefixtures('short_networks')
@pytest.mark.parametrize('options', [{}, {'add_flipped_images': True}, {'eval_scales': (0.5, 1.5)}])
def test_real_network_agrees_with_single_runs(options):
  from deeplab.model.prediction_model import DeepLabV3PredictionModel

  model = DeepLabV3PredictionModel(
    ModelOptions(model_variant='mobilenet_v2', depth_multiplier=0.35, num_classes=4)
  )
  images = _images(35, 50, batch=1)
  predict = tf.function(model.predict, autograph=False)
  combined = tf.function(
    lambda: multi_scale.predict_logits(model, images, _sizes(images), PredictionOptions(**options)),
    autograph=False,
  )()
  runs = []
  for scale in options.get('eval_scales', (1.0,)):
    size = [int(34 * scale + 1), int(49 * scale + 1)]
    scaled = _resized(images, size)
    runs.append(_softmax(_resized(predict(tf.constant(scaled)), [35, 50])))
    if options.get('add_flipped_images'):
      runs.append(
        _softmax(_resized(predict(tf.constant(scaled[:, :, ::-1])), [35, 50])[:, :, ::-1])
      )
  np.testing.assert_allclose(_softmax(combined.numpy()), np.mean(runs, axis=0), atol=1e-5)
