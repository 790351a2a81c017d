"""DeepLabv3 and DeepLabv3+: images to logits."""

import functools

import tensorflow as tf

from deeplab.model import arg_scopes
from deeplab.model.aspp import DROPOUT_RATE, atrous_spatial_pyramid_pooling
from deeplab.model.backbones import build_backbone
from deeplab.model.decoder import decoder
from deeplab.model.label_map import resized_argmax
from deeplab.model.layers import conv2d, resize_bilinear
from deeplab.model.normalization import normalize
from deeplab.model.recomputation import maybe_recompute
from deeplab.model.sizes import spatial_size
from deeplab.model.slim_bridge import create_variables, slim, variable_scope, variables_from


class DeepLabV3PredictionModel(tf.Module):
  """The network, with its variables under slim's names.

  Make it inside the scope of the `tf.distribute` strategy that will train it.

  Attributes:
    options: the ModelOptions.
    named_variables: dict of checkpoint name -> tf.Variable, all of them.
    trainable: the same without the moving statistics of batch norm.
  """

  def __init__(
    self, options, *, batch_norm_decay=None, compute_dtype='float32', recompute_gradients=False
  ):
    """Makes the variables.

    Args:
      options: ModelOptions.
      batch_norm_decay: decay of the moving statistics everywhere; None for each part's own.
      compute_dtype: 'float32', 'bfloat16' or 'float16', the type of activations and convolutions.
      recompute_gradients: keep fewer activations in training, at the price of computing them twice.
    """
    super().__init__()
    self.options = options
    self._batch_norm_decay = batch_norm_decay
    self._compute_dtype = tf.as_dtype(compute_dtype)
    self._recompute_gradients = recompute_gradients
    # Any size makes the same variables; a small one with known shape traces fastest.
    self.named_variables = create_variables(
      lambda: self._logits(tf.compat.v1.placeholder(tf.float32, [1, 65, 65, 3]), False, False, None)
    )
    self.trainable = {
      name: variable for name, variable in self.named_variables.items() if variable.trainable
    }

  def predict(self, images, *, is_training=False, fine_tune_batch_norm=True, dropout_seed=None):
    """Logits of every pixel.

    Args:
      images: float32 or uint8 [B, H, W, 3], RGB in [0, 255].
      is_training: apply dropout, and batch norm as the next argument says.
      fine_tune_batch_norm: in training, use the batch's statistics and update the moving ones.
      dropout_seed: int32 [2], makes dropout a function of it; None draws one.

    Returns:
      float32 [B, H, W, num_classes].
    """
    logits = self.predict_low_resolution(
      images,
      is_training=is_training,
      fine_tune_batch_norm=fine_tune_batch_norm,
      dropout_seed=dropout_seed,
    )
    return self.upsample(logits, spatial_size(images))

  def predict_low_resolution(
    self, images, *, is_training=False, fine_tune_batch_norm=True, dropout_seed=None
  ):
    """As `predict`, before the last resize: float32 [B, h, w, num_classes], at the output stride,
    or at 4 with decoder.
    """
    with variables_from(self.named_variables):
      return self._logits(images, is_training, is_training and fine_tune_batch_norm, dropout_seed)

  def upsample(self, logits, size):
    """Resizes logits [B, h, w, C] to [B, height, width, C] in the network's convention; size is
    (height, width).
    """
    return resize_bilinear(logits, size, align_corners=self.options.align_corners)

  def predict_labels(self, images):
    """The most probable class of every pixel, int32 [B, H, W]; arguments as `predict`."""
    logits = self.predict_low_resolution(images)
    return resized_argmax(logits, spatial_size(images), align_corners=self.options.align_corners)

  def l2_loss(self):
    """weight_decay * sum(w ** 2) / 2 over the weights of all convolutions but depthwise ones:
    float32 scalar.
    """
    decayed = [
      variable for name, variable in self.named_variables.items() if name.endswith('/weights')
    ]
    return self.options.weight_decay * tf.add_n([tf.nn.l2_loss(variable) for variable in decayed])

  def _logits(self, images, is_training, batch_norm_is_training, dropout_seed):
    options = self.options
    images = tf.cast(normalize(images, options.preprocess_images_option), self._compute_dtype)
    recompute = self._recompute_gradients and is_training
    # Drawn here, so that a recomputed dropout is the same.
    if is_training and dropout_seed is None:
      dropout_seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
    features, low_level_features = build_backbone(
      images,
      options,
      is_training=batch_norm_is_training,
      batch_norm_decay=self._batch_norm_decay,
      recompute=recompute,
    )
    with slim.arg_scope(
      arg_scopes.head_arg_scope(
        is_training=batch_norm_is_training, batch_norm_decay=self._batch_norm_decay
      )
    ):
      pyramid = functools.partial(
        atrous_spatial_pyramid_pooling,
        atrous_rates=options.atrous_rates,
        separable=options.aspp_with_separable_conv,
        image_level=options.use_image_level_feature,
        dropout=functools.partial(_dropout, seed=dropout_seed) if is_training else tf.identity,
      )
      net = maybe_recompute(pyramid, recompute)(features)
      if options.use_decoder:
        refine = functools.partial(
          decoder,
          separable=options.decoder_with_separable_conv,
          align_corners=options.align_corners,
        )
        net = maybe_recompute(refine, recompute)(net, low_level_features)
      with variable_scope('logits'):
        logits = conv2d(
          net, options.num_classes, 1, activation_fn=None, normalizer_fn=None, scope='semantic'
        )
    return tf.cast(logits, tf.float32)


def _dropout(net, seed):
  return tf.nn.experimental.stateless_dropout(net, rate=DROPOUT_RATE, seed=seed)
