import os
import signal
import subprocess
import sys
import time

import pytest

from deeplab.training.stop_signals import StopSignals

_LONG_STEP = """
import ctypes, sys
from deeplab.training.stop_signals import StopSignals
with StopSignals() as stop:
  print('ready', flush=True)
  for _ in range(3):  # Each signal may end one of them early.
    # Releases the lock that Python code runs under, as TensorFlow does in a step.
    ctypes.CDLL(None).usleep(8_000_000)
  print('after', stop.requested, flush=True)
"""


def wait_for(condition):
  for _ in range(500):
    if condition():
      return True
    time.sleep(0.01)
  return False


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_a_request(number, capsys):
  before = signal.getsignal(number)
  with StopSignals() as stop:
    assert stop.requested is None
    os.kill(os.getpid(), number)
    assert wait_for(lambda: stop.requested)
    assert stop.requested == signal.Signals(number).name
  assert signal.getsignal(number) is before
  assert wait_for(lambda: 'finishing this step, then saving' in capsys.readouterr().err)


def test_a_second_signal_ends_a_process_that_is_in_a_long_step():
  environment = {
    **os.environ,
    'PYTHONPATH': os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
  }
  process = subprocess.Popen(
    [sys.executable, '-c', _LONG_STEP],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=environment,
  )
  assert process.stdout.readline() == 'ready\n'
  process.send_signal(signal.SIGTERM)
  assert 'SIGTERM: finishing this step' in process.stderr.readline()
  process.send_signal(signal.SIGTERM)
  out, err = process.communicate(timeout=30)
  assert process.returncode == 128 + signal.SIGTERM
  assert 'after' not in out
  assert 'exit without saving' in err


@pytest.fixture(name='usual_interrupt')
def _usual_interrupt():
  """A shell starts what it runs in the background with this signal ignored."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('usual_interrupt')
def test_in_another_program_the_signal_is_handed_on(capsys):
  before = signal.getsignal(signal.SIGINT)
  with pytest.raises(KeyboardInterrupt):
    with StopSignals(own_process=False) as stop:
      os.kill(os.getpid(), signal.SIGINT)
      assert wait_for(lambda: stop.requested)
      saved = True
  assert saved and signal.getsignal(signal.SIGINT) is before
  assert wait_for(lambda: 'once more to stop at once' in capsys.readouterr().err)


def test_in_another_program_the_second_signal_is_the_programs():
  handled = []
  before = signal.signal(signal.SIGTERM, lambda number, _: handled.append(number))
  try:
    with StopSignals(own_process=False) as stop:
      for count in (1, 2):
        os.kill(os.getpid(), signal.SIGTERM)
        assert wait_for(lambda: stop.requested == 'SIGTERM')
        assert wait_for(lambda: len(handled) == count - 1)
  finally:
    signal.signal(signal.SIGTERM, before)
  assert handled == [signal.SIGTERM] * 2  # The first was handed on at the end.


def test_a_terminal_that_goes_is_a_request_however_often_it_says_so(capsys):
  before = signal.getsignal(signal.SIGHUP)
  with StopSignals() as stop:
    # As a shell and the system send them; none of them is meant to end the process at once.
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
      os.kill(os.getpid(), number)
      assert wait_for(lambda: stop.requested == 'SIGHUP')
    assert wait_for(lambda: 'SIGHUP: finishing this step' in capsys.readouterr().err)
  assert signal.getsignal(signal.SIGHUP) is before


def test_with_nohup_a_terminal_may_go():
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with StopSignals() as stop:
      os.kill(os.getpid(), signal.SIGHUP)
      time.sleep(0.05)
      assert stop.requested is None
  finally:
    signal.signal(signal.SIGHUP, before)


_LOST = """
import sys
from deeplab import messages, standard_streams
from deeplab.training.stop_signals import StopSignals
standard_streams.prepare()
with StopSignals() as stop:
  sys.stdin.read()
  for number in range(3):
    messages.say(str(number))
  assert stop.requested == 'the loss of stdout', stop.requested
messages.say_in_any_case('saved')
"""


def test_output_that_nobody_takes_is_a_request():
  environment = {
    **os.environ,
    'PYTHONPATH': os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
  }
  pipe = subprocess.PIPE
  with subprocess.Popen(
    [sys.executable, '-c', _LOST], stdin=pipe, stdout=pipe, stderr=pipe, env=environment
  ) as process:
    process.stdout.close()
    process.stdin.close()
    assert process.stderr.read() == b'warning: saved\n'
    assert process.wait() == 0
