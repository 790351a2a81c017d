"""Workers on this machine that are one cluster: started together, and ended together."""

import contextlib
import itertools
import json
import os
import random
import selectors
import signal
import socket
import time
from collections.abc import Mapping, Sequence

from deeplab import standard_streams
from deeplab.distribution.marked_output import Lines, MarkedOutput
from deeplab.distribution.process_group import ProcessGroup
from deeplab.errors import InputError, shown

_HOST = '127.0.0.1'
# Where ports are looked for: below those that Linux and macOS give outgoing connections.
_PORTS = range(20000, 32000)
_MOST_TRIES = 1000
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def addresses(num_workers: int, first_port: int | None = None) -> list[str]:
  """host:port of each worker, on ports that nobody listens on now: from `first_port` on, or any.

  Raises:
    InputError: one of the ports asked for is taken.
  """
  if first_port is None:
    tries = random.SystemRandom().sample(_PORTS, _MOST_TRIES)
    free = (port for port in tries if _reason_against(port) is None)
    ports = list(itertools.islice(free, num_workers))
    if len(ports) < num_workers:
      raise InputError(f'no {num_workers} free ports on {_HOST}; give --port')
  else:
    ports = range(first_port, first_port + num_workers)
    for port in ports:
      reason = _reason_against(port)
      if reason:
        raise InputError(
          f'--port={first_port}: {num_workers} workers take the ports {ports[0]} to {ports[-1]}, '
          f'and {port} cannot be had ({reason}); give another one, or leave --port out'
        )
  return [f'{_HOST}:{port}' for port in ports]


def _reason_against(port):
  """Why nobody could listen on a port; None for a free one."""
  with socket.socket() as trial:
    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      trial.bind((_HOST, port))
      trial.listen()
    except (OSError, OverflowError) as error:
      return getattr(error, 'strerror', None) or 'ports end at 65535'
  return None


def environments(
  hosts: Sequence[str], environ: Mapping[str, str], *, gpus_per_worker: int | None = None
) -> list[dict[str, str]]:
  """The environment of each worker: `environ`, and TF_CONFIG.

  Args:
    hosts: host:port of each.
    gpus_per_worker: how many GPUs each sees, no two the same one; None: all see those of `environ`.

  Raises:
    InputError: CUDA_VISIBLE_DEVICES has fewer.
  """
  made = []
  for index in range(len(hosts)):
    task = {'type': 'worker', 'index': index}
    own = {**environ, 'TF_CONFIG': json.dumps({'cluster': {'worker': list(hosts)}, 'task': task})}
    for name in ('no_proxy', 'NO_PROXY'):  # gRPC would ask a proxy for the other workers.
      own[name] = ','.join(filter(None, (environ.get(name), _HOST)))
    if gpus_per_worker is not None:
      own['CUDA_VISIBLE_DEVICES'] = _gpus(index, len(hosts), gpus_per_worker, environ)
    made.append(own)
  return made


def _gpus(index, num_workers, each, environ):
  needed = num_workers * each
  visible = environ.get('CUDA_VISIBLE_DEVICES')
  numbers = range(needed) if visible is None else list(filter(None, visible.split(',')))
  if len(numbers) < needed:
    raise InputError(
      f'--gpus_per_worker={each}: {num_workers} workers need {needed}, and '
      f'CUDA_VISIBLE_DEVICES={shown(visible)} has {len(numbers)}'
    )
  # TensorFlow takes -1 for none.
  return ','.join(map(str, numbers[index * each : (index + 1) * each])) or '-1'


