"""A group of processes that ends with the process that made it, however that one ends."""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence

_IGNORED_BY_THE_WATCHER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)


class ProcessGroup:
  """Processes that get signals together, and of which none stays behind.

  A process without a task of its own, the watcher, leads the group. It waits on a pipe whose other
  end only this process has: where this process is gone, even by SIGKILL, it sends the others
  SIGTERM, and SIGKILL after the grace period. The terminal's Ctrl-C does not reach the group.

  To be made in a process with one thread, which it forks. Linux and macOS.
  """

  def __init__(self, grace_seconds: float):
    self._reading, self._here = os.pipe()
    # Its other end is in all processes of the group: it ends with the last of them.
    self._alive, self._in_members = os.pipe()
    self._watcher = os.fork()
    if self._watcher == 0:
      try:
        os.close(self._here)
        os.close(self._in_members)
        _watch(self._reading, self._alive, grace_seconds)
      finally:
        os._exit(1)
    with contextlib.suppress(OSError):  # It does so itself, too; whoever is first.
      os.setpgid(self._watcher, self._watcher)
    os.close(self._reading)
    os.close(self._alive)

  def start(self, command: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen:
    """A process of the group, with pipes for its output, and without input.

    Raises:
      OSError: it cannot be started.
    """
    return subprocess.Popen(
      command,
      env=environ,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      bufsize=0,
      pass_fds=[self._in_members],
      preexec_fn=lambda: os.setpgid(0, self._watcher),
    )

  def send(self, number: int) -> None:
    """Sends a signal to all of them."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # All gone; so does macOS say.
      os.killpg(self._watcher, number)

  def close(self) -> None:
    """Kills what is left."""
    self.send(signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
      os.waitpid(self._watcher, 0)
    os.close(self._here)
    os.close(self._in_members)


def _watch(launcher, members, grace_seconds):
  """The life of the watcher."""
  with contextlib.suppress(OSError):
    os.setpgid(0, 0)
  signal.set_wakeup_fd(-1)
  for number in _IGNORED_BY_THE_WATCHER:
    signal.signal(number, signal.SIG_IGN)
  null = os.open(os.devnull, os.O_RDWR)
  for descriptor in range(3):  # Nobody is to wait for the end of an output because of it.
    os.dup2(null, descriptor)
  os.read(launcher, 1)  # Nothing is written: it returns when the other end has gone.
  os.killpg(0, signal.SIGTERM)
  select.select([members], [], [], grace_seconds)
  os.killpg(0, signal.SIGKILL)
