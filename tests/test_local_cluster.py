"""Workers on this machine, which are small programs here: their output, and their common end."""

import json
import os
import pathlib
import pty
import signal
import socket
import subprocess
import sys
import time

import pytest

from deeplab.distribution import local_cluster
from deeplab.distribution.marked_output import Lines
from deeplab.errors import InputError

LAUNCHER = pathlib.Path(__file__).resolve().parent.parent / 'scripts' / 'launch_local_cluster.py'
# What every worker begins with. Whoever reads the other end of `life` hears of its end, however it
# comes, since no other process has this end.
BEGINNING = """
import json, os, signal, subprocess, sys, time
config = json.loads(os.environ['TF_CONFIG'])
number, is_first = config['task']['index'], config['task']['index'] == 0
life = open('life', 'w')
def tell(text):
  life.write(f'{number} {text}\\n')
  life.flush()
def on(name, act):
  signal.signal(getattr(signal, name), lambda *_: act())
"""


class Started:
  """A launcher, and what its workers tell."""

  def __init__(self, directory, code, *flags, **settings):
    (directory / 'worker.py').write_text(BEGINNING + code)
    os.mkfifo(directory / 'life')
    self._life = os.open(directory / 'life', os.O_RDONLY | os.O_NONBLOCK)
    self.told = ''
    self.process = subprocess.Popen(
      [sys.executable, LAUNCHER, *flags, '--', 'worker.py'],
      cwd=directory,
      **{'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **settings},
    )

  def wait_until_told(self, *lines):
    until = time.monotonic() + 30
    while not {*lines} <= {*self.told.splitlines()}:
      assert time.monotonic() < until, self.told
      self._read()

  def wait_until_all_are_gone(self):
    """Returns the lines told, in any order."""
    until = time.monotonic() + 30
    while self._read():
      assert time.monotonic() < until, f'{self.told}... and somebody lives on'
    return sorted(self.told.splitlines())

  def _read(self):
    """Whether somebody has the other end."""
    time.sleep(0.01)
    try:
      data = os.read(self._life, 2**16)
    except BlockingIOError:
      return True
    self.told += data.decode()
    return bool(data)

  def end(self):
    """(exit status, lines of stdout, lines of stderr without those on processes)."""
    stdout, stderr = self.process.communicate(timeout=30)
    lines = stderr.decode().splitlines()
    return (
      self.process.returncode,
      stdout.decode().splitlines(),
      [line for line in lines if ' is process ' not in line],
    )


def test_output_and_environment(tmp_path):
  code = """
bar = os.environ['no_proxy'] + ' 1 %\\r 2 %\\r'
sys.stderr.write(bar); sys.stderr.flush()
print(config['cluster']['worker'][number], flush=True)
sys.stderr.write('3 %\\n')
print('no end', end='', flush=True)
os.close(1)
tell('ends')
"""
  started = Started(tmp_path, code, env={**os.environ, 'no_proxy': 'a'})
  status, stdout, stderr = started.end()
  assert status == 0
  addresses = [line for line in stdout if ':' in line]
  assert sorted(line.split(':')[0] for line in addresses) == ['[0] 127.0.0.1', '[1] 127.0.0.1']
  assert len({line.split(':')[1] for line in addresses}) == 2
  assert sorted(set(stdout) - set(addresses)) == ['[0] no end', '[1] no end']
  assert sorted(stderr) == ['[0] 3 %', '[1] 3 %']
  assert started.wait_until_all_are_gone() == ['0 ends', '1 ends']


def test_the_failure_of_one_ends_all(tmp_path):
  code = """
def save():
  tell('saved')
  sys.exit(0)
if number == 0:
  on('SIGTERM', save)
if number == 1:
  on('SIGTERM', lambda: tell('ignores it'))
tell('ready')
if number == 2:
  input_closed = sys.stdin.read() == ''
  while not os.path.exists('go'):
    time.sleep(0.01)
  sys.exit(7 if input_closed else 1)
while True:
  time.sleep(1)
"""
  started = Started(tmp_path, code, '--num_workers=3', '--grace_seconds=0.5')
  started.wait_until_told('0 ready', '1 ready', '2 ready')
  (tmp_path / 'go').touch()
  told = started.wait_until_all_are_gone()
  assert told == ['0 ready', '0 saved', '1 ignores it', '1 ready', '2 ready']
  status, _, stderr = started.end()
  assert (status, stderr) == (
    7,
    [
      'launch_local_cluster.py: worker 2 ended with exit status 7; ending the others',
      'launch_local_cluster.py: the grace period is over: killing what is left',
      'launch_local_cluster.py: worker 1 ended with SIGKILL',
    ],
  )


def test_one_that_is_killed_ends_all(tmp_path):
  code = """
tell('ready')
if number == 0:
  while not os.path.exists('go'):
    time.sleep(0.01)
  os.kill(os.getpid(), signal.SIGKILL)
time.sleep(100)
"""
  started = Started(tmp_path, code)
  started.wait_until_told('0 ready', '1 ready')
  (tmp_path / 'go').touch()
  started.wait_until_all_are_gone()
  assert started.end()[0] == 128 + signal.SIGKILL


SAVES_WHEN_ASKED = """
asked = []
def stop():
  asked.append(None)
  tell(f'asked {len(asked)}')
on('SIGINT', stop)
on('SIGTERM', lambda: tell('SIGTERM'))
tell('ready')
while not asked:
  time.sleep(0.01)
time.sleep(0.1)
if os.path.exists('never'):
  time.sleep(100)
"""


def test_the_first_interrupt_is_handed_on(tmp_path):
  started = Started(tmp_path, SAVES_WHEN_ASKED)
  started.wait_until_told('0 ready', '1 ready')
  started.process.send_signal(signal.SIGINT)
  told = started.wait_until_all_are_gone()
  assert told == ['0 asked 1', '0 ready', '1 asked 1', '1 ready']
  status, _, stderr = started.end()
  assert status == 0 and len(stderr) == 1 and 'SIGINT: handed to all workers' in stderr[0]


def test_the_second_interrupt_kills(tmp_path):
  (tmp_path / 'never').touch()
  started = Started(tmp_path, SAVES_WHEN_ASKED)
  started.wait_until_told('0 ready', '1 ready')
  for number in (signal.SIGINT, signal.SIGTERM):
    started.process.send_signal(number)
    started.wait_until_told('0 asked 1', '1 asked 1')
  told = started.wait_until_all_are_gone()
  assert told == ['0 asked 1', '0 ready', '1 asked 1', '1 ready']
  assert started.end()[0] == 128 + signal.SIGTERM


def test_none_is_left_when_the_launcher_is_killed(tmp_path):
  code = """
on('SIGTERM', lambda: tell('SIGTERM'))
if number == 0:
  # It holds what `life` is, and is not the launcher's child.
  subprocess.Popen(['sleep', '100'], pass_fds=[life.fileno()])
tell('ready')
while True:
  time.sleep(1)
"""
  started = Started(tmp_path, code, '--grace_seconds=0.3')
  started.wait_until_told('0 ready', '1 ready')
  started.process.kill()
  started.process.communicate()
  told = started.wait_until_all_are_gone()
  assert told == ['0 SIGTERM', '0 ready', '1 SIGTERM', '1 ready']


def test_what_a_worker_leaves_is_ended(tmp_path):
  code = """
if number == 0:
  subprocess.Popen(['sleep', '100'], pass_fds=[life.fileno()])
"""
  started = Started(tmp_path, code, '--grace_seconds=0.2')
  assert started.end()[0] == 0
  started.wait_until_all_are_gone()


def test_nobody_reads(tmp_path):
  code = """
def save():
  tell('saved')
  sys.exit(0)
on('SIGTERM', save)
tell('ready')
while True:
  print('line', flush=True)
  time.sleep(0.02)
"""
  started = Started(tmp_path, code)
  started.wait_until_told('0 ready', '1 ready')
  started.process.stdout.close()
  told = started.wait_until_all_are_gone()
  assert told == ['0 ready', '0 saved', '1 ready', '1 saved']
  assert started.process.wait(30) == 141


def test_progress_of_the_chief_stays_below_on_a_terminal(tmp_path):
  code = """
def wait_for(file):
  while not os.path.exists(file):
    time.sleep(0.01)
tell('starts')
if number == 0:
  sys.stderr.write('\\r10 %\\r20 %'); sys.stderr.flush()
  open('shown', 'w')
  wait_for('said')
else:
  wait_for('shown')
  print('meanwhile', file=sys.stderr, flush=True)
  open('said', 'w')
"""
  terminal, end = pty.openpty()
  started = Started(tmp_path, code, stderr=end)
  os.close(end)
  started.process.communicate(timeout=30)
  started.wait_until_all_are_gone()
  shown = b''
  while True:
    try:
      shown += os.read(terminal, 2**16)
    except OSError:
      break
  assert b'\r\x1b[K[0] 20 %' in shown
  # Where the terminal's line is erased for another one, it comes again.
  assert b'\r\x1b[K[1] meanwhile\r\n[0] 20 %' in shown
  assert shown.endswith(b'\r\x1b[K[0] 20 %\r\n')


def test_lines():
  lines = Lines()
  assert lines.take(b'a') == [] and lines.take(b'b\nc\r\n\nd') == ['ab', 'c', '']
  assert lines.progress == ''
  assert lines.take(b'\r1 %\r2 %') == [] and lines.progress == '2 %'
  assert lines.take(b'\r\x1b[Kend\n') == ['end'] and lines.progress == ''
  assert lines.take(b'x' * 70000) == ['x' * 70000] and lines.take(b'y\xff') == []
  assert lines.end() == ['y\udcff'] and lines.end() == []


def test_ports():
  with socket.socket() as taken:
    taken.bind(('127.0.0.1', 0))
    taken.listen()
    port = taken.getsockname()[1]
    with pytest.raises(InputError, match=f'--port={port}: .* {port} cannot be had .*use'):
      local_cluster.addresses(2, port)
  with pytest.raises(InputError, match='65535 to 65536, and 65536 .*ports end at 65535'):
    local_cluster.addresses(2, 65535)
  free = local_cluster.addresses(3)
  assert len(set(free)) == 3


def test_gpus_are_divided():
  def visible(each, environ):
    made = local_cluster.environments(['a:1', 'a:2'], environ, gpus_per_worker=each)
    return [one.get('CUDA_VISIBLE_DEVICES') for one in made]

  assert visible(None, {}) == [None, None]
  assert visible(2, {}) == ['0,1', '2,3']
  assert visible(1, {'CUDA_VISIBLE_DEVICES': '4,GPU-a,6'}) == ['4', 'GPU-a']
  assert visible(0, {}) == ['-1', '-1']
  with pytest.raises(InputError, match='2 workers need 4, and CUDA_VISIBLE_DEVICES=4,5,6 has 3'):
    visible(2, {'CUDA_VISIBLE_DEVICES': '4,5,6'})
  second = local_cluster.environments(['a:1', 'a:2'], {})[1]
  assert json.loads(second['TF_CONFIG']) == {
    'cluster': {'worker': ['a:1', 'a:2']},
    'task': {'type': 'worker', 'index': 1},
  }


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['worker.py', '--x=1'], 'which command to start follows after --'),
    (['--'], 'which command to start follows after --'),
    (['--', 'nowhere.py'], 'nowhere.py: no such command'),
  ],
)
def test_no_command(arguments, message, capfd):
  done = subprocess.run([sys.executable, LAUNCHER, *arguments], capture_output=True, text=True)
  assert done.returncode == 1 and message in done.stderr and done.stderr.count('\n') == 1
