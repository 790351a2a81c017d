import inspect
import pathlib

import numpy as np
import pytest

from deeplab.errors import InputError
from deeplab.options import (
  ComputeOptions,
  ConversionOptions,
  EvaluationOptions,
  ModelOptions,
  PredictionOptions,
  keywords,
)


def _read(*classes, **given):
  return keywords.read('f', classes, given)


def test_options_of_several_classes():
  (model, prediction), given = _read(
    ModelOptions, PredictionOptions, output_stride=8, max_size=513, tile_size=None
  )
  assert model == ModelOptions(output_stride=8)
  assert prediction == PredictionOptions(max_size=513)
  assert given == {'output_stride', 'max_size'}  # None is the default, which nobody gave.


@pytest.mark.parametrize(
  'value, scales',
  [
    ([0.5, 1], (0.5, 1.0)),
    ((2,), (2.0,)),
    (0.75, (0.75,)),
    (np.array([0.5, 1.5]), (0.5, 1.5)),
    (np.float32(0.5), (0.5,)),
  ],
)
def test_lists_and_numbers_become_what_the_option_is(value, scales):
  (options,), _ = _read(PredictionOptions, eval_scales=value)
  assert options.eval_scales == scales
  assert all(type(scale) is float for scale in options.eval_scales)


def test_paths_and_older_names():
  (evaluation,), _ = _read(
    EvaluationOptions, filenames=pathlib.Path('val'), ckpt_path=pathlib.Path('model')
  )
  assert (evaluation.filenames, evaluation.ckpt_path) == (('val',), 'model')
  (conversion,), given = _read(
    ConversionOptions, split='train', images_dir='i', labels_dir='l', label_colormap='voc'
  )
  assert conversion.colormap == 'voc' and 'colormap' in given


@pytest.mark.parametrize(
  'name, value, message',
  [
    ('max_size', 'big', "--max_size='big': must be a whole number"),
    ('max_size', 1.5, '--max_size=1.5: must be a whole number'),
    ('max_size', True, '--max_size=True: must be a whole number'),
    ('max_size', 0, '--max_size=0: must be at least 1 and at most 65535'),
    ('eval_scales', ['1'], "--eval_scales='1': must be a number"),
    ('eval_scales', [None], '--eval_scales=None: must be a number'),
    ('eval_scales', float('nan'), '--eval_scales=nan: must be a finite number'),
    ('add_flipped_images', 'yes', "--add_flipped_images='yes': must be True or False"),
    ('eval_pad', 513, '--eval_pad=513: must be a text'),
  ],
)
def test_wrong_values(name, value, message):
  with pytest.raises(InputError) as raised:
    _read(PredictionOptions, **{name: value})
  assert str(raised.value) == message


def test_unknown_names():
  with pytest.raises(TypeError, match=r"^f\(\) has no option 'max_sise'; did you mean max_size\?$"):
    _read(PredictionOptions, max_sise=1)
  with pytest.raises(TypeError, match='it has compute_dtype, jit_compile, operations'):
    _read(ComputeOptions, zzz=None)
  with pytest.raises(TypeError, match='it has class_names, compute_dtype, jit_compile, operations'):
    keywords.read('f', [ComputeOptions], {'zzz': 1}, own=['class_names'])
  with pytest.raises(TypeError, match=r'did you mean class_names\?$'):
    keywords.read('f', [ComputeOptions], {'class_name': 1}, own=['class_names'])
  with pytest.raises(TypeError, match=r"has no option 'output_stride'; give it to load\(\)"):
    keywords.read(
      'f', [PredictionOptions], {'output_stride': 8}, elsewhere={'load': [ModelOptions]}
    )


@pytest.mark.parametrize(
  'text, shown',
  [
    ('--max_size=0: must be at least 1', 'max_size=0: must be at least 1'),
    ('use --nouse_decoder or --resume', 'use use_decoder=False or resume'),
    ('--unknown stays, a--b and --no too', '--unknown stays, a--b and --no too'),
  ],
)
def test_messages_for_programs(text, shown):
  assert keywords.as_keywords(text) == shown


def test_help_lists_the_options():
  @keywords.takes(ComputeOptions)
  def function(first, *, operations=None, **options):
    return options

  assert str(inspect.signature(function)) == (
    "(first, *, operations=None, compute_dtype='float32', tf32=True, jit_compile=False)"
  )
  assert function(1, jit_compile=True) == {'jit_compile': True}

  @keywords.takes(ComputeOptions, ModelOptions, saved_with_checkpoint=ModelOptions)
  def loading(**options):
    return options

  parameters = inspect.signature(loading).parameters
  assert parameters['model_variant'].default is parameters['output_stride'].default is None
  assert parameters['compute_dtype'].default == 'float32'
