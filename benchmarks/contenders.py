"""Runs contenders in processes of their own, in turns, so that whatever else the machine does hits
all of them alike.
"""

import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Contender:
  """A worker process: told `run`, it does one unit of work and answers with the seconds it took."""

  def __init__(self, name, script, settings, *, python=sys.executable):
    """Starts it.

    Args:
      name: for the table.
      script: file name beside this one; see worker_loop.py.
      settings: dict the worker gets as JSON.
      python: interpreter, for a contender with other packages.
    """
    self.name = name
    self._errors = []
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3')
    self._process = subprocess.Popen(
      [python, os.path.join(HERE, script), json.dumps(settings)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE if not os.environ.get('BENCHMARK_DEBUG') else None,
      text=True,
      env=environment,
    )

  def answer(self):
    """The next JSON line of the worker; None when it has ended."""
    for text in self._process.stdout:
      if text.startswith('{'):
        return json.loads(text)
    return None

  def run(self):
    """One unit of work: dict with seconds and cpu_seconds."""
    self._process.stdin.write('run\n')
    self._process.stdin.flush()
    return self.answer()

  def close(self):
    """Ends the worker; returns the last line of its errors."""
    try:
      _, errors = self._process.communicate(timeout=60)
    except (subprocess.TimeoutExpired, ValueError):
      self._process.kill()
      errors = ''
    lines = (errors or '').strip().splitlines()
    return lines[-1] if lines else ''


def compare(specifications, *, rounds):
  """Measures contenders in turns.

  Args:
    specifications: list of (name, script, settings, python).
    rounds: measured runs of each; the worker has made two before.

  Returns:
    list of dicts: name, seconds (median), cpu_seconds (smallest: what the work costs when nothing
      disturbs it), all_seconds,
    start (seconds to import, build and first run), peak_mib; or name and error for one that cannot
    run here.
  """
  results, contenders = [], []
  for name, script, settings, python in specifications:
    contender = Contender(name, script, settings, python=python)
    ready = contender.answer()  # One after the other: no two start at once.
    if ready is None:
      results.append({'name': name, 'error': contender.close() or 'the worker ended'})
    else:
      results.append({'name': name, 'start': ready, 'runs': []})
      contenders.append((contender, results[-1]))
  for _ in range(rounds):
    for contender, result in contenders:
      result['runs'].append(contender.run())
  for contender, result in contenders:
    contender.close()
    runs = result.pop('runs')
    result.update(
      seconds=statistics.median(run['seconds'] for run in runs),
      cpu_seconds=min(run['cpu_seconds'] for run in runs),
      all_seconds=[round(run['seconds'], 4) for run in runs],
      peak_mib=runs[-1]['peak_mib'],
    )
  return results


def print_results(title, results, *, items, unit):
  """Prints one table: speed in items / s, and both ratios to the first result that ran."""
  print(f'\n{title}')
  print(
    f'  {"":<42}{unit + "/s":>12}{"s":>9}{"CPU-s":>9}{"peak MiB":>10}{"ratio":>8}{"CPU ratio":>11}'
  )
  first = next((result for result in results if 'seconds' in result), None)
  for result in results:
    if 'error' in result:
      print(f'  {result["name"]:<42}did not run: {result["error"][:90]}')
      continue
    result['ratio'] = first['seconds'] / result['seconds']
    result['cpu_ratio'] = first['cpu_seconds'] / result['cpu_seconds']
    print(
      f'  {result["name"]:<42}{items / result["seconds"]:>12.2f}{result["seconds"]:>9.3f}'
      f'{result["cpu_seconds"]:>9.3f}'
      f'{result["peak_mib"]:>10.0f}{result["ratio"]:>8.2f}{result["cpu_ratio"]:>11.2f}',
      flush=True,
    )
