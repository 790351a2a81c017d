"""Records: the two layouts of their features, read and written.

    basic     image, label, and name, height, width: the 2019 reference's with three added
    official  image/encoded, image/segmentation/class/encoded, ...: research/deeplab's, also read by
              deeplab2

Both hold the bytes of encoded files (JPEG or PNG images, PNG labels). Reading detects the layout
record by record.
"""

import tensorflow as tf

from deeplab.data import decoding
from deeplab.data.record_files import expand_filenames  # noqa: F401

RECORD_FORMATS = ('basic', 'official')

_IMAGE_KEYS = ('image', 'image/encoded')
_LABEL_KEYS = ('label', 'image/segmentation/class/encoded')
_NAME_KEYS = ('name', 'image/filename')
_FEATURES = {
  key: tf.io.FixedLenFeature([], tf.string, default_value='')
  for key in _IMAGE_KEYS + _LABEL_KEYS + _NAME_KEYS
}


def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Splits a record of either layout into its parts, in a graph.

  Args:
    serialized: string scalar, a tf.train.Example.

  Returns:
    (encoded image, encoded label, name), string scalars; '' where the record has no such feature.

  Raises (when run):
    tf.errors.OpError: it is none, or a feature has a name that is no UTF-8.
  """
  # TensorFlow's own error would repeat the bytes, which Python then fails to read as text.
  begins_well = decoding.check(
    tf.equal(tf.strings.substr(serialized, 0, 1), b'\n'), 'the record is no tf.train.Example'
  )
  with tf.control_dependencies([begins_well]):
    names = _feature_names(serialized)
  # The parser takes names of any bytes, other programs do not.
  as_text = tf.strings.unicode_transcode(names, 'UTF-8', 'UTF-8', errors='replace')
  are_text = decoding.check(
    tf.reduce_all(tf.equal(as_text, names)), 'a feature has a name that is no UTF-8'
  )
  with tf.control_dependencies([are_text]):
    features = tf.io.parse_single_example(serialized, _FEATURES)
  return tuple(
    _first_filled(features[basic], features[official])
    for basic, official in (_IMAGE_KEYS, _LABEL_KEYS, _NAME_KEYS)
  )


def _feature_names(serialized):
  """String [n], the names of the features of a serialized tf.train.Example."""

  def parts(message, kind, field):
    _, (values,) = tf.io.decode_proto(message, kind, [field], [tf.string])
    return values

  features = parts(serialized, 'tensorflow.Example', 'features')[0]
  entries = parts(features, 'tensorflow.Features', 'feature')
  return parts(entries, 'tensorflow.Features.FeatureEntry', 'key')[:, 0]


def parse_checked(
  serialized: tf.Tensor,
  fallback_name: tf.Tensor,
  *,
  num_classes: int,
  ignore_label: int,
  max_image_pixels: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Parses a record and checks its sizes and label values; only the label is decoded.

  Args:
    serialized: string scalar, a tf.train.Example of either layout.
    fallback_name: string scalar, the name of a record that has none.
    num_classes, ignore_label: the label values allowed.
    max_image_pixels: larger images are an error.

  Returns:
    (encoded image string scalar, label uint8 or uint16 [height, width], name string scalar).

  Raises (when run):
    tf.errors.OpError: the record is bad; `bad_records.explain_failure` says how.
  """
  encoded_image, encoded_label, name = parse(serialized)
  encoded_image, label = decoding.check_pair(
    encoded_image,
    encoded_label,
    num_classes=num_classes,
    ignore_label=ignore_label,
    max_image_pixels=max_image_pixels,
  )
  return encoded_image, label, tf.where(tf.equal(tf.strings.length(name), 0), fallback_name, name)


def _first_filled(basic, official):
  return tf.where(tf.equal(tf.strings.length(basic), 0), official, basic)


def serialize(
  *, record_format: str, image: bytes, label: bytes, name: str, height: int, width: int
) -> bytes:
  """The serialized tf.train.Example of one image and its label.

  Args:
    record_format: 'basic' or 'official'.
    image: bytes of a JPEG or PNG file.
    label: bytes of a PNG file of class indices.
    name: what evaluation calls the image.
    height, width: size of both in pixels.
  """
  if record_format == 'basic':
    features = {'image': image, 'label': label, 'name': name, 'height': height, 'width': width}
  else:
    features = {
      'image/encoded': image,
      'image/filename': name,
      'image/format': 'png' if image.startswith(b'\x89PNG') else 'jpeg',
      'image/height': height,
      'image/width': width,
      'image/channels': 3,
      'image/segmentation/class/encoded': label,
      'image/segmentation/class/format': 'png',
    }
  return tf.train.Example(
    features=tf.train.Features(feature={key: _feature(value) for key, value in features.items()})
  ).SerializeToString(deterministic=True)


def _feature(value):
  if isinstance(value, int):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
  if isinstance(value, str):  # File names keep bytes that are no UTF-8.
    value = value.encode('utf-8', 'surrogateescape')
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def layout_of(serialized: bytes) -> str | None:
  """'basic', 'official' or None (neither) for the bytes of a record.

  Raises:
    google.protobuf.message.DecodeError: the bytes are no tf.train.Example.
  """
  keys = tf.train.Example.FromString(serialized).features.feature.keys()
  for position, record_format in enumerate(RECORD_FORMATS):
    if _IMAGE_KEYS[position] in keys or _LABEL_KEYS[position] in keys:
      return record_format
  return None


def parts_of(serialized: bytes) -> dict[str, bytes]:
  """dict of the bytes 'image', 'label' and 'name' of a record of either layout, b'' where missing;
  for messages.
  """
  features = tf.train.Example.FromString(serialized).features.feature

  def first(keys):
    values = (features[key].bytes_list.value for key in keys if key in features)
    return next((value[0] for value in values if value), b'')

  return {'image': first(_IMAGE_KEYS), 'label': first(_LABEL_KEYS), 'name': first(_NAME_KEYS)}
