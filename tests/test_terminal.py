"""What a terminal shows while a command is at something."""

import os
import pty
import subprocess
import sys
import textwrap

import numpy as np

from deeplab import messages, metrics
from deeplab.evaluator import EvaluationResult
from deeplab.training import training_log
from deeplab.training.training_log import TrainingLog

PROGRAM = textwrap.dedent("""
    import time
    from deeplab import messages

    with messages.phase('reading'):
      time.sleep(1.5)
      messages.say('a line')
    with messages.phase('tracing', ticks=False):
      pass
    messages.say('the end')
    """)


def on_a_terminal(*command):
  """What a terminal gets from a process."""
  ours, theirs = pty.openpty()
  process = subprocess.Popen(
    command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, close_fds=True
  )
  os.close(theirs)
  seen = b''
  try:
    while chunk := os.read(ours, 4096):
      seen += chunk
  except OSError:  # Linux's way to say that the other side is closed.
    pass
  os.close(ours)
  assert process.wait() == 0
  return seen.decode()


def test_a_phase_is_shown_with_its_seconds_and_gives_way_to_lines():
  seen = on_a_terminal(sys.executable, '-c', PROGRAM)
  erase = '\r\x1b[K'
  assert seen.startswith(f'{erase}reading ...{erase}reading, 1 s{erase}a line\r\n'), repr(seen)
  assert seen.endswith(f'{erase}tracing ...{erase}the end\r\n'), repr(seen)


def test_a_terminal_of_no_size_shows_bars_too():
  program = textwrap.dedent("""
      from deeplab import messages
      from tqdm import tqdm

      with tqdm(total=4, desc='working', **messages.size_for_bars()) as bar:
        bar.update(3)
        bar.refresh()
      """)
  assert 'working:  75%|' in on_a_terminal(sys.executable, '-c', program)  # A new pty has 0 x 0.


def test_without_a_terminal_there_are_lines_only():
  result = subprocess.run(
    [sys.executable, '-c', PROGRAM], capture_output=True, text=True, check=True
  )
  assert (result.stdout, result.stderr) == ('a line\nthe end\n', '')


def test_scores_of_a_validation_break_between_classes(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(messages, 'shows_bars', lambda: True)
  monkeypatch.setattr(training_log.shutil, 'get_terminal_size', lambda: os.terminal_size((40, 24)))
  confusion = np.diag([1, 2, 3, 4])
  validation = EvaluationResult(
    num_images=5, loss=0.75, confusion=confusion, summary=metrics.summarize(confusion)
  )
  with TrainingLog(
    str(tmp_path), metrics_name='metrics.jsonl', log_per_steps=1, num_steps=4
  ) as log:
    log.validated(
      validation,
      step=4,
      best={'mean_iou': 1.0, 'step': 4},
      class_names=('sky', 'tall tree', 'road', 'motor car'),
    )
  assert capsys.readouterr().out.splitlines()[1:] == [
    '  IoU: sky 1.0000, tall tree 1.0000,',
    '       road 1.0000, motor car 1.0000',
  ]
