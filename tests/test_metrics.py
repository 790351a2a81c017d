import numpy as np
import pytest
import tensorflow as tf

from deeplab import metrics


def test_confusion_matrix_counts_truth_by_row():
  labels = tf.constant([[0, 0, 1], [1, 2, 255]])
  predictions = tf.constant([[0, 1, 1], [1, 0, 2]])
  confusion = metrics.confusion_matrix(labels, predictions, num_classes=3, ignore_label=255)
  assert confusion.dtype == tf.int64
  np.testing.assert_array_equal(confusion, [[1, 1, 0], [0, 2, 0], [1, 0, 0]])


def test_ignore_label_may_lie_among_the_classes():
  confusion = metrics.confusion_matrix(
    tf.constant([0, 0, 1]), tf.constant([1, 0, 1]), num_classes=2, ignore_label=0
  )
  np.testing.assert_array_equal(confusion, [[0, 0], [0, 1]])


def test_only_ignored_pixels_count_nothing():
  confusion = metrics.confusion_matrix(
    tf.constant([255, 255]), tf.constant([0, 1]), num_classes=2, ignore_label=255
  )
  np.testing.assert_array_equal(confusion, np.zeros([2, 2]))


@pytest.mark.parametrize('label', [-1, 3, 254])
def test_label_out_of_range_is_an_error(label):
  with pytest.raises(tf.errors.InvalidArgumentError, match='num_classes=3'):
    metrics.confusion_matrix(
      tf.constant([0, label]), tf.constant([0, 0]), num_classes=3, ignore_label=255
    )


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32, np.int64, np.float32])
def test_labels_of_any_type_and_images_by_themselves(dtype):
  labels = np.array([[[0, 2, 1]], [[255, 1, 1]]], dtype)
  predictions = np.array([[[0, 1, 1]], [[2, 1, 0]]], np.int32)
  confusions = tf.function(metrics.confusion_matrices, autograph=False)(
    tf.constant(labels), tf.constant(predictions), num_classes=3, ignore_label=255
  )
  assert confusions.dtype == tf.int64
  np.testing.assert_array_equal(
    confusions, [[[1, 0, 0], [0, 1, 0], [0, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 0]]]
  )


def test_a_label_out_of_range_is_an_error_in_a_graph_and_in_any_image():
  count = tf.function(metrics.confusion_matrices, autograph=False)
  with pytest.raises(tf.errors.InvalidArgumentError, match='num_classes=3'):
    count(
      tf.constant([[0, 255], [0, 3]]), tf.zeros([2, 2], tf.int32), num_classes=3, ignore_label=255
    )


def test_summary_by_hand():
  # Class 2 is absent but predicted (IoU 0, counts); class 3 is neither (does not count).
  summary = metrics.summarize([[3, 1, 0, 0], [0, 2, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
  np.testing.assert_allclose(summary.iou, [3 / 4, 2 / 5, 0, np.nan])
  assert summary.mean_iou == pytest.approx((3 / 4 + 2 / 5) / 3)
  np.testing.assert_allclose(summary.accuracy, [3 / 4, 2 / 4, np.nan, np.nan])
  np.testing.assert_allclose(summary.precision, [1, 2 / 3, 0, np.nan])
  assert summary.pixel_accuracy == pytest.approx(5 / 8)
  assert summary.mean_accuracy == pytest.approx((3 / 4 + 2 / 4) / 2)
  assert summary.frequency_weighted_iou == pytest.approx((4 * 3 / 4 + 4 * 2 / 5) / 8)
  np.testing.assert_array_equal(summary.truth_pixels, [4, 4, 0, 0])
  np.testing.assert_array_equal(summary.predicted_pixels, [3, 3, 2, 0])


def test_summary_of_nothing_is_nan():
  summary = metrics.summarize(np.zeros([2, 2], np.int64))
  assert np.isnan([summary.mean_iou, summary.pixel_accuracy, summary.mean_accuracy]).all()
