"""Numbers that a person may give, and those that nobody means."""

import dataclasses
import importlib.util
import math
import pathlib

import numpy as np
import pytest

from deeplab import options
from deeplab.errors import InputError
from deeplab.options.checks import CheckedOptions, field_type

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / 'scripts'
# What the commands need beside the flags that are marked as required.
NEEDED = {
  'InferenceOptions': {'input': ('a',)},
  'ConversionOptions': {'labels_dir': 'a', 'images_dir': 'a'},
}


def numeric_flags():
  """(class, field, type of one value, may it be repeated) of all option classes of the commands."""
  for name in ('quickstart', 'draw_color_maps'):  # They have classes of their own.
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f'{name}.py')
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
  classes, found = [CheckedOptions], []
  while classes:
    one = classes.pop()
    classes += one.__subclasses__()
    if not dataclasses.is_dataclass(one) or one.__module__.startswith('test'):
      continue
    for field in dataclasses.fields(one):
      kind, repeated = field_type(one, field)
      if kind in (int, float) and not field.metadata['choices']:
        found.append(pytest.param(one, field, kind, repeated, id=f'{one.__name__}.{field.name}'))
  return found


FLAGS = numeric_flags()


def test_there_are_flags_to_look_at():
  names = {parameter.id for parameter in FLAGS}
  assert {'TrainingInputOptions.batch_size', 'QuickstartOptions.num_steps'} <= names
  assert all(hasattr(options, name) for name in NEEDED)


@pytest.mark.parametrize('option_class, field, kind, repeated', FLAGS)
def test_every_number_has_bounds(option_class, field, kind, repeated):
  limits = field.metadata
  lower = limits['minimum'] if limits['minimum'] is not None else limits['above']
  upper = limits['maximum']
  assert lower is not None, f'{field.name} needs a minimum, or above'
  assert upper is not None, f'{field.name} needs a maximum'
  assert lower < upper
  with np.errstate(over='raise', under='raise'):  # float32 is what is computed with.
    assert math.isfinite(np.float32(upper)) and (upper == 0 or np.float32(upper) != 0)
  if kind is int:
    assert lower >= -(2**31) and upper < 2**31  # Else kernels and tensors cannot take it.

  needed = NEEDED.get(option_class.__name__, {})
  for other in dataclasses.fields(option_class):
    if other.metadata['required']:
      needed = {**needed, other.name: ('a',) if field_type(option_class, other)[1] else 'a'}

  def make(value):
    return option_class(**needed, **{field.name: (value,) if repeated else value})

  beyond = [upper + 1 if kind is int else upper * (1 + 1e-6), lower - 1]
  beyond += [2**63, 10**20] if kind is int else [1e20, 1e308, 1e-320, math.nan, math.inf]
  for value in beyond:
    with pytest.raises(InputError, match=f'--{field.name}=.*must be|is too near to 0'):
      make(value)
  if limits['above'] is not None:
    with pytest.raises(InputError, match='must be greater than'):
      make(limits['above'])


def test_a_list_of_numbers_has_an_end():
  with pytest.raises(InputError, match='--atrous_rates: has 17 values; give at most 16'):
    options.ModelOptions(atrous_rates=(1,) * 17)
  with pytest.raises(InputError, match='--eval_scales: has 101 values; give at most 100'):
    options.PredictionOptions(eval_scales=(1.0,) * 101)
  options.TrainingInputOptions(filenames=('a',) * 1000)  # Names have none.


def test_a_million_steps_of_patience_is_fine():
  made = options.ValidationOptions(eval_filenames=('a',), patience=10**6)
  assert made.patience == 10**6


@pytest.mark.parametrize('weights', ['1e7,1', '0,0', '1e-300,1e-300', 'nan,1', 'inf,1', '-1,1'])
def test_class_weights_have_bounds(weights):
  with pytest.raises(InputError, match='--class_weights=.*numbers from 0 to 1e.06, not all near 0'):
    options.LossOptions(class_weights=weights)
