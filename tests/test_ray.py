"""examples/ray_predict.py on a Ray of two CPUs, in a process of its own, which takes seconds."""

import csv
import os
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import trained_work

import deeplab

_CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
_COMMAND = _CHECKOUT / 'examples' / 'ray_predict.py'

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module', name='work')
def _work(tmp_path_factory):
  pytest.importorskip('ray')
  return trained_work.make(tmp_path_factory.mktemp('work'))


def _run(work, file, *arguments):
  package = os.path.dirname(os.path.dirname(deeplab.__file__))
  return subprocess.run(
    [sys.executable, file, *arguments],
    cwd=work,
    env={**os.environ, 'PYTHONPATH': package},
    capture_output=True,
    text=True,
    timeout=600,
  )


def test_the_bytes_are_those_of_the_inferencer_and_bad_pictures_are_named(work):
  rng = np.random.default_rng(0)
  for index, name in enumerate(['c.jpg', 'd e.jpg', 'f#%20ü.jpg', 'g.png']):
    pixels = rng.integers(0, 256, [5, 6 + index, 3], np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    PIL.Image.fromarray(pixels).save(work / 'photos' / name)
  (work / 'photos' / 'bad.png').write_text('text')
  (work / 'list.txt').write_text(
    ''.join(f'photos/{name}\n' for name in sorted(os.listdir(work / 'photos')) if name != 'deep')
    + 'photos/absent.jpg\n'
  )
  flags = ['--input_file_list=list.txt', '--ckpt_path=model', '--output_type=ids']
  done = _run(
    work,
    _COMMAND,
    *flags,
    '--output_path=by_ray',
    '--num_cpus=2',
    '--num_actors=2',
    '--batch_size=2',
  )
  assert done.returncode == 1, done.stderr
  assert done.stdout == (
    'Counts written to by_ray/counts.csv\n6 pictures predicted, 2 could not be\n'
  )
  assert 'photos/bad.png: is not an image' in done.stderr
  assert 'photos/absent.jpg: cannot be read: No such file' in done.stderr
  alone = _run(work, _CHECKOUT / 'run_inferencer.py', *flags, '--output_path=alone')
  assert alone.returncode == 1 and alone.stdout.count('Prediction written') == 6
  with open(work / 'by_ray' / 'counts.csv', encoding='utf-8', newline='') as file:
    header, *rows = csv.reader(file)
  assert header == ['picture', *trained_work.CLASS_NAMES] and len(rows) == 6
  (work / 'by_ray' / 'counts.csv').unlink()
  names = sorted(os.listdir(work / 'alone'))
  assert sorted(os.listdir(work / 'by_ray')) == names and len(names) == 6
  for name, (path, *counts) in zip(names, rows):
    assert (work / 'by_ray' / name).read_bytes() == (work / 'alone' / name).read_bytes()
    assert path == str(work / 'photos' / name.removesuffix('_ids.png'))
    ids = np.asarray(PIL.Image.open(work / 'alone' / name))
    assert list(map(int, counts)) == np.bincount(ids.ravel(), minlength=4).tolist()


@pytest.mark.parametrize(
  'arguments,words',
  [
    (['--input=nope', '--ckpt_path=model'], '--input=nope: no such file or directory'),
    (['--input=photos', '--ckpt_path=nope'], '--ckpt_path=nope: not found'),
    (['--input=photos', '--ckpt_path=model', '--max_size=0'], '--max_size=0: must be at least 1'),
    (['--input=photos', '--ckpt_path=model', '--batch_size=0'], '0 must be at least 1'),
  ],
)
def test_mistakes_are_told_before_ray_starts(work, arguments, words):
  done = _run(work, _COMMAND, *arguments, '--output_path=never')
  assert done.returncode and words in done.stderr.splitlines()[-1]
  assert not (work / 'never').exists()
