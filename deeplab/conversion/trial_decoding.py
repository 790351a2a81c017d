"""Decodes each pair as training will, before it becomes a record.

Pillow, with which files are looked through, and TensorFlow do not agree on what a damaged file is:
what training cannot decode must not get into records.
"""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Iterable, Iterator

from deeplab import quiet_start
from deeplab.conversion.source_files import Converted
from deeplab.data import picture_files
from deeplab.options import ConversionOptions

_ANY_VALUE = 65536
_MOST_BYTES_AHEAD = 256 * 2**20  # Of encoded pairs.


def try_decoding(results: Iterable[Converted], options: ConversionOptions) -> Iterator[Converted]:
  """Decodes what `source_files.convert_pair` made, and turns JPEGs and PNGs that are to be turned.

  Args:
    results: Converted, with problems or without.
    options: ConversionOptions.

  Yields:
    Converted, in the same order: `problem` is set where training would fail, `orientation` is 1.
  """
  num_threads = options.num_workers or os.cpu_count() or 1
  waiting, sizes = collections.deque(), collections.deque()
  trial = None
  with concurrent.futures.ThreadPoolExecutor(num_threads) as pool:
    try:
      for result in results:
        if trial is None and not result.problem:
          trial = _Trial(options)  # Imports TensorFlow: not before the first files proved good.
        sizes.append(len(result.image) + len(result.label))
        while waiting and (len(waiting) > 4 * num_threads or sum(sizes) > _MOST_BYTES_AHEAD):
          sizes.popleft()
          yield _finished(waiting.popleft())
        waiting.append(result if result.problem else pool.submit(trial, result))
      while waiting:
        yield _finished(waiting.popleft())
    finally:
      pool.shutdown(cancel_futures=True)


def _finished(result):
  return result.result() if isinstance(result, concurrent.futures.Future) else result


class _Trial:
  """Turns and decodes single pairs; imports TensorFlow when it is made."""

  def __init__(self, options):
    quiet_start.import_tensorflow()
    import tensorflow as tf

    from deeplab.data import decoding, record_diagnosis

    text = tf.TensorSpec([], tf.string)

    @tf.function(autograph=False, input_signature=[text, text])
    def decode(encoded_image, encoded_label):
      with tf.device('/cpu:0'):
        return decoding.decode_pair(
          encoded_image,
          encoded_label,
          num_classes=options.num_classes or _ANY_VALUE,
          ignore_label=options.ignore_label,
          max_image_pixels=options.max_image_pixels,
        )

    self._decode = decode
    self._errors = record_diagnosis.UNREADABLE
    self._undecodable_part = record_diagnosis.undecodable_part

  def __call__(self, converted):
    try:
      if converted.orientation != 1:
        converted = dataclasses.replace(converted, image=_upright(converted.image), orientation=1)
      self._decode(converted.image, converted.label)
    except self._errors:
      part, damage = self._undecodable_part(image=converted.image, label=converted.label)
      path = converted.image_path if part == 'image' else converted.label_path
      return Converted(name=converted.name, problem=f'{converted.name}: {path} {damage}')
    return converted


def _upright(encoded):
  """The bytes of a PNG that shows a JPEG or PNG as its orientation tag asks for."""
  import tensorflow as tf

  pixels = picture_files.decode(picture_files.examine(encoded, name='the image', whole=False))
  return tf.io.encode_png(pixels).numpy()
