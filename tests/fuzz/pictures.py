"""Damaged pictures and labels through converter, training, evaluation and inference, which must
agree on what each is.
"""

import functools
import os

import numpy as np
import tensorflow as tf

from deeplab import conversion_run
from deeplab.conversion import pairing, source_files, trial_decoding
from deeplab.data import bad_records, decoding, input_pipeline, tfrecord
from deeplab.errors import InputError
from deeplab.options import ConversionOptions, TrainingInputOptions
from deeplab.prediction import given_images, image_files

from . import picture_damages, picture_seeds
from .cases import Case, Silent, Target

_LIMITS = dict(num_classes=picture_seeds.NUM_CLASSES, ignore_label=255)
# Tracing the pipelines for one record takes longer than all the rest.
_SHARE_THROUGH_PIPELINES = 0.02


def run_pictures(case: Case) -> None:
  """A damaged image and a good label."""
  extension, image = picture_seeds.encoded_image(case.random)
  case.note(f'image {extension}')
  _run(case, (extension, picture_damages.damaged(case, image)), ('.png', _good_label(case)))


def run_labels(case: Case) -> None:
  """A good image and a damaged label."""
  image = picture_seeds.encoded(
    picture_seeds.Image.fromarray(picture_seeds.drawn_image(case.random)), format='PNG'
  )
  extension, label = picture_seeds.encoded_label(case.random)
  case.note(f'label {extension}')
  _run(case, ('.png', image), (extension, picture_damages.damaged(case, label)))


def _good_label(case):
  return picture_seeds.encoded(
    picture_seeds.Image.fromarray(picture_seeds.drawn_label(case.random)), format='PNG'
  )


def _run(case, image, label):
  image_path = case.write('images/picture' + image[0], image[1])
  label_path = case.write('labels/picture' + label[0], label[1])
  in_python = _refusal(lambda: given_images.read([image_path], several=True)[0].pixels)
  inferred, refused = in_python
  converted = _converted(case, image_path, label_path)
  if converted.problem:
    raise InputError(converted.problem)
  if refused:
    raise Silent(f'inference refuses what conversion takes: {refused}')
  record = tfrecord.serialize(
    record_format='basic',
    image=converted.image,
    label=converted.label,
    name=converted.name,
    height=converted.height,
    width=converted.width,
  )
  stored_image, stored_label = _check_in_training(record)
  _compare('inference sees other pixels than training', inferred, stored_image)
  image_again = _refusal(lambda: image_files.read_image(image_path))[0]
  _compare('inferencer and Python see other pixels', inferred, image_again)
  counted = dict(zip(*np.unique(stored_label, return_counts=True)))
  if counted != dict(zip(converted.values, converted.pixels)):
    raise Silent(f'training sees labels {counted}, the converter {converted.values}')
  if case.chance(_SHARE_THROUGH_PIPELINES):
    _through_pipelines(case, stored_image, labels_ext=label[0])


def _compare(what, one, other):
  # The label was drawn on the picture as it is stored or as it is shown; the sizes tell.
  if one is not None and one.shape == other.shape and not np.array_equal(one, other):
    raise Silent(what)


def _refusal(read):
  """(result, None), or (None, message)."""
  try:
    return read(), None
  except InputError as error:
    return None, str(error)


@functools.cache
def _trial():
  return trial_decoding._Trial(_options('unused'))


def _options(directory, *, labels_ext='.png'):
  return ConversionOptions(
    images_dir=os.path.join(directory, 'images'),
    labels_dir=os.path.join(directory, 'labels'),
    labels_ext=labels_ext,
    split='fuzz',
    output_dir=os.path.join(directory, 'records'),
    num_classes=picture_seeds.NUM_CLASSES,
    num_workers=1,
  )


def _converted(case, image_path, label_path):
  pair = pairing.Pair(name='picture', image_path=image_path, label_path=label_path)
  converted = source_files.convert_pair(pair, _options(case.directory), None)
  return converted if converted.problem else _trial()(converted)


@functools.cache
def _decode():
  @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string)])
  def decode(serialized):
    encoded_image, encoded_label, _ = tfrecord.parse(serialized)
    return decoding.decode_pair(
      encoded_image, encoded_label, max_image_pixels=100_000_000, **_LIMITS
    )

  return decode


def _check_in_training(record):
  """(image, label) of a record as training decodes it."""
  try:
    return [each.numpy() for each in _decode()(tf.constant(record))]
  except bad_records.UNREADABLE as error:
    raise Silent(f'training refuses what conversion takes: {str(error)[:500]}') from error


def _through_pipelines(case, stored_image, *, labels_ext):
  """The same by the whole converter and the two input pipelines."""
  summary = conversion_run.convert(_options(case.directory, labels_ext=labels_ext))
  path = os.path.join(summary['directory'], summary['files'][0])
  (example,) = input_pipeline.evaluation_examples([path], **_LIMITS)
  if not np.array_equal(example['image'], stored_image):
    raise Silent('evaluation sees other pixels than training')
  batches = input_pipeline.training_batches(
    TrainingInputOptions(
      filenames=(path,), batch_size=1, crop_size_height=25, crop_size_width=25, seed=1
    ),
    num_classes=picture_seeds.NUM_CLASSES,
  )
  for _ in batches.take(3):
    pass


TARGETS = (
  Target('pictures', run_pictures, weight=20, megabytes=1500),
  Target('labels', run_labels, weight=14),
)
