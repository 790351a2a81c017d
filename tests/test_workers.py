"""Workers that train together: two real ones, and what each of them does, with the others as
threads.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import record_makers
import short_network_command
import tensorflow as tf
import tiny_model

from deeplab.data import input_pipeline
from deeplab.data.batch_shares import BatchShare
from deeplab.data.record_files import RecordFile
from deeplab.distribution import local_cluster, patience, workers
from deeplab.distribution.cluster import Cluster
from deeplab.distribution.patience import Patience
from deeplab.distribution.workers import Workers
from deeplab.errors import InputError
from deeplab.options import (
  ComputeOptions,
  LossOptions,
  ModelOptions,
  RunOptions,
  TrainingInputOptions,
  TrainingOptions,
  ValidationOptions,
)
from deeplab.training import device_batches, workers_of_run
from deeplab.training.follower import FollowerDirectory
from deeplab.training.run_start import AllOptions, RunStart
from deeplab.training.training_data import TrainingData

COMMAND = pathlib.Path(short_network_command.__file__)
TRAINER = (
  'run_trainer.py',
  '--filenames=train.tfrecord',
  '--eval_filenames=val.tfrecord',
  '--model_variant=mobilenet_v2',
  '--depth_multiplier=0.35',
  '--num_classes=3',
  '--crop_size_height=33',
  '--crop_size_width=33',
  '--batch_size=4',
  '--num_steps=3',
  '--log_per_steps=1',
  '--persist_per_steps=2',
  '--eval_per_steps=3',
  '--nofine_tune_batch_norm',
  '--seed=2',
)


# === Two real workers ===


def write_records(directory):
  """7 of each; every pixel is noise, and its class that of its brightest channel."""
  random = np.random.default_rng(0)
  for split in ('train', 'val'):
    records = []
    for number in range(7):
      image = random.integers(0, 256, [34, 35 + number, 3], np.uint8)
      records.append(
        record_makers.record(
          number,
          size=image.shape[:2],
          image=record_makers.encode(image),
          label=record_makers.encode(image.argmax(axis=-1).astype(np.uint8)),
        )
      )
    record_makers.write(directory / f'{split}.tfrecord', records)


def run_workers(run, *arguments, different=((), ())):
  """The CompletedProcess of each of two workers; `different` has the flags that one alone has, and
  `run` is called with the words of each.
  """
  hosts = ','.join(local_cluster.addresses(2))
  commands = [
    [COMMAND, *arguments, *flags, f'--worker_hosts={hosts}', f'--task_index={index}']
    for index, flags in enumerate(different)
  ]
  with concurrent.futures.ThreadPoolExecutor() as pool:
    return list(pool.map(run, commands))


@pytest.fixture(name='trained', scope='module')
def _trained(tmp_path_factory, command_processes):
  """(directory with `one` and `two`, what the one and the two workers that trained there said)."""
  directory = tmp_path_factory.mktemp('trained')
  write_records(directory)
  run = functools.partial(command_processes.run, directory=directory)
  alone = run([COMMAND, *TRAINER, '--output_path=one'])
  both = run_workers(run, *TRAINER, '--output_path=two')
  assert alone.returncode == 0, alone.stderr
  return directory, alone, both


def logged(directory):
  with open(directory / 'metrics.jsonl', encoding='utf-8') as file:
    return [json.loads(line) for line in file]


def test_two_workers_have_the_losses_of_one(trained):
  directory, _, both = trained
  assert [one.returncode for one in both] == [0, 0], both
  one, two = (
    [line['loss'] for line in logged(directory / name) if 'loss' in line] for name in ('one', 'two')
  )
  np.testing.assert_allclose(two, one, rtol=0, atol=1e-5)
  assert len(set(one)) == 3


def test_each_image_of_a_validation_counts_once(trained):
  directory, alone, both = trained
  (expected,), (found,) = (
    re.findall(r'^validation at .*\n  IoU: .*$', each.stdout.decode(), re.M)
    for each in (alone, both[0])
  )
  assert ' 7 images' in expected and found == expected
  one, two = (
    next(line for line in logged(directory / name) if 'iou' in line) for name in ('one', 'two')
  )
  assert two['iou'] == one['iou']


def test_one_writes_and_speaks(trained):
  directory, alone, (chief, other) = trained
  assert (other.stdout, other.stderr) == (b'', b'')
  names = lambda output: sorted(
    re.sub(r'tfevents\..*', 'tfevents', path.name) for path in (directory / output).iterdir()
  )
  assert names('two') == names('one') and names('one').count('events.out.tfevents') == 1
  # A run of several workers may go on with another number of them.
  assert 'worker' not in (directory / 'two' / 'flags.txt').read_text()
  said = lambda done: [
    re.sub('path=(one|two)|(one|two)/', '', line)
    for line in done.stdout.decode().splitlines()
    if not line.startswith(('devices:', 'step:'))
  ]
  assert said(chief) == said(alone)


@pytest.mark.slow
@pytest.mark.parametrize(
  'arguments, different, message',
  [
    (TRAINER, ((), ('--batch_size=6',)), '--batch_size: worker 1 has 6, the chief 4'),
    (TRAINER, (('--num_steps=4',), ()), '--num_steps: worker 1 has 3, the chief 4'),
    ((*TRAINER, '--batch_size=5'), ((), ()), '--batch_size=5: must be a multiple of .* 2'),
    (
      TRAINER,
      ((), ('--filenames=val.tfrecord',)),
      '--filenames: worker 1 has train.tfrecord,val.tfrecord, the chief train.tfrecord',
    ),
  ],
)
def test_what_does_not_fit_is_refused_by_all(arguments, different, message, tmp_path):
  write_records(tmp_path)
  run = lambda words: subprocess.run(
    [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True
  )
  for done in run_workers(run, *arguments, '--output_path=run', different=different):
    lines = [line for line in done.stderr.splitlines() if not line.startswith('warning:')]
    assert done.returncode == 1 and len(lines) == 1, lines
    assert re.search(message, lines[0])
  assert not list(tmp_path.glob('run/model.ckpt*'))


# === What they tell each other ===


class Sums:
  """Adds up what so many threads give, for each of them, as TensorFlow's collectives do."""

  def __init__(self, number):
    self._barrier = threading.Barrier(number, timeout=20)
    self._given = [None] * number

  def of(self, index, array):
    self._given[index] = array
    self._barrier.wait()
    total = np.sum(self._given, axis=0, dtype=array.dtype)
    assert {(each.shape, each.dtype) for each in self._given} == {(array.shape, array.dtype)}
    self._barrier.wait()
    return total


