"""benchmarks/gpu_verdict.py: what it makes of wrong numbers and of processes that fail, and a part
of its dry run.
"""

import json
import os
import pathlib
import sys

import numpy as np
import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope='module', autouse=True)
def benchmarks():
  sys.path.insert(0, str(CHECKOUT / 'benchmarks'))
  yield
  sys.path.remove(str(CHECKOUT / 'benchmarks'))


@pytest.fixture(scope='module')
def command(benchmarks):
  import gpu_verdict

  return gpu_verdict


def test_numbers_against_limits(benchmarks):
  from gpu_verdict_outcomes import judged

  states = [
    judged('part', 'what', value, 1e-5).state for value in (0.0, 1e-5, 2e-5, np.nan, np.inf, None)
  ]
  assert states == ['PASS', 'PASS', 'FAIL', 'FAIL', 'FAIL', 'FAIL']
  assert judged('part', 'speed-up', 0.8, 0.7, is_at_least=True).state == 'PASS'
  assert judged('part', 'speed-up', 0.6, 0.7, is_at_least=True).state == 'FAIL'


def test_wrong_numbers_of_a_device(benchmarks):
  import gpu_verdict_correctness as correctness

  random = np.random.default_rng(0)
  expected = {
    'losses_stored': np.array([2.0, 1.9]),
    'losses_batch': np.array([2.0, 1.9]),
    'evaluation_loss': np.array(2.0),
    'gradient/a': random.normal(size=[2, 3, 4]),
    'gradient/b': random.normal(size=[2, 5]),
    'statistics/mean': random.normal(size=[2, 4]),
    'probabilities': random.uniform(size=[100]),
    'labels': random.integers(0, 7, [2000]),
    'confusion': np.array([[900, 100], [0, 1000]]),
  }

  def failed(**changes):
    found = {**expected, **{name.replace('__', '/'): value for name, value in changes.items()}}
    return [
      what
      for what, difference, _ in correctness.differences(found, expected)
      if not difference <= correctness.LIMITS[what]
    ]

  assert failed() == []
  assert failed(losses_stored=np.array([2.0, 1.9001])) == ['loss, stored statistics']
  assert failed(gradient__b=expected['gradient/b'] * 1.02) == ['gradients, stored statistics']
  assert failed(gradient__a=expected['gradient/a'] * np.nan) == ['gradients, stored statistics']
  assert failed(statistics__mean=-expected['statistics/mean']) == ['statistics of the batch']
  assert failed(labels=(expected['labels'] + 1) % 7) == ['pixels of another class']
  assert failed(confusion=np.array([[897, 103], [0, 1000]])) == [
    'evaluation, pixels elsewhere in the confusion matrix'
  ]


def test_ways_of_a_depthwise_convolution_by_hand(benchmarks):
  import gpu_verdict_depthwise as depthwise

  inputs = np.arange(25.0).reshape([1, 5, 5, 1])
  weights, upstream = np.ones([3, 3, 1, 1]), np.zeros([1, 5, 5, 1])
  upstream[0, 2, 2] = 1.0
  outputs, of_inputs, of_weights = depthwise.by_numpy(inputs, weights, upstream, rate=2)
  # In the middle rows and columns 0, 2 and 4 count, in the corner 0 and 2.
  assert outputs[0, 2, 2, 0] == 108.0 and outputs[0, 0, 0, 0] == 0.0 + 2.0 + 10.0 + 12.0
  assert of_weights[..., 0, 0].tolist() == [[0, 2, 4], [10, 12, 14], [20, 22, 24]]
  assert np.argwhere(of_inputs[0, ..., 0]).tolist() == [
    [row, column] for row in (0, 2, 4) for column in (0, 2, 4)
  ]


