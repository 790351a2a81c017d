import numpy as np
import pytest
import tensorflow as tf

from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions


@pytest.mark.parametrize('variant', ['mobilenet_v2', 'resnet_v2_50'])
def test_recomputed_gradients_and_statistics_are_the_same(variant):
  images = tf.constant(np.random.default_rng(0).uniform(0, 255, [2, 33, 33, 3]), tf.float32)
  results = []
  for recompute in (False, True):
    tf.random.set_seed(1)
    model = DeepLabV3PredictionModel(
      ModelOptions(
        model_variant=variant,
        depth_multiplier=0.35 if variant == 'mobilenet_v2' else 1.0,
        use_image_level_feature=False,
        num_classes=3,
      ),
      recompute_gradients=recompute,
    )

    @tf.function(autograph=False)
    def gradients(model=model):
      with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
          model.predict(images, is_training=True, dropout_seed=tf.constant([1, 2])) ** 2
        )
      return tape.gradient(loss, model.trainable)

    computed = {name: gradient.numpy() for name, gradient in gradients().items()}
    statistics = {
      name: variable.numpy()
      for name, variable in model.named_variables.items()
      if name not in computed
    }
    results.append({**computed, **statistics})
  for name, expected in results[0].items():
    np.testing.assert_allclose(
      results[1][name], expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max(), err_msg=name
    )
