"""Work in a process of its own: converters that may end their process, and models that must run
without this one.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping

_QUIET = {'TF_CPP_MIN_LOG_LEVEL': '2', 'PYTHONWARNINGS': 'ignore'}
_MOST_CHARACTERS = 300
_PR_SET_PDEATHSIG = 1  # Of Linux.
# Before the fork, after which little may be done.
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None


class ProcessError(Exception):
  """A process failed; the message says why on one line."""


def run(
  script: str, *arguments: str, directory: str, environment: Mapping[str, str] | None = None
) -> None:
  """Runs a Python file with nothing of this process on its path of modules.

  Args:
    script: path of the file.
    *arguments: its arguments; paths must be absolute.
    directory: where it runs, and what its temporary files are in.
    environment: more environment variables.

  Raises:
    ProcessError: it fails.
  """
  finished = subprocess.run(
    [sys.executable, '-I', os.path.abspath(script), *arguments],
    cwd=directory,
    env={**os.environ, **_QUIET, 'TMPDIR': directory, **(environment or {})},
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    preexec_fn=_end_with_parent if sys.platform == 'linux' else None,
  )
  if finished.returncode < 0:
    killed = ', as a system does that runs out of memory' if finished.returncode == -9 else ''
    raise ProcessError(f'its process was ended by signal {-finished.returncode}{killed}')
  if finished.returncode:
    raise ProcessError(_reason(finished.stderr.decode('utf-8', 'replace')))


def _end_with_parent():
  """Lets a kill of this process end the other one too."""
  _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _reason(text):
  """The line of a traceback that names the error, or the last line."""
  lines = [line.strip() for line in text.split('\n') if line.strip()]
  named = [line for line in lines if re.match(r'[A-Za-z_][\w.]*(Error|Exception)\b', line)]
  return (named or lines or ['no reason given'])[-1][:_MOST_CHARACTERS]
