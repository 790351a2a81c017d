"""Data that changes while a run goes on, or between two parts of it."""

import json
import os

import pytest
import record_makers

from deeplab.data import record_files
from deeplab.errors import InputError
from deeplab.training import data_files
from deeplab.training.data_files import DataWatch
from deeplab.training.run_directory import RunDirectory


def write(path, count):
  return record_makers.write(path, [record_makers.record(number) for number in range(count)])


def facts(*patterns):
  return data_files.facts(record_files.index_files(record_files.expand_filenames(patterns)))


def test_facts_are_records_and_bytes(tmp_path):
  path = write(tmp_path / 'a.tfrecord', 3)
  assert facts(str(tmp_path)) == {path: {'records': 3, 'bytes': os.path.getsize(path)}}
  (file,) = record_files.index_files([path])
  os.remove(path)
  with pytest.raises(InputError, match='a.tfrecord: has vanished'):
    data_files.facts([file])


def test_changes_name_files_and_numbers():
  was = {'a': {'records': 3, 'bytes': 30}, 'b': {'records': 1, 'bytes': 10}}
  assert data_files.changes(was, was) == ''
  assert (
    data_files.changes(was, {'a': {'records': 4, 'bytes': 40}, 'c\n': {'records': 1, 'bytes': 9}})
    == r'b is gone, c\n is new, a has 4 records, had 3'
  )
  assert (
    data_files.changes(was, {'a': {'records': 3, 'bytes': 31}, 'b': {'bytes': 10}})
    == 'a has 31 bytes, had 30'
  )
  many = {name: {'bytes': 1} for name in 'vwxyz'}
  assert data_files.changes(many, {}) == 'v is gone, w is gone, x is gone, and 2 more files'


def test_a_run_directory_keeps_them(tmp_path):
  run = RunDirectory(str(tmp_path))
  assert run.saved_data_files() is None
  strange = 'b\udcff.tfrecord'  # A name that is no UTF-8.
  known = {'filenames': {strange: {'records': 3, 'bytes': 30}}, 'eval_filenames': {}}
  run.write_data_files(known)
  assert run.saved_data_files() == known
  for content in ('{"filenames": {"a": {"records": 3}}}', '[1]', '{'):
    (tmp_path / 'data_files.json').write_text(content)
    with pytest.raises(InputError, match='data_files.json: not a list of the data files'):
      run.saved_data_files()
  run.remove_run()
  assert os.listdir(tmp_path) == []


def check(saved, now, **options):
  return data_files.check_resumed(
    saved, now, path='run', **{'allow_changed_data': False, **options}
  )


def test_resuming_with_other_data():
  small, large = {'records': 3, 'bytes': 30}, {'records': 4, 'bytes': 40}
  saved = {'filenames': {'a': small}, 'eval_filenames': {'v': small}}
  assert check(None, saved) == check(saved, saved) == []  # None: a run of an older version.

  grown = {'filenames': {'a': large}, 'eval_filenames': {'v': small}}
  with pytest.raises(
    InputError,
    match='--resume: the training data is not that of the run in run: a has 4 records, had 3; '
    'restore it, or give --allow_changed_data',
  ):
    check(saved, grown)
  (line,) = check(saved, grown, allow_changed_data=True)
  assert line.startswith('the training data is not what the run began with: a has 4 records, had 3')

  (line,) = check(saved, {'filenames': {'a': small}, 'eval_filenames': {'w': small}})
  assert line.startswith('the validation data is not that of the run so far: v is gone, w is new;')
  # A validation that begins or ends compares nothing.
  assert check(saved, {'filenames': {'a': small}, 'eval_filenames': {}}) == []


def test_each_epoch_is_looked_at_once(tmp_path):
  """3 records in batches of 2: an epoch ends in the batches 2, 3, 5, 6, ..., counted from 1."""
  path = write(tmp_path / 'a.tfrecord', 3)
  patterns = {'filenames': (str(tmp_path),)}
  known = {'filenames': facts(str(tmp_path)), 'eval_filenames': {}}
  watch = DataWatch(patterns, known, batch_size=2, first_batch=0)
  assert [watch.batch_drawn() for _ in range(3)] == [[], [], []]
  size = os.path.getsize(path)
  with open(path, 'ab') as file:
    file.write(b'more')
  assert watch.batch_drawn() == []  # The fourth: in the middle of an epoch.
  (line,) = watch.batch_drawn()
  assert line.startswith(
    f'training data changed since the run began: {path} has {size + 4} bytes, had {size};'
  )
  assert [watch.batch_drawn() for _ in range(4)] == [[], [], [], []]  # Said once.
  os.remove(path)
  assert watch.batch_drawn() == []
  (line,) = watch.batch_drawn()
  assert f'{path} is gone' in line


def test_new_files_and_validation_data_are_noticed(tmp_path):
  for name in ('train', 'val'):
    (tmp_path / name).mkdir()
    write(tmp_path / name / 'a.tfrecord', 2)
  patterns = {
    flag: (str(tmp_path / name),)
    for flag, name in (('filenames', 'train'), ('eval_filenames', 'val'))
  }
  known = {flag: facts(*values) for flag, values in patterns.items()}
  watch = DataWatch(patterns, known, batch_size=2, first_batch=7)
  assert watch.batch_drawn() == []
  for name in ('train', 'val'):
    write(tmp_path / name / 'b.tfrecord', 2)
  first, second = watch.batch_drawn()
  assert first.startswith('training data changed') and 'train/b.tfrecord is new' in first
  assert second.startswith('validation data changed') and 'val/b.tfrecord is new' in second


def test_times_do_not_matter(tmp_path):
  path = write(tmp_path / 'a.tfrecord', 2)
  before = json.dumps(facts(path))
  os.utime(path, (1, 1))
  assert json.dumps(facts(path)) == before