class ThreadWorkers(Workers):
  """One of several that are threads of this process."""

  def __init__(self, sums, index, number):
    hosts = tuple(f'127.0.0.1:{1 + each}' for each in range(number))
    super().__init__(tf.distribute.get_strategy(), Cluster(hosts, index, '--worker_hosts'))
    self._sums = sums

  def _sum(self, array):
    return self._sums.of(self.index, array) if self.num_workers > 1 else array


def on_all(function, number):
  """What `function` gives for each of so many workers, called in threads of their own."""
  sums = Sums(number)
  with concurrent.futures.ThreadPoolExecutor(number) as pool:
    work = lambda index: function(ThreadWorkers(sums, index, number))
    return list(pool.map(work, range(number)))


@pytest.fixture(name='number', params=[1, 2, 3])
def _number(request):
  return request.param


def test_the_chief_tells_all(number):
  value = {'text': 'ä' * 5, 'list': [1, None, 0.1], 'empty': {}}
  told = on_all(lambda each: each.told_by_chief(value if each.is_chief else None), number)
  assert told == [value] * number
  assert on_all(lambda each: each.told_by_chief(), number) == [{}] * number


def test_all_tell_all(number):
  values = [{'name': 'x' * 3**index} for index in range(number)]
  assert on_all(lambda each: each.told_by_all(values[each.index]), number) == [values] * number


