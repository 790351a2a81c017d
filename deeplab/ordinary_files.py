"""Files that a flag names, read within bounds: a device has no end, a pipe may have nobody who
writes, and files of /proc and /sys wait for something, or are memory. They may be remote.
"""

import os
import stat

from deeplab import remote_files

_OF_THE_SYSTEM = ('/proc/', '/sys/')


def is_ordinary(path: str) -> bool:
  """Whether it is a file that lies on a disk, or is remote. Raises OSError where there is none."""
  if remote_files.is_remote(path):
    return not remote_files.status_of(path).is_directory
  return stat.S_ISREG(os.stat(path).st_mode) and not (
    os.path.realpath(path).startswith(_OF_THE_SYSTEM)
  )


def read(path: str, *, most_bytes: int, allow_pipe: bool = False) -> bytes:
  """The content of a file.

  Args:
    path: of the file.
    most_bytes: a larger one is refused.
    allow_pipe: also the pipe of a shell, as in --list_path=<(ls); a pipe with a name never.

  Raises:
    ValueError: it is no ordinary file, or too large; the message says which.
    OSError: it cannot be read.
  """
  if not is_ordinary(path) and not (allow_pipe and _is_pipe_of_shell(path)):
    raise ValueError('is no ordinary file')
  with remote_files.open_file(path) as file:
    content = file.read(most_bytes + 1)
  if len(content) > most_bytes:
    raise ValueError(f'is larger than {most_bytes / 2**20:g} MB')
  return content


def _is_pipe_of_shell(path):
  return (
    not remote_files.is_remote(path)
    and stat.S_ISFIFO(os.stat(path).st_mode)
    and not os.path.exists(os.path.realpath(path))
  )
