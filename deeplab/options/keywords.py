"""Options from the keyword arguments of a Python function: the flags' names, Python's values."""

import dataclasses
import difflib
import functools
import inspect
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from deeplab import options
from deeplab.errors import InputError
from deeplab.options.checks import CheckedOptions, field_type

# What a value of an option is called, by its type.
KINDS = {int: 'a whole number', float: 'a number', str: 'a text', bool: 'True or False'}
_FLAG = re.compile(r'(?<![\w-])--([a-z]\w*)')


def read(
  function: str,
  option_classes: Sequence[type[CheckedOptions]],
  keywords: Mapping[str, Any],
  *,
  elsewhere: Mapping[str, Collection[type[CheckedOptions]]] | None = None,
  own: Collection[str] = (),
) -> tuple[list[CheckedOptions], frozenset[str]]:
  """Makes options of keyword arguments.

  Args:
    function: its name, for messages.
    option_classes: whose fields it takes.
    keywords: name -> value. None stands for the default; where an option may be repeated, one value
      may stand for a list of one; paths may be path objects.
    elsewhere: other function -> classes whose fields that one takes, for messages.
    own: names of what the function takes beside the options, for messages.

  Returns:
    (an object of each class, names of the options given).

  Raises:
    TypeError: no such option. InputError: a value that it does not take.
  """
  fields = _fields(option_classes)
  keywords = {
    name: value for name, value in keywords.items() if value is not None or name not in fields
  }
  for name in keywords:
    if name not in fields:
      raise TypeError(_unknown(function, name, {*fields, *own}, elsewhere or {}))
  values = {one: {} for one in option_classes}
  given = set()
  for name, value in keywords.items():
    option_class, field = fields[name]
    values[option_class][field.name] = _value(option_class, field, value)
    given.add(field.name)
  return [one(**values[one]) for one in option_classes], frozenset(given)


def takes(
  *option_classes: type[CheckedOptions], saved_with_checkpoint: type[CheckedOptions] | None = None
) -> Callable:
  """Decorates a function whose **options are those of the classes: help() and editors then list
  them with their defaults.

  Args:
    *option_classes: of the options.
    saved_with_checkpoint: the class whose options are read from beside the checkpoint unless they
      are given; their default is shown as None.
  """

  def decorate(function):
    signature = inspect.signature(function)
    own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    parameters = [
      inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if option_class is saved_with_checkpoint else field.default,
      )
      for option_class in option_classes
      for field in dataclasses.fields(option_class)
      if field.name not in signature.parameters
    ]
    function.__signature__ = signature.replace(parameters=[*own, *parameters])
    return function

  return decorate


def as_keywords(text: str) -> str:
  """A message with the names of flags as a Python program writes them: without --, and
  `use_decoder=False` for `--nouse_decoder`.
  """
  return _FLAG.sub(_as_keyword, text)


def _as_keyword(match):
  name = match.group(1)
  known = _booleans()
  if known.get(name.removeprefix('no')) and name not in known:
    return f'{name.removeprefix("no")}=False'
  return name if name in known else match.group(0)


@functools.cache
def _booleans():
  """Name of an option -> whether it is a boolean, for all options."""
  classes = [
    one
    for one in vars(options).values()
    if isinstance(one, type) and dataclasses.is_dataclass(one) and issubclass(one, CheckedOptions)
  ]
  return {
    name: field_type(option_class, field) == (bool, False)
    for name, (option_class, field) in _fields(classes).items()
  }


def _fields(option_classes):
  """Name or older name -> (class, field)."""
  found = {}
  for option_class in option_classes:
    for field in dataclasses.fields(option_class):
      for name in filter(None, (field.name, field.metadata['alias'])):
        found[name] = option_class, field
  return found


def _unknown(function, name, known, elsewhere):
  message = f'{function}() has no option {name!r}'
  for other, classes in elsewhere.items():
    if name in _fields(classes):
      return f'{message}; give it to {other}()'
  near = difflib.get_close_matches(name, sorted(known), n=3)
  return (
    f'{message}; did you mean {" or ".join(near)}?'
    if near
    else (f'{message}; it has {", ".join(sorted(known))}')
  )


def _value(option_class, field, value):
  kind, repeated = field_type(option_class, field)
  if not repeated:
    return _single(field.name, kind, value)
  if isinstance(value, (str, os.PathLike)) or not hasattr(value, '__iter__'):
    value = [value]
  return tuple(_single(field.name, kind, one) for one in value)


def _single(name, kind, value):
  """`value` as the type that the option has; InputError for what is none."""
  converted = None
  if kind is str:
    converted = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if isinstance(converted, bytes):
      converted = os.fsdecode(converted)
  elif kind is bool:
    # numpy's booleans are no bool, but like one.
    if isinstance(value, bool) or type(value).__name__ in ('bool', 'bool_'):
      converted = bool(value)
  elif not isinstance(value, (bool, str, bytes)):
    try:
      number = float(value)
      converted = kind(number) if kind is float or number == int(number) else None
    except (TypeError, ValueError, OverflowError):
      converted = value if kind is float and isinstance(value, float) else None
  if converted is None:
    raise InputError(f'--{name}={value!r}: must be {KINDS[kind]}')
  return converted