def test_the_chiefs_variables_come_to_the_bit(number):
  random = np.random.default_rng(0)
  arrays = [
    random.normal(size=[3, 5]).astype(np.float32),
    np.float32(-0.0),
    np.array([[np.nan, np.inf, 1e-42]], np.float32),
    np.zeros([0, 2], np.float32),
    np.int64([2**62 + 1]),
    np.array([1, 2, 255], np.uint8),
  ]
  given = [arrays, *([np.ones_like(each) for each in arrays] for _ in range(number - 1))]
  for got in on_all(lambda each: each.values_of_chief(given[each.index]), number):
    for array, expected in zip(got, arrays):
      assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
      assert array.tobytes() == expected.tobytes()


def test_sums_and_whether_any(number):
  got = on_all(lambda each: each.sums([np.int64(2**53 + 1), np.float64(each.index)]), number)
  assert [list(map(float, pair)) for pair in got] == [
    [float(number * (2**53 + 1)), sum(range(number))]
  ] * number
  last = number - 1
  assert on_all(lambda each: each.any(each.index == last), number) == [True] * number
  assert on_all(lambda each: each.any(False), number) == [False] * number
  on_all(lambda each: each.meet(), number)


def test_one_that_is_alone():
  alone = Workers(tf.distribute.get_strategy())
  assert alone.is_chief and (alone.index, alone.num_workers, alone.num_local_devices) == (0, 1, 1)
  with alone.waiting():
    pass
  with pytest.raises(tf.errors.UnavailableError), alone.explaining():
    raise tf.errors.UnavailableError(None, None, 'Collective ops is aborted')


@pytest.mark.parametrize(
  'facts, message',
  [
    ([{'a': '1'}, {'a': '1'}, {'a': '2'}], '--a: worker 2 has 2, the chief 1;'),
    ([{'a': '1'}, {}, {'a': '1'}], '--a: worker 1 has None, the chief 1;'),
    ([{'a': '1'}, {'a': '1', 'b': '2'}, {'a': '1'}], '--b: worker 1 has 2, the chief None;'),
    ([{'a': '1', 'b': '2'}] * 3, None),
  ],
)
def test_differences_are_refused_by_all(facts, message):
  def refused(each):
    try:
      workers.refuse_differences(each, facts[each.index])
    except InputError as error:
      return str(error)
    return None

  said = on_all(refused, 3)
  assert len(set(said)) == 1  # All say the same, so none goes on alone.
  assert said[0] is None if message is None else said[0].startswith(message)


def test_other_options_are_refused_and_own_ones_are_not():
  def refused(each):
    mine = TrainingInputOptions(
      filenames=('train',), batch_size=4 + each.index // 2, num_input_threads=1 + each.index
    )
    try:
      workers.refuse_other_commands(each, ModelOptions(), mine)
    except InputError as error:
      return str(error)
    return None

  assert on_all(refused, 2) == [None, None]
  assert {line.split(';')[0] for line in on_all(refused, 3)} == {
    '--batch_size: worker 2 has 5, the chief 4'
  }


def test_what_tensorflow_says_of_a_worker_that_is_gone():
  cluster = Cluster(('127.0.0.1:1', '127.0.0.1:2'), 0, '--worker_hosts')
  strategy = tf.distribute.get_strategy()
  joined = Workers(strategy, cluster, Patience(cluster, seconds=60, own_process=False))
  text = (
    'Graph execution error:\n\nDetected at node CollectiveReduceV2 defined at (most recent call '
    'last):\n  File "x.py", line 2, in <module>\n\n'
    'Collective ops is aborted by: Socket closed\n\t [[{{node CollectiveReduceV2}}]]'
  )
  line = (
    'worker 1 (127.0.0.1:2) cannot be reached any more (TensorFlow: Collective ops is aborted by: '
    'Socket closed); this worker ends.'
  )
  with pytest.raises(InputError, match=f'^{re.escape(line)}'), joined.explaining():
    raise tf.errors.UnavailableError(None, None, text)
  with pytest.raises(tf.errors.InternalError, match='cuDNN'), joined.explaining():
    raise tf.errors.InternalError(None, None, 'cuDNN failed')
  with pytest.raises(InputError, match='of ours'), joined.explaining():
    raise InputError('of ours')


