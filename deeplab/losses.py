"""Losses between logits and labels, as sums that replicas and micro-batches can add before they
divide.

A loss here is a pair (sum, count): add the sums and the counts of all parts of a batch, then
divide. Counts depend on the labels alone, so they are known before any gradient.
"""

import dataclasses

import tensorflow as tf

from deeplab import label_values
from deeplab.operations.dispatch import Operations
from deeplab.operations.plain import resize_bilinear
from deeplab.options import LossOptions

# Pixels added to both halves of the ratio; keeps it finite for a class of a few pixels.
_DICE_SMOOTHING = 1.0


def mean(total: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
  """total / count, and 0 where there was nothing to count."""
  return tf.math.divide_no_nan(total, count)


@dataclasses.dataclass(frozen=True)
class SegmentationLoss:
  """The training loss that the options describe, without the L2 term.

  Attributes:
    options: a LossOptions.
    ignore_label: label value of pixels that do not count.
    class_weights: tuple with one factor a class, or None.
  """

  options: LossOptions
  ignore_label: int
  class_weights: tuple | None = None

  def counts(self, labels: tf.Tensor) -> dict[str, tf.Tensor]:
    """{part: float32 scalar}, what the sum of each part is to be divided by, for labels [B, H, W]
    of any type.
    """
    valid, _ = _valid_pixels(labels, self.ignore_label)
    counts = {}
    for part in self.parts:
      if part == 'dice':
        counts[part] = tf.reduce_sum(tf.reduce_max(valid, axis=[1, 2]))
      elif self.options.top_k_percent_pixels < 1.0:
        # Each replica and micro-batch mines its own pixels; their means are averaged.
        counts[part] = tf.constant(1.0)
      else:
        counts[part] = tf.reduce_sum(valid)
    return counts

  def sums(
    self,
    logits: tf.Tensor,
    labels: tf.Tensor,
    *,
    step: int | tf.Tensor,
    operations: Operations,
    align_corners: bool = False,
  ) -> dict[str, tf.Tensor]:
    """The sum of each part of the loss.

    Args:
      logits: float32 [B, h, w, C], at the labels' size or coarser; then the loss is that of logits
        resized to it.
      labels: [B, H, W], of any type.
      step: integer scalar, the updates made so far.
      operations: what to compute with.
      align_corners: convention of the resize.

    Returns:
      {part: float32 scalar}.
    """
    valid, labels = _valid_pixels(labels, self.ignore_label)
    # A label out of range is an error on a CPU and NaN on a GPU; the trainer checks the range
    # itself, alike on both.
    in_range = label_values.as_indices(tf.clip_by_value(labels, 0.0, float(logits.shape[-1] - 1)))
    sums = {}
    for part in self.parts:
      if part == 'dice':
        resized = resize_bilinear(logits, labels.shape[1:3], align_corners=align_corners)
        sums[part] = tf.reduce_sum(_image_dice_losses(resized, labels, valid, self.class_weights))
        continue
      pixel_losses = operations.resized_cross_entropy(logits, in_range, align_corners=align_corners)
      # Not a product with `valid`: 0 * inf would be NaN at an ignored pixel.
      pixel_losses = tf.where(valid > 0, pixel_losses, tf.zeros_like(pixel_losses))
      if part == 'focal':
        pixel_losses *= _focal_factor(pixel_losses, self.options.focal_gamma)
      if self.class_weights is not None:
        pixel_losses *= tf.gather(tf.constant(self.class_weights, tf.float32), in_range)
      if self.options.top_k_percent_pixels < 1.0:
        sums[part] = mean_of_hardest(
          pixel_losses,
          self.options.top_k_percent_pixels,
          ramp_steps=self.options.hard_example_mining_step,
          step=step,
        )
      else:
        sums[part] = tf.reduce_sum(pixel_losses)
    return sums

  @property
  def parts(self) -> tuple[str, ...]:
    """Names of the parts whose means are added."""
    return (
      ('cross_entropy', 'dice')
      if self.options.loss == 'cross_entropy_and_dice'
      else (self.options.loss,)
    )


def mean_of_hardest(
  pixel_losses: tf.Tensor, fraction: float, *, ramp_steps: int, step: int | tf.Tensor
) -> tf.Tensor:
  """Mean of the largest pixel losses: hard example mining as in official DeepLab
  (`top_k_percent_pixels`).

  Args:
    pixel_losses: float32 tensor of any shape, 0 at ignored pixels.
    fraction: share of all pixels, ignored ones included, to keep; in (0, 1].
    ramp_steps: the share falls linearly from 1 at step 0 to `fraction` at this step; 0: `fraction`
      from the start.
    step: integer scalar, the updates made so far.

  Returns:
    float32 scalar: sum of the kept losses / number of kept losses that are not 0; 0 when there is
      none.
  """
  pixel_losses = tf.reshape(pixel_losses, [-1])
  num_pixels = tf.cast(tf.size(pixel_losses), tf.float32)
  if ramp_steps == 0:
    share = tf.constant(fraction, tf.float32)
  else:
    ratio = tf.minimum(1.0, tf.cast(step, tf.float32) / float(ramp_steps))
    share = ratio * fraction + (1.0 - ratio)
  kept = _largest(pixel_losses, tf.cast(share * num_pixels, tf.int32))
  return mean(tf.reduce_sum(kept), tf.reduce_sum(tf.cast(tf.not_equal(kept, 0.0), tf.float32)))


@tf.custom_gradient
def _largest(values, number):
  """The `number` largest of float32 [n], in no order. TensorFlow's gradient of its own operation
  computes with int32 indices, which it does on the host.
  """
  kept, indices = tf.nn.top_k(values, k=number, sorted=False)

  def gradient(upstream):
    places = tf.cast(indices, tf.int64)[:, tf.newaxis]
    return tf.scatter_nd(places, upstream, tf.shape(values, out_type=tf.int64)), None

  return kept, gradient


def _valid_pixels(labels, ignore_label):
  """(float32 1 where a pixel counts and 0 elsewhere, labels as float32 with 0 in place of what does
  not count).
  """
  labels = label_values.as_numbers(labels)
  counted = tf.not_equal(labels, float(ignore_label))
  return tf.cast(counted, tf.float32), tf.where(counted, labels, tf.zeros_like(labels))


def _focal_factor(pixel_losses, gamma):
  """(1 - probability of the true class) ** gamma (Lin et al., 2017), of the cross entropy of each
  pixel.
  """
  # -expm1(-x) is 1 - exp(-x) without cancellation; the floor keeps the power's derivative finite
  # for gamma below 1.
  return tf.pow(tf.maximum(-tf.math.expm1(-pixel_losses), 1e-7), gamma)


def _image_dice_losses(logits, labels, valid, class_weights):
  """float32 [B]: 1 - soft Dice coefficient (Milletari et al., 2016), a mean over the classes each
  image's label holds.
  """
  num_classes = logits.shape[-1]
  probabilities = tf.nn.softmax(tf.cast(logits, tf.float32)) * valid[..., tf.newaxis]
  truth = tf.one_hot(label_values.as_indices(labels), num_classes) * valid[..., tf.newaxis]
  both = tf.reduce_sum(probabilities * truth, axis=[1, 2])
  truth_size = tf.reduce_sum(truth, axis=[1, 2])
  sizes = tf.reduce_sum(probabilities, axis=[1, 2]) + truth_size
  dice = (2.0 * both + _DICE_SMOOTHING) / (sizes + _DICE_SMOOTHING)
  weights = tf.cast(truth_size > 0, tf.float32)
  if class_weights is not None:
    weights *= tf.constant(class_weights, tf.float32)
  return tf.math.divide_no_nan(
    tf.reduce_sum(weights * (1.0 - dice), axis=1), tf.reduce_sum(weights, axis=1)
  )
