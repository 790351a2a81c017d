"""Parts of the trees of published data sets."""

import glob
import os

from deeplab.errors import InputError, shown

_DEEPEST = 3  # Archives unpacked into directories of their own.


def find_tree(data_dir: str, part: str, *, download: str) -> str:
  """The directory `part` below `data_dir`: there, or up to three directories deeper, the highest.

  Args:
    data_dir: where the data set was unpacked.
    part: a relative path.
    download: what it is part of, and where that is found.

  Raises:
    InputError: there is none, or there are several.
  """
  for depth in range(_DEEPEST + 1):
    pattern = os.path.join(glob.escape(data_dir), *['*'] * depth, part)
    found = [
      path
      for path in sorted(glob.glob(pattern))
      if os.path.isdir(path) and '__MACOSX' not in path.split(os.sep)
    ]
    if len(found) > 1:
      raise InputError(
        f'--data_dir={shown(data_dir)}: both {shown(found[0])} and {shown(found[1])} are there; '
        'give the directory of one'
      )
    if found:
      return found[0]
  raise missing(data_dir, part, download=download)


def missing(data_dir: str, part: str, *, download: str) -> InputError:
  """The error that says what was looked for, and where it is downloaded."""
  where = '' if part.startswith(data_dir) else f' in it or up to {_DEEPEST} directories deeper'
  return InputError(
    f'--data_dir={shown(data_dir)}: no {shown(part)}{where}; it is part of {download}'
  )
