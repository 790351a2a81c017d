"""Records whose labels hold one class and the ignored value only: there is nothing to learn."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab.data import labels, tfrecord
from deeplab.errors import InputError, shown
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS


def refuse(
  paths: Sequence[str],
  *,
  num_classes: int,
  ignore_label: int,
  max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
) -> None:
  """Stops at records with one class and the ignored value.

  Reading ends with the first label that proves otherwise, which most often is the first of all.
  Records that cannot be read are left to whoever reads all of them.

  Args:
    paths: of the record files to train on.
    num_classes: a network of one class may have such labels.
    max_image_pixels: larger labels are not decoded.
    ignore_label: the value that does not count.

  Raises:
    InputError: the labels are such, all of them.
  """
  if num_classes == 1:
    return
  present = set()
  try:
    for record in tf.data.TFRecordDataset(list(paths)):
      present |= _values(record.numpy(), max_pixels=max_image_pixels)
      if len(present - {ignore_label}) > 1:
        return
  except tf.errors.OpError:
    return
  problem = labels.explain_one_class(present, ignore_label=ignore_label)
  if problem:
    raise InputError(
      f'--filenames: in all records of {shown(paths[0])}'
      + (f' and {len(paths) - 1} more files' if len(paths) > 1 else '')
      + f' {problem}; convert them again with --binary, which makes every value but 0 class 1'
    )


def _values(serialized, *, max_pixels):
  try:
    indices, _ = labels.read_png(tfrecord.parts_of(serialized)['label'], max_pixels=max_pixels)
  except Exception:  # pylint: disable=broad-except  # The class of the error depends on protobuf's version.
    return set()
  return set(np.unique(indices).tolist())
