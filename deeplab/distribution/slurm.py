"""The tasks of a Slurm step as workers, from the variables that srun sets in each.

https://slurm.schedmd.com/srun.html, "OUTPUT ENVIRONMENT VARIABLES".
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping

from deeplab.errors import InputError, shown

# Ports of a job, and of jobs whose numbers differ by up to 999, of which a node may run several;
# all below 32768, where Linux takes those of outgoing connections from.
_FIRST_PORT = 12345
_PORTS_OF_A_JOB = 20
_JOBS_APART = 1000
_MOST_NODES = 65536
_STEP_VARIABLES = (
  'SLURM_STEP_NODELIST',
  'SLURM_STEP_NUM_TASKS',
  'SLURM_STEP_TASKS_PER_NODE',
  'SLURM_PROCID',
)


@dataclasses.dataclass(frozen=True)
class Step:
  """Tasks that one srun started.

  Attributes:
    addresses: host:port of each task, in the order of their numbers.
    task: which of them this process is.
  """

  addresses: tuple[str, ...]
  task: int


def find(environ: Mapping[str, str]) -> Step | None:
  """The step that this process is a task of; None outside of Slurm.

  Raises:
    InputError: it is in a job, but was not started by srun; or the variables contradict each other.
  """
  if 'SLURM_JOB_ID' not in environ:
    return None
  for name in _STEP_VARIABLES:
    if name not in environ:
      raise InputError(
        f'Slurm: {name} is not set in this job; start the command by srun, which starts a worker '
        'for each task'
      )
  num_tasks = _number(environ, 'SLURM_STEP_NUM_TASKS')
  task = _number(environ, 'SLURM_PROCID')
  places = _places(environ)
  if len(places) != num_tasks or task >= num_tasks:
    raise InputError(
      f'Slurm: SLURM_STEP_NUM_TASKS={num_tasks} and SLURM_PROCID={task} contradict '
      f'SLURM_STEP_TASKS_PER_NODE={shown(environ["SLURM_STEP_TASKS_PER_NODE"])}, which is '
      f'{len(places)} tasks; give --worker_hosts and --task_index'
    )
  _check_own_place(environ, places[task])
  first = _FIRST_PORT + _number(environ, 'SLURM_JOB_ID') % _JOBS_APART * _PORTS_OF_A_JOB
  nodes = expand_nodes(environ['SLURM_STEP_NODELIST'])
  return Step(tuple(f'{nodes[node]}:{first + local}' for node, local in places), task)


def expand_nodes(text: str) -> list[str]:
  """The names in a list of nodes as Slurm writes it: 'gpu[01-02,7],login' is gpu01, gpu02, gpu7 and
  login. Raises InputError.
  """
  # A comma in brackets separates ranges, any other one nodes.
  parts = re.findall(r'(?:[^,\[\]]|\[[^\[\]]*\])+', text)
  nodes = []
  for part in parts:
    pieces = [
      _expand_ranges(piece[1:-1], text) if piece.startswith('[') else [piece]
      for piece in re.findall(r'[^\[\]]+|\[[^\[\]]*\]', part)
    ]
    count = len(nodes)
    for piece in pieces:
      count *= len(piece)
    _refuse_more(count, text)
    nodes += map(''.join, itertools.product(*pieces))
  if not nodes or ','.join(parts) != text:
    raise InputError(f'Slurm: {shown(text)!r} is no list of nodes, such as gpu[01-02,7],login')
  _refuse_more(len(nodes), text)
  return nodes


def _expand_ranges(text, whole):
  """'01-03,7' as 01, 02, 03, 7."""
  numbers = []
  for part in text.split(','):
    match = re.fullmatch('([0-9]{1,12})(?:-([0-9]{1,12}))?', part)
    if match is None or int(match[2] or match[1]) < int(match[1]):
      raise InputError(f'Slurm: {shown(whole)!r} is no list of nodes: [{shown(text)}]')
    first, last = int(match[1]), int(match[2] or match[1])
    _refuse_more(last - first + 1, whole)
    numbers += [str(number).zfill(len(match[1])) for number in range(first, last + 1)]
  return numbers


def _refuse_more(count, text):
  if count > _MOST_NODES:
    raise InputError(f'Slurm: {shown(text)!r} is a list of more than {_MOST_NODES} nodes')


def _places(environ):
  """(index of the node, index on it) of each task, in the order of their numbers."""
  per_node = _tasks_per_node(environ['SLURM_STEP_TASKS_PER_NODE'])
  nodes = expand_nodes(environ['SLURM_STEP_NODELIST'])
  if len(nodes) != len(per_node):
    raise InputError(
      f'Slurm: SLURM_STEP_NODELIST={shown(environ["SLURM_STEP_NODELIST"])} is {len(nodes)} nodes, '
      f'and SLURM_STEP_TASKS_PER_NODE={shown(environ["SLURM_STEP_TASKS_PER_NODE"])} is for '
      f'{len(per_node)}; give --worker_hosts and --task_index'
    )
  places = [(node, local) for node, tasks in enumerate(per_node) for local in range(tasks)]
  if environ.get('SLURM_DISTRIBUTION', '').startswith('cyclic'):
    places.sort(key=lambda place: (place[1], place[0]))  # One for each node, then the next.
  return places


def _tasks_per_node(text) -> list[int]:
  """'2(x3),1' as 2, 2, 2, 1."""

  def counts() -> Iterator[int]:
    for part in text.split(','):
      match = re.fullmatch(r'([0-9]{1,5})(?:\(x([0-9]{1,5})\))?', part)
      if match is None:
        raise InputError(f'Slurm: SLURM_STEP_TASKS_PER_NODE={shown(text)}: must be like 2(x3),1')
      yield from itertools.repeat(int(match[1]), int(match[2] or 1))

  return list(itertools.islice(counts(), _MOST_NODES))


def _check_own_place(environ, place):
  """Raises InputError where Slurm spread the tasks over the nodes in another way than we think."""
  names = ('SLURM_NODEID', 'SLURM_LOCALID')
  if not all(name in environ for name in names):
    return
  own = tuple(_number(environ, name) for name in names)
  if own != place:
    raise InputError(
      f'Slurm: task {environ["SLURM_PROCID"]} should be number {place[1]} on node {place[0]}, and '
      f'is number {own[1]} on node {own[0]}; start srun with --distribution=block, or give '
      '--worker_hosts and --task_index'
    )


def _number(environ, name):
  text = environ[name]
  if not re.fullmatch('[0-9]{1,15}', text):
    raise InputError(f'Slurm: {name}={shown(text)}: must be a whole number')
  return int(text)
