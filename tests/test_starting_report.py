import re

import pytest

from deeplab.options import ModelOptions, TrainingInputOptions, TrainingOptions
from deeplab.restoring import RestoreReport
from deeplab.training import starting_report

GOOD_INPUT = dict(filenames=('train',), batch_size=12)


def warnings(model=(), data=(), training=(), *, from_scratch=False):
  return starting_report.warnings(
    ModelOptions(preprocess_images_option='zero_mean_unit_range', **dict(model)),
    TrainingInputOptions(**{**GOOD_INPUT, **dict(data)}),
    TrainingOptions(**dict(training)),
    from_scratch=from_scratch,
  )


def test_the_default_recipe_has_no_warning():
  assert warnings() == []


@pytest.mark.parametrize(
  'settings, message',
  [
    (dict(data={'batch_size': 4}), '--batch_size=4 is small for live batch norm'),
    (dict(training={'num_steps': 500}), '86% of the stored statistics .* --batch_norm_decay=0.99$'),
    (
      dict(training={'num_steps': 50, 'accumulate_steps': 10}),
      'stored statistics .* --batch_norm_decay=0.99$',
    ),
    (dict(training={'num_steps': 2, 'batch_norm_decay': 0.8}), '64% .* those; train longer$'),
    (dict(data={'crop_size_width': 512}), '--crop_size_width=512 .* 513 is'),
    (
      dict(model={'atrous_rates': (12, 24, 36)}),
      'those of stride 8; at --output_stride=16 6,12,18',
    ),
    (
      dict(model={'model_variant': 'resnet_v1_50'}),
      'published resnet_v1_50 weights expect subtract_imagenet_mean',
    ),
    (dict(data={'pad_imagenet_mean': True}), '--pad_imagenet_mean with'),
    (
      dict(training={'fine_tune_batch_norm': False}, from_scratch=True),
      'statistics are those of no data',
    ),
    (
      dict(training={'optimizer': 'adam', 'last_layer_gradient_multiplier': 10.0}),
      'next to nothing with --optimizer=adam',
    ),
  ],
)
def test_each_warning(settings, message):
  lines = warnings(**settings)
  assert len(lines) == 1 and re.search(message, lines[0]), lines


@pytest.mark.parametrize(
  'settings',
  [
    dict(data={'batch_size': 4}, training={'fine_tune_batch_norm': False}),
    dict(training={'num_steps': 500, 'batch_norm_decay': 0.99}),
    dict(model={'model_variant': 'resnet_v1_50'}, from_scratch=True),
    dict(model={'atrous_rates': (5, 10, 15)}),
  ],
)
def test_what_is_fine_has_no_warning(settings):
  assert warnings(**settings) == []


def test_restore_report_says_what_is_new_and_why():
  report = RestoreReport(
    prefix='a/model.ckpt',
    restored=('x', 'y'),
    new=(('p', 'excluded'), ('q', 'not in the checkpoint'), ('r', 'excluded')),
    unused=tuple('abcdefgh'),
  )
  assert starting_report.restore_lines(report) == [
    'restored 2 variables from a/model.ckpt',
    'new (excluded): p, r',
    'new (not in the checkpoint): q',
    'in the checkpoint but not used: a, b, c, d, e, f and 2 more',
  ]


def test_only_changed_flags_are_listed():
  line = starting_report.changed_flags_line(
    ModelOptions(atrous_rates=(6, 12)), TrainingOptions(num_steps=7)
  )
  assert line == 'flags: --atrous_rates=6,12 --num_steps=7'
