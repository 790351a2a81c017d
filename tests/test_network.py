"""The whole network: fast operations against plain ones, in prediction and training, and what else
may not change its numbers: constant weights, low precision, recomputation, XLA.
"""

import contextlib
import functools

import numpy as np
import pytest
import tensorflow as tf

from deeplab.model import prediction_model
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions

pytestmark = pytest.mark.usefixtures('short_networks')

# All kinds of layers; the ResNets at stride 8 have deep atrous units.
VARIANTS = {
  'resnet_v1_50': dict(output_stride=16, atrous_rates=(2, 6)),
  'resnet_v2_50': dict(output_stride=8, atrous_rates=(2, 6, 12), decoder_with_separable_conv=False),
  'mobilenet_v2': dict(output_stride=8, atrous_rates=(2, 6), aspp_with_separable_conv=True),
  'xception_65': dict(output_stride=8, atrous_rates=(2, 6), aspp_with_separable_conv=True),
}


# Of images in training.
SIDE = 65


def make(variant, *, options=None, **settings):
  """A network with random statistics; the same for the same variant and options."""
  options = ModelOptions(
    model_variant=variant,
    **{'num_classes': 5, 'use_decoder': True, **VARIANTS[variant], **(options or {})},
  )
  tf.random.set_seed(1)
  model = DeepLabV3PredictionModel(options, **settings)
  random = np.random.default_rng(2)
  for name, variable in model.named_variables.items():
    if name.endswith(('gamma', 'moving_variance')):
      variable.assign(random.uniform(0.7, 1.4, size=variable.shape))
    elif name.endswith(('beta', 'moving_mean')):
      variable.assign(0.2 * random.normal(size=variable.shape))
  return model


def images_of(height=65, width=None, *, batch_size=1):
  random = np.random.default_rng(3)
  return tf.constant(random.uniform(0, 255, [batch_size, height, width or height, 3]), tf.float32)


def prediction(model, *, known_size=True, constant_weights=False):
  size = [1, 65, 81, 3] if known_size else [None, None, None, 3]
  function = tf.function(
    lambda images: model.predict(images, constant_weights=constant_weights),
    autograph=False,
    input_signature=[tf.TensorSpec(size)],
  )
  return function(images_of(65, 81)).numpy()


@pytest.fixture(
  scope='module',
  params=[
    # Both kinds of ResNet have the same operations.
    pytest.param(name, marks=pytest.mark.slow if name in ('resnet_v1_50', 'xception_65') else [])
    for name in VARIANTS
  ],
)
def variant_and_logits(request):
  """(variant, logits by plain operations)."""
  return request.param, prediction(make(request.param, operations='plain'))


@pytest.mark.parametrize('constant_weights', [False, True])
@pytest.mark.parametrize('known_size', [True, False])
def test_logits(variant_and_logits, known_size, constant_weights):
  variant, expected = variant_and_logits
  settings = dict(known_size=known_size, constant_weights=constant_weights)
  logits = prediction(make(variant), **settings)
  np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
  assert np.any(logits != expected)  # They were computed in another way.


@pytest.mark.parametrize(
  'operations, constant_weights', [('plain', False), ('auto', False), ('auto', True)]
)
def test_bfloat16_is_near_and_returns_float32(variant_and_logits, operations, constant_weights):
  variant, expected = variant_and_logits
  model = make(variant, compute_dtype='bfloat16', operations=operations)
  logits = prediction(model, constant_weights=constant_weights)
  assert logits.dtype == np.float32
  assert np.linalg.norm(logits - expected) < 0.05 * np.linalg.norm(expected)


def test_plain_operations_follow_the_weights_even_if_they_are_called_constant():
  model = make('mobilenet_v2', operations='plain')
  function = tf.function(
    lambda images: model.predict(images, constant_weights=True), autograph=False
  )
  before = function(images_of()).numpy()
  gamma = model.named_variables['decoder/decoder_conv1_depthwise/BatchNorm/gamma']
  gamma.assign(3.0 * gamma)
  assert np.abs(function(images_of()).numpy() - before).max() > 1e-3 * np.abs(before).max()


