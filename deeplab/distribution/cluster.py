"""Which workers share a run, and which of them this process is: from flags, TF_CONFIG or Slurm."""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence

from deeplab import json_files
from deeplab.distribution import slurm
from deeplab.errors import InputError, shown
from deeplab.options.distribution import DistributionOptions

# Jobs of TF_CONFIG whose tasks compute and average gradients, in their order.
_COMPUTING_JOBS = ('chief', 'worker')
_ADDRESS = re.compile(r'(?P<host>[^\s:/\[\]]+|\[[0-9a-fA-F:.%\w]+\]):(?P<port>[0-9]{1,5})')


@dataclasses.dataclass(frozen=True)
class Cluster:
  """Processes that train or evaluate together.

  Attributes:
    workers: host:port of each, in one order for all; the first is the chief.
    index: which of them this process is.
    source: what described them, for messages: --worker_hosts, TF_CONFIG or Slurm.
  """

  workers: tuple[str, ...]
  index: int
  source: str

  @property
  def num_workers(self) -> int:
    return len(self.workers)

  @property
  def is_chief(self) -> bool:
    """Whether this is the worker that logs and saves."""
    return self.index == 0


def find(options: DistributionOptions, environ: Mapping[str, str] = os.environ) -> Cluster | None:
  """The cluster that flags or environment describe: --worker_hosts, else TF_CONFIG, else, with
  --distribution_strategy=multi_worker_mirrored, the Slurm step. None: this process works alone.

  With `mirrored` TF_CONFIG is not looked at; with `auto` a description of one worker is no cluster.

  Raises:
    InputError: the description is wrong, or multi_worker_mirrored is asked for and there is none.
  """
  if options.distribution_strategy == 'mirrored':
    return None
  found = _of_flags(options) or _of_tf_config(environ.get('TF_CONFIG', ''))
  if options.distribution_strategy == 'auto':
    return found if found and found.num_workers > 1 else None
  found = found or _of_slurm(environ)
  if found is None:
    raise InputError(
      '--distribution_strategy=multi_worker_mirrored: nothing says which workers there are; give '
      '--worker_hosts and --task_index, or set TF_CONFIG, or start the command by srun in a Slurm '
      'job'
    )
  return found


def _of_flags(options):
  if not options.worker_hosts:
    return None
  workers = _checked(options.worker_hosts, '--worker_hosts')
  return Cluster(workers, options.task_index, '--worker_hosts')


def _of_slurm(environ):
  step = slurm.find(environ)
  return step and Cluster(_checked(step.addresses, 'Slurm'), step.task, 'Slurm')


def _of_tf_config(text):
  """The cluster in the text of TF_CONFIG; None for an empty one."""
  if not text.strip():
    return None
  try:
    config = json_files.as_object(text)
  except ValueError as error:
    raise InputError(f'TF_CONFIG: is not what it should be, JSON: {error}') from error
  if not config:
    return None
  for name in ('cluster', 'task'):
    if not isinstance(config.get(name), dict) or not config[name]:
      raise InputError(
        f'TF_CONFIG: has no "{name}"; it looks like {{"cluster": {{"worker": ["host0:12345", '
        '"host1:12345"]}, "task": {"type": "worker", "index": 0}}'
      )
  jobs = _jobs(config['cluster'])
  workers = [address for job in _COMPUTING_JOBS for address in jobs.get(job, ())]
  job, index = _task(config['task'], jobs)
  if job == 'worker':
    index += len(jobs.get('chief', ()))
  return Cluster(_checked(workers, 'TF_CONFIG'), index, 'TF_CONFIG')


def _jobs(cluster):
  """Name of a job -> addresses of its tasks, without empty ones."""
  jobs = {}
  for job, addresses in cluster.items():
    if not isinstance(addresses, list) or not all(isinstance(one, str) for one in addresses):
      raise InputError(
        f'TF_CONFIG: the addresses of job {json_files.shown(job)} must be a list such as '
        f'["host0:12345"], and are {json_files.shown(addresses)}'
      )
    if addresses:
      _check_job(job)
      jobs[job] = addresses
  if len(jobs.get('chief', ())) > 1:
    raise InputError(f'TF_CONFIG: has {len(jobs["chief"])} chiefs; there can be one')
  if not jobs:
    raise InputError('TF_CONFIG: "cluster" names no worker')
  return jobs


def _check_job(job):
  if job not in _COMPUTING_JOBS:
    raise InputError(
      f'TF_CONFIG: has the job {json_files.shown(job)}; workers that train together are of the '
      'jobs chief and worker only, and without parameter servers and evaluators '
      '(run_evaluator.py --watch evaluates beside a training)'
    )


def _task(task, jobs):
  """(job, index in it) of this process."""
  job, index = task.get('type'), task.get('index')
  if job is None or index is None:
    raise InputError(
      f'TF_CONFIG: "task" is {json_files.shown(task)} and needs both "type" and "index", such as '
      '{"type": "worker", "index": 0}'
    )
  _check_job(job)
  if isinstance(index, str) and re.fullmatch('[0-9]{1,9}', index):
    index = int(index)  # As templates of job schedulers write it.
  num_tasks = len(jobs.get(job, ()))
  if not num_tasks:
    raise InputError(f'TF_CONFIG: this task is of the job {job}, and "cluster" has none')
  if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < num_tasks:
    raise InputError(
      f'TF_CONFIG: the index of this task is {json_files.shown(index)}; the job {job} has '
      f'{num_tasks}, so it must be from 0 to {num_tasks - 1}'
    )
  return job, index


def _checked(addresses: Sequence[str], source: str) -> tuple[str, ...]:
  """The addresses, each host:port, none twice."""
  for address in addresses:
    match = _ADDRESS.fullmatch(address)
    if match is None or not 1 <= int(match['port']) <= 65535:
      raise InputError(
        f'{source}: {shown(address)!r} is no address of a worker; it must be host:port, such as '
        '10.0.0.1:12345, with a port from 1 to 65535'
      )
  lowered = [address.lower() for address in addresses]
  twice = next((one for one in lowered if lowered.count(one) > 1), None)
  if twice is not None:
    raise InputError(
      f'{source}: {shown(twice)} comes twice; each worker needs an address of its own, on one '
      'machine another port'
    )
  return tuple(addresses)