# === Patience ===


@contextlib.contextmanager
def impatient(monkeypatch, *, own_process=True, ends_what_waits=False):
  """(Patience of 0.1 s, lines it aborts with, exit statuses)."""
  lines, statuses = [], []
  monkeypatch.setattr(patience, '_SECONDS_TO_ABORT', 0.05)
  monkeypatch.setattr(patience.os, '_exit', statuses.append)
  cluster = Cluster(('127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3'), 1, '--worker_hosts')
  made = Patience(cluster, seconds=0.1, own_process=own_process)

  def abort(line):
    lines.append(line)
    if ends_what_waits:
      made.__exit__()

  monkeypatch.setattr(made, '_abort', abort)
  with made:
    yield made, lines, statuses


def wait_for(condition):
  until = time.monotonic() + 20
  while not condition() and time.monotonic() < until:
    time.sleep(0.01)
  assert condition()


def test_who_waits_too_long_is_ended(monkeypatch, capsys):
  with impatient(monkeypatch) as (made, lines, statuses):
    with made.limited():
      wait_for(lambda: statuses == [1])
  (line,) = lines
  assert line.startswith('--worker_timeout=0.1: no sign of the other workers')
  assert 'worker 0 (127.0.0.1:1), worker 2 (127.0.0.1:3) cannot be reached' in line
  assert line in capsys.readouterr().err


@pytest.mark.parametrize('settings', [dict(own_process=False), dict(ends_what_waits=True)])
def test_where_the_process_need_not_be_ended(monkeypatch, settings):
  with impatient(monkeypatch, **settings) as (made, lines, statuses):
    with made.limited():
      wait_for(lambda: lines)
      time.sleep(0.1)
  assert (len(lines), statuses) == (1, [])


def test_what_takes_long_without_the_others_is_not_ended(monkeypatch):
  with impatient(monkeypatch) as (made, lines, _):
    for _ in range(4):
      with made.limited():
        with made.limited():
          pass
        time.sleep(0.03)
    time.sleep(0.2)
    assert not lines
    with made.limited():
      with made.limited():  # That one ends does not give the other more time.
        time.sleep(0.06)
      wait_for(lambda: lines)


def test_workers_that_answer_are_not_named():
  with socket.socket() as listening:
    listening.bind(('127.0.0.1', 0))
    listening.listen()
    hosts = (f'127.0.0.1:{listening.getsockname()[1]}', '127.0.0.1:2', '127.0.0.1:3')
    made = lambda index: Patience(
      Cluster(hosts[: index + 1], index, '--worker_hosts'), seconds=60, own_process=False
    )
    assert made(2).line().startswith('worker 1 (127.0.0.1:2) cannot be reached')
    assert made(1).line().startswith('another worker cannot be reached')


# === Shares of the batches ===


def test_devices_of_a_batch():
  assert BatchShare().of_device(5) == 5
  assert BatchShare(worker=1, num_workers=2, num_devices=3).of_device(12) == 2
  with pytest.raises(
    InputError, match=r'^--batch_size=8: .* 6 \(2 workers with 3 each\); give 12, '
  ):
    BatchShare(worker=1, num_workers=2, num_devices=3).of_device(8)
  with pytest.raises(InputError, match='^--batch_size=3: .* number of devices, 2; give 4,'):
    BatchShare(num_devices=2).of_device(3)


def test_examples_of_a_worker():
  examples = tf.data.Dataset.range(12)
  taken = lambda *share: list(BatchShare(*share).taken(examples, 6).as_numpy_iterator())
  assert taken(0, 1, 2) == list(range(12))
  assert taken(0, 3, 1) == [0, 1, 6, 7] and taken(2, 3, 1) == [4, 5, 10, 11]
  assert taken(1, 2, 3) == [3, 4, 5, 9, 10, 11]


