"""examples/slurm and examples/kubernetes: what they start, without a cluster."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import time

import pytest
import test_documents

from deeplab.distribution import cluster
from deeplab.options import DistributionOptions

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / 'examples'
BATCH_FILES = sorted((EXAMPLES / 'slurm').glob('*.sbatch'))
# Where the shards of one inference may differ, and the merging from them.
OWN_FLAGS = {'shard_index', 'merge_shards', 'skip_existing'}


def _objects(name):
  """The objects of a manifest, by kind."""
  yaml = pytest.importorskip('yaml')
  return {each['kind']: each for each in yaml.safe_load_all((EXAMPLES / name).read_text())}


def _job(name):
  """(the specification of a job, its only container)."""
  job = _objects(f'kubernetes/{name}.yaml')['Job']
  (container,) = job['spec']['template']['spec']['containers']
  return job['spec'], container


def _flags(words):
  """Name -> value of the flags among the words of a command."""
  pairs = [word[2:].partition('=') for word in words if word.startswith('--')]
  assert len({name for name, _, _ in pairs}) == len(pairs)
  return {name: value for name, _, value in pairs}


def _words_of_batch_file(path):
  """Those of the command of ours, variables as they are written."""
  text = path.read_text().replace('\\\n', ' ')
  (line,) = re.findall(r'^.*\brun_\w+\.py .*$', re.sub('^#.*$', '', text, flags=re.M), flags=re.M)
  words = [word for word in shlex.split(line) if word != '$@']
  (place,) = [number for number, word in enumerate(words) if word.startswith('run_')]
  return words[place:]


def test_workers_find_each_other():
  objects = _objects('kubernetes/train.yaml')
  job, service = objects['Job'], objects['Service']
  specification, container = _job('train')
  pod = specification['template']['spec']
  flags = _flags(container['args'])
  num_workers = specification['completions']
  assert specification['completionMode'] == 'Indexed'
  assert specification['parallelism'] == num_workers  # They wait for each other.
  assert service['spec']['clusterIP'] == 'None'
  assert service['metadata']['name'] == pod['subdomain']
  assert service['spec']['selector'] == {
    'batch.kubernetes.io/job-name': job['metadata']['name'],
  }
  hosts = [
    f'{job["metadata"]["name"]}-{index}.{pod["subdomain"]}:{container["ports"][0]["containerPort"]}'
    for index in range(num_workers)
  ]
  assert service['spec']['ports'][0]['port'] == container['ports'][0]['containerPort']
  assert flags['task_index'] == '$(JOB_COMPLETION_INDEX)'
  for index in range(num_workers):
    options = DistributionOptions(
      distribution_strategy=flags['distribution_strategy'],
      worker_hosts=(flags['worker_hosts'],),
      task_index=index,
    )
    found = cluster.find(options, {})
    assert list(found.workers) == hosts and found.index == index


def test_shards_of_kubernetes():
  specification, container = _job('predict')
  flags = _flags(container['args'])
  assert specification['completionMode'] == 'Indexed'
  assert flags['num_shards'] == str(specification['completions'])
  assert flags['shard_index'] == '$(JOB_COMPLETION_INDEX)'
  merged = _flags(_job('merge')[1]['args'])
  assert 'merge_shards' in merged
  assert _without(flags, OWN_FLAGS) == _without(merged, OWN_FLAGS)


def test_shards_of_slurm():
  predict, merge = (
    _flags(_words_of_batch_file(EXAMPLES / 'slurm' / f'{name}.sbatch'))
    for name in ('predict', 'merge')
  )
  assert predict['shard_index'] == '$SLURM_ARRAY_TASK_ID'
  own = OWN_FLAGS | {'num_shards'}
  assert _without(predict, own) == _without(merge, own)
  text = (EXAMPLES / 'slurm' / 'predict.sbatch').read_text()
  assert 'num_shards=${NUM_SHARDS:-$SLURM_ARRAY_TASK_COUNT}' in text
  last = re.search(r'^#SBATCH --array=0-(\d+)$', text, flags=re.M).group(1)
  assert merge['num_shards'] == f'${{NUM_SHARDS:-{int(last) + 1}}}'


def _without(flags, names):
  return {name: value for name, value in flags.items() if name not in names}


def _commands():
  for path in BATCH_FILES:
    yield _words_of_batch_file(path)
  for name in ('train', 'predict', 'merge'):
    container = _job(name)[1]
    words = [word for word in container['args'] if '\n' not in word]
    yield words if words[0].startswith('run_') else [*container['command'], *words]


def test_flags_exist():
  commands = list(_commands())
  assert (
    sorted(words[0] for words in commands) == ['run_inferencer.py'] * 4 + ['run_trainer.py'] * 2
  )
  for words in commands:
    test_documents._check(words)


@pytest.mark.parametrize('path', BATCH_FILES, ids=lambda path: path.name)
def test_batch_files_are_scripts(path):
  subprocess.run(['bash', '-n', path], check=True)
  if shutil.which('shellcheck'):
    subprocess.run(['shellcheck', path], check=True)


@pytest.fixture
def commands(tmp_path):
  """The environment of a script, with commands of the test, and with a directory for the model."""
  (tmp_path / 'bin').mkdir()
  (tmp_path / 'model').mkdir()
  return {
    'PATH': f'{tmp_path / "bin"}:{os.environ["PATH"]}',
    'MODEL': str(tmp_path / 'model'),
    'RECORDS': 'train',
  }


def _write_command(commands, name, lines):
  path = pathlib.Path(commands['PATH'].split(':')[0], name)
  path.write_text(f'#!/bin/bash\n{lines}\n')
  path.chmod(0o755)


def test_a_training_that_was_stopped_is_queued_again(commands):
  script = ['bash', EXAMPLES / 'slurm' / 'train.sbatch', '--num_steps=9']
  _write_command(commands, 'srun', 'echo "srun $*"')
  _write_command(commands, 'scontrol', 'echo "scontrol $*"')
  environ = {**commands, 'SLURM_JOB_ID': '12', 'SLURM_CPUS_PER_TASK': '4'}

  def lines():
    done = subprocess.run(script, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()

  first, last = lines()
  assert first.startswith('srun --kill-on-bad-exit=1 --cpus-per-task=4 run_trainer.py ')
  assert first.endswith(
    f'--output_path={commands["MODEL"]} --batch_size=32 --sync_batch_norm --resume --num_steps=9'
  )
  assert last == 'scontrol requeue 12'
  pathlib.Path(commands['MODEL'], 'model.ckpt.index').touch()
  assert len(lines()) == 1
  _write_command(commands, 'srun', 'exit 3')
  os.remove(os.path.join(commands['MODEL'], 'model.ckpt.index'))
  done = subprocess.run(script, env=environ, capture_output=True, text=True)
  assert (done.returncode, done.stdout) == (3, '')  # What failed is not tried again and again.


def _pod(commands):
  """Starts what the container of the trainer does."""
  container = _job('train')[1]
  assert container['command'] == ['/bin/bash', '-c']
  return subprocess.Popen(
    [*container['command'], *container['args']], env=commands, stdout=subprocess.PIPE, text=True
  )


@pytest.mark.parametrize(
  'ends_with, has_final, status', [(0, True, 0), (0, False, 75), (3, True, 3), (3, False, 3)]
)
def test_a_pod_is_done_when_the_training_is(commands, ends_with, has_final, status):
  _write_command(commands, 'run_trainer.py', f'echo "$*"; exit {ends_with}')
  if has_final:
    pathlib.Path(commands['MODEL'], 'model.ckpt.index').touch()
  pod = _pod(commands)
  stdout, _ = pod.communicate(timeout=30)
  assert pod.returncode == status
  assert stdout.startswith('--distribution_strategy=multi_worker_mirrored --worker_hosts=')


def test_a_pod_that_is_stopped_waits_for_the_trainer(commands):
  _write_command(
    commands,
    'run_trainer.py',
    'trap "echo saves; sleep 0.2; echo saved; exit 0" TERM\n'
    'echo ready\n'
    'while :; do sleep 0.05; done',
  )
  pod = _pod(commands)
  assert pod.stdout.readline() == 'ready\n'
  pod.send_signal(signal.SIGTERM)
  started = time.monotonic()
  stdout, _ = pod.communicate(timeout=30)
  assert stdout == 'saves\nsaved\n' and pod.returncode == 75
  assert time.monotonic() - started >= 0.2
