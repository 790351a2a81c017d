"""How large the pictures in record files are."""

import dataclasses
import io
import os
import re
from collections.abc import Sequence

import tensorflow as tf
from google.protobuf.message import DecodeError
from PIL import Image

from deeplab import json_files, remote_files
from deeplab.data import tfrecord
from deeplab.errors import shown

_SHARD = re.compile(r'(.+)-\d{5}-of-\d{5}\.tfrecord')
_SUMMARY_SUFFIX = '-summary.json'
_NUM_LOOKED_AT = 100


@dataclasses.dataclass(frozen=True)
class PictureSizes:
  """Sizes in pixels.

  Attributes:
    height, width: the means.
    source: where they are from, for people.
  """

  height: float
  width: float
  source: str


def find(paths: Sequence[str]) -> PictureSizes | None:
  """The sizes that the summaries of the conversion beside the files say; without them, those of the
  first 100 pictures, of which only the headers are read. None where no picture can be read.
  """
  return _from_summaries(paths) or _from_headers(paths)


def _from_summaries(paths):
  """PictureSizes weighted by number of records, or None unless each file has its summary."""
  summaries = {}
  for path in paths:
    match = _SHARD.fullmatch(os.path.basename(path))
    if not match:
      return None
    summary = os.path.join(remote_files.parent(path), match.group(1) + _SUMMARY_SUFFIX)
    if summary not in summaries:
      summaries[summary] = _means(summary)
  if None in summaries.values():
    return None
  total = sum(count for count, _, _ in summaries.values())
  return PictureSizes(
    height=sum(count * height for count, height, _ in summaries.values()) / total,
    width=sum(count * width for count, _, width in summaries.values()) / total,
    source=', '.join(shown(path) for path in summaries),
  )


def _means(path):
  """(number of records, mean height, mean width) that a summary says; None where it does not."""
  try:
    content = json_files.read(path)
    height, width = (json_files.mapping(content.get(side), side) for side in ('height', 'width'))
    found = (
      json_files.whole_number(content.get('num_records'), 'num_records'),
      json_files.number(height.get('mean'), 'height'),
      json_files.number(width.get('mean'), 'width'),
    )
  except (OSError, ValueError):  # The pictures themselves tell, too.
    return None
  return found if min(found) >= 1 else None


def _from_headers(paths):
  sizes = []
  try:
    for serialized in tf.data.TFRecordDataset(list(paths)).take(_NUM_LOOKED_AT).as_numpy_iterator():
      sizes += _size(serialized)
  except tf.errors.OpError:
    pass  # Whoever reads the records says what is wrong with them.
  if not sizes:
    return None
  widths, heights = zip(*sizes)
  return PictureSizes(
    height=sum(heights) / len(heights),
    width=sum(widths) / len(widths),
    source=f'the first {len(sizes)} pictures',
  )


def _size(serialized):
  """[(width, height)] of a record's picture, or [] where it cannot be read."""
  try:
    with Image.open(io.BytesIO(tfrecord.parts_of(serialized)['image'])) as image:
      return [image.size]
  except (OSError, ValueError, DecodeError, Image.DecompressionBombError):
    return []
