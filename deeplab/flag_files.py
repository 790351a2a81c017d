"""Flagfiles, looked at before they are read: ordinary files of a bounded size, which do not include
each other without end.
"""

import os
import re
from collections.abc import Sequence

from deeplab import ordinary_files
from deeplab.errors import InputError

_MOST_BYTES = 2**20
_MOST_FILES = 100
_FLAG = re.compile(r'--?flagfile(?:=(.*))?', flags=re.DOTALL)


def check(arguments: Sequence[str]) -> None:
  """Looks at the flagfiles that the arguments of a command name, and those that they include.

  Raises:
    InputError: one is a device, a pipe or a file of /proc or /sys, which has no end or waits for
      something; or is not there, cannot be read, is no text or too large; includes itself; or they
      are too many.
  """
  count = 0
  arguments = list(arguments)
  for index, argument in enumerate(arguments):
    if argument == '--':
      return
    match = _FLAG.fullmatch(argument)
    if match:
      path = match.group(1)
      if path is None:
        path = arguments[index + 1] if index + 1 < len(arguments) else ''
      count = _check_file(path, above=(), count=count)


def _check_file(path, *, above, count):
  """Checks one file and those it includes; returns how many were looked at in all."""
  path = os.path.expanduser(path.strip())
  real = os.path.realpath(path)
  if real in above:
    raise InputError(f'--flagfile={path}: includes itself; take that line out')
  if count >= _MOST_FILES:
    raise InputError(f'--flagfile={path}: is one of more than {_MOST_FILES} flagfiles; give fewer')
  lines = _lines(path)
  count += 1
  for line in lines:
    match = _FLAG.fullmatch(line.strip())
    if match and match.group(1):
      count = _check_file(match.group(1), above=(*above, real), count=count)
  return count


def _lines(path):
  try:
    content = ordinary_files.read(path, most_bytes=_MOST_BYTES)
  except OSError as error:
    raise InputError(
      f'--flagfile={path}: cannot be read ({error.strerror}); give a text file with one '
      '--flag=value a line, or leave --flagfile out'
    ) from error
  except ValueError as error:
    raise InputError(
      f'--flagfile={path}: {error}; give a text file with one --flag=value a line'
    ) from error
  if b'\0' in content:
    raise InputError(
      f'--flagfile={path}: is not a text file; give one with one --flag=value a line'
    )
  return content.decode('utf-8', 'replace').splitlines()
