"""DeepLabv3 and DeepLabv3+: images to logits."""

import copy
import functools
import typing
from collections.abc import Callable, Sequence

import tensorflow as tf

from deeplab.model.arg_scopes import head_arg_scope
from deeplab.model.aspp import DROPOUT_RATE, atrous_spatial_pyramid_pooling
from deeplab.model.decoder import decoder
from deeplab.model.feature_extractor import extract_features
from deeplab.model.layers import conv2d
from deeplab.model.normalization import normalize
from deeplab.model.recomputation import maybe_recompute
from deeplab.model.slim_bridge import create_variables, slim, variable_scope, variables_from
from deeplab.operations.dispatch import Operations
from deeplab.operations.plain import resize_bilinear
from deeplab.operations.sizes import Size, spatial_size
from deeplab.options import ModelOptions


class DeepLabV3PredictionModel(tf.Module):
  """The network, with its variables under slim's names.

  Make it inside the scope of the `tf.distribute` strategy that will train it.

  Attributes:
    options: the ModelOptions.
    operations: the operations.dispatch.Operations that it computes with.
    named_variables: dict of checkpoint name -> tf.Variable, all of them.
    trainable: the same without the moving statistics of batch norm.
  """

  def __init__(
    self,
    options: ModelOptions,
    *,
    batch_norm_decay: float | None = None,
    compute_dtype: str = 'float32',
    recompute_gradients: bool = False,
    operations: str | Operations = 'auto',
  ):
    """Makes the variables.

    Args:
      batch_norm_decay: decay of the moving statistics everywhere; None for each part's own.
      compute_dtype: 'float32', 'bfloat16' or 'float16', the type of activations and convolutions.
      recompute_gradients: keep fewer activations in training, at the price of computing them twice.
      operations: 'auto', 'plain', or Operations.
    """
    super().__init__()
    self.options = options
    self.operations = Operations(operations) if isinstance(operations, str) else operations
    self._batch_norm_decay = batch_norm_decay
    self._compute_dtype = tf.as_dtype(compute_dtype)
    self._recompute_gradients = recompute_gradients
    self.named_variables = create_variables(self._build)
    self.trainable = {
      name: variable for name, variable in self.named_variables.items() if variable.trainable
    }

  def with_operations(self, operations: Operations) -> 'DeepLabV3PredictionModel':
    """The same network and variables, computed in float32 with other operations."""
    model = copy.copy(self)
    model.operations, model._compute_dtype = operations, tf.float32
    return model

  def predict(
    self,
    images: tf.Tensor,
    *,
    is_training: bool = False,
    fine_tune_batch_norm: bool = True,
    dropout_seed: tf.Tensor | None = None,
    share: tuple[int | tf.Tensor, int] = (0, 1),
    constant_weights: bool = False,
  ) -> tf.Tensor:
    """Logits of every pixel.

    Args:
      images: float32 or uint8 [B, H, W, 3], RGB in [0, 255].
      is_training: apply dropout, and batch norm as the next argument says.
      fine_tune_batch_norm: in training, use the batch's statistics and update the moving ones.
      dropout_seed: int32 [2], makes dropout a function of it; None draws one.
      share: (index, number): `images` are this one of so many equal parts of a batch, over which
        dropout is drawn, so that it does not depend on how many devices share the batch.
      constant_weights: the variables will not change any more, so a function that is traced from
        this may keep what depends on them alone; the numbers are the same.

    Returns:
      float32 [B, H, W, num_classes].
    """
    logits = self.predict_low_resolution(
      images,
      is_training=is_training,
      fine_tune_batch_norm=fine_tune_batch_norm,
      dropout_seed=dropout_seed,
      share=share,
      constant_weights=constant_weights,
    )
    return self.upsample(logits, spatial_size(images))

  def predict_low_resolution(
    self,
    images: tf.Tensor,
    *,
    is_training: bool = False,
    fine_tune_batch_norm: bool = True,
    dropout_seed: tf.Tensor | None = None,
    share: tuple[int | tf.Tensor, int] = (0, 1),
    constant_weights: bool = False,
  ) -> tf.Tensor:
    """As `predict`, before the last resize: float32 [B, h, w, num_classes], at the output stride,
    or at 4 with decoder.
    """
    if is_training and dropout_seed is None:  # Here, so that a recomputed dropout is the same.
      dropout_seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
    operations = self.operations
    if not is_training:
      operations = operations.with_constant_weights(keep_prepared=constant_weights)
    run = _Pass(
      operations,
      uses_batch_statistics=is_training and fine_tune_batch_norm,
      recompute=is_training and self._recompute_gradients,
      dropout=functools.partial(_dropout, seed=dropout_seed, share=share)
      if is_training
      else tf.identity,
    )
    with variables_from(self.named_variables):
      return self._logits(images, run)

  def upsample(self, logits: tf.Tensor, size: Sequence[Size]) -> tf.Tensor:
    """Resizes logits [B, h, w, C] to [B, height, width, C] in the network's convention; size is
    (height, width).
    """
    return resize_bilinear(logits, size, align_corners=self.options.align_corners)

  def predict_labels(self, images: tf.Tensor, *, constant_weights: bool = False) -> tf.Tensor:
    """The most probable class of every pixel, int32 [B, H, W]; arguments as `predict`."""
    logits = self.predict_low_resolution(images, constant_weights=constant_weights)
    return self.operations.resized_argmax(
      logits, spatial_size(images), align_corners=self.options.align_corners
    )

  def l2_loss(self) -> tf.Tensor:
    """weight_decay * sum(w ** 2) / 2 over the weights of all convolutions but depthwise ones:
    float32 scalar.
    """
    decayed = [
      variable for name, variable in self.named_variables.items() if name.endswith('/weights')
    ]
    return self.options.weight_decay * tf.add_n([tf.nn.l2_loss(variable) for variable in decayed])

  def _build(self):
    # Any size makes the same variables; a small one with known shape traces fastest.
    images = tf.compat.v1.placeholder(tf.float32, [1, 65, 65, 3])
    return self._logits(images, _Pass(self.operations, False, recompute=False, dropout=tf.identity))

  # === The paper's figure; `run` is the _Pass ===

  def _logits(self, images, run):
    net = self._normalize(images)
    net, low_level_features = self._backbone(net, run)
    net = self._aspp(net, run)
    net = self._decoder(net, low_level_features, run)
    return self._semantic(net, run)

  def _normalize(self, images):
    return tf.cast(normalize(images, self.options.preprocess_images_option), self._compute_dtype)

  def _backbone(self, images, run):
    return extract_features(images, self.options, recompute=run.recompute, **self._layers(run))

  def _aspp(self, features, run):
    pyramid = functools.partial(
      atrous_spatial_pyramid_pooling,
      atrous_rates=self.options.atrous_rates,
      separable=self.options.aspp_with_separable_conv,
      image_level=self.options.use_image_level_feature,
      dropout=run.dropout,
    )
    with slim.arg_scope(head_arg_scope(**self._layers(run))):
      return maybe_recompute(pyramid, run.recompute)(features)

  def _decoder(self, features, low_level_features, run):
    if not self.options.use_decoder:
      return features
    refine = functools.partial(
      decoder,
      separable=self.options.decoder_with_separable_conv,
      align_corners=self.options.align_corners,
    )
    with slim.arg_scope(head_arg_scope(**self._layers(run))):
      return maybe_recompute(refine, run.recompute)(features, low_level_features)

  def _semantic(self, net, run):
    with slim.arg_scope(head_arg_scope(**self._layers(run))), variable_scope('logits'):
      logits = conv2d(
        net, self.options.num_classes, 1, activation_fn=None, normalizer_fn=None, scope='semantic'
      )
    return tf.cast(logits, tf.float32)

  def _layers(self, run):
    """How the layers of all parts compute."""
    return dict(
      operations=run.operations,
      is_training=run.uses_batch_statistics,
      batch_norm_decay=self._batch_norm_decay,
    )


class _Pass(typing.NamedTuple):
  """How one pass through the network is made.

  Attributes:
    operations: Operations.
    uses_batch_statistics: batch norm normalizes by the batch and updates the moving statistics.
    recompute: activations are computed again for the gradients.
    dropout: function applied to the output of ASPP.
  """

  operations: Operations
  uses_batch_statistics: bool
  recompute: bool
  dropout: Callable


def _dropout(net, seed, share):
  index, number = share
  if number == 1:
    return tf.nn.experimental.stateless_dropout(net, rate=DROPOUT_RATE, seed=seed)
  images = tf.shape(net)[0]
  whole = tf.concat([[images * number], tf.shape(net)[1:]], axis=0)
  factors = tf.nn.experimental.stateless_dropout(
    tf.ones(whole, net.dtype), rate=DROPOUT_RATE, seed=seed
  )
  return net * factors[index * images : (index + 1) * images]
