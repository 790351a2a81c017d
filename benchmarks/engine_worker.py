"""Benchmark worker: one image of noise to the class of each pixel, by the network or by an engine
that runs it exported.
"""

import os
import sys

import worker_loop

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np


def main():
  settings = worker_loop.settings()
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  import tensorflow as tf

  tf.config.threading.set_intra_op_parallelism_threads(settings['num_threads'])
  image = np.random.default_rng(0).integers(0, 256, [*settings['size'], 3], np.uint8)
  way = through_the_inferencer if settings['through'] else alone
  worker_loop.serve(way(settings, image))


def through_the_inferencer(settings, image):
  """What run_inferencer.py calls for an image that is read."""
  from deeplab.inferencer import DeepLabV3Inferencer
  from deeplab.options import PredictionOptions

  network = _load(settings)
  options = network.settle(PredictionOptions())
  inferencer = DeepLabV3Inferencer(network.model, options=options)
  return lambda: inferencer.predict([image])


def alone(settings, image):
  """The engine's own call, with nothing of the toolkit around it."""
  import tensorflow as tf

  from deeplab.engines import model_files
  from deeplab.export.description import INPUT, LABELS, LABELS_SIGNATURE

  images = image[np.newaxis]
  if not settings['exported']:
    model = _load(settings).model
    step = tf.function(
      lambda tensor: model.predict_labels(tensor, constant_weights=True),
      autograph=False,
      input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
    )
    return lambda: step(images).numpy()
  path, num_threads = settings['path'], settings['num_threads']
  kind = model_files.find(path).kind
  if settings['engine'] == 'openvino':
    from deeplab.engines.openvino_runner import OpenVinoRunner

    runner = OpenVinoRunner(path, compute_dtype=settings['compute_dtype'], num_threads=num_threads)
  elif kind == model_files.TFLITE:
    from deeplab.engines.litert_runner import LiteRtRunner

    runner = LiteRtRunner(path, num_threads=num_threads)
  elif kind == model_files.ONNX:
    from deeplab.engines.onnx_runner import OnnxRunner

    runner = OnnxRunner(path, num_threads=num_threads)
  else:
    signature = tf.saved_model.load(path).signatures[LABELS_SIGNATURE]
    return lambda: signature(**{INPUT: tf.constant(images)})[LABELS].numpy()
  return lambda: runner.run(LABELS, images)


def _load(settings):
  from deeplab.options import EngineOptions, ModelOptions
  from deeplab.prediction import given_network

  return given_network.load(
    settings['path'],
    ModelOptions(),
    given=(),
    options=EngineOptions(engine=settings['engine'], compute_dtype=settings['compute_dtype']),
  )


if __name__ == '__main__':
  main()
