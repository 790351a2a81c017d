"""SIGTERM, SIGINT, and the loss of the terminal or the reader of the output, as a request to stop
after the step at hand.
"""

import contextlib
import os
import signal
import socket
import sys
import threading

from deeplab import standard_streams

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HANGUP = getattr(signal, 'SIGHUP', None)  # Not on Windows.


class StopSignals:
  """While open, the first SIGINT or SIGTERM sets `requested`; a second one ends the process at
  once. In a program that calls the toolkit, the first is handed on to the program when this
  closes, and the second one at once.

  SIGHUP, unless the command was started with nohup, and output that cannot be written are requests
  too, but only of a command: a terminal that goes sends several signals, of which none is meant to
  keep the run from saving.

  A step takes seconds, during which Python runs no signal handler. So the handler's wake-up byte
  goes to a thread, which TensorFlow lets run, and both the notice and the second signal take effect
  immediately.

  Attributes:
    requested: name of the signal that came, such as 'SIGTERM', or 'the loss of stdout', or None.
  """

  def __init__(self, *, own_process: bool = True):
    """Prepares it; `own_process`: False in a program that calls the toolkit."""
    self.requested = None
    self._own_process = own_process
    self._num_handled = 0
    self._asked = False  # By SIGINT or SIGTERM.
    self._stack = contextlib.ExitStack()

  def __enter__(self):
    self._active = threading.current_thread() is threading.main_thread()
    if self._active:
      self._receiver, self._sender = socket.socketpair()
      self._sender.setblocking(False)
      numbers = list(_SIGNALS)
      if self._own_process and _HANGUP and signal.getsignal(_HANGUP) != signal.SIG_IGN:
        numbers.append(_HANGUP)
      self._old_handlers = {number: signal.signal(number, self._handle) for number in numbers}
      self._old_descriptor = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
      threading.Thread(target=self._listen, daemon=True).start()
    if self._own_process:
      self._stack.enter_context(standard_streams.when_lost(self._output_lost))
    return self

  def __exit__(self, error_type, *_):
    if self._active:
      signal.set_wakeup_fd(self._old_descriptor)
      for number, handler in self._old_handlers.items():
        signal.signal(number, handler)
      self._sender.close()  # Ends the thread.
    self._stack.close()
    if self._active and self.requested and not self._own_process and error_type is None:
      signal.raise_signal(signal.Signals[self.requested])  # What it does is the program's.

  def _handle(self, number, frame):
    """Comes after the step at hand, where Python runs again."""
    self._num_handled += 1
    if self._own_process or self._num_handled == 1:
      return
    handler = self._old_handlers[number]
    if callable(handler):
      handler(number, frame)  # For SIGINT, usually a KeyboardInterrupt.
    elif handler != signal.SIG_IGN:
      raise KeyboardInterrupt

  def _output_lost(self, lost):
    self.requested = self.requested or f'the loss of {lost.stream}'
    if lost.stream != 'stderr' and not lost.is_unread:
      print(f'{lost}: finishing this step, then saving', file=sys.stderr, flush=True)

  def _listen(self):
    while byte := self._receiver.recv(1):
      if byte[0] not in self._old_handlers:
        continue
      name = signal.Signals(byte[0]).name
      is_meant = byte[0] in _SIGNALS
      if self._asked and is_meant and self._own_process:
        self._tell(f'{name} again: exit without saving')
        os._exit(128 + byte[0])
      self._asked = self._asked or is_meant
      if self.requested:
        continue
      self.requested = name
      at_once = 'exit' if self._own_process else 'stop'
      self._tell(f'{name}: finishing this step, then saving; once more to {at_once} at once')
    self._receiver.close()

  def _tell(self, line):
    with contextlib.suppress(OSError):  # The stream of another program may be gone.
      print(line, file=sys.stderr, flush=True)
