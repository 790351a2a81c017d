"""Softmax cross entropy read off the softmax.

TensorFlow's sparse cross entropy takes six times as long as its softmax on a CPU.
"""

import tensorflow as tf

# Below this probability the loss is computed from logarithms, lest it loses digits or overflows.
_SMALL_PROBABILITY = 1e-30


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """As `plain.cross_entropy`."""

  @tf.custom_gradient
  def of_logits(logits):
    probabilities = tf.nn.softmax(logits)
    true_class = tf.gather(probabilities, labels, batch_dims=labels.shape.rank)

    def from_logarithms():
      return -tf.gather(tf.nn.log_softmax(logits), labels, batch_dims=labels.shape.rank)

    # NaN is not above anything, so it takes the long way, and stays.
    losses = tf.cond(
      tf.reduce_all(true_class > _SMALL_PROBABILITY),
      lambda: -tf.math.log(true_class),
      from_logarithms,
    )

    def gradient(upstream):
      return (probabilities - tf.one_hot(labels, logits.shape[-1])) * upstream[..., tf.newaxis]

    return losses, gradient

  return of_logits(logits)
