"""Damaged record files through evaluation, training and inspection."""

import functools
import os
import struct

import numpy as np
import tensorflow as tf

from deeplab.data import bad_records, input_pipeline, inspection, record_files, tfrecord
from deeplab.errors import InputError
from deeplab.options import InspectionOptions

from . import damages, picture_damages, picture_seeds
from .cases import Case, Silent, Target

_NUM_RECORDS = 3
_LIMITS = dict(num_classes=picture_seeds.NUM_CLASSES, ignore_label=255)


def _records():
  """Serialized records, the same each time; one of them in the official layout."""
  random = np.random.default_rng(0)
  return [
    tfrecord.serialize(
      record_format='official' if number == 1 else 'basic',
      image=picture_seeds.encoded(
        picture_seeds.Image.fromarray(picture_seeds.drawn_image(random)),
        format='JPEG' if number == 2 else 'PNG',
      ),
      label=picture_seeds.encoded(
        picture_seeds.Image.fromarray(picture_seeds.drawn_label(random)), format='PNG'
      ),
      name=f'name{number}',
      height=picture_seeds.HEIGHT,
      width=picture_seeds.WIDTH,
    )
    for number in range(_NUM_RECORDS)
  ]


def prepare(directory: str) -> None:
  """Writes whole.tfrecord."""
  _write(os.path.join(directory, 'whole.tfrecord'), _records())


def _write(path, records):
  with tf.io.TFRecordWriter(path) as writer:
    for record in records:
      writer.write(record)


def run(case: Case) -> None:
  """Damages a file or what is in one of its records, and reads it as commands do."""
  whole = os.path.join(case.seeds, 'whole.tfrecord')
  path = case.path('some.tfrecord')
  of_file = case.chance(0.4)
  if of_file:
    with open(whole, 'rb') as file:
      data = file.read()
    case.write('some.tfrecord', _damaged_file(case, data))
  else:
    records = _records()
    place = int(case.random.integers(_NUM_RECORDS))
    records[place] = _damaged_record(case, records[place])
    _write(path, records)
  examples = _evaluated(path)
  if of_file and len(examples) == _NUM_RECORDS:
    _refuse_other_pixels(examples, _whole(whole))
  if case.chance(0.1):
    _inspect(path, num_good=len(examples))


@functools.cache
def _whole(path):
  return _evaluated(path)


def _damaged_file(case, data):
  if case.chance(0.25):  # The length of the first record, with the right check sum.
    length = case.choose([0, 1, 2**31, 2**40, 2**62, 2**63 + 1, len(data)])
    case.note(f'length {length}')
    packed = struct.pack('<Q', length)
    return packed + struct.pack('<I', _masked_crc(packed)) + data[12:]
  return damages.bytes_of(case, data)


def _masked_crc(data):
  value = 0xFFFFFFFF
  for byte in data:
    value ^= byte
    for _ in range(8):
      value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
  value ^= 0xFFFFFFFF
  return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _damaged_record(case, record):
  kind = int(case.random.integers(7))
  case.note(f'record damage {kind}')
  if kind == 0:
    return damages.bytes_of(case, record)
  if kind == 1:
    return case.choose([b'', b'\xff' * 100, b'\x0a' * 5000, bytes(10)])
  example = tf.train.Example.FromString(record)
  features = example.features.feature
  name = case.choose(sorted(features))
  if kind == 2:
    del features[name]
  elif kind == 3:
    features[name].bytes_list.value.append(case.choose([b'', b'x', b'\xff\xd8', record[:500]]))
  elif kind == 4:
    features[name].int64_list.value.append(case.choose([0, -1, 2**62]))
  elif kind == 5:
    values = features[name].bytes_list.value
    if values:
      values[0] = picture_damages.damaged(case, values[0]) if len(values[0]) > 40 else b'\x1b[2J\n'
  else:
    # protobuf takes no key that is no UTF-8, so one of the same length is written into the bytes.
    return record.replace(b'image', b'im\xff\xfee', 1) if case.chance(0.5) else record * 2
  return example.SerializeToString()


def _evaluated(path):
  """Examples as evaluation gets them; InputError says what an evaluation says."""
  examples = []
  try:
    for example in input_pipeline.evaluation_examples([path], **_LIMITS):
      examples.append({name: value.numpy() for name, value in example.items()})
  except bad_records.UNREADABLE as error:
    raise bad_records.explain_failure(error, [path], **_LIMITS) from error
  return examples


def _refuse_other_pixels(examples, whole):
  for one, other in zip(examples, whole):
    for part in ('image', 'label'):
      if not np.array_equal(one[part], other[part]):
        raise Silent(f'{other["name"]}: another {part} than was written, and no error')


def _inspect(path, *, num_good):
  found = inspection.inspect(
    InspectionOptions(filenames=(path,), **_LIMITS),
    color_map=np.zeros([256, 3], np.uint8),
    num_samples=0,
  )
  if found.bad:
    raise Silent(f'inspection refuses what evaluation takes: {found.bad[0]}')
  (file,) = record_files.index_files([path])
  if file.num_records != num_good:
    raise InputError(f'{file.num_records} records counted, {num_good} evaluated')


TARGETS = (Target('records', run, weight=8, prepare=prepare),)