_WORKER = """
import json, os, sys, time
settings = json.loads(sys.argv[1])
sys.path.insert(0, {benchmarks!r})
from gpu_verdict_outcomes import Findings
findings = Findings(settings['results'], settings['title'])
findings.judge('error', 3e-6, 1e-5)
if settings['how'] == 'wrong number':
  findings.judge('error', 3e-4, 1e-5, note='worst in some/weights')
elif settings['how'] == 'crash':
  os.abort()
elif settings['how'] == 'exception':
  raise RuntimeError('CUDNN_STATUS_EXECUTION_FAILED in {benchmarks}/some_file.cc')
elif settings['how'] == 'hang':
  time.sleep(60)
elif settings['how'] == 'silent end':
  sys.exit(0)
findings.row('Speed', dtype='float32', s=0.25)
findings.done()
"""


def test_a_part_that_fails_fails_alone(command, tmp_path, capsys):
  worker = tmp_path / 'worker.py'
  worker.write_text(_WORKER.format(benchmarks=str(CHECKOUT / 'benchmarks')))
  ways = ('good', 'wrong number', 'crash', 'exception', 'hang', 'silent end', 'good again')
  parts = [command.Part('x', way, seconds=5, settings={'how': way}) for way in ways]
  parts[4] = command.Part('x', 'hang', seconds=1.5, settings={'how': 'hang'})
  output = tmp_path / 'verdict'
  flags = command.parsed_flags(['--dry_run', f'--output={output}'])
  assert command.run(parts, flags, worker=str(worker)) == 1
  lines = capsys.readouterr().out.splitlines()
  failed = [line for line in lines if line.startswith('FAIL')]
  assert len(failed) == 5 and len([line for line in lines if line.startswith('PASS')]) == 7
  number, crash, exception, hang, silent = failed
  assert number.endswith('wrong number: error: 0.0003 (limit <= 1e-05): worst in some/weights')
  assert 'ended by SIGABRT' in crash and 'no end within its 2 s' in hang
  assert 'CUDNN_STATUS_EXECUTION_FAILED' in exception and str(CHECKOUT) not in exception
  assert 'exit status 0' in silent
  found = json.loads((tmp_path / 'verdict.json').read_text())
  assert found['is_dry_run'] and found['counts']['FAIL'] == 5
  assert found['tables']['Speed'] == [{'dtype': 'float32', 's': 0.25}] * 3
  page = (tmp_path / 'verdict.md').read_text()
  assert page.startswith('# GPU verdict: dry run on a CPU, no GPU was used')
  assert '**FAIL**: 5 FAIL, 7 PASS' in page and '| float32 | 0.25 |' in page
  assert page.index('## FAIL') < page.index('worst in some/weights') < page.index('## PASS')


def test_time_that_is_used_up_is_said(command, tmp_path, capsys):
  flags = command.parsed_flags(['--dry_run', '--seconds=0', f'--output={tmp_path / "verdict"}'])
  assert command.run([command.Part('x', 'late', seconds=5)], flags) == 0
  assert 'not run  late: all of it: the seconds of all parts' in capsys.readouterr().out


def test_dry_run_of_a_part(command, tmp_path, capsys):
  assert command.main(['--dry_run', '--parts=depthwise', f'--output={tmp_path / "verdict"}']) == 0
  lines = capsys.readouterr().out.splitlines()
  assert len([line for line in lines if line.startswith('PASS')]) == 2
  assert any(line.startswith('not run  depthwise: float16') for line in lines)
  rows = json.loads((tmp_path / 'verdict.json').read_text())['tables'][
    'Atrous depthwise convolutions'
  ]
  equal = {row['way']: row['equal'] for row in rows}
  assert equal['the toolkit'] == equal['space to batch'] == equal['taps'] == 'yes'


def test_without_a_gpu_it_ends_in_a_line(command, monkeypatch, capsys, tmp_path):
  def without_gpu(part, settings, verdict, **_):
    verdict.take({'facts': {'GPUs': ''}})

  monkeypatch.setattr(command, 'run_part', without_gpu)
  assert command.main([f'--output={tmp_path / "verdict"}']) == 1
  printed = capsys.readouterr()
  assert printed.out == '' and printed.err.count('\n') == 1 and 'no GPU was found' in printed.err
  assert not os.listdir(tmp_path)
