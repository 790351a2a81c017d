"""Commands of the toolkit in forks of a process that has imported TensorFlow, for whatever starts
many of them.
"""

import os
import runpy
import sys
import time
from collections.abc import Callable, Sequence

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)


def prepare() -> None:
  """Imports what the commands import; before the first of them starts."""
  from deeplab import quiet_start

  quiet_start.import_tensorflow(hides_errors=True)  # As a worker does; the others have none.
  from deeplab import (  # noqa: F401
    conversion_run,
    evaluation_run,
    inference_run,
    training_run,
  )
  from deeplab.official import official_checkpoints  # noqa: F401


def start(arguments: Sequence[str], *, stdout: str = 'log.txt', stderr: str | None = None) -> int:
  """Starts a command and returns its process id.

  Args:
    arguments: its path below the checkout, and its flags.
    stdout, stderr: files that get its output; stderr None: that of stdout.
  """
  sys.stdout.flush()
  process = os.fork()
  if process:
    return process
  flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
  os.dup2(os.open(stdout, flags), 1)
  os.dup2(os.open(stderr, flags) if stderr else 1, 2)
  status = 1
  try:
    sys.argv = [os.path.join(ROOT, arguments[0]), *arguments[1:]]
    try:
      runpy.run_path(sys.argv[0], run_name='__main__')
    except SystemExit as end:
      status = end.code or 0
    sys.stdout.flush()
  finally:
    os._exit(status)


def run(arguments: Sequence[str], *, look: Callable[[], None] = lambda: None) -> float:
  """Seconds that a command takes; `look` is called meanwhile. Exits where it fails."""
  began = time.monotonic()
  process = start(arguments)
  while True:
    ended, status = os.waitpid(process, os.WNOHANG)
    if ended:
      break
    look()
    time.sleep(0.002)
  if status:
    with open('log.txt', encoding='utf-8', errors='replace') as log:
      sys.exit(f'{arguments} ended with {status}:\n{log.read()}')
  return time.monotonic() - began
