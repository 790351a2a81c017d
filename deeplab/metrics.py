"""Confusion matrix and what is read off it: IoU per class, mean IoU, accuracies."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab import label_values


def confusion_matrix(
  labels: tf.Tensor | np.ndarray,
  predictions: tf.Tensor | np.ndarray,
  *,
  num_classes: int,
  ignore_label: int,
) -> tf.Tensor:
  """Counts pixels by true and predicted class.

  Args:
    labels: of any integer type and any shape; values in [0, num_classes) or `ignore_label`.
    predictions: of any integer type and the same shape; values in [0, num_classes).
    num_classes: number of classes C.
    ignore_label: pixels with this label are not counted.

  Returns:
    int64 tensor [C, C]: rows are the truth, columns the prediction. Matrices of several images may
    be added.

  Raises:
    tf.errors.InvalidArgumentError: a label is neither in [0, num_classes) nor `ignore_label`.
  """
  labels, predictions = (tf.expand_dims(each, 0) for each in (labels, predictions))
  return confusion_matrices(
    labels, predictions, num_classes=num_classes, ignore_label=ignore_label
  )[0]


def confusion_matrices(
  labels: tf.Tensor | np.ndarray,
  predictions: tf.Tensor | np.ndarray,
  *,
  num_classes: int,
  ignore_label: int,
) -> tf.Tensor:
  """As `confusion_matrix`, for B images along the first axis: int64 [B, C, C]."""
  labels = label_values.as_numbers(labels)
  counted = tf.not_equal(labels, float(ignore_label))
  in_range = tf.logical_and(labels >= 0.0, labels < float(num_classes))
  # A GPU does not look at indices itself, so both kinds of device are told here.
  is_right = tf.debugging.Assert(
    tf.reduce_all(tf.logical_or(in_range, tf.logical_not(counted))),
    [f'labels must be below num_classes={num_classes} or ignore_label={ignore_label}'],
  )
  with tf.control_dependencies([] if is_right is None else [is_right]):  # Eagerly it has raised.
    labels = tf.where(counted, labels, tf.zeros_like(labels))
  # In int64, since a GPU's host would compute in int32; but pixels of one image fit in int32.
  labels, predictions = tf.cast(labels, tf.int64), tf.cast(predictions, tf.int64)
  size = num_classes * num_classes
  images = tf.range(tf.shape(labels, out_type=tf.int64)[0])
  first_cells = tf.reshape(images * size, [-1] + [1] * (labels.shape.rank - 1))
  cells = first_cells + labels * num_classes + predictions
  # A sum, not a bincount, which has no deterministic kernel for a GPU; sums of int32 have.
  counts = tf.math.unsorted_segment_sum(
    tf.cast(tf.reshape(counted, [-1]), tf.int32),
    tf.reshape(cells, [-1]),
    tf.shape(labels, out_type=tf.int64)[0] * size,
  )
  return tf.reshape(tf.cast(counts, tf.int64), [-1, num_classes, num_classes])


@dataclasses.dataclass(frozen=True)
class Summary:
  """Scores of one confusion matrix; arrays have one float64 or int64 entry a class, NaN where
  nothing is defined.
  """

  iou: np.ndarray
  mean_iou: float
  accuracy: np.ndarray
  precision: np.ndarray
  pixel_accuracy: float
  mean_accuracy: float
  frequency_weighted_iou: float
  truth_pixels: np.ndarray
  predicted_pixels: np.ndarray


def summarize(confusion: np.ndarray) -> Summary:
  """Scores a confusion matrix.

  Args:
    confusion: integer array [C, C], rows the truth, columns the prediction.

  Returns:
    A Summary. `iou` is NaN for a class that neither occurs nor is predicted, and such classes do
    not count in `mean_iou`; a class that is predicted but never occurs has IoU 0 and counts.
    `accuracy` (recall) is NaN where a class does not occur, `precision` where it is not predicted.
    Means over no class at all are NaN.
  """
  confusion = np.asarray(confusion, np.int64)
  correct = np.diag(confusion)
  truth_pixels = confusion.sum(axis=1)
  predicted_pixels = confusion.sum(axis=0)
  total = confusion.sum()
  iou = _divide(correct, truth_pixels + predicted_pixels - correct)
  accuracy = _divide(correct, truth_pixels)
  return Summary(
    iou=iou,
    mean_iou=_mean(iou),
    accuracy=accuracy,
    precision=_divide(correct, predicted_pixels),
    pixel_accuracy=float(_divide(correct.sum(), total)),
    mean_accuracy=_mean(accuracy),
    frequency_weighted_iou=float(_divide(np.nansum(truth_pixels * iou), total)),
    truth_pixels=truth_pixels,
    predicted_pixels=predicted_pixels,
  )


def one_class_remark(summary: Summary, class_names: Sequence[str] | None = None) -> str:
  """' (...)', to say after mIOU where the labels have pixels of one class of several, which any
  network gets right that always predicts it; else ''.

  Args:
    summary: of C classes.
    class_names: one for each class, or None for their numbers.
  """
  there = np.flatnonzero(summary.truth_pixels)
  num_classes = len(summary.truth_pixels)
  if len(there) != 1 or num_classes == 1:
    return ''
  name = class_names[there[0]] if class_names else there[0]
  return f' (the labels have pixels of one class of {num_classes} only: {name})'


def _divide(numerator, denominator):
  """numerator / denominator in float64, NaN where the denominator is 0."""
  numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
  return np.divide(
    numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0
  )


def _mean(values):
  """The mean of the entries that are not NaN."""
  values = values[~np.isnan(values)]
  return float(values.mean()) if values.size else float('nan')
