"""Exported models of a stand-in for the network, made in a second: for tests of what runs them."""

import os

import tensorflow as tf

from deeplab.export import convert_to_onnx, convert_to_tflite, saved_models
from deeplab.export.description import LABELS, PROBABILITIES, Description
from deeplab.options import ModelOptions

L2_LOSS = 0.25
CLASS_NAMES = ('red', 'green', 'blue')
FILES = {'SavedModel': 'saved_model', 'TensorFlow Lite': 'model.tflite', 'ONNX': 'model.onnx'}


class PixelNetwork(tf.Module):
  """As exported_network.ExportedNetwork, of the network of fake_model.PixelModel: the logits of a
  pixel are its three channels over 16.
  """

  def __init__(self, size=None):
    super().__init__()
    self.scale = tf.Variable(tf.constant([[1 / 16, 0, 0], [0, 1 / 16, 0], [0, 0, 1 / 16]]))
    images = tf.TensorSpec([None, *(size or (None, None)), 3], tf.uint8, name='ImageTensor')
    self.serving_default, self.predict_labels = (
      tf.function(function, autograph=False, input_signature=[images])
      for function in (self._predict, self._predict_labels)
    )

  def _predict(self, images):
    return {
      **self._predict_labels(images),
      PROBABILITIES: tf.nn.softmax(self._logits(images)),
    }

  def _predict_labels(self, images):
    labels = tf.argmax(self._logits(images), axis=-1, output_type=tf.int32)
    return {LABELS: labels}

  def _logits(self, images):
    return tf.nn.conv2d(tf.cast(images, tf.float32), self.scale[tf.newaxis, tf.newaxis], 1, 'SAME')


def description(**changes):
  """Of the model that `write` writes."""
  return Description(
    **{
      'deeplab_version': '0.1.0',
      'tensorflow_version': tf.__version__,
      'model_options': ModelOptions(model_variant='mobilenet_v2', num_classes=3),
      'class_names': CLASS_NAMES,
      'colors': ((200, 0, 0), (0, 200, 0), (0, 0, 200)),
      'ignore_label': 255,
      'size': None,
      'pad': 'none',
      'trained_size': None,
      'l2_loss': L2_LOSS,
      'checkpoint': 'model/model.ckpt',
      'global_step': 30,
      **changes,
    }
  )


def write(directory, *, kinds=tuple(FILES), **changes):
  """Writes exported models below `directory`, a pathlib.Path; returns {kind: path as a text}.

  Args:
    changes: of the description.
  """
  described = description(**changes)
  paths = {kind: str(directory / FILES[kind]) for kind in kinds}
  saved_model = str(directory / FILES['SavedModel'])
  saved_models.write(saved_model, PixelNetwork(described.size), described)
  text = described.to_json()
  if 'TensorFlow Lite' in kinds:
    content = convert_to_tflite.converted(saved_model, 'float32', None)
    with open(paths['TensorFlow Lite'], 'wb') as file:
      file.write(convert_to_tflite.with_metadata(content, 'deeplab.json', text.encode()))
  if 'ONNX' in kinds:
    convert_to_onnx.main(
      saved_model, os.path.join(saved_model, 'assets', 'deeplab.json'), paths['ONNX']
    )
  return paths
