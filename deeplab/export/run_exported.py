"""Runs an exported model on arrays: a script on its own, which cannot import this toolkit.

  python -I run_exported.py FORMAT MODEL DIRECTORY

For each DIRECTORY/images_N.npy, uint8 [B, H, W, 3], it writes there labels_N.npy, [B, H, W];
only_labels_N.npy, the same by the signature that gives nothing else; and probabilities_N.npy,
float32, of every eighth row and column.
"""

import glob
import os
import sys

import numpy as np

INPUT, LABELS, PROBABILITIES = 'ImageTensor', 'SemanticPredictions', 'SemanticProbabilities'
STEP = 8


class NoToolkit:
  """An import finder: this package may be installed here, and must not help."""

  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] == 'deeplab':
      raise ImportError('an exported model has to run without the toolkit')


def saved_model(path):
  import tensorflow as tf

  loaded = tf.saved_model.load(path)
  both, labels = (loaded.signatures[name] for name in ('serving_default', 'predict_labels'))
  return (
    lambda images: both(**{INPUT: tf.constant(images)}),
    lambda images: labels(**{INPUT: tf.constant(images)}),
  )


def tflite(path):
  from ai_edge_litert.interpreter import Interpreter

  interpreter = Interpreter(model_path=path, num_threads=os.cpu_count())
  both, labels = map(interpreter.get_signature_runner, ('serving_default', 'predict_labels'))
  return (lambda images: both(**{INPUT: images}), lambda images: labels(**{INPUT: images}))


def onnx(path):
  import onnxruntime

  if hasattr(onnxruntime, 'disable_telemetry_events'):  # It may keep them on the user's disk.
    onnxruntime.disable_telemetry_events()
  session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
  names = [each.name for each in session.get_inputs()]
  if names != [INPUT]:
    raise ValueError(f'its inputs are {names}, not {INPUT} alone')

  def run(*outputs):
    return lambda images: dict(zip(outputs, session.run(outputs, {INPUT: images})))

  return run(LABELS, PROBABILITIES), run(LABELS)


def main(name, model, directory):
  sys.meta_path.insert(0, NoToolkit())
  both, only_labels = {'saved_model': saved_model, 'tflite': tflite, 'onnx': onnx}[name](model)
  for path in sorted(glob.glob(os.path.join(glob.escape(directory), 'images_*.npy'))):
    images = np.load(path)
    found = both(images)
    for kind, array in (
      ('labels', found[LABELS]),
      ('only_labels', only_labels(images)[LABELS]),
      ('probabilities', found[PROBABILITIES][:, ::STEP, ::STEP]),
    ):
      np.save(os.path.join(directory, os.path.basename(path).replace('images', kind)), array)


if __name__ == '__main__':
  main(*sys.argv[1:])
