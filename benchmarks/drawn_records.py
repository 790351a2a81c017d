"""Records of made pictures, for benchmarks that are not to need a data set."""

import io


def write(path, pairs):
  """Writes records of (image uint8 [H, W, 3], label uint8 [H, W]) pairs, as JPEG and PNG."""
  import tensorflow as tf

  from deeplab.data import tfrecord

  with tf.io.TFRecordWriter(path) as writer:
    for index, (image, label) in enumerate(pairs):
      writer.write(
        tfrecord.serialize(
          record_format='basic',
          image=_encoded(image, 'JPEG'),
          label=_encoded(label, 'PNG'),
          name=str(index),
          height=image.shape[0],
          width=image.shape[1],
        )
      )


def _encoded(array, kind):
  from PIL import Image

  file = io.BytesIO()
  Image.fromarray(array).save(file, kind)
  return file.getvalue()
