"""Cityscapes' label ids to its training ids (cityscapesScripts, helpers/labels.py)."""

import numpy as np

# The label ids of training ids 0 to 18, in the order of class_names.CITYSCAPES.
_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


def to_train_ids(label_ids: np.ndarray, *, ignore_label: int) -> np.ndarray:
  """Integer [height, width] of label ids to uint8 or uint16 of training ids; ids that are not
  trained on become `ignore_label`.
  """
  table = np.full(1 + np.iinfo(np.uint16).max, ignore_label, np.uint16)
  table[list(_LABEL_IDS)] = np.arange(len(_LABEL_IDS))
  train_ids = table[label_ids]
  return train_ids.astype(np.uint8) if ignore_label < 256 else train_ids
