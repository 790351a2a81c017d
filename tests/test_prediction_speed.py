"""The faster ways to the same numbers: folding, frozen weights, bfloat16, recomputation, XLA."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.model import (
  aspp,
  convolution,
  expansion,
  layers,
  own_gradients,
  pairs,
  prediction_model,
  projection,
)
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions, PredictionOptions
from deeplab.prediction import image_padding, multi_scale

SMALL = dict(num_classes=5, atrous_rates=(2, 4), use_decoder=True)
VARIANTS = ['resnet_v1_50', 'resnet_v2_50', 'mobilenet_v2']


def make(variant, *, options=None, **settings):
  tf.random.set_seed(1)
  model = DeepLabV3PredictionModel(
    ModelOptions(model_variant=variant, **{**SMALL, **(options or {})}), **settings
  )
  random = np.random.default_rng(2)
  for name, variable in model.named_variables.items():
    if name.endswith(('gamma', 'moving_variance')):
      variable.assign(random.uniform(0.7, 1.4, size=variable.shape))
    elif name.endswith(('beta', 'moving_mean')):
      variable.assign(0.2 * random.normal(size=variable.shape))
  return model


def images_of(size=33, batch_size=1):
  return tf.constant(
    np.random.default_rng(3).uniform(0, 255, [batch_size, size, size, 3]), tf.float32
  )


@pytest.mark.parametrize('variant', VARIANTS)
def test_folded_weights_give_the_same_logits(variant, monkeypatch):
  model = make(variant)
  images = images_of(65)
  # No folding at all: TensorFlow's batch norm after each convolution.
  with monkeypatch.context() as patch:
    patch.setattr(layers, 'affine_batch_norm', lambda depth: None)
    expected = model.predict(images).numpy()
  with layers.frozen_weights():
    frozen = model.predict(images).numpy()
  np.testing.assert_allclose(
    model.predict(images), expected, rtol=0, atol=2e-5 * np.abs(expected).max()
  )
  np.testing.assert_allclose(frozen, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def make_undecided(images):
  """A network that finds all its classes in these images, so a mistake changes some of them."""
  model = make('mobilenet_v2')
  model.named_variables['logits/semantic/biases'].assign_sub(
    tf.reduce_mean(model.predict(images), axis=[0, 1, 2])
  )
  assert len(np.unique(np.argmax(model.predict(images), axis=-1))) == 5
  return model


def test_labels_are_the_argmax():
  images = images_of(50)
  model = make_undecided(images)
  np.testing.assert_array_equal(
    tf.function(model.predict_labels, autograph=False)(images),
    np.argmax(model.predict(images), axis=-1),
  )


@pytest.mark.parametrize('options', [{}, {'tile_size': 33, 'tile_overlap': 8}])
@pytest.mark.parametrize('with_probabilities', [False, True])
def test_inferencer_prepares_the_weights_once(options, with_probabilities):
  """It would not notice that they change, which costs nothing in inference."""
  images = images_of(50)
  model = make_undecided(images)
  inferencer = DeepLabV3Inferencer(
    model, options=PredictionOptions(**options), with_probabilities=with_probabilities
  )
  image = tf.cast(images[0], tf.uint8).numpy()
  before = inferencer.predict([image])[0][0]
  model.named_variables['aspp0/BatchNorm/gamma'].assign(tf.zeros([256]))
  np.testing.assert_array_equal(inferencer.predict([image])[0][0], before)
  anew = DeepLabV3Inferencer(
    model, options=PredictionOptions(**options), with_probabilities=with_probabilities
  )
  assert np.mean(anew.predict([image])[0][0] != before) > 0.1


@pytest.mark.parametrize(
  'options',
  [{}, {'use_decoder': False}, {'use_image_level_feature': False}, {'depth_multiplier': 0.5}],
)
@pytest.mark.parametrize('compute_dtype', ['float32', 'bfloat16'])
def test_a_projection_is_merged_into_aspp_without_rates(options, compute_dtype, monkeypatch):
  model = make('mobilenet_v2', options={'atrous_rates': (), **options}, compute_dtype=compute_dtype)
  with layers.frozen_weights():
    merged = tf.function(model.predict, autograph=False)(images_of(65)).numpy()
  monkeypatch.setattr(aspp, 'as_projection', lambda net, depth: net)
  with layers.frozen_weights():
    expected = tf.function(model.predict, autograph=False)(images_of(65)).numpy()
  tolerance = 2e-5 if compute_dtype == 'float32' else 0.05
  np.testing.assert_allclose(merged, expected, rtol=0, atol=tolerance * np.abs(expected).max())
  # At half the depths 480 * 256 products would replace 480 * 160 + 160 * 256, which are fewer.
  assert np.array_equal(merged, expected) == ('depth_multiplier' in options)


@pytest.mark.parametrize(
  'options, way',
  [
    *itertools.product(
      [{}, {'eval_pad': 'stride'}, {'add_flipped_images': True}], [{}, {'with_probabilities': True}]
    ),
    ({}, {'jit_compile': True}),
  ],
)  # A compilation takes its time; one is enough.
def test_inferencer_predicts_the_largest_logit_whatever_it_prepares(options, way):
  images, options = images_of(34), PredictionOptions(**options)
  model = make_undecided(images)
  image = tf.cast(images, tf.uint8).numpy()
  inferencer = DeepLabV3Inferencer(model, options=options, **way)
  padded = image_padding.stack_padded(list(image), size=inferencer.batch_key(image[0]), value=0)
  logits = multi_scale.predict_logits(model, padded, np.array([[34, 34]], np.int32), options)[
    0, :34, :34
  ]
  labels, probabilities = inferencer.predict(list(image))[0]
  # Two logits may be equal but for rounding.
  assert np.sum(labels != np.argmax(logits, axis=-1)) <= 1
  if probabilities is not None:
    np.testing.assert_allclose(probabilities, tf.nn.softmax(logits), atol=1e-4)


@pytest.mark.parametrize(
  'options', [{}, {'tile_size': 33, 'tile_overlap': 8}, {'add_flipped_images': True}]
)
def test_a_frozen_evaluator_measures_the_same(options):
  images = images_of(50, batch_size=2)
  model, labels = (
    make_undecided(images),
    np.random.default_rng(4).integers(0, 5, [2, 50, 50], np.int32),
  )
  examples = [
    {'image': image, 'label': label, 'name': b'noise'}
    for image, label in zip(tf.cast(images, tf.uint8).numpy(), labels)
  ]
  results = [
    DeepLabV3Evaluator(
      model, num_classes=5, options=PredictionOptions(**options), frozen=frozen
    ).evaluate(examples)
    for frozen in (False, True)
  ]
  assert results[1].loss == pytest.approx(results[0].loss, rel=1e-5)
  # Two logits may be equal but for rounding.
  assert np.abs(results[1].confusion - results[0].confusion).sum() <= 4


def test_folding_follows_the_weights_unless_frozen():
  model = make('mobilenet_v2')
  images = images_of()
  logits = tf.function(model.predict, autograph=False)
  before = logits(images).numpy()
  gamma = model.named_variables['decoder/decoder_conv1_depthwise/BatchNorm/gamma']
  gamma.assign(3.0 * gamma)
  assert np.abs(logits(images).numpy() - before).max() > 1e-3 * np.abs(before).max()


@pytest.mark.parametrize('variant', VARIANTS)
def test_bfloat16_is_near_and_returns_float32(variant):
  expected = make(variant).predict(images_of(65)).numpy()
  logits = make(variant, compute_dtype='bfloat16').predict(images_of(65))
  assert logits.dtype == tf.float32
  assert np.linalg.norm(logits - expected) < 0.05 * np.linalg.norm(expected)


def step_of(model, *, jit_compile=None):
  """A traced function: images -> loss, gradients by name, moving statistics by name."""
  statistics = {
    name: variable for name, variable in model.named_variables.items() if '/moving_' in name
  }

  @tf.function(autograph=False, jit_compile=jit_compile)
  def step(images):
    with tf.GradientTape() as tape:
      logits = model.predict(images, is_training=True, dropout_seed=tf.constant([1, 2]))
      loss = (
        tf.reduce_mean(
          tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.ones(tf.shape(images)[:3], tf.int32), logits=logits
          )
        )
        + model.l2_loss()
      )
    gradients = tape.gradient(loss, list(model.trainable.values()))
    return loss, gradients

  def run(images):
    loss, gradients = step(images)
    return (
      loss.numpy(),
      [gradient.numpy() for gradient in gradients],
      {name: variable.numpy() for name, variable in statistics.items()},
    )

  return run


def assert_same_step(actual, expected, tolerance):
  assert actual[0] == pytest.approx(expected[0], rel=1e-4)
  total = np.sqrt(sum(np.sum(gradient**2) for gradient in expected[1]))
  difference = np.sqrt(
    sum(np.sum((one - other) ** 2) for one, other in zip(actual[1], expected[1], strict=True))
  )
  assert difference < tolerance * total
  assert actual[2].keys() == expected[2].keys()
  for name, values in expected[2].items():
    np.testing.assert_allclose(actual[2][name], values, rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize('variant', ['resnet_v2_50', 'mobilenet_v2'])
def test_recomputation_changes_nothing(variant):
  """Not gradients, and the statistics move once, not twice: with decay 0.5 that would show."""
  kept = step_of(make(variant, batch_norm_decay=0.5))(images_of(33, batch_size=2))
  recomputed = step_of(make(variant, batch_norm_decay=0.5, recompute_gradients=True))(
    images_of(33, batch_size=2)
  )
  assert_same_step(recomputed, kept, tolerance=1e-2)


def test_bfloat16_training_step_compiles_with_xla():
  """With a decoder: XLA's gradient of a bfloat16 resize has the wrong dtype."""
  plain = step_of(make('mobilenet_v2', compute_dtype='bfloat16'))(images_of(33, batch_size=2))
  compiled = step_of(make('mobilenet_v2', compute_dtype='bfloat16'), jit_compile=True)(
    images_of(33, batch_size=2)
  )
  # Dropout, too, draws other random numbers.
  assert compiled[0] == pytest.approx(plain[0], rel=0.01)


