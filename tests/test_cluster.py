"""Who works with whom: flags, TF_CONFIG and Slurm's variables."""

import json
import subprocess
import sys

import pytest

from deeplab.distribution import cluster, slurm
from deeplab.distribution.cluster import Cluster
from deeplab.errors import InputError
from deeplab.options import DistributionOptions

MANY = DistributionOptions(distribution_strategy='multi_worker_mirrored')
AUTO = DistributionOptions()
TWO = {'worker': ['a:1', 'b:1']}
SLURM = {
  'SLURM_JOB_ID': '7003',
  'SLURM_PROCID': '3',
  'SLURM_NODEID': '1',
  'SLURM_LOCALID': '0',
  'SLURM_STEP_NUM_TASKS': '4',
  'SLURM_STEP_NODELIST': 'gpu[08-09]',
  'SLURM_STEP_TASKS_PER_NODE': '3,1',
}


def tf_config(cluster, task):
  return {'TF_CONFIG': json.dumps({'cluster': cluster, 'task': task})}


def task(index, kind='worker'):
  return {'type': kind, 'index': index}


def test_flags():
  given = DistributionOptions(worker_hosts=('a:1, b:2', 'c:3'), task_index=1)
  assert given.worker_hosts == ('a:1', 'b:2', 'c:3')
  found = cluster.find(given, tf_config(TWO, task(0)))  # Flags are nearer than the environment.
  assert found == Cluster(('a:1', 'b:2', 'c:3'), 1, '--worker_hosts')
  assert found.num_workers == 3 and not found.is_chief


@pytest.mark.parametrize('options', [AUTO, MANY])
def test_tf_config(options):
  found = cluster.find(options, tf_config(TWO, task(0)))
  assert found == Cluster(('a:1', 'b:1'), 0, 'TF_CONFIG') and found.is_chief
  assert cluster.find(options, tf_config({**TWO, 'ps': []}, task('1'))).index == 1
  with_chief = {'worker': ['b:1', '[::1]:2'], 'chief': ['a:1']}
  found = cluster.find(options, tf_config(with_chief, task(1)))
  assert found == Cluster(('a:1', 'b:1', '[::1]:2'), 2, 'TF_CONFIG')
  assert cluster.find(options, tf_config(with_chief, task(0, 'chief'))).is_chief


def test_one_worker_is_a_cluster_only_where_one_is_asked_for():
  alone = tf_config({'chief': ['a:1']}, task(0, 'chief'))
  assert cluster.find(AUTO, alone) is None
  assert cluster.find(MANY, alone).num_workers == 1
  assert cluster.find(AUTO, {}) is None and cluster.find(AUTO, {'TF_CONFIG': '{}'}) is None
  assert (
    cluster.find(AUTO, SLURM) is None
  )  # srun alone does not mean that its tasks belong together.
  assert cluster.find(DistributionOptions(worker_hosts=('a:1',), task_index=0), {}) is None
  mirrored = DistributionOptions(distribution_strategy='mirrored')
  assert cluster.find(mirrored, {'TF_CONFIG': 'no JSON'}) is None


@pytest.mark.parametrize(
  'text, message',
  [
    ('{', 'TF_CONFIG: is not what it should be, JSON: '),
    ('[1]', r'JSON: holds \[1\], not an object'),
    ('{"task": {"type": "worker", "index": 0}}', 'TF_CONFIG: has no "cluster"; it looks like'),
    ('{"cluster": {"worker": ["a:1"]}}', 'TF_CONFIG: has no "task"; it looks like'),
    (({'worker': 'a:1'}, task(0)), 'job "worker" must be a list such as .* are "a:1"'),
    (({'worker': []}, task(0)), '"cluster" names no worker'),
    ((TWO, task(2)), 'index of this task is 2; the job worker has 2, so it must be from 0 to 1'),
    ((TWO, task(-1)), 'index of this task is -1'),
    ((TWO, task('x')), 'index of this task is "x"'),
    ((TWO, task(True)), 'index of this task is true'),
    ((TWO, {'type': 'worker'}), 'needs both "type" and "index"'),
    ((TWO, task(0, 'chief')), 'this task is of the job chief, and "cluster" has none'),
    ((TWO, task(0, 'evaluator')), 'has the job "evaluator"; .*run_evaluator.py --watch'),
    (({**TWO, 'ps': ['c:1']}, task(0)), 'has the job "ps"; .* jobs chief and worker only'),
    (({'chief': ['a:1', 'b:1']}, task(0, 'chief')), 'has 2 chiefs'),
    (({'worker': ['a:1', 'A:1']}, task(0)), 'a:1 comes twice; each worker needs an address'),
    (({'worker': ['a:1', 'b']}, task(0)), "'b' is no address of a worker; it must be host:port"),
    (({'worker': ['a:1', 'b:70000']}, task(0)), "'b:70000' is no address .* from 1 to 65535"),
    (({'worker': ['a:1', 'b\n:1']}, task(0)), 'is no address of a worker'),
  ],
)
def test_wrong_tf_config(text, message):
  environ = {'TF_CONFIG': text} if isinstance(text, str) else tf_config(*text)
  with pytest.raises(InputError, match=message) as caught:
    cluster.find(AUTO, environ)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  'given, message',
  [
    (dict(task_index=0), '--task_index=0: needs --worker_hosts'),
    (dict(worker_hosts=('a:1', 'b:1')), 'needs --task_index, .* a number from 0 to 1'),
    (
      dict(worker_hosts=('a:1', 'b:1'), task_index=2),
      '--task_index=2: --worker_hosts has 2, so it must be from 0 to 1',
    ),
    (
      dict(worker_hosts=('a:1', 'b:1'), task_index=0, distribution_strategy='mirrored'),
      '=mirrored: uses one machine, and --worker_hosts has 2 workers',
    ),
  ],
)
def test_wrong_flags(given, message):
  with pytest.raises(InputError, match=message):
    DistributionOptions(**given)


