"""In bands and as a whole the classes are those of the resized logits."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.model import label_map
from deeplab.model.layers import resize_bilinear


@pytest.mark.parametrize('band_bytes', [1, 2000, 10**9])
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
  'size, out_size', [((5, 7), (33, 50)), ((1, 1), (9, 4)), ((9, 9), (9, 9)), ((4, 3), (1, 1))]
)
def test_is_the_argmax_of_the_resize(size, out_size, align_corners, band_bytes, monkeypatch):
  monkeypatch.setattr(label_map, '_BAND_BYTES', band_bytes)
  logits = tf.constant(np.random.default_rng(2).normal(size=[2, *size, 6]), tf.float32)
  expected = tf.argmax(resize_bilinear(logits, out_size, align_corners=align_corners), axis=-1)
  known = label_map.resized_argmax(logits, out_size, align_corners=align_corners)
  unknown = tf.function(
    lambda logits, size: label_map.resized_argmax(
      logits, tf.unstack(size), align_corners=align_corners
    ),
    autograph=False,
    input_signature=[tf.TensorSpec([None, None, None, 6]), tf.TensorSpec([2], tf.int32)],
  )(logits, tf.constant(out_size))
  for labels in (known, unknown):
    assert labels.dtype == tf.int32 and labels.shape == expected.shape
    # Two classes that are equal but for rounding may change places.
    assert np.mean(labels.numpy() != expected.numpy()) < 0.002