def test_weights_are_followed_unless_they_are_constant():
  model = make('mobilenet_v2')
  followed, kept = (
    tf.function(
      lambda images, constant=constant: model.predict(images, constant_weights=constant),
      autograph=False,
    )
    for constant in (False, True)
  )
  before = followed(images_of()).numpy()
  np.testing.assert_array_equal(kept(images_of()), before)
  gamma = model.named_variables['decoder/decoder_conv1_depthwise/BatchNorm/gamma']
  gamma.assign(3.0 * gamma)
  assert np.abs(followed(images_of()) - before).max() > 1e-3 * np.abs(before).max()
  np.testing.assert_array_equal(kept(images_of()), before)


# === Training ===


def step_of(model, *, jit_compile=None, live_statistics=True):
  """A function: images -> (loss, {name: gradient}, {name: moving statistic afterwards})."""

  @tf.function(autograph=False, jit_compile=jit_compile)
  def step(images):
    labels = tf.cast(tf.reduce_sum(images, axis=-1), tf.int32) % 5
    with tf.GradientTape() as tape:
      logits = model.predict_low_resolution(
        images,
        is_training=True,
        fine_tune_batch_norm=live_statistics,
        dropout_seed=tf.constant([1, 2]),
      )
      losses = model.operations.resized_cross_entropy(logits, labels, align_corners=False)
      loss = tf.reduce_mean(losses) + model.l2_loss()
    return loss, tape.gradient(loss, model.trainable)

  def run(images):
    loss, gradients = step(images)
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    statistics = {
      name: variable.numpy() for name, variable in model.named_variables.items() if '/mov' in name
    }
    return float(loss), {name: each.numpy() for name, each in gradients.items()}, statistics

  return run


def assert_same_step(actual, expected, tolerance):
  """Loss, each gradient in relation to its norm, and moving statistics."""
  assert actual[0] == pytest.approx(expected[0], rel=tolerance)
  largest = max(np.linalg.norm(gradient) for gradient in expected[1].values())
  for name, gradient in expected[1].items():
    # A gradient may be next to nothing, as that of a bias before a batch norm.
    norm = max(np.linalg.norm(gradient), 1e-4 * largest)
    assert np.linalg.norm(actual[1][name] - gradient) <= tolerance * norm, name
  for name, values in expected[2].items():
    np.testing.assert_allclose(
      actual[2][name], values, rtol=tolerance, atol=tolerance * np.abs(values).max(), err_msg=name
    )


