"""Benchmark worker: this project's training step and inferencer."""

import os
import sys

import worker_loop

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

from deeplab.options import LossOptions, ModelOptions, TrainingOptions


def main():
  settings = worker_loop.settings()
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  from deeplab.model.prediction_model import DeepLabV3PredictionModel

  model = DeepLabV3PredictionModel(
    ModelOptions(**settings['model']),
    compute_dtype=settings.get('compute_dtype', 'float32'),
    recompute_gradients=settings.get('recompute_gradients', False),
    operations=settings.get('operations', 'auto'),
  )
  work = training_step if settings['task'] == 'train' else prediction
  worker_loop.serve(work(model, settings))


def training_step(model, settings):
  """A callable that makes one update from noise; its attribute `step` is the TrainingStep."""
  import tensorflow as tf

  from deeplab.losses import SegmentationLoss
  from deeplab.training.training_step import TrainingStep

  size, batch_size = settings['size'], settings['batch_size']
  step = TrainingStep(
    model,
    TrainingOptions(),
    loss=SegmentationLoss(options=LossOptions(), ignore_label=255),
    strategy=tf.distribute.get_strategy(),
    jit_compile=settings.get('jit_compile', False),
  )
  random = np.random.default_rng(0)
  batch = {
    'images': tf.constant(random.uniform(0, 255, [batch_size, size, size, 3]), tf.float32),
    'labels': tf.constant(
      random.integers(0, model.options.num_classes, [batch_size, size, size]), tf.int32
    ),
    'names': tf.constant(['noise'] * batch_size),
  }

  def work():
    return step([batch], learning_rate=1e-4, step=0).total_loss

  work.step = step
  return work


def prediction(model, settings):
  """A callable that predicts an image of noise; its attribute `inferencer` does."""
  from deeplab.inferencer import DeepLabV3Inferencer

  inferencer = DeepLabV3Inferencer(model, jit_compile=settings.get('jit_compile', False))
  image = np.random.default_rng(0).integers(
    0, 256, [settings['size'], settings['size'], 3], np.uint8
  )

  def work():
    return inferencer.predict([image])

  work.inferencer = inferencer
  return work


if __name__ == '__main__':
  main()
