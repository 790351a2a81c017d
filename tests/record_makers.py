"""Small images, labels and records for the tests of the data."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab.data import tfrecord


def encode(array, *, image_format='PNG'):
  """The bytes of a picture file."""
  file = io.BytesIO()
  Image.fromarray(np.asarray(array)).save(file, format=image_format)
  return file.getvalue()


def record(
  number, *, size=(20, 30), value=None, record_format='basic', image=None, label=None, name=None
):
  """A record whose image is filled with `number` and whose label is filled with `value` (default:
  number % 21).
  """
  value = number % 21 if value is None else value
  return tfrecord.serialize(
    record_format=record_format,
    height=size[0],
    width=size[1],
    name=f'name{number}' if name is None else name,
    image=encode(np.full([*size, 3], number, np.uint8)) if image is None else image,
    label=encode(np.full(size, value, np.uint8)) if label is None else label,
  )


def write(path, records):
  """Writes serialized records to a file and returns its path as str."""
  with tf.io.TFRecordWriter(str(path)) as writer:
    for serialized in records:
      writer.write(serialized)
  return str(path)