@pytest.mark.parametrize(
  'hosts, message',
  [('a:1,a:1', '--worker_hosts: a:1 comes twice'), ('a,b', "--worker_hosts: 'a' is no address")],
)
def test_wrong_hosts(hosts, message):
  with pytest.raises(InputError, match=message):
    cluster.find(DistributionOptions(worker_hosts=(hosts,), task_index=0), {})


def test_no_description():
  with pytest.raises(InputError, match='--worker_hosts and --task_index, .* TF_CONFIG, .* srun'):
    cluster.find(MANY, {})


def test_slurm():
  port = 12345 + 3 * 20
  hosts = (f'gpu08:{port}', f'gpu08:{port + 1}', f'gpu08:{port + 2}', f'gpu09:{port}')
  assert cluster.find(MANY, SLURM) == Cluster(hosts, 3, 'Slurm')
  cyclic = {**SLURM, 'SLURM_DISTRIBUTION': 'cyclic:block', 'SLURM_PROCID': '1'}
  assert cluster.find(MANY, cyclic) == Cluster((hosts[0], hosts[3], hosts[1], hosts[2]), 1, 'Slurm')
  assert cluster.find(MANY, {**SLURM, **tf_config(TWO, task(0))}).source == 'TF_CONFIG'


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'SLURM_STEP_NODELIST': None}, 'SLURM_STEP_NODELIST is not set .* start the command by srun'),
    ({'SLURM_STEP_NUM_TASKS': '5'}, 'SLURM_STEP_NUM_TASKS=5 .* contradict'),
    ({'SLURM_PROCID': '4'}, 'SLURM_PROCID=4 contradict'),
    ({'SLURM_PROCID': 'x'}, 'SLURM_PROCID=x: must be a whole number'),
    ({'SLURM_STEP_NODELIST': 'gpu08'}, 'is 1 nodes, and SLURM_STEP_TASKS_PER_NODE=3,1 is for 2'),
    ({'SLURM_STEP_TASKS_PER_NODE': '3;1'}, r'SLURM_STEP_TASKS_PER_NODE=3;1: must be like 2\(x3\)'),
    (
      {'SLURM_LOCALID': '1'},
      'should be number 0 on node 1, and is number 1 .*--distribution=block',
    ),
  ],
)
def test_wrong_slurm(changes, message):
  environ = {name: value for name, value in {**SLURM, **changes}.items() if value is not None}
  with pytest.raises(InputError, match=message):
    cluster.find(MANY, environ)


@pytest.mark.parametrize(
  'text, nodes',
  [
    ('login', ['login']),
    ('gpu[01-03,7],login', ['gpu01', 'gpu02', 'gpu03', 'gpu7', 'login']),
    ('n[8-11]', ['n8', 'n9', 'n10', 'n11']),
    ('r[1-2]n[01-02]-ib,x', ['r1n01-ib', 'r1n02-ib', 'r2n01-ib', 'r2n02-ib', 'x']),
  ],
)
def test_lists_of_nodes(text, nodes):
  assert slurm.expand_nodes(text) == nodes


@pytest.mark.parametrize(
  'text',
  ['', ',', 'a,,b', 'a[', 'a[1-2', 'a]1', 'a[]', 'a[2-1]', 'a[x]', 'a[1-999999999]']
  + ['a[0-999][0-999]'],
)
def test_wrong_lists_of_nodes(text):
  with pytest.raises(InputError, match='list of'):
    slurm.expand_nodes(text)


def test_tasks_of_many_nodes():
  environ = {
    'SLURM_JOB_ID': '1',
    'SLURM_PROCID': '5',
    'SLURM_STEP_NUM_TASKS': '7',
    'SLURM_STEP_NODELIST': 'n[1-4]',
    'SLURM_STEP_TASKS_PER_NODE': '2(x3),1',
  }
  found = slurm.find(environ)
  assert [address.split(':')[0] for address in found.addresses] == [
    'n1',
    'n1',
    'n2',
    'n2',
    'n3',
    'n3',
    'n4',
  ]
  assert found.task == 5 and found.addresses[5] == 'n3:12366'


def test_a_cluster_is_found_without_tensorflow():
  code = 'import sys; import deeplab.distribution.cluster; assert "tensorflow" not in sys.modules'
  subprocess.run([sys.executable, '-c', code], check=True)
