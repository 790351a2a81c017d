"""Command-line flags made from the option classes, and the frame every command runs in.

The only module beside the commands that knows absl. Nothing here imports TensorFlow, so `--help`
and flag errors are quick.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import flags as absl_flags

from deeplab import (
  __version__,
  failure_reasons,
  flag_files,
  help_page,
  messages,
  phase_line,
  quiet_start,
  standard_streams,
)
from deeplab.distribution import cluster, leaving
from deeplab.errors import InputError, let_streams_take_any_name, shown
from deeplab.options import CheckedOptions, DistributionOptions
from deeplab.options.checks import field_type, range_of_numbers
from deeplab.standard_streams import OutputLost

FLAGS = absl_flags.FLAGS
# The exit status where the reader of the output, such as `head`, went: that of a shell for SIGPIPE.
_UNREAD = 141
_LONGEST_LINE = 8000  # Characters of an error; a value that is too long to be read is not repeated.


class _CommaOrRepeated(absl_flags.MultiFlag):
  """A flag that takes `--rates=1 --rates=2` and `--rates=1,2` alike; not for paths, which may hold
  commas.
  """

  def _parse(self, arguments):
    if isinstance(arguments, str):
      arguments = [arguments]
    if arguments is None:
      return None
    parts = [part.strip() for argument in arguments for part in str(argument).split(',')]
    return [self._parse_one(part) for part in parts if part]

  def _parse_one(self, text):
    try:
      return self.parser.parse(text)
    except ValueError as error:
      raise absl_flags.IllegalFlagValueError(f'flag --{self.name}={text}: {error}') from error


class _Number(absl_flags.ArgumentParser):
  """Parses numbers of one type; its error says what is allowed."""

  def __init__(self, value_type, allowed):
    self._parser = {int: absl_flags.IntegerParser, float: absl_flags.FloatParser}[value_type]()
    self._allowed = allowed

  def parse(self, argument):
    try:
      return self._parser.parse(argument)
    except ValueError as error:
      raise ValueError(f'must be {self._allowed}') from error


def run(
  main: Callable[..., int | None],
  *option_classes: type[CheckedOptions],
  description: str,
  uses_tensorflow: bool = True,
  help_order: Sequence[type[CheckedOptions]] | None = None,
  saved_with_checkpoint: type[CheckedOptions] | None = None,
  more_values_of: str | None = None,
  words_are: str | None = None,
) -> NoReturn:
  """Parses the flags, runs `main` with one options object per class, and turns a user's mistake
  into one line.

  Args:
    main: called with an instance of each of `option_classes`, in their order; returns an exit
      status or None.
    *option_classes: classes of `deeplab.options`; each becomes a group of flags.
    description: the first lines of `--help`.
    uses_tensorflow: import it, quietly, before `main` runs.
    help_order: `option_classes` in the order of `--help`; None: as they are.
    saved_with_checkpoint: the one of them that the checkpoint decides, for `--help`.
    more_values_of: a repeated flag that also takes what follows it directly without a flag, as a
      shell makes it of `--input *.jpg`.
    words_are: a repeated flag that takes all words without a flag.

  Exits with 0, with the status that `main` returns, with 1 after an InputError or an
  operating-system error, with 2 after a wrong flag, with 130 after an interrupt, and with 141,
  quietly, where nobody reads its output any more.
  """
  for option_class in option_classes:
    define(option_class)
  # Now: libraries that are imported later set it for themselves.
  wants_tensorflows_words = 'TF_CPP_MIN_LOG_LEVEL' in os.environ
  command = os.path.basename(sys.argv[0])
  asked = {argument.lstrip('-') for argument in sys.argv[1:] if argument.startswith('-')}
  standard_streams.prepare()
  let_streams_take_any_name()
  quiet_start.hide_warnings_of_pillow()
  if asked & {'help', 'helpfull', 'helpshort', 'h'}:
    classes = help_order or option_classes
    _show(
      command,
      help_page.text(command, description, classes, saved_with_checkpoint=saved_with_checkpoint),
    )
  if 'version' in asked:
    _show(command, f'deeplab-tf {__version__}')
  _parse(command, more_values_of, words_are)
  try:
    options = [read(option_class) for option_class in option_classes]
    if uses_tensorflow:
      # Not above: --help and flag errors need not wait for it.
      from deeplab import given_paths

      given_paths.check(*options)
      with messages.phase('starting TensorFlow', ticks=False):
        quiet_start.import_tensorflow(hides_errors=_is_one_of_several(options))
    status = main(*options)
    standard_streams.flush()
    leaving.finish(status)
    sys.exit(status)
  except OutputLost as error:
    _end_without_output(command, error)
  except InputError as error:
    _fail(command, _one_line(error), status=1)
  except MemoryError:
    _fail(command, 'out of memory; give less at once, or use a machine with more', status=1)
  except OSError as error:
    _fail(command, _one_line(error), status=1)
  except KeyboardInterrupt:
    _fail(command, 'interrupted', status=130)
  except Exception as error:
    if not failure_reasons.is_one(error) or wants_tensorflows_words:
      raise
    _fail(command, failure_reasons.explain(error), status=1)


def _is_one_of_several(options):
  """Whether this process is one of several workers. Raises InputError where that is said wrong."""
  return any(
    isinstance(each, DistributionOptions) and cluster.find(each) is not None for each in options
  )


def _parse(command, more_values_of, words_are):
  """Gives FLAGS the values of the command line; exits where it is wrong."""
  if more_values_of or words_are:
    FLAGS.set_gnu_getopt(True)
  try:
    flag_files.check(sys.argv[1:])
    rest = FLAGS(sys.argv)[1:]
  except InputError as error:
    _fail(command, _one_line(error), status=2)
  except absl_flags.Error as error:
    _fail(command, f'{_one_line(error)} (--help lists the flags)', status=2)
  except UnicodeDecodeError as error:
    _fail(
      command,
      f'--flagfile: not a text file ({error.reason}); it has one --flag=value a line',
      status=2,
    )
  if rest and more_values_of and FLAGS[more_values_of].present:
    problem = _stray_word(sys.argv[1:], more_values_of)
    if problem:
      _fail(command, f'{problem} (--help lists the flags)', status=2)
    FLAGS[more_values_of].value = [*FLAGS[more_values_of].value, *rest]
  elif rest and words_are:
    FLAGS[words_are].value = [*FLAGS[words_are].value, *rest]
  elif rest:
    _fail(
      command,
      f'unexpected argument {rest[0]!r}: flags are written --name=value (--help lists them)',
      status=2,
    )


def define(option_class: type[CheckedOptions]) -> None:
  """Defines one flag per field of `option_class`."""
  for field in dataclasses.fields(option_class):
    metadata, name = field.metadata, field.name
    value_type, repeated = field_type(option_class, field)
    choices = metadata['choices']
    if value_type is bool:
      absl_flags.DEFINE_boolean(name, field.default, metadata['help'])
    elif choices and not repeated:
      default = None if field.default is None else str(field.default)
      absl_flags.DEFINE_enum(name, default, [str(choice) for choice in choices], metadata['help'])
    else:
      parser = absl_flags.ArgumentParser()
      if value_type is not str:
        parser = _Number(value_type, range_of_numbers(field, value_type))
      kind = absl_flags.Flag
      if repeated:
        kind = absl_flags.MultiFlag if value_type is str and not choices else _CommaOrRepeated
      default = list(field.default) if repeated and field.default is not None else field.default
      absl_flags.DEFINE_flag(
        kind(
          parser=parser,
          serializer=absl_flags.ArgumentSerializer(),
          name=name,
          default=default,
          help_string=metadata['help'],
        )
      )
    if metadata['alias']:
      absl_flags.DEFINE_alias(metadata['alias'], name)


def read(option_class: type[CheckedOptions]) -> CheckedOptions:
  """The `option_class` instance that the parsed flags describe. Raises InputError."""
  values = {}
  for field in dataclasses.fields(option_class):
    value = FLAGS[field.name].value
    value_type, repeated = field_type(option_class, field)
    if value is not None:
      value = tuple(value) if repeated else value_type(value)
    values[field.name] = value
  return option_class(**values)


def given(*option_classes: type[CheckedOptions]) -> frozenset[str]:
  """The names of the options of these classes that the user gave."""
  return frozenset(
    field.name
    for option_class in option_classes
    for field in dataclasses.fields(option_class)
    if FLAGS[field.name].present
  )


def _stray_word(arguments, more_values_of):
  """What is wrong with the first word that follows neither its flag nor the values of
  `more_values_of`; None without one. After `--` all words are such values.
  """
  flag, is_value = None, False
  for argument in arguments:
    if is_value:
      is_value = False
    elif argument == '--':
      return None
    elif argument.startswith('-') and argument != '-':
      flag, equals, _ = argument.lstrip('-').partition('=')
      is_value = not equals and flag in FLAGS and not FLAGS[flag].boolean
    elif flag != more_values_of:
      after = f' after --{flag}' if flag else ''
      remedy = f'words without a flag belong directly after --{more_values_of}'
      if flag in FLAGS and isinstance(FLAGS[flag], absl_flags.MultiFlag):
        remedy = 'separate several values by commas'
      return f'unexpected argument {argument!r}{after}: {remedy}'
  return None


def _show(command, text):
  """Prints a text, of which the reader, such as `head`, may not want all, and exits."""
  try:
    print(text)
    standard_streams.flush()
  except OutputLost as error:
    if not error.is_unread:
      _end_without_output(command, error)
  sys.exit(0)


def _one_line(error):
  # absl begins some messages with its own mark.
  text = shown(str(error).strip().removeprefix('ERROR:: '))
  return text if len(text) <= _LONGEST_LINE else f'{text[:_LONGEST_LINE]} ...'


def _end_without_output(command, error):
  if error.is_unread:
    sys.exit(_UNREAD)
  _fail(command, str(error), status=1)


def _fail(command, message, *, status):
  with contextlib.suppress(OutputLost):
    standard_streams.flush()
  with contextlib.suppress(OutputLost):
    phase_line.clear()
    print(f'{command}: error: {message}', file=sys.stderr, flush=True)
  leaving.finish(status)
  sys.exit(status)
