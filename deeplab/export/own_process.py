"""Work in a process of its own: converters that may end their process, and models that must run
without this one.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping

_QUIET = {'TF_CPP_MIN_LOG_LEVEL': '2', 'PYTHONWARNINGS': 'ignore'}
_MOST_CHARACTERS = 300


class ProcessError(Exception):
  """A process failed; the message says why on one line."""


def run(
  script: str, *arguments: str, directory: str, environment: Mapping[str, str] | None = None
) -> None:
  """Runs a Python file with nothing of this process on its path of modules.

  Args:
    script: path of the file.
    *arguments: its arguments; paths must be absolute.
    directory: where it runs.
    environment: more environment variables.

  Raises:
    ProcessError: it fails.
  """
  finished = subprocess.run(
    [sys.executable, '-I', os.path.abspath(script), *arguments],
    cwd=directory,
    env={**os.environ, **_QUIET, **(environment or {})},
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
  )
  if finished.returncode < 0:
    raise ProcessError(f'its process was ended by signal {-finished.returncode}')
  if finished.returncode:
    raise ProcessError(_reason(finished.stderr.decode('utf-8', 'replace')))


def _reason(text):
  """The line of a traceback that names the error, or the last line."""
  lines = [line.strip() for line in text.split('\n') if line.strip()]
  named = [line for line in lines if re.match(r'[A-Za-z_][\w.]*(Error|Exception)\b', line)]
  return (named or lines or ['no reason given'])[-1][:_MOST_CHARACTERS]