class LocalCluster:
  """Runs a command once for each worker, and shows what they say.

  Where one ends with an exit status other than 0, the others get SIGTERM, and SIGKILL when the
  grace period is over. The first SIGINT, SIGTERM or SIGHUP is handed to all, and they are waited
  for; another SIGINT or SIGTERM kills them. None of them stays behind; see ProcessGroup.
  """

  def __init__(
    self, command: Sequence[str], environs: Sequence[Mapping[str, str]], *, grace_seconds: float
  ):
    """Prepares it; `environs` has the environment of each worker, with TF_CONFIG."""
    self._command, self._environs, self._grace_seconds = command, environs, grace_seconds
    self._output = MarkedOutput()
    self._selector = selectors.DefaultSelector()
    self._workers = {}  # Number -> process, of those that run.
    self._status = 0  # Of the first that failed.
    self._stopping = False  # They have been told to end.
    self._deadline = None  # When what is left is killed.
    self._lost = None  # The reader of the output.

  def run(self) -> int:
    """Until all have ended; once.

    Returns:
      0, or the exit status of the first worker that failed, 128 + N where signal N ended it; or 128
      + N where a second signal N came here.

    Raises:
      OutputLost: nobody takes what is written to stdout or stderr; the workers got SIGTERM and have
        ended.
      OSError: the command cannot be started.
    """
    with contextlib.ExitStack() as stack:
      stack.callback(self._selector.close)
      group = self._group = ProcessGroup(self._grace_seconds)
      stack.callback(group.close)
      stack.enter_context(self._signals())
      stack.enter_context(standard_streams.when_lost(self._output_lost))
      self._start()
      self._loop()
    if self._lost:
      raise self._lost
    return self._status

  @contextlib.contextmanager
  def _signals(self):
    """While open, signals are bytes that wake the loop up."""
    receiver, sender = socket.socketpair()
    with receiver, sender:
      sender.setblocking(False)
      numbers = [one for one in _STOP_SIGNALS if signal.getsignal(one) != signal.SIG_IGN]
      old_handlers = {
        number: signal.signal(number, lambda *_: None) for number in (*numbers, signal.SIGCHLD)
      }
      old_descriptor = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
      self._selector.register(receiver, selectors.EVENT_READ, lambda: self._take_signals(receiver))
      try:
        yield
      finally:
        self._selector.unregister(receiver)
        signal.set_wakeup_fd(old_descriptor)
        for number, handler in old_handlers.items():
          signal.signal(number, handler)

  def _start(self):
    for number, environ in enumerate(self._environs):
      worker = self._workers[number] = self._group.start(self._command, environ)
      for pipe in (worker.stdout, worker.stderr):
        self._selector.register(pipe, selectors.EVENT_READ, self._taker(number, worker, pipe))
      address = json.loads(environ['TF_CONFIG'])['cluster']['worker'][number]
      self._output.own(f'worker {number} is process {worker.pid} at {address}')

  def _loop(self):
    # Beside the outputs, which processes that the workers started may hold open, too, the selector
    # has the signals.
    while self._workers or len(self._selector.get_map()) > 1:
      timeout = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
      for key, _ in self._selector.select(timeout):
        key.data()
      self._reap()
      if self._deadline is not None and time.monotonic() >= self._deadline:
        if not self._workers:
          return  # Closing the group ends what still holds an output.
        self._output.own('the grace period is over: killing what is left')
        self._kill()

  def _taker(self, number, worker, pipe):
    """What is done when there is something in the pipe of a worker."""
    lines, to_stderr = Lines(), pipe is worker.stderr

    def take():
      data = os.read(pipe.fileno(), 2**16)
      whole = lines.take(data) if data else lines.end()
      if number == 0 and to_stderr:
        self._output.progress(lines.progress)
      self._output.lines(number, whole, to_stderr=to_stderr)
      if not data:
        self._selector.unregister(pipe)
        pipe.close()

    return take

  def _take_signals(self, receiver):
    for number in receiver.recv(4096):
      if number not in _STOP_SIGNALS:
        continue  # SIGCHLD, which only wakes up.
      name = signal.Signals(number).name
      if not self._stopping:
        self._stopping = True
        self._output.own(
          f'{name}: handed to all workers, which are waited for; once more to kill them'
        )
        self._group.send(number)
      elif number != signal.SIGHUP:  # A terminal that goes sends several.
        self._output.own(f'{name} again: killing the workers')
        self._status = 128 + number
        self._kill()

  def _reap(self):
    for number, worker in list(self._workers.items()):
      code = worker.poll()
      if code is None:
        continue
      del self._workers[number]
      if code:
        self._failed(number, code)
      if not self._workers:
        self._set_deadline()

  def _failed(self, number, code):
    how = f'exit status {code}' if code > 0 else _name_of_signal(-code)
    ends_others = bool(self._workers) and not self._stopping
    self._output.own(f'worker {number} ended with {how}' + '; ending the others' * ends_others)
    self._status = self._status or (code if code > 0 else 128 - code)
    self._set_deadline()
    # A second signal would keep those that were told to end from saving.
    if not self._stopping:
      self._stopping = True
      self._group.send(signal.SIGTERM)

  def _output_lost(self, lost):
    self._lost = self._lost or lost
    if not self._stopping:
      self._stopping = True
      self._group.send(signal.SIGTERM)

  def _set_deadline(self):
    """Kills what is left when the grace period from now is over, or sooner if that was said."""
    if self._deadline is None:
      self._deadline = time.monotonic() + self._grace_seconds

  def _kill(self):
    self._group.send(signal.SIGKILL)
    self._deadline = None


def _name_of_signal(number):
  try:
    return signal.Signals(number).name
  except ValueError:  # One of the real-time signals.
    return f'signal {number}'
