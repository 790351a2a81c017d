"""Options that check themselves when they are made, so a wrong value is refused before TensorFlow
is imported.
"""

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Any

from deeplab.errors import InputError


def option(
  default: Any,
  help: str,
  *,
  choices: Sequence | None = None,
  minimum: float | None = None,
  above: float | None = None,
  maximum: float | None = None,
  required: bool = False,
  not_empty: str | None = None,
  alias: str | None = None,
) -> Any:
  """A dataclass field with what a flag needs to know.

  Args:
    default: the value when nothing is given; a tuple marks an option that may be repeated.
    help: one or two sentences for `--help`.
    choices: allowed values, or None.
    minimum, above, maximum: inclusive lower, exclusive lower and inclusive upper bound, of each
      element of a tuple too.
    required: True when a command cannot run without it.
    not_empty: what to give instead of an empty text, such as 'a directory'; None where an empty
      text may be given.
    alias: an older name of the flag, which is taken too; or None.
  """
  return dataclasses.field(
    default=default,
    metadata=dict(
      help=help,
      choices=choices,
      minimum=minimum,
      above=above,
      maximum=maximum,
      required=required,
      not_empty=not_empty,
      alias=alias,
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
      for element in value if isinstance(value, tuple) else (value,):
        _check_value(field, element)

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
  if limits['choices'] and value not in limits['choices']:
    allowed = ', '.join(str(choice) for choice in limits['choices'])
    raise InputError(f'--{field.name}={value}: must be one of {allowed}')
  if isinstance(value, float) and not abs(value) < float('inf'):
    raise InputError(f'--{field.name}={value}: must be a finite number')
  if limits['minimum'] is not None and value < limits['minimum']:
    raise InputError(f'--{field.name}={value}: must be at least {limits["minimum"]}')
  if limits['above'] is not None and value <= limits['above']:
    raise InputError(f'--{field.name}={value}: must be greater than {limits["above"]}')
  if limits['maximum'] is not None and value > limits['maximum']:
    raise InputError(f'--{field.name}={value}: must be at most {limits["maximum"]}')