@pytest.mark.parametrize('variant', ['resnet_v2_50', 'mobilenet_v2'])
def test_training_step_compiles_with_xla(variant, monkeypatch):
  # XLA draws other random numbers.
  monkeypatch.setattr(prediction_model, '_dropout', lambda net, seed: net)
  # Both round differently, and the random weights amplify it: images that differ by 3e-7 change
  # these gradients by 3 %.
  monkeypatch.setattr(convolution, '_FILTERING_DEPTH', 10**6)
  plain = step_of(make(variant, batch_norm_decay=0.5))(images_of(33, batch_size=2))
  compiled = step_of(make(variant, batch_norm_decay=0.5), jit_compile=True)(
    images_of(33, batch_size=2)
  )
  assert_same_step(compiled, plain, tolerance=0.1)


@pytest.mark.parametrize(
  'function, shapes',
  [
    (own_gradients.bias_add, [[2, 33, 33, 16], [16]]),
    (projection.spatial_mean, [[2, 33, 33, 16]]),
    (
      lambda *args: expansion.normalized_expansion(*args, epsilon=1e-3, activation_fn=tf.nn.relu6)[
        0
      ],
      [[2, 33, 33, 16], [1, 1, 16, 96], [96], [96]],
    ),
    (functools.partial(pairs.conv2d, rate=20), [[2, 33, 33, 16], [9, 16, 8]]),
  ],
  ids=['biases', 'mean', 'expansion', 'pairs'],
)
def test_pieces_of_a_step_compile_with_xla(function, shapes):
  """Alone, where nothing amplifies rounding: values and gradients."""
  random = np.random.default_rng(7)
  arguments = [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]

  def run(*arguments):
    with tf.GradientTape() as tape:
      tape.watch(arguments)
      outputs = function(*arguments)
      loss = tf.reduce_sum(tf.cos(outputs) * outputs)
    return outputs, *tape.gradient(loss, arguments)

  plain, compiled = (
    tf.function(run, autograph=False, jit_compile=each)(*arguments) for each in (None, True)
  )
  for one, other in zip(compiled, plain, strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * np.abs(other).max())


def test_minimal_filtering_gives_the_same_logits(monkeypatch):
  """ResNet-50 at stride 8, whose atrous units and branches use it, with known and unknown sizes,
  frozen and not.
  """
  model = make('resnet_v2_50')
  images = images_of(129)
  with monkeypatch.context() as patch:
    patch.setattr(convolution, '_FILTERING_DEPTH', 10**6)
    expected = model.predict(images).numpy()
  unknown_size = tf.function(
    model.predict,
    autograph=False,
    input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
  )
  with layers.frozen_weights():
    frozen = tf.function(model.predict, autograph=False)(images)
  for logits in (model.predict(images), unknown_size(images), frozen):
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    assert np.abs(logits - expected).max() > 0  # Something was filtered.


@pytest.mark.parametrize('compute_dtype', ['float32', 'bfloat16'])
def test_prediction_compiles_with_xla(compute_dtype):
  model = make('mobilenet_v2', compute_dtype=compute_dtype)
  compiled = tf.function(model.predict, autograph=False, jit_compile=True)(images_of())
  expected = model.predict(images_of()).numpy()
  tolerance = 1e-4 if compute_dtype == 'float32' else 0.05
  assert np.linalg.norm(compiled - expected) < tolerance * np.linalg.norm(expected)
