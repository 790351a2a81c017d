"""Inferencer and evaluator prepare weights that do not change, and give the same numbers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions, PredictionOptions
from deeplab.prediction import image_padding, multi_scale

pytestmark = pytest.mark.usefixtures('short_networks')

OPTIONS = ModelOptions(
  model_variant='mobilenet_v2',
  depth_multiplier=0.35,
  num_classes=5,
  atrous_rates=(2, 4),
  use_decoder=True,
)


def images_of(size, *, batch_size=1):
  random = np.random.default_rng(3)
  return random.integers(0, 256, [batch_size, size, size, 3], np.uint8)


def make_undecided(images):
  """A network that finds all its classes in these images, so a mistake changes some of them."""
  tf.random.set_seed(1)
  model = DeepLabV3PredictionModel(OPTIONS)
  random = np.random.default_rng(2)
  for name, variable in model.named_variables.items():
    if name.endswith(('gamma', 'moving_variance')):
      variable.assign(random.uniform(0.7, 1.4, size=variable.shape))
    elif name.endswith(('beta', 'moving_mean')):
      variable.assign(0.2 * random.normal(size=variable.shape))
  mean = tf.reduce_mean(model.predict(images), axis=[0, 1, 2])
  model.named_variables['logits/semantic/biases'].assign_sub(mean)
  assert len(np.unique(np.argmax(model.predict(images), axis=-1))) == 5
  return model


def test_labels_are_the_argmax():
  images = images_of(50)
  model = make_undecided(images)
  labels = tf.function(model.predict_labels, autograph=False)(images)
  np.testing.assert_array_equal(labels, np.argmax(model.predict(images), axis=-1))


@pytest.mark.parametrize('options', [{}, {'tile_size': 33, 'tile_overlap': 8}])
@pytest.mark.parametrize('with_probabilities', [False, True])
def test_inferencer_prepares_the_weights_once(options, with_probabilities):
  """It would not notice that they change, which costs nothing in inference."""
  (image,) = images_of(50)
  model = make_undecided(image[np.newaxis])
  settings = dict(options=PredictionOptions(**options), with_probabilities=with_probabilities)
  inferencer = DeepLabV3Inferencer(model, **settings)
  before = inferencer.predict([image])[0][0]
  model.named_variables['aspp0/BatchNorm/gamma'].assign(tf.zeros([256]))
  np.testing.assert_array_equal(inferencer.predict([image])[0][0], before)
  anew = DeepLabV3Inferencer(model, **settings)
  assert np.mean(anew.predict([image])[0][0] != before) > 0.1


@pytest.mark.parametrize(
  'options, way',
  [
    *itertools.product(
      [{}, {'eval_pad': 'stride'}, {'add_flipped_images': True}], [{}, {'with_probabilities': True}]
    ),
    ({}, {'jit_compile': True}),  # A compilation takes its time; one is enough.
  ],
)
def test_inferencer_predicts_the_largest_logit_whatever_it_prepares(options, way):
  images, options = images_of(34), PredictionOptions(**options)
  model = make_undecided(images)
  inferencer = DeepLabV3Inferencer(model, options=options, **way)
  padded = image_padding.stack_padded(list(images), size=inferencer.batch_key(images[0]), value=0)
  sizes = np.array([[34, 34]], np.int32)
  logits = multi_scale.predict_logits(model, padded, sizes, options)[0, :34, :34]
  labels, probabilities = inferencer.predict(list(images))[0]
  # Two logits may be equal but for rounding.
  assert np.sum(labels != np.argmax(logits, axis=-1)) <= 1
  if probabilities is not None:
    np.testing.assert_allclose(probabilities, tf.nn.softmax(logits), atol=1e-4)


@pytest.mark.parametrize(
  'options', [{}, {'tile_size': 33, 'tile_overlap': 8}, {'add_flipped_images': True}]
)
def test_an_evaluator_with_constant_weights_measures_the_same(options):
  images = images_of(50, batch_size=2)
  labels = np.random.default_rng(4).integers(0, 5, [2, 50, 50], np.int32)
  model = make_undecided(images)
  examples = [
    {'image': image, 'label': label, 'name': b'noise'} for image, label in zip(images, labels)
  ]
  changing, constant = (
    DeepLabV3Evaluator(
      model, num_classes=5, options=PredictionOptions(**options), constant_weights=constant_weights
    ).evaluate(examples)
    for constant_weights in (False, True)
  )
  # To the bit: the trainer's validation is one, the evaluator the other.
  assert constant.loss == changing.loss
  np.testing.assert_array_equal(constant.confusion, changing.confusion)
