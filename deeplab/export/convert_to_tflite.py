"""Converts a SavedModel to TFLite: a script on its own, since a converter may end its process.

  python -I convert_to_tflite.py SAVED_MODEL DESCRIPTION WEIGHTS OUTPUT [DIRECTORY]

DESCRIPTION is a JSON file that becomes the metadata entry `deeplab.json`; WEIGHTS is float32,
float16 or int8, which is calibrated on DIRECTORY/*.npy, uint8 [1, H, W, 3] each.
"""

import glob
import json
import os
import sys
import zipfile

import flatbuffers
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

INPUT, SIGNATURES = 'ImageTensor', ('serving_default', 'predict_labels')
IDENTIFIER = b'TFL3'


def main(saved_model, description, weights, output, directory=None):
  with open(description, encoding='utf-8') as file:
    text = file.read()
  content = converted(saved_model, weights, directory)
  with open(output, 'wb') as file:
    file.write(with_metadata(content, 'deeplab.json', text.encode()))
  # What follows a model is a ZIP archive for tools that show the names of classes: unzip reads it.
  with zipfile.ZipFile(output, 'a') as archive:
    archive.writestr('labels.txt', ''.join(f'{name}\n' for name in json.loads(text)['class_names']))


def converted(saved_model, weights, directory):
  converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=SIGNATURES)
  if weights != 'float32':
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if weights == 'float16':
    converter.target_spec.supported_types = [tf.float16]
  if weights == 'int8':
    paths = sorted(glob.glob(os.path.join(glob.escape(directory), '*.npy')))

    def examples():
      for signature in SIGNATURES:
        for path in paths:
          yield signature, {INPUT: np.load(path)}

    converter.representative_dataset = examples
    # The second where the first has none: the last steps stay as they are.
    converter.target_spec.supported_ops = [
      tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
      tf.lite.OpsSet.TFLITE_BUILTINS,
    ]
  return converter.convert()


def with_metadata(content, name, value):
  """A TFLite model with one more entry of metadata."""
  model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
  buffer, entry = schema.BufferT(), schema.MetadataT()
  buffer.data = np.frombuffer(value, np.uint8)
  entry.name, entry.buffer = name, len(model.buffers)
  model.buffers.append(buffer)
  model.metadata = [*(model.metadata or []), entry]
  builder = flatbuffers.Builder(len(content) + len(value))
  builder.Finish(model.Pack(builder), IDENTIFIER)
  return bytes(builder.Output())


if __name__ == '__main__':
  main(*sys.argv[1:])
