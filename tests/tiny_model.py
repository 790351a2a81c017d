"""A network with the interface of DeepLabV3PredictionModel that traces in no time: for tests of
what goes on around it.
"""

import tensorflow as tf

from deeplab.operations.dispatch import Operations
from deeplab.options import ModelOptions

OPTIONS = ModelOptions(model_variant='mobilenet_v2', num_classes=3, weight_decay=1e-2)


class TinyModel(tf.Module):
  """Two 1x1 convolutions with dropout between and one moving statistic; variables under names as
  the real ones have.
  """

  def __init__(self, options=OPTIONS, *, seed=1):
    super().__init__()
    self.options = options
    self.operations = Operations()
    random = tf.random.Generator.from_seed(seed)
    initial = {
      'MobilenetV2/Conv/weights': random.normal([1, 1, 3, 8]) * 0.1,
      'MobilenetV2/Conv/BatchNorm/beta': tf.zeros([8]),
      'logits/semantic/weights': random.normal([1, 1, 8, options.num_classes]) * 0.1,
      'logits/semantic/biases': tf.zeros([options.num_classes]),
    }
    self.trainable = {name: tf.Variable(value, name=name) for name, value in initial.items()}
    self._mean = tf.Variable(
      tf.zeros([8]),
      trainable=False,
      name='moving_mean',
      synchronization=tf.VariableSynchronization.ON_READ,
      aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
    self.named_variables = {**self.trainable, 'MobilenetV2/Conv/BatchNorm/moving_mean': self._mean}
    self.dropout_rate = 0.1

  def predict_low_resolution(
    self,
    images,
    *,
    is_training=False,
    fine_tune_batch_norm=True,
    dropout_seed=None,
    share=(0, 1),
  ):
    net = tf.nn.conv2d(
      tf.cast(images, tf.float32) / 255.0, self.trainable['MobilenetV2/Conv/weights'], 1, 'SAME'
    )
    if is_training and fine_tune_batch_norm:
      mean = tf.reduce_mean(net, axis=[0, 1, 2])
      self._mean.assign(0.9 * self._mean + 0.1 * mean)
    else:
      mean = tf.convert_to_tensor(self._mean)
    net = tf.nn.relu(net - mean + self.trainable['MobilenetV2/Conv/BatchNorm/beta'])
    if is_training and self.dropout_rate:
      index, number = share
      size = net.shape[0]
      factors = tf.nn.experimental.stateless_dropout(
        tf.ones([size * number, *net.shape[1:]]), self.dropout_rate, seed=dropout_seed
      )
      net *= factors[index * size : (index + 1) * size]
    return (
      tf.nn.conv2d(net, self.trainable['logits/semantic/weights'], 1, 'SAME')
      + self.trainable['logits/semantic/biases']
    )

  def predict(self, images, *, constant_weights=False, **settings):
    return self.predict_low_resolution(images, **settings)

  def upsample(self, logits, size):
    assert logits.shape[1:3] == size
    return logits

  def l2_loss(self):
    return self.options.weight_decay * tf.add_n(
      [
        tf.nn.l2_loss(variable)
        for name, variable in self.trainable.items()
        if name.endswith('/weights')
      ]
    )


def batches(count, *, batch_size=4, size=5, num_classes=3, seed=0):
  """A list of random batches; a sixth of the pixels is ignored, and a different number in each
  image.
  """
  random = tf.random.Generator.from_seed(seed)
  made = []
  for index in range(count):
    labels = random.uniform([batch_size, size, size], maxval=num_classes, dtype=tf.int32)
    ignored = random.uniform([batch_size, size, size]) < tf.reshape(
      tf.linspace(0.0, 0.4, batch_size), [-1, 1, 1]
    )
    made.append(
      {
        'images': random.uniform([batch_size, size, size, 3], maxval=255.0),
        'labels': tf.where(ignored, 255, labels),
        'names': tf.constant([f'record{index}-{each}' for each in range(batch_size)]),
      }
    )
  return made


def snapshot(variables):
  """{name: ndarray}, in cross-replica view."""
  return {name: variable.numpy() for name, variable in variables.items()}
