"""Options that check themselves when they are made, so a wrong value is refused before TensorFlow
is imported.
"""

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Any

from deeplab import remote_files
from deeplab.errors import InputError, shown

# Of what is counted in steps, records or frames: more than any run makes, and far from what 64 bits
# hold.
MOST_STEPS = 10**9
# Of learning rates and the factors on them: more is no training, and float32 ends at 3.4e38.
LARGEST_RATE = 1e4
MOST_IMAGES_AT_ONCE = 65536
_SMALLEST_FLOAT32 = (
  2.0**-126
)  # What is nearer to 0 is 0, or loses digits, when it is computed with.


def option(
  default: Any,
  help: str,
  *,
  choices: Sequence | None = None,
  minimum: float | None = None,
  above: float | None = None,
  maximum: float | None = None,
  most: int = 100,
  required: bool = False,
  not_empty: str | None = None,
  alias: str | None = None,
  local: str | None = None,
) -> Any:
  """A dataclass field with what a flag needs to know.

  Args:
    default: the value when nothing is given; a tuple marks an option that may be repeated.
    help: one or two sentences for `--help`.
    choices: allowed values, or None.
    minimum, above, maximum: inclusive lower, exclusive lower and inclusive upper bound, of each
      element of a tuple too. A number needs both a lower and an upper one, or choices.
    most: the most values of a tuple of numbers.
    required: True when a command cannot run without it.
    not_empty: what to give instead of an empty text, such as 'a directory'; None where an empty
      text may be given.
    alias: an older name of the flag, which is taken too; or None.
    local: of a path that cannot be remote, such as gs://bucket/run: what to do instead, as a phrase
      that follows "must be local; "; None where it can.
  """
  return dataclasses.field(
    default=default,
    metadata=dict(
      help=help,
      choices=choices,
      minimum=minimum,
      above=above,
      maximum=maximum,
      most=most,
      required=required,
      not_empty=not_empty,
      alias=alias,
      local=local,
    ),
  )


class CheckedOptions:
  """Checks each field against its metadata when made; subclasses add checks between fields."""

  group = ''  # The heading in --help.

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.metadata['required'] and not value:
        raise InputError(f'--{field.name} is required: {field.metadata["help"]}')
      if isinstance(value, list):
        value = tuple(value)
        object.__setattr__(self, field.name, value)
      elements = value if isinstance(value, tuple) else (value,)
      for element in elements:
        _check_value(field, element)
      most = field.metadata['most']
      if len(elements) > most and not isinstance(elements[0], str):
        raise InputError(f'--{field.name}: has {len(elements)} values; give at most {most}')

  def changed(self) -> frozenset[str]:
    """The names of the options that are not at their defaults."""
    return frozenset(
      field.name for field in dataclasses.fields(self) if getattr(self, field.name) != field.default
    )

  def replace(self, **changes) -> 'CheckedOptions':
    """A copy with other values, checked again."""
    return dataclasses.replace(self, **changes)


def field_type(option_class: type[CheckedOptions], field: dataclasses.Field) -> tuple[type, bool]:
  """(type of one value, may it be repeated) of a field annotated `T`, `T | None` or `tuple[T,
  ...]`.
  """
  annotation = typing.get_type_hints(option_class)[field.name]
  if isinstance(annotation, types.UnionType):
    annotation = next(member for member in typing.get_args(annotation) if member is not type(None))
  if typing.get_origin(annotation) is tuple:
    return typing.get_args(annotation)[0], True
  return annotation, False


def _check_value(field, value):
  if value is None:
    return
  limits = field.metadata
  if limits['not_empty'] and value == '':
    raise InputError(f'--{field.name}= is empty; give {limits["not_empty"]}, or leave the flag out')
  if limits['local'] and remote_files.is_remote(value):
    raise InputError(f'--{field.name}={shown(value)}: must be local; {limits["local"]}')
  if limits['choices'] and value not in limits['choices']:
    allowed = ', '.join(str(choice) for choice in limits['choices'])
    raise InputError(f'--{field.name}={value}: must be one of {allowed}')
  if isinstance(value, float) and not abs(value) < float('inf'):
    raise InputError(f'--{field.name}={value}: must be a finite number')
  if isinstance(value, float) and 0.0 < abs(value) < _SMALLEST_FLOAT32:
    raise InputError(
      f'--{field.name}={value}: is too near to 0 for float32; give 0 or at least '
      f'{_SMALLEST_FLOAT32:.2g}'
    )
  lower, upper = _ends(limits)
  too_low = (limits['minimum'] is not None and value < limits['minimum']) or (
    limits['above'] is not None and value <= limits['above']
  )
  if too_low or (limits['maximum'] is not None and value > limits['maximum']):
    ends = (lower, upper) if too_low else (upper, lower)
    raise InputError(f'--{field.name}={value}: must be {" and ".join(filter(None, ends))}')


def _ends(limits):
  """(lower, upper) bound in words; '' without one."""
  lower = '' if limits['minimum'] is None else f'at least {limits["minimum"]}'
  if limits['above'] is not None:
    lower = f'greater than {limits["above"]}'
  return lower, '' if limits['maximum'] is None else f'at most {limits["maximum"]}'


def range_of_numbers(field: dataclasses.Field, value_type: type) -> str:
  """What a flag of numbers takes, in words that follow "must be"."""
  lower, upper = _ends(field.metadata)
  low = field.metadata['minimum']
  kind = 'a whole number' if value_type is int else 'a number'
  if low is not None and upper:
    kind += f' from {low} to {field.metadata["maximum"]}'
  elif lower or upper:
    kind += f' {" and ".join(filter(None, (lower, upper)))}'
  example = (
    field.default[0] if isinstance(field.default, tuple) and field.default else field.default
  )
  if isinstance(example, tuple) or example is None:
    example = low
  return f'{kind}, such as {example}' if example is not None else kind
