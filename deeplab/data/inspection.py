"""What records hold: layouts, sizes, classes, samples, and which of them are bad."""

import collections
import dataclasses

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from deeplab import messages, pictures, remote_files
from deeplab.data import bad_records, decoding, record_files, tfrecord
from deeplab.options import InspectionOptions

_ANY_CLASS = 65535
_SAMPLE_SIDE = 512


@dataclasses.dataclass
class Inspection:
  """What was found.

  Attributes:
    files: RecordFiles.
    layouts: Counter of 'basic' and 'official'.
    sizes: Counter of (height, width).
    pixels, images: Counters by label value: pixels of it, and images that have it.
    samples: (title, uint8 [height, width, 3]) pairs: images with their labels laid over them.
    bad: BadRecords.
  """

  files: list
  layouts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  sizes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  pixels: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  images: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  samples: list = dataclasses.field(default_factory=list)
  bad: list = dataclasses.field(default_factory=list)


def inspect(
  options: InspectionOptions,
  *,
  color_map: np.ndarray,
  num_samples: int,
  background: int | None = None,
) -> Inspection:
  """Looks at all records, decoding them wholly.

  Args:
    options: InspectionOptions.
    color_map: uint8 [n, 3], for the samples.
    num_samples: how many samples to keep, spread evenly over the records.
    background: the class that is not drawn on the samples, or None.

  Returns:
    Inspection.

  Raises:
    InputError: no such files.
  """
  files = remote_files.each(
    record_files.index_file, record_files.expand_filenames(options.filenames)
  )
  found = Inspection(files=files)
  num_records = sum(file.num_records for file in files)
  wanted = _spread(num_samples, over=num_records)
  start = 0
  progress = tqdm(
    total=num_records,
    desc='reading',
    unit='record',
    disable=not messages.shows_bars(),
    leave=False,
    **messages.size_for_bars(),
  )
  for file in files:
    if file.problem:
      found.bad.append(bad_records.BadRecord(file.path, None, file.problem))
    examine = _examiner(
      options,
      color_map,
      wanted={ordinal - start for ordinal in wanted},
      background=background,
    )
    for result in bad_records.examine_file(file, examine):
      progress.update()
      if isinstance(result, bad_records.BadRecord):
        found.bad.append(result)
      else:
        _count(found, *result)
    start += file.num_records
  progress.close()
  return found


def _spread(count, *, over):
  """Up to `count` numbers below `over`, evenly spread."""
  return (
    set(np.linspace(0, over - 1, min(count, over)).round().astype(int).tolist()) if over else set()
  )


def _examiner(options, color_map, *, wanted, background):
  """The function that looks at one record: a BadRecord, or the arguments of `_count`."""
  limits = dict(
    num_classes=options.num_classes or _ANY_CLASS,
    ignore_label=options.ignore_label,
    max_image_pixels=options.max_image_pixels,
  )

  @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
  def decode(serialized):
    with tf.device('/cpu:0'):
      encoded_image, label, name = tfrecord.parse_checked(serialized, '', **limits)
      return decoding.decode_image(encoded_image), label, name

  def examine(path, index, serialized):
    try:
      image, label, name = (tensor.numpy() for tensor in decode(serialized))
    except bad_records.UNREADABLE:
      return bad_records.why_bad(path, index, serialized.numpy(), **limits)
    pixels = np.bincount(label.ravel())
    sample = None
    if index in wanted:
      picture = Image.fromarray(
        pictures.overlay(
          image, label, color_map, ignore_label=options.ignore_label, background=background
        )
      )
      picture.thumbnail((_SAMPLE_SIDE, _SAMPLE_SIDE))
      sample = (name.decode(errors='replace') or f'record {index}', np.asarray(picture))
    layout = tfrecord.layout_of(serialized.numpy())
    return layout, label.shape, pixels, sample

  return examine


def _count(found, layout, size, pixels, sample):
  """Adds a good record to an Inspection."""
  found.layouts[layout] += 1
  found.sizes[size] += 1
  for value in np.flatnonzero(pixels).tolist():
    found.pixels[value] += int(pixels[value])
    found.images[value] += 1
  if sample is not None:
    found.samples.append(sample)
