"""Batches on the devices that compute: copied there before they are asked for, in the smallest
types that hold them.
"""

from collections.abc import Iterable, Sequence

import tensorflow as tf

# A name takes this much at most: strings cannot be copied to a GPU, bytes can.
_NAME_BYTES = 256


def on_devices(
  batches: tf.data.Dataset, strategy: tf.distribute.Strategy, *, largest_label: int
) -> Iterable[dict]:
  """Endless batches, each a dict of values on the devices of `strategy`.

  Args:
    batches: dicts with images float32 [b, h, w, 3], labels int32 [b, h, w] and names string [b],
      each one device's part of a batch, those of the devices of this worker in turns.
    strategy: whose devices compute.
    largest_label: no label is larger.

  Returns:
    dicts with the same keys; labels are uint8 or uint16, which the device casts, names uint8 [b,
    n]. Images stay float32: what augmentation resizes has fractions, which count. With one device
    a value is a tensor, else a tf.distribute.DistributedValues of one for each.
  """
  label_type = tf.uint8 if largest_label < 256 else tf.uint16

  def small(batch):
    names = tf.io.decode_raw(batch['names'], tf.uint8, fixed_length=_NAME_BYTES)
    return {**batch, 'labels': tf.cast(batch['labels'], label_type), 'names': names}

  batches = batches.map(tf.autograph.experimental.do_not_convert(small))
  batches = batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
  batches = batches.prefetch(1)
  return strategy.distribute_datasets_from_function(lambda _: batches)


def names_of(batches: Sequence[dict], strategy: tf.distribute.Strategy) -> list[bytes]:
  """The names of the examples of these batches, those of other workers not included."""
  return [
    name
    for batch in batches
    for values in strategy.experimental_local_results(batch['names'])
    for name in _names(values.numpy())
  ]


def _names(values):
  if values.ndim == 1:  # Strings as they are.
    return values.tolist()
  return [bytes(row).rstrip(b'\0') for row in values]


def num_images(batches: Sequence[dict], strategy: tf.distribute.Strategy) -> int:
  """In these batches, on all devices of all workers."""
  here = [
    part.shape[0]
    for batch in batches
    for part in strategy.experimental_local_results(batch['images'])
  ]
  num_local = len(strategy.experimental_local_results(batches[0]['images']))
  return sum(here) * strategy.num_replicas_in_sync // num_local
