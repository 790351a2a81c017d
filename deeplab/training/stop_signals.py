"""SIGTERM and SIGINT as a request to stop after the step at hand."""

import os
import signal
import socket
import sys
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
  """While open, the first SIGINT or SIGTERM sets `requested`; a second one ends the process at
  once. In a program that calls the toolkit, the first is handed on to the program when this
  closes, and the second one at once.

  A step takes seconds, during which Python runs no signal handler. So the handler's wake-up byte
  goes to a thread, which TensorFlow lets run, and both the notice and the second signal take effect
  immediately.

  Attributes:
    requested: name of the signal that came, such as 'SIGTERM', or None.
  """

  def __init__(self, *, own_process: bool = True):
    """Prepares it; `own_process`: False in a program that calls the toolkit."""
    self.requested = None
    self._own_process = own_process
    self._num_handled = 0

  def __enter__(self):
    self._active = threading.current_thread() is threading.main_thread()
    if self._active:
      self._receiver, self._sender = socket.socketpair()
      self._sender.setblocking(False)
      self._old_handlers = {number: signal.signal(number, self._handle) for number in _SIGNALS}
      self._old_descriptor = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
      threading.Thread(target=self._listen, daemon=True).start()
    return self

  def __exit__(self, error_type, *_):
    if self._active:
      signal.set_wakeup_fd(self._old_descriptor)
      for number, handler in self._old_handlers.items():
        signal.signal(number, handler)
      self._sender.close()  # Ends the thread.
      if self.requested and not self._own_process and error_type is None:
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

  def _listen(self):
    while byte := self._receiver.recv(1):
      if byte[0] not in _SIGNALS:
        continue
      name = signal.Signals(byte[0]).name
      if self.requested and self._own_process:
        print(f'{name} again: exit without saving', file=sys.stderr, flush=True)
        os._exit(128 + byte[0])
      if self.requested:
        continue
      self.requested = name
      at_once = 'exit' if self._own_process else 'stop'
      print(
        f'{name}: finishing this step, then saving; once more to {at_once} at once',
        file=sys.stderr,
        flush=True,
      )
    self._receiver.close()
