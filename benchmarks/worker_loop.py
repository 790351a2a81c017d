"""The side of a worker: reads `run` lines, does the work, answers in JSON.

Needs the standard library only.
"""

import json
import resource
import sys
import time

_STARTED = time.perf_counter()


def serve(work):
  """Warms `work` (a callable that ends when its result is there) up twice, says so, and then runs
  it on demand.
  """
  work()
  first = time.perf_counter() - _STARTED
  work()
  _answer({'seconds_to_first_run': first})
  for _ in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    _answer(
      {
        'seconds': time.perf_counter() - wall,
        'cpu_seconds': time.process_time() - cpu,
        'peak_mib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
      }
    )


def settings():
  """The dict this worker was started with."""
  return json.loads(sys.argv[1])


def _answer(message):
  print(json.dumps(message), flush=True)
