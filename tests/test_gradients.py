"""Every variable of every network gets a gradient, and the loss changes as much as the gradient
says.
"""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions

VARIANTS = [
  dict(model_variant='resnet_v1_50', atrous_rates=(2, 6), use_decoder=True),
  dict(
    model_variant='resnet_v2_50',
    output_stride=8,
    atrous_rates=(2, 6, 12),
    use_decoder=True,
    decoder_with_separable_conv=False,
  ),
  dict(
    model_variant='mobilenet_v2',
    output_stride=8,
    atrous_rates=(2, 6),
    aspp_with_separable_conv=True,
    use_decoder=True,
  ),
]


@pytest.mark.parametrize('compute_dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('options', VARIANTS, ids=lambda options: options['model_variant'])
def test_every_variable_has_a_gradient_that_predicts_the_loss(options, compute_dtype):
  tf.random.set_seed(3)
  model = DeepLabV3PredictionModel(
    ModelOptions(num_classes=4, **options), compute_dtype=compute_dtype
  )
  images = tf.constant(np.random.default_rng(0).uniform(0, 255, [2, 65, 65, 3]), tf.float32)

  @tf.function(autograph=False)
  def loss_and_gradients():
    with tf.GradientTape() as tape:
      logits = model.predict_low_resolution(
        images, is_training=True, fine_tune_batch_norm=False, dropout_seed=tf.constant([1, 2])
      )
      loss = tf.reduce_mean(tf.nn.log_softmax(logits)[..., 0])
    return loss, tape.gradient(loss, model.trainable)

  before, gradients = loss_and_gradients()
  assert [
    name for name, gradient in gradients.items() if gradient is None or not np.any(gradient)
  ] == []
  # There no step is small and still seen.
  if compute_dtype != 'float32' or options['model_variant'] == 'mobilenet_v2':
    return
  # Of each kernel by itself, a step along its gradient: a wrong one would change the loss by
  # another amount.
  for name in [name for name in gradients if name.endswith(('conv2/weights', 'aspp1/weights'))][
    ::4
  ]:
    gradient = gradients[name].numpy().astype(np.float64)
    step = 1e-3 * abs(float(before)) / np.sum(gradient**2) * gradient
    value = model.named_variables[name].numpy()
    losses = []
    for sign in (1, -1):
      model.named_variables[name].assign(value + sign * step)
      losses.append(float(loss_and_gradients()[0]))
    model.named_variables[name].assign(value)
    assert losses[0] - losses[1] == pytest.approx(2e-3 * abs(float(before)), rel=0.05), name
