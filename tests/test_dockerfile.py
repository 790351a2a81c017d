"""The container for predictions, examples/serving/Dockerfile, without a container engine: what its
instructions say, and, by hand, its steps in a fresh environment.
"""

import ast
import json
import os
import pathlib
import shlex
import subprocess
import sys

import numpy as np
import pytest
import trained_work
from PIL import Image

_CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
_DOCKERFILE = _CHECKOUT / 'examples' / 'serving' / 'Dockerfile'


@pytest.fixture(scope='module')
def steps():
  """(instruction, value) pairs; lines that go on are joined."""
  dockerfile_parse = pytest.importorskip('dockerfile_parse')
  parser = dockerfile_parse.DockerfileParser(fileobj=_DOCKERFILE.open('rb+'))
  found = [(step['instruction'], step['value']) for step in parser.structure]
  assert parser.baseimage.startswith('python:3')
  return [step for step in found if step[0] != 'COMMENT']


def _asked_for():
  """The requirements in setup.py."""
  tree = ast.parse((_CHECKOUT / 'setup.py').read_text())
  (call,) = [
    node
    for node in ast.walk(tree)
    if isinstance(node, ast.keyword) and node.arg == 'install_requires'
  ]
  return ast.literal_eval(call.value)


def test_it_installs_what_the_toolkit_needs(steps):
  first, second = [value for instruction, value in steps if instruction == 'RUN']
  words = shlex.split(first)
  assert words[:3] == ['pip', 'install', '--no-cache-dir']
  assert [word.replace('tensorflow-cpu', 'tensorflow') for word in words[3:]] == _asked_for()
  assert second == 'pip install --no-cache-dir --no-deps .'


def test_it_copies_what_there_is_and_starts_a_command(steps):
  for sources, _ in _copies(steps):
    assert all((_CHECKOUT / source).exists() for source in sources), sources
  copied = sum((sources for sources, _ in _copies(steps)), [])
  assert {'setup.py', 'pyproject.toml', 'README.md', 'deeplab', 'scripts'} <= set(copied)
  # setup.py takes all commands.
  assert {path.name for path in _CHECKOUT.glob('*.py')} <= set(copied)
  said = dict(steps)
  assert json.loads(said['ENTRYPOINT']) == ['run_inferencer.py']
  assert said['USER'] != 'root'


def _copies(steps):
  """(sources, destination) of each COPY."""
  for instruction, value in steps:
    if instruction == 'COPY':
      *sources, destination = value.split()
      yield sources, destination


@pytest.mark.slow
def test_its_steps_in_a_fresh_environment_predict_what_the_checkout_predicts(steps, tmp_path):
  environment, place = tmp_path / 'environment', tmp_path / 'place'
  subprocess.run([sys.executable, '-m', 'venv', environment], check=True)
  place.mkdir()
  variables = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
  variables['PATH'] = f'{environment / "bin"}:{os.environ["PATH"]}'
  for instruction, value in steps:
    if instruction == 'RUN':
      subprocess.run(['sh', '-ec', value], cwd=place, env=variables, check=True)
    elif instruction == 'COPY':
      *sources, destination = value.split()
      subprocess.run(
        ['cp', '-r', *(_CHECKOUT / source for source in sources), place / destination], check=True
      )
  (tmp_path / 'work').mkdir()
  work = trained_work.make(tmp_path / 'work')
  command = json.loads(dict(steps)['ENTRYPOINT'])
  arguments = [f'--ckpt_path={work / "model"}', f'--input={work / "photos"}', '--output_type=ids']
  for name, executed, path in (
    ('inside', [environment / 'bin' / command[0]], None),
    ('outside', [sys.executable, _CHECKOUT / command[0]], str(_CHECKOUT)),
  ):
    subprocess.run(
      [*executed, *arguments, f'--output_path={tmp_path / name}'],
      cwd=tmp_path,
      env={**variables, 'PYTHONPATH': path} if path else variables,
      check=True,
    )
  for picture in ('a.png_ids.png', 'b.png_ids.png'):
    inside, outside = (
      np.asarray(Image.open(tmp_path / each / picture)) for each in ('inside', 'outside')
    )
    assert inside.shape == outside.shape
    assert np.mean(inside != outside) <= 1e-3
