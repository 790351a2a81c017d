"""Every loss against numpy written out by hand, on pixels of three classes."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import losses
from deeplab.errors import InputError
from deeplab.operations.dispatch import Operations
from deeplab.options import LossOptions

IGNORE = 255
# Two images of 1x3 pixels; the last pixel of each is ignored.
LABELS = np.array([[[0, 1, IGNORE]], [[2, 2, IGNORE]]], np.int32)
LOGITS = np.array(
  [
    [[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [9.0, 0.0, 0.0]]],
    [[[0.0, 0.0, 3.0], [1.0, 0.0, 0.0], [0.0, 9.0, 0.0]]],
  ],
  np.float32,
)
# -log softmax of the true class, by hand.
CE = np.array(
  [np.log(np.exp(2) + 2) - 2, np.log(np.e + 2) - 1, np.log(np.exp(3) + 2) - 3, np.log(np.e + 2)]
)


def loss_of(options, class_weights=None, step=0, logits=LOGITS, labels=LABELS):
  """{part: mean} of a SegmentationLoss."""
  loss = losses.SegmentationLoss(options, IGNORE, class_weights)
  sums = loss.sums(
    tf.constant(logits),
    tf.constant(labels),
    step=tf.constant(step, tf.int64),
    operations=Operations(),
  )
  counts = loss.counts(tf.constant(labels))
  assert set(sums) == set(counts) == set(loss.parts)
  return {part: float(losses.mean(sums[part], counts[part])) for part in sums}


def test_cross_entropy_is_a_mean_over_valid_pixels():
  assert loss_of(LossOptions()) == {'cross_entropy': pytest.approx(CE.mean(), rel=1e-6)}


def test_only_ignored_pixels_cost_nothing():
  labels = np.full([2, 1, 3], IGNORE, np.int32)
  for name in ('cross_entropy', 'focal', 'dice', 'cross_entropy_and_dice'):
    assert set(loss_of(LossOptions(loss=name), labels=labels).values()) == {0.0}
  assert loss_of(LossOptions(top_k_percent_pixels=0.5), labels=labels) == {'cross_entropy': 0.0}


def test_label_out_of_range_is_no_crash():
  # The trainer names the records instead, alike on every device.
  assert np.isfinite(
    loss_of(LossOptions(), labels=np.full([2, 1, 3], 77, np.int32))['cross_entropy']
  )


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int64, np.float32])
def test_labels_of_any_type_cost_the_same_to_the_bit(dtype):
  for options in (
    LossOptions(loss='cross_entropy_and_dice'),
    LossOptions(loss='focal', top_k_percent_pixels=0.5),
  ):
    weights = (1.0, 2.0, 0.5)
    assert loss_of(options, weights, labels=LABELS.astype(dtype)) == loss_of(options, weights)


def test_the_hardest_pixels_get_the_gradient():
  pixel_losses = tf.constant([[0.5, 2.0], [0.0, 1.0]])
  with tf.GradientTape() as tape:
    tape.watch(pixel_losses)
    mean = losses.mean_of_hardest(pixel_losses, 0.5, ramp_steps=0, step=0)
  np.testing.assert_array_equal(tape.gradient(mean, pixel_losses), [[0.0, 0.5], [0.0, 0.5]])


def test_class_weights_scale_pixels_but_not_the_count():
  weights = (1.0, 0.5, 4.0)
  expected = (CE[0] * 1 + CE[1] * 0.5 + (CE[2] + CE[3]) * 4) / 4
  assert loss_of(LossOptions(class_weights='1,0.5,4'), weights)['cross_entropy'] == pytest.approx(
    expected, rel=1e-6
  )


def test_top_k_takes_a_share_of_all_pixels():
  # 6 pixels, ignored ones included: int(0.5 * 6) = 3 remain.
  hardest = np.sort(CE)[-3:]
  assert loss_of(LossOptions(top_k_percent_pixels=0.5))['cross_entropy'] == pytest.approx(
    hardest.mean(), rel=1e-6
  )


def test_top_k_counts_only_losses_that_are_not_zero():
  # int(0.9 * 6) = 5 pixels remain, one of them an ignored pixel of loss 0.
  assert loss_of(LossOptions(top_k_percent_pixels=0.9))['cross_entropy'] == pytest.approx(
    CE.mean(), rel=1e-6
  )


@pytest.mark.parametrize('step, kept', [(0, 4), (50, 4), (75, 3), (100, 2), (1000, 2)])
def test_top_k_ramps_down(step, kept):
  # Shares 1, 0.7, 0.55, 0.4, 0.4 of 6 pixels: 6, 4, 3, 2, 2.
  options = LossOptions(top_k_percent_pixels=0.4, hard_example_mining_step=100)
  assert loss_of(options, step=step)['cross_entropy'] == pytest.approx(
    np.sort(CE)[-kept:].mean(), rel=1e-6
  )


def test_top_k_chooses_by_weighted_loss():
  weights = (100.0, 1.0, 1.0)
  options = LossOptions(top_k_percent_pixels=0.2)  # int(0.2 * 6) = 1 pixel: class 0, once weighted.
  assert loss_of(options, weights)['cross_entropy'] == pytest.approx(100 * CE[0], rel=1e-5)


def test_focal():
  probabilities = np.exp(-CE)
  expected = ((1 - probabilities) ** 2 * CE).mean()
  assert loss_of(LossOptions(loss='focal'))['focal'] == pytest.approx(expected, rel=1e-5)


def test_focal_with_gamma_0_is_cross_entropy():
  assert loss_of(LossOptions(loss='focal', focal_gamma=0.0))['focal'] == pytest.approx(
    CE.mean(), rel=1e-6
  )


@pytest.mark.parametrize('gamma', [0.5, 2.0])
def test_focal_gradient_is_finite_for_a_certain_pixel(gamma):
  loss = losses.SegmentationLoss(LossOptions(loss='focal', focal_gamma=gamma), IGNORE)
  logits = tf.Variable([[[[200.0, 0.0]]]])
  with tf.GradientTape() as tape:
    total = loss.sums(logits, tf.constant([[[0]]]), step=0, operations=Operations())['focal']
  assert np.isfinite(tape.gradient(total, logits)).all()


def dice_by_hand(class_weights=(1.0, 1.0, 1.0)):
  image_losses = []
  for logits, labels in zip(LOGITS.reshape(2, 3, 3)[:, :2], LABELS.reshape(2, 3)[:, :2]):
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    terms, weights = [], []
    for c in sorted(set(labels)):
      truth = (labels == c).astype(float)
      dice = (2 * (probabilities[:, c] * truth).sum() + 1) / (
        probabilities[:, c].sum() + truth.sum() + 1
      )
      terms.append(class_weights[c] * (1 - dice))
      weights.append(class_weights[c])
    image_losses.append(sum(terms) / sum(weights))
  return np.mean(image_losses)


def test_dice():
  assert loss_of(LossOptions(loss='dice'))['dice'] == pytest.approx(dice_by_hand(), rel=1e-5)


def test_dice_with_class_weights():
  weights = (3.0, 1.0, 2.0)
  assert loss_of(LossOptions(loss='dice'), weights)['dice'] == pytest.approx(
    dice_by_hand(weights), rel=1e-5
  )


def test_dice_leaves_out_images_without_labels():
  labels = LABELS.copy()
  labels[1] = IGNORE
  one = loss_of(LossOptions(loss='dice'), logits=LOGITS[:1], labels=LABELS[:1])['dice']
  assert loss_of(LossOptions(loss='dice'), labels=labels)['dice'] == pytest.approx(one, rel=1e-6)


def test_perfect_prediction_has_almost_no_loss():
  labels = np.array([[[0, 1, 2]]], np.int32)
  logits = 50.0 * np.eye(3, dtype=np.float32)[labels]
  for name in ('cross_entropy', 'focal', 'dice'):
    assert loss_of(LossOptions(loss=name), logits=logits, labels=labels)[name] < 1e-6


def test_cross_entropy_and_dice_are_two_parts():
  parts = loss_of(LossOptions(loss='cross_entropy_and_dice'))
  assert parts == {
    'cross_entropy': pytest.approx(CE.mean(), rel=1e-6),
    'dice': pytest.approx(dice_by_hand(), rel=1e-5),
  }


@pytest.mark.parametrize('text', ['1,x', '-1,2', '', '0,0', '1,nan', '1,inf'])
def test_bad_class_weights(text):
  with pytest.raises(InputError, match='--class_weights'):
    LossOptions(class_weights=text)


def test_dice_has_no_pixels_to_mine():
  with pytest.raises(InputError, match='--top_k_percent_pixels=0.5'):
    LossOptions(loss='dice', top_k_percent_pixels=0.5)
