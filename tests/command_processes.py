"""Commands in processes that need not import TensorFlow, which takes most of a short command's
time: they are forked from one that has imported it and done nothing else.

What such a command prints, its exit status and what it leaves behind are those of any process; that
the commands start by themselves is what test_commands.py's `job` is for.
"""

import atexit
import contextlib
import gc
import json
import os
import pathlib
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback


class CommandProcesses:
  """Runs commands, any number at once from several threads."""

  def __init__(self, address: str):
    self._address = address

  def run(self, arguments, *, directory, file_size_limit=None) -> subprocess.CompletedProcess:
    """What `subprocess.run([sys.executable, *arguments])` in this directory gives, output as bytes.

    Args:
      arguments: path of a Python file, and its arguments.
      directory: where it runs; stdin is /dev/null.
      file_size_limit: no file may become larger, in bytes.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
      with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(self._address)
        request = {
          'arguments': [os.fspath(argument) for argument in arguments],
          'directory': os.fspath(directory),
          'file_size_limit': file_size_limit,
        }
        message = json.dumps(request).encode()
        socket.send_fds(connection, [message], [stdout.fileno(), stderr.fileno()])
        connection.shutdown(socket.SHUT_WR)
        status = int(connection.makefile().read())
      outputs = []
      for file in (stdout, stderr):
        file.seek(0)
        outputs.append(file.read())
    return subprocess.CompletedProcess(arguments, status, *outputs)


@contextlib.contextmanager
def start():
  """A CommandProcesses, as long as the context lasts."""
  import deeplab  # Here, so that the server takes nothing for granted.

  with tempfile.TemporaryDirectory() as directory:
    address = os.path.join(directory, 'socket')
    package_parent = pathlib.Path(deeplab.__file__).resolve().parent.parent
    server = subprocess.Popen(
      [sys.executable, __file__, address, package_parent],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      cwd=directory,
    )
    with server:
      assert server.stdout.readline() == b'ready\n'
      yield CommandProcesses(address)


def _serve(address, package_parent):
  """Forks a command for each connection until stdin ends; returns only in a command, what was asked
  of it: (request, descriptors of its stdout and stderr).
  """
  sys.path.insert(0, package_parent)
  from deeplab import quiet_start

  quiet_start.import_tensorflow()
  # What the commands import later, and other tests in processes of their own.
  from deeplab import (  # noqa: F401
    conversion_run,  # noqa: F401
    evaluation_run,
    inference_run,
    training_run,
  )

  gc.freeze()  # Else each process would look through all of that, and so copy it.
  with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(address)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nobody waits for them, so they leave at once.
    print('ready', flush=True)
    while True:
      ready, _, _ = select.select([listener, 0], [], [])
      if 0 in ready:
        sys.exit()
      connection, _ = listener.accept()
      if os.fork():
        connection.close()
        continue
      signal.signal(signal.SIGCHLD, signal.SIG_DFL)
      message, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 2)
      while more := connection.recv(1 << 16):
        message += more
      command = os.fork()
      if not command:
        connection.close()
        return json.loads(message), descriptors
      status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
      connection.sendall(b'%d' % status)
      os._exit(0)


def _become(request, descriptors):
  """Runs a command in this process, as the interpreter runs a file, and ends it."""
  for number, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *descriptors]):
    os.dup2(descriptor, number)
    os.close(descriptor)
  os.chdir(request['directory'])
  if request['file_size_limit'] is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (request['file_size_limit'],) * 2)
  sys.argv = request['arguments']
  status = 0
  try:
    runpy.run_path(sys.argv[0], run_name='__main__')
  except SystemExit as end:
    status = end.code or 0
    if isinstance(status, str):
      print(status, file=sys.stderr)
      status = 1
  except BaseException:
    traceback.print_exc()
    status = 1
  # What the interpreter does in the end, but for taking all modules apart, which takes a second.
  threading._shutdown()
  atexit._run_exitfuncs()
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


if __name__ == '__main__':
  _become(*_serve(*sys.argv[1:]))
