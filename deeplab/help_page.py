"""What `--help` shows."""

import dataclasses
import re
import textwrap
from collections.abc import Iterable

from deeplab.options import CheckedOptions
from deeplab.options.checks import field_type


def text(
  command: str,
  description: str,
  option_classes: Iterable[type[CheckedOptions]],
  *,
  saved_with_checkpoint: type[CheckedOptions] | None = None,
) -> str:
  """The text of `--help`: flags under the headings of their groups."""
  lines = [f'usage: {command} --flag=value ...', '', description.strip(), '']
  for option_class in option_classes:
    saved = option_class is saved_with_checkpoint
    lines += [f'{option_class.group}{", where the checkpoint does not say" if saved else ""}:']
    for field in dataclasses.fields(option_class):
      lines += [
        f'  --{_signature(option_class, field, saved=saved)}',
        *textwrap.wrap(
          field.metadata['help'], 100, initial_indent='      ', subsequent_indent='      '
        ),
      ]
    lines += ['']
  lines += [
    'Boolean flags: --name or --name=True, --noname or --name=False. --flagfile=FILE reads flags '
    'from a file.',
    '--help shows this text, --version the version of the toolkit.',
  ]
  return '\n'.join(lines)


def _signature(option_class, field, *, saved):
  value_type, repeated = field_type(option_class, field)
  choices = field.metadata['choices']
  shown = (
    '|'.join(map(str, choices))
    if choices
    else {int: 'INT', float: 'FLOAT', str: 'TEXT', bool: 'True|False'}[value_type]
  )
  if saved or re.search(r'\b(Default|Left out): ', field.metadata['help']):
    return f'{field.name}={shown}{" (repeatable)" if repeated else ""}'
  if field.metadata['required']:
    state = 'required'
  else:
    default = ','.join(map(str, field.default)) if repeated and field.default else field.default
    state = 'default: none' if default in (None, ()) else f'default: {default}'
  return f'{field.name}={shown}{" (repeatable)" if repeated else ""}  [{state}]'
