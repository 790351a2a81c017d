"""Evaluation and inference with published weights on photographs."""

import functools
import os

import numpy as np
import PIL.Image
import pytest

from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions, PredictionOptions
from deeplab.prediction import image_files

_DATA = os.environ.get('DEEPLAB_TEST_DATA')

pytestmark = pytest.mark.skipif(not _DATA, reason='needs DEEPLAB_TEST_DATA')


@pytest.fixture(scope='module')
def model():
  from deeplab import checkpoints

  options = ModelOptions(
    model_variant='mobilenet_v2',
    depth_multiplier=0.5,
    align_corners=True,
    preprocess_images_option='zero_mean_unit_range',
  )
  model = DeepLabV3PredictionModel(options)
  reader = checkpoints.Reader(checkpoints.find(os.path.join(_DATA, 'deeplabv3_mnv2_dm05_pascal')))
  for name, variable in model.named_variables.items():
    value = reader.get(name)
    if name == 'concat_projection/weights':  # The official order is [image_pooling, aspp0].
      value = np.concatenate([value[:, :, 256:], value[:, :, :256]], axis=2)
    variable.assign(value)
  return model


@pytest.fixture(scope='module')
def photographs():
  """(images, labels), lists of arrays."""
  with open(os.path.join(_DATA, 'voc8', 'list.txt'), encoding='utf-8') as names:
    names = names.read().split()[:3]
  return (
    [
      image_files.read_image(os.path.join(_DATA, 'voc8', 'JPEGImages', name + '.jpg'))
      for name in names
    ],
    [
      np.asarray(PIL.Image.open(os.path.join(_DATA, 'voc8', 'SegmentationClass', name + '.png')))
      for name in names
    ],
  )


def _predict(model, images, *, with_probabilities=False, **options):
  inferencer = DeepLabV3Inferencer(
    model, options=PredictionOptions(**options), with_probabilities=with_probabilities
  )
  return [inferencer.predict([image])[0] for image in images]


def _accuracy(predictions, labels):
  right = sum(
    ((prediction == label) & (label != 255)).sum()
    for (prediction, _), label in zip(predictions, labels)
  )
  return right / sum((label != 255).sum() for label in labels)


def test_padding_to_the_stride_helps_corner_aligned_weights(model, photographs):
  images, labels = photographs
  native, padded = (
    _accuracy(_predict(model, images, eval_pad=pad), labels) for pad in ('none', 'stride')
  )
  assert padded > native > 0.85


def test_scale_one_is_bit_identical(model, photographs):
  image = photographs[0][0]
  ((labels, probabilities),) = _predict(model, [image], with_probabilities=True)
  ((same_labels, same),) = _predict(model, [image], with_probabilities=True, eval_scales=(1.0,))
  np.testing.assert_array_equal(labels, same_labels)
  np.testing.assert_array_equal(probabilities, same)
  ((plain, _),) = _predict(model, [image])
  np.testing.assert_array_equal(labels, plain)


@pytest.mark.slow
def test_flips_and_scales_are_means_of_single_runs(model, photographs):
  image = photographs[0][1]
  # Padding lies at the right of an image and so at the left of its mirror image.
  predict = functools.partial(_predict, eval_pad='none')
  ((_, here),) = predict(model, [image], with_probabilities=True)
  ((_, there),) = predict(model, [image[:, ::-1]], with_probabilities=True)
  ((_, both),) = predict(model, [image], with_probabilities=True, add_flipped_images=True)
  np.testing.assert_allclose(both, (here + there[:, ::-1]) / 2, atol=1e-5)
  ((_, small),) = predict(model, [image], with_probabilities=True, eval_scales=(0.5,))
  ((_, mean),) = predict(model, [image], with_probabilities=True, eval_scales=(0.5, 1.0))
  np.testing.assert_allclose(mean, (here + small) / 2, atol=1e-5)


def test_tiles_change_few_pixels(model, photographs):
  images, _ = photographs
  whole = _predict(model, images, eval_pad='stride')
  tiled = _predict(model, images, eval_pad='stride', tile_size=401)
  different = sum((first != second).sum() for (first, _), (second, _) in zip(whole, tiled))
  assert 0 < different < 0.02 * sum(first.size for first, _ in whole)
