"""The flags of a run as its flagfile holds them, and whether a run may go on with others."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping

from deeplab.options import OPTIONS_OF_TRAINING, CheckedOptions
from deeplab.options.checks import field_type
from deeplab.options.keywords import KINDS

# A run may be continued with other values of these,
_MAY_CHANGE = frozenset(
  {
    'log_per_steps',
    'persist_per_steps',
    'max_to_keep',
    'eval_filenames',
    'eval_per_steps',
    'patience',
    'class_names',
    'colormap',
    'num_input_threads',
    'output_path',
    'copy_to',
    'resume',
    'overwrite',
  }
)
# and without these, which only matter before the first checkpoint.
_START_FLAGS = frozenset({'load_ckpt_path', 'restore_from_seg_model', 'exclude_scopes'})
# `num_epochs` has become a number of steps by then, `recipe` the values it stands for.
_NOT_OF_THE_RUN = ('resume', 'overwrite', 'allow_changed_data', 'num_epochs', 'recipe')


def lines(*options: CheckedOptions) -> list[str]:
  """The lines of a flagfile with every option that has a value; absl reads them back to the same
  options.
  """
  return _lines(options, lambda each, field: getattr(each, field.name))


def _lines(options, value_of):
  made = []
  for each in options:
    for field in dataclasses.fields(each):
      value = value_of(each, field)
      if value is None or field.name in _NOT_OF_THE_RUN:
        continue
      for element in value if isinstance(value, tuple) else (value,):
        made.append(f'--{field.name}={element}')
  return made


def by_name(flagfile_lines: Iterable[str]) -> dict[str, list[str]]:
  """name -> values as text, of the lines of a flagfile. Raises ValueError for a line that is no
  flag, no comment (# or //) and not empty.
  """
  values = {}
  for number, line in enumerate(flagfile_lines, 1):
    if line.strip() and not line.strip().startswith(('-', '#', '//')):
      raise ValueError(f'line {number} is {line[:40]!r}, not --name=value')
    name, separator, value = line.strip().removeprefix('--').partition('=')
    if separator:
      values.setdefault(name, []).append(value)
  return values


def check(values: Mapping[str, list[str]]) -> None:
  """Raises ValueError where a value of `by_name` is none of its option's type."""
  for option_class in OPTIONS_OF_TRAINING:
    for field in dataclasses.fields(option_class):
      kind, _ = field_type(option_class, field)
      for text in values.get(field.name, ()):
        if not _is_of(kind, text):
          raise ValueError(f'--{field.name}={text[:40]} is not {KINDS[kind]}')


def _is_of(kind, text):
  if kind is bool:
    return text in ('True', 'False', 'true', 'false')
  try:
    return kind(text) is not None
  except ValueError:
    return False


def differences(
  saved: Mapping[str, list[str]], *options: CheckedOptions, given: Collection[str]
) -> list[str]:
  """Which flags a run cannot go on with.

  Args:
    saved: the run's flags, see `by_name`.
    *options: of the command that continues it.
    given: names of the options that the user gave.

  Returns:
    a phrase for each flag, with both values.
  """
  now, different = by_name(lines(*options)), []
  usual = by_name(_lines(options, lambda each, field: field.default))
  for name in sorted(set(saved) | set(now)):
    was, wanted = saved.get(name), now.get(name)
    if was == wanted or name in _MAY_CHANGE or (name in _START_FLAGS and name not in given):
      continue
    if name == 'num_steps' and was and int(wanted[0]) > int(was[0]):
      continue
    if was is None and wanted == usual.get(name):
      continue  # The run was started before there was such a flag.
    different.append(f'--{name[:100]}={_shown(wanted)} (the run has {_shown(was)})')
  return different


def _shown(values):
  text = 'none' if values is None else ','.join(values)
  return text if len(text) <= 200 else f'{text[:200]}...'
