"""Biases in low precision whose gradient is a product of matrices, which adds up in float32.

TensorFlow's own gradient adds up in bfloat16 on a CPU, and plain operations cast the whole map.
"""

import tensorflow as tf

from deeplab.operations.sizes import as_matrix


def bias_add(inputs: tf.Tensor, biases: tf.Tensor) -> tf.Tensor:
  """As `plain.bias_add`; the sum itself has the inputs' dtype."""
  biases = tf.cast(biases, inputs.dtype)

  @tf.custom_gradient
  def add(inputs, biases):
    def gradient(upstream):
      matrix = as_matrix(upstream)
      ones = tf.ones([1, tf.shape(matrix)[0]], matrix.dtype)
      return upstream, tf.matmul(ones, matrix)[0]

    return tf.nn.bias_add(inputs, biases), gradient

  return add(inputs, biases)