@pytest.fixture(name='records', scope='module')
def _records(tmp_path_factory):
  """A directory with 8 records in two files; the image of each is filled with its number."""
  directory = tmp_path_factory.mktemp('records')
  for name, numbers in (('a', range(5)), ('b', range(5, 8))):
    record_makers.write(directory / f'{name}.tfrecord', map(record_makers.record, numbers))
  return str(directory)


def drawn(records, share, *, count, start_step=0):
  """So many batches of a worker, each as a list with one dict of arrays for each of its devices."""
  options = TrainingInputOptions(
    filenames=(records,),
    batch_size=4,
    crop_size_height=17,
    crop_size_width=19,
    seed=1,
    color_jitter=0.5,
  )
  parts = input_pipeline.training_batches(
    options, num_classes=21, share=share, start_step=start_step
  )
  parts = list(parts.take(count * share.num_devices).as_numpy_iterator())
  each = share.num_devices
  return [parts[start : start + each] for start in range(0, len(parts), each)]


@pytest.mark.parametrize(
  'num_workers, num_devices, start_step', [pytest.param(2, 2, 0, marks=pytest.mark.slow), (4, 1, 3)]
)
def test_the_batches_of_all_workers_are_those_of_one(records, num_workers, num_devices, start_step):
  (whole,) = zip(*drawn(records, BatchShare(), count=4, start_step=start_step))
  shares = [
    drawn(records, BatchShare(index, num_workers, num_devices), count=4, start_step=start_step)
    for index in range(num_workers)
  ]
  for number, batch in enumerate(whole):
    parts = [part for share in shares for part in share[number]]
    assert len(parts) == num_workers * num_devices
    for key, values in batch.items():
      np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), values)
  if not start_step:  # An epoch of 8 records is two batches.
    names = [name for batch in whole for name in batch['names']]
    assert len(set(names[:8])) == len(set(names[8:])) == 8 and names[:8] != names[8:]


@pytest.mark.parametrize('num_workers, first', [(3, 0), (9, 7)])
def test_each_example_is_evaluated_by_one_worker(records, num_workers, first):
  found = []
  for index in range(first, num_workers):
    examples = input_pipeline.evaluation_examples(
      [records], num_classes=21, ignore_label=255, share=(index, num_workers)
    )
    names = [name.decode() for name in examples.map(lambda each: each['name']).as_numpy_iterator()]
    assert len(names) == int(examples.cardinality())
    found.append(names)
  assert sorted(name for names in found for name in names) == [
    f'name{index}' for index in range(first, 8)
  ]
  assert max(map(len, found)) - min(map(len, found)) <= 1


# === Batches on the devices ===


@pytest.mark.parametrize('largest_label, dtype', [(255, tf.uint8), (256, tf.uint16)])
def test_batches_on_one_device(largest_label, dtype):
  labels = tf.constant([[[0, largest_label]], [[1, 2]]])
  names = tf.constant(['a' * 300, 'ö'])
  given = {'images': tf.ones([2, 1, 2, 3]), 'labels': labels, 'names': names}
  strategy = tf.distribute.get_strategy()
  batches = device_batches.on_devices(
    tf.data.Dataset.from_tensors(given).repeat(), strategy, largest_label=largest_label
  )
  batch = next(iter(batches))
  assert batch['labels'].dtype == dtype
  np.testing.assert_array_equal(tf.cast(batch['labels'], tf.int32), labels)
  np.testing.assert_array_equal(batch['images'], given['images'])
  assert device_batches.names_of([batch, given], strategy) == [
    *(b'a' * 256, 'ö'.encode()),
    *(b'a' * 300, 'ö'.encode()),
  ]
  assert device_batches.num_images([batch, batch], strategy) == 4


# === Of a run ===


OPTIONS = AllOptions(
  model=ModelOptions(model_variant='mobilenet_v2', atrous_rates=(6, 12)),
  compute=ComputeOptions(),
  input=TrainingInputOptions(filenames=('train',), seed=3),
  training=TrainingOptions(boundaries=(5,), rates=(0.1,)),
  loss=LossOptions(),
  validation=ValidationOptions(eval_filenames=('val',)),
  run=RunOptions(output_path='there'),
)


