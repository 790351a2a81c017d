"""A directory to evaluate and to predict in: a tiny network's checkpoint, pictures, and records of
the same pictures with labels.
"""

import numpy as np
import PIL.Image
import record_makers
import tensorflow as tf

from deeplab import checkpoints, saved_options
from deeplab.data import tfrecord
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions

CLASS_NAMES = ('sky', 'tree', 'road', 'car')


def count_reads(monkeypatch):
  """From now on the list returned gets the prefix of each checkpoint whose saved options are
  read.
  """
  prefixes, read = [], saved_options.read
  monkeypatch.setattr(saved_options, 'read', lambda prefix: prefixes.append(prefix) or read(prefix))
  return prefixes


def make(work):
  """Fills the directory `work`, a pathlib.Path, and returns it: model/, photos/ with deep/ in it,
  val.tfrecord and label0.png to label2.png. No pixel is a car.
  """
  model_options = ModelOptions(
    model_variant='mobilenet_v2', depth_multiplier=0.35, num_classes=len(CLASS_NAMES)
  )
  tf.random.set_seed(0)
  variables = DeepLabV3PredictionModel(model_options).named_variables
  weights = variables['logits/semantic/weights']
  weights.assign(1e10 * tf.random.normal(weights.shape))  # Untrained features are about 1e-10.
  checkpoints.write(str(work / 'model' / 'model.ckpt'), variables)
  saved_options.write(str(work / 'model'), model_options, class_names=CLASS_NAMES)
  (work / 'photos' / 'deep').mkdir(parents=True)
  rng = np.random.default_rng(0)
  records = []
  for index, name in enumerate(['a.png', 'b.png', 'deep/a.png']):
    image = rng.integers(0, 256, [3, 4, 3], np.uint8).repeat(10 + index, axis=0).repeat(12, axis=1)
    PIL.Image.fromarray(image).save(work / 'photos' / name)
    label = rng.choice(np.array([0, 1, 2, 255], np.uint8), image.shape[:2])
    PIL.Image.fromarray(label).save(work / f'label{index}.png')
    records.append(
      tfrecord.serialize(
        record_format='basic',
        image=(work / 'photos' / name).read_bytes(),
        label=(work / f'label{index}.png').read_bytes(),
        name=name,
        height=image.shape[0],
        width=image.shape[1],
      )
    )
  record_makers.write(work / 'val.tfrecord', records)
  return work