@contextlib.contextmanager
def smooth_activations():
  """Rectifiers without a kink: one that flips by rounding would hide an error, or make one up."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tf.nn, 'relu', tf.nn.softplus)
    patch.setattr(tf.nn, 'relu6', lambda net: 6.0 * tf.nn.sigmoid(net - 3.0))
    yield


@pytest.fixture(scope='module')
def result_of_step():
  """A function that makes a network, with smooth activations, and does one step: variant, settings
  -> what the function of `step_of` returns; the same again without doing it again.
  """

  @functools.cache
  def result(variant, *, live_statistics=True, **settings):
    with smooth_activations():
      model = make(variant, **settings)
      return step_of(model, live_statistics=live_statistics)(images_of(SIDE, batch_size=2))

  return result


# ResNet v1 is made of the layers of v2 in another order, Xception of those of MobileNetV2.
_SOME_BY_HAND = [
  pytest.param(name, marks=pytest.mark.slow) if name in ('resnet_v1_50', 'xception_65') else name
  for name in VARIANTS
]


@pytest.mark.parametrize(
  'variant',
  [
    # Its gradients with live statistics, below, are those of the same operations and two more.
    pytest.param(name, marks=pytest.mark.slow) if name != 'mobilenet_v2' else name
    for name in VARIANTS
  ],
)
def test_training_step_with_stored_statistics(variant, result_of_step):
  """Every variable has a gradient, whatever computes; in bfloat16 both are as near to float32."""
  results = {
    (dtype, operations): result_of_step(
      variant, compute_dtype=dtype, operations=operations, live_statistics=False
    )
    for dtype in ('float32', 'bfloat16')
    for operations in ('plain', 'auto')
  }
  for _, gradients, _ in results.values():
    assert [name for name, gradient in gradients.items() if not np.any(gradient)] == []
  expected = results['float32', 'plain']
  assert_same_step(results['float32', 'auto'], expected, 2e-4)
  errors = {
    operations: sum(
      np.linalg.norm(results['bfloat16', operations][1][name] - gradient) / np.linalg.norm(gradient)
      for name, gradient in expected[1].items()
    )
    for operations in ('plain', 'auto')
  }
  assert errors['auto'] < 1.2 * errors['plain']
  assert results['bfloat16', 'auto'][0] == pytest.approx(expected[0], rel=0.02)


# Statistics that move twice instead of once show with decay 0.5.
LIVE = dict(batch_norm_decay=0.5)


@pytest.mark.parametrize('variant', _SOME_BY_HAND)
def test_training_step_with_live_statistics(variant, result_of_step):
  plain, auto = (
    result_of_step(variant, operations=operations, **LIVE) for operations in ('plain', 'auto')
  )
  assert_same_step(auto, plain, 2e-3)


@pytest.mark.parametrize('operations', ['plain', 'auto'])
@pytest.mark.parametrize(
  'variant',
  ['resnet_v2_50', 'mobilenet_v2', pytest.param('xception_65', marks=pytest.mark.slow)],
)
def test_recomputation_changes_nothing(variant, operations, result_of_step):
  """Not gradients, and statistics move once, not twice."""
  kept = result_of_step(variant, operations=operations, **LIVE)
  recomputed = result_of_step(variant, operations=operations, recompute_gradients=True, **LIVE)
  assert_same_step(recomputed, kept, 2e-3)


def test_the_loss_changes_as_much_as_the_gradient_says():
  """Of deep kernels by themselves, a step along the gradient: a wrong one changes it otherwise."""
  model = make('resnet_v2_50')
  step = step_of(model, live_statistics=False)
  loss, gradients, _ = step(images_of())
  names = [name for name in gradients if name.endswith(('conv2/weights', 'aspp1/weights'))]
  for name in names[::3]:
    gradient = gradients[name].astype(np.float64)
    change = 1e-3 * abs(loss) / np.sum(gradient**2) * gradient
    value = model.named_variables[name].numpy()
    losses = []
    for sign in (1, -1):
      model.named_variables[name].assign(value + sign * change)
      losses.append(step(images_of())[0])
    model.named_variables[name].assign(value)
    assert losses[0] - losses[1] == pytest.approx(2e-3 * abs(loss), rel=0.05), name


# === XLA, which takes its time: small networks; predictions are in test_constant_weights.py ===


@pytest.fixture
def without_dropout(monkeypatch):
  """XLA draws other random numbers."""
  monkeypatch.setattr(prediction_model, '_dropout', lambda net, seed, share: net)


def test_training_step_compiles_with_xla(without_dropout):
  options = dict(depth_multiplier=0.35, output_stride=16, atrous_rates=(2,), use_decoder=False)
  with smooth_activations():
    plain, compiled = (
      step_of(make('mobilenet_v2', batch_norm_decay=0.5, options=options), jit_compile=jit_compile)(
        images_of(33, batch_size=2)
      )
      for jit_compile in (None, True)
    )
  # XLA of TensorFlow 2.16 rounds more than that of 2.21.
  assert_same_step(compiled, plain, 5e-3)


@pytest.mark.slow
def test_bfloat16_training_step_compiles_with_xla(without_dropout):
  """With a decoder: XLA's gradient of a bfloat16 resize has the wrong dtype."""
  options = dict(depth_multiplier=0.35, output_stride=8, atrous_rates=())
  plain, compiled = (
    step_of(
      make('mobilenet_v2', compute_dtype='bfloat16', options=options), jit_compile=jit_compile
    )(images_of(33, batch_size=2))
    for jit_compile in (None, True)
  )
  assert compiled[0] == pytest.approx(plain[0], rel=0.01)