def make_data(num_records=3, num_bytes=100, path='/a'):
  files = [RecordFile(path, num_records=num_records, num_bytes=num_bytes)]
  return TrainingData(files=files, eval_files=[], described=None, facts={}, notes=(), warnings=())


@pytest.mark.parametrize('newest', [None, ('there/model.ckpt-7', 7)])
def test_where_the_chief_starts(newest):
  settled = OPTIONS.replace(training=dataclasses.replace(OPTIONS.training, num_steps=9))
  start = RunStart(settled, notes=('n',), saved=None, newest=newest, loaded=None)

  def work(each):
    if each.is_chief:
      return workers_of_run.tell_start(each, start, make_data())
    return workers_of_run.told_start(each, OPTIONS, given=['seed'])

  _, (told, counts) = on_all(work, 2)
  assert told.options == settled and told.step == start.step and told.given == {'seed'}
  assert counts == {'filenames': [1, 3, 100], 'eval_filenames': [0, 0, 0]}


def test_the_chief_has_nothing_to_do_or_refuses():
  start = RunStart(OPTIONS, notes=(), saved=None, newest=('model.ckpt', 7), loaded=None)

  def work(each):
    if each.is_chief:
      return workers_of_run.tell_start(each, start, None)
    return workers_of_run.told_start(each, OPTIONS, given=())

  _, (told, counts) = on_all(work, 2)
  assert (told.step, counts) == (7, None)

  def refuse(each):
    if each.is_chief:
      with pytest.raises(InputError, match='^no way$'), workers_of_run.telling_errors(each):
        raise InputError('no way')
    else:
      with pytest.raises(InputError, match='^the chief, worker 0, ends: no way$'):
        workers_of_run.told_start(each, OPTIONS, given=())

  on_all(refuse, 2)


def test_workers_see_the_same_records():
  worker = Workers(tf.distribute.get_strategy())
  counts = {'filenames': (1, 3, 100), 'eval_filenames': (0, 0, 0)}
  workers_of_run.check_data(worker, make_data(path='/elsewhere'), counts)
  with pytest.raises(InputError, match='^--filenames: worker 0 sees 4 records of 100 bytes in 1'):
    workers_of_run.check_data(worker, make_data(num_records=4), counts)


def test_all_start_from_the_chiefs_variables():
  class Trainer:
    def __init__(self, seed):
      self.variables = tiny_model.TinyModel(seed=seed).named_variables
      self.global_step = 0

  trainers = [Trainer(0), Trainer(1)]
  trainers[0].global_step = 7
  start = RunStart(OPTIONS, notes=(), saved=None, newest=('model.ckpt', 7), loaded=None)
  on_all(lambda each: workers_of_run.share_variables(each, trainers[each.index], start), 2)
  assert trainers[1].global_step == 7
  first, second = (tiny_model.snapshot(trainer.variables) for trainer in trainers)
  for name, value in first.items():
    np.testing.assert_array_equal(second[name], value)


def test_all_know_the_validations_so_far():
  class Directory:
    def best_score(self):
      return {'mean_iou': 0.5, 'step': 6}

  lines = [{'step': 3, 'mean_iou': 0.4}, {'step': 6, 'mean_iou': 0.5}]
  directories, validations = [Directory(), FollowerDirectory('there')], [lines, []]
  on_all(
    lambda each: workers_of_run.tell_validations(
      each, directories[each.index], validations[each.index]
    ),
    2,
  )
  assert validations[1] == [{'step': 3}, {'step': 6}] and len(validations[0]) == 2
  assert directories[1].best_score() == {'mean_iou': 0.5, 'step': 6}


def test_a_chief_that_is_gone_before_it_has_saved_is_an_error():
  class Lonely(ThreadWorkers):
    def _sum(self, array):
      raise InputError('gone')

  workers_of_run.await_saved(Lonely(None, 0, 2))
  with pytest.raises(InputError, match='gone'):
    workers_of_run.await_saved(Lonely(None, 1, 2))
