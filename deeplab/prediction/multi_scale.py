"""Logits of an image from one pass of the network, or averaged over scales and mirror images."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.operations.plain import resize_bilinear
from deeplab.options import PredictionOptions
from deeplab.prediction import image_padding

# Keeps the logarithm of a probability that underflowed finite.
_TINY = 1e-37
# tf-slim has one stack of scopes for all threads.
_TRACING = threading.Lock()


def is_single_pass(options: PredictionOptions) -> bool:
  """Whether these options mean the network's own logits."""
  return tuple(options.eval_scales) == (1.0,) and not options.add_flipped_images


def logits_function(
  model: DeepLabV3PredictionModel,
  options: PredictionOptions,
  *,
  jit_compile: bool = False,
  constant_weights: bool = False,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
  """`predict_logits` of a model as a callable (images, sizes) -> logits, to call while tracing.

  Args:
    jit_compile: compile this part with XLA, once for every shape it meets. What is around it need
      not be compilable.
    constant_weights: the variables will not change any more, so a single pass prepares the weights
      once, while this is traced.
  """

  def logits(images, sizes):
    return predict_logits(model, images, sizes, options, constant_weights=constant_weights)

  return tf.function(logits, autograph=False, jit_compile=True) if jit_compile else logits


class AnySizeFunction:
  """The tf.function of a function of images uint8 [B, H, W, 3] and sizes int32 [B, 2], which is
  traced once for all sizes, by one thread at a time.
  """

  def __init__(self, function: Callable):
    self._function = tf.function(
      function,
      autograph=False,
      input_signature=[
        tf.TensorSpec([None, None, None, 3], tf.uint8),
        tf.TensorSpec([None, 2], tf.int32),
      ],
    )

  def __call__(self, images: np.ndarray, sizes: np.ndarray) -> Any:
    """What the function returns."""
    if not self.num_traces:
      self.get_concrete_function()
    return self._function(images, sizes)

  @property
  def num_traces(self) -> int:
    """How often it was traced."""
    return self._function.experimental_get_tracing_count()

  def get_concrete_function(self) -> Any:
    """TensorFlow's, traced if it was not before."""
    with _TRACING:
      return self._function.get_concrete_function()


def predict_logits(
  model: DeepLabV3PredictionModel,
  images: tf.Tensor,
  sizes: tf.Tensor,
  options: PredictionOptions,
  *,
  constant_weights: bool = False,
) -> tf.Tensor:
  """Logits of padded images, from all scales and flips.

  One pass gives the network's logits, unchanged. Several give the logarithm of the mean of their
  softmax, which is a set of logits whose softmax is that mean, so argmax, probabilities and cross
  entropy are read off it in the same way.

  Args:
    images: uint8 [B, H, W, 3]; padded at the bottom and right where `options` says so.
    sizes: int32 [B, 2], height and width of each image without its padding.
    constant_weights: as for `model.predict`; for a single pass, since each keeps weights of its
      own.

  Returns:
    float32 [B, H, W, num_classes].
  """
  images = _with_padding(model, images, sizes, options)
  if is_single_pass(options):
    return model.predict(images, constant_weights=constant_weights)
  images = tf.cast(images, tf.float32)
  total, passes = 0.0, 0
  for scale in options.eval_scales:
    scaled = _at_scale(images, scale)
    for mirrored in (False, True) if options.add_flipped_images else (False,):
      logits = _one_pass(
        model, scaled, mirrored=mirrored, pad_to_stride=options.pad_size(model.options) == 'stride'
      )
      if scale != 1.0:
        logits = _resize(logits, tf.shape(images)[1:3])
      total += tf.nn.softmax(logits)
      passes += 1
  return log_probabilities(total / passes)


def log_probabilities(probabilities: tf.Tensor) -> tf.Tensor:
  """Logits whose softmax is `probabilities`; finite where those are 0."""
  return tf.math.log(tf.maximum(probabilities, _TINY))


def predict_labels(
  model: DeepLabV3PredictionModel,
  images: tf.Tensor,
  sizes: tf.Tensor,
  options: PredictionOptions,
  *,
  constant_weights: bool = False,
) -> tf.Tensor:
  """The class of every pixel, int32 [B, H, W], for options of a single pass: `predict_logits`
  without all logits in memory.
  """
  images = _with_padding(model, images, sizes, options)
  return model.predict_labels(images, constant_weights=constant_weights)


def _with_padding(model, images, sizes, options):
  if options.pad_size(model.options) is None:
    return images
  fill = getattr(model, 'fill_padding', image_padding.fill_padding)  # A model may need bytes.
  return fill(images, sizes, model.options.preprocess_images_option)


def _one_pass(model, images, *, mirrored, pad_to_stride):
  """The network's logits [B, h, w, C] of float32 images [B, h, w, 3], mirrored before and back
  after if asked.
  """
  height, width = tf.unstack(tf.shape(images)[1:3])
  if mirrored:
    images = tf.reverse(images, axis=[2])
  if pad_to_stride:  # After scaling the size is in general none of the network's own.
    images = image_padding.pad_to_stride(
      images, model.options.output_stride, model.options.preprocess_images_option
    )
  logits = model.predict(images)[:, :height, :width]
  return tf.reverse(logits, axis=[2]) if mirrored else logits


def _at_scale(images, scale):
  """Images [B, H, W, 3] resized: the distance of the corner pixels is multiplied by `scale`."""
  if scale == 1.0:
    return images
  size = tf.cast(tf.shape(images)[1:3] - 1, tf.float32) * scale + 1.0
  return _resize(images, tf.cast(size, tf.int32))


def _resize(tensor, size):
  # Corner-aligned whatever the network's own convention: these sizes put the corner pixels on each
  # other.
  return resize_bilinear(tensor, tf.unstack(size), align_corners=True)
