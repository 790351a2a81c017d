"""Waiting until all workers are there, before TensorFlow does: it waits without end, and holds
Python meanwhile, so that neither a clock nor a signal is heard.
"""

import contextlib
import faulthandler
import os
import socket
import subprocess
import time
from collections.abc import Iterator

from deeplab.distribution.cluster import Cluster
from deeplab.errors import InputError

_SECONDS_BETWEEN_KNOCKS = 0.5
_SECONDS_TO_ANSWER = 2.0


def answers(address: str) -> bool:
  """Whether somebody listens at host:port."""
  host, _, port = address.rpartition(':')
  try:
    socket.create_connection((host.strip('[]'), int(port)), timeout=_SECONDS_TO_ANSWER).close()
  except OSError:
    return False
  return True


def wait_for_all(cluster: Cluster, *, seconds: float) -> None:
  """Returns when every worker was there once: it listened at its address, as this one does
  meanwhile.

  Raises:
    InputError: the port of this worker is taken, or one does not come within `seconds`.
  """
  own = cluster.workers[cluster.index]
  until = time.monotonic() + seconds
  missing = {index for index in range(cluster.num_workers) if index != cluster.index}
  with _listening(own, cluster):
    while missing:
      missing = {index for index in missing if not answers(cluster.workers[index])}
      if not missing:
        return
      if time.monotonic() > until:
        who = ', '.join(f'worker {index} ({cluster.workers[index]})' for index in sorted(missing))
        raise InputError(
          f'--worker_timeout={seconds:g}: {who} did not come within so many seconds; start it, or '
          f'correct {cluster.source}, which says that there are {cluster.num_workers} workers'
        )
      time.sleep(_SECONDS_BETWEEN_KNOCKS)


@contextlib.contextmanager
def ended_after(seconds: float, line: str) -> Iterator[None]:
  """While open, for no longer than `seconds`; then the process ends with status 1 and this line on
  stderr, even where C++ holds Python.
  """
  if os.name != 'posix':
    yield
    return
  # A thread of C writes into the pipe before it ends the process; this shell hears it.
  herald = subprocess.Popen(
    ['/bin/sh', '-c', 'trap "" INT; IFS= read -r _ && printf "%s\\n" "$1" >&2', 'sh', line],
    stdin=subprocess.PIPE,
  )
  faulthandler.dump_traceback_later(seconds, exit=True, file=herald.stdin)
  try:
    yield
  finally:
    faulthandler.cancel_dump_traceback_later()
    herald.stdin.close()
    herald.wait()


@contextlib.contextmanager
def _listening(address, cluster):
  """While open, whoever knocks at this worker's port is answered by the system."""
  port = int(address.rpartition(':')[2])
  both = socket.has_dualstack_ipv6()
  try:
    listener = socket.create_server(
      ('', port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both
    )
  except OSError as error:
    raise InputError(
      f'{cluster.source}: worker {cluster.index} cannot listen on port {port} ({error.strerror}); '
      'end what has it, or give another port to all workers'
    ) from error
  with listener:
    yield
