"""How long a worker waits for the others."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

from deeplab.distribution import meeting
from deeplab.distribution.cluster import Cluster

_SECONDS_TO_ABORT = 10.0
_LONGEST_CAUSE = 300  # Characters.


class Patience:
  """Ends what waits for other workers for too long. Use it in a `with` block."""

  def __init__(self, cluster: Cluster, *, seconds: float, own_process: bool):
    """Prepares it.

    Args:
      seconds: how long they may take.
      own_process: whether the process may be ended where nothing else helps.
    """
    self._cluster, self._seconds, self._own_process = cluster, seconds, own_process
    self._since = None
    self._depth = 0
    self._ended = threading.Event()

  def __enter__(self):
    threading.Thread(target=self._watch, daemon=True).start()
    return self

  def __exit__(self, *_):
    self._ended.set()

  @contextlib.contextmanager
  def limited(self) -> Iterator[None]:
    """While open, the others have the time that this has."""
    if not self._depth:
      self._since = time.monotonic()
    self._depth += 1
    try:
      yield
    finally:
      self._depth -= 1
      if not self._depth:
        self._since = None

  def line(self, cause: str = '') -> str:
    """What to say of it: which workers do not answer, and what TensorFlow says."""
    silent = [
      f'worker {index} ({address})'
      for index, address in enumerate(self._cluster.workers)
      if index != self._cluster.index and not meeting.answers(address)
    ]
    who = ', '.join(silent) or 'another worker'
    words = ' '.join(_without_places(cause))
    heard = f' (TensorFlow: {words[:_LONGEST_CAUSE]})' if words else ''
    return (
      f'{who} cannot be reached any more{heard}; this worker ends. What the other one said is in '
      'its own output; start all workers again, of a training with --resume'
    )

  def _watch(self):
    while not self._ended.wait(min(1.0, self._seconds / 10)):
      since = self._since
      if since is not None and time.monotonic() - since > self._seconds:
        self._give_up()
        return

  def _give_up(self):
    line = (
      f'--worker_timeout={self._seconds:g}: no sign of the other workers for so many seconds; '
      f'{self.line()}'
    )
    self._abort(line)
    if not self._own_process or self._ended.wait(_SECONDS_TO_ABORT):
      return
    print(f'error: {line}', file=sys.stderr, flush=True)
    os._exit(1)

  def _abort(self, line):
    """Makes the collectives fail that wait in TensorFlow."""
    from tensorflow.python.eager import context

    with contextlib.suppress(Exception):  # There are none before the workers have met.
      context.context().abort_collective_ops(14, line)  # 14: unavailable.


def _without_places(cause):
  """The words of an error of TensorFlow's, without where in the program and in the graph it was."""
  for line in cause.splitlines():
    if not line.startswith((' ', '\t', 'Graph execution error', 'Detected at node', 'Node: ')):
      yield from line.split()
