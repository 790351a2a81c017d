"""Damaged checkpoints: restored whole or refused, and left behind where a run goes on."""

import os
import shutil

import numpy as np
import tensorflow as tf

from deeplab import checkpoint_files, checkpoints, restoring
from deeplab.errors import InputError
from deeplab.training.run_directory import RunDirectory

from . import damages
from .cases import Case, Silent, Target

_SHAPES = {
  'MobilenetV2/Conv/weights': [3, 3, 3, 8],
  'MobilenetV2/Conv/BatchNorm/gamma': [8],
  'aspp0/weights': [1, 1, 8, 16],
  'logits/semantic/weights': [1, 1, 16, 3],
  'logits/semantic/biases': [3],
}
_STEPS = (10, 20, 30)
_DATA, _INDEX = '.data-00000-of-00001', '.index'


def _values(step):
  random = np.random.default_rng(step)
  return {name: random.standard_normal(shape).astype(np.float32) for name, shape in _SHAPES.items()}


def prepare(directory: str) -> None:
  """Writes the checkpoints of a run."""
  for step in _STEPS:
    prefix = os.path.join(directory, f'{checkpoints.FINAL_NAME}-{step}')
    checkpoints.write(prefix, {**_values(step), checkpoints.GLOBAL_STEP: np.int64(step)})
  checkpoints.update_state(directory, [f'{checkpoints.FINAL_NAME}-{step}' for step in _STEPS])


def run(case: Case) -> None:
  """Damages the newest checkpoint of a run, or what is beside it."""
  directory = case.path('run')
  shutil.copytree(case.seeds, directory)
  newest = os.path.join(directory, f'{checkpoints.FINAL_NAME}-{_STEPS[-1]}')
  _damage(case, directory, newest)
  way = case.choose(['prefix', 'directory', 'state', 'resume', 'resume'])
  case.note(f'read by {way}')
  if way == 'resume':
    _resume(directory)
    return
  path = {'prefix': newest, 'directory': directory, 'state': os.path.join(directory, 'checkpoint')}
  _restore(checkpoint_files.find_given(path[way]))


def _damage(case, directory, newest):
  kind = int(case.random.integers(9))
  case.note(f'checkpoint damage {kind}')
  suffix = case.choose([_DATA, _INDEX])
  path = newest + suffix
  if kind < 4:
    _rewrite(case, path)
  elif kind == 4:
    os.remove(path)
    if case.chance(0.5):
      os.mkdir(path)
  elif kind == 5:  # Of another step: whole, but not its own.
    shutil.copyfile(f'{newest[:-2]}{_STEPS[0]}{suffix}', path)
  elif kind == 6:
    state = os.path.join(directory, checkpoints.STATE_NAME)
    with open(state, encoding='utf-8') as file:
      text = file.read()
    with open(state, 'wb') as file:
      file.write(damages.text_of(case, text))
  elif kind == 7:
    os.rename(
      newest + _DATA, newest + case.choose(['.data-00000-of-99999', '.data-00001-of-00002'])
    )
  else:
    for step in _STEPS:
      _rewrite(case, os.path.join(directory, f'{checkpoints.FINAL_NAME}-{step}{suffix}'))


def _rewrite(case, path):
  with open(path, 'rb') as file:
    data = file.read()
  with open(path, 'wb') as file:
    file.write(damages.bytes_of(case, data))


def _restore(prefix):
  variables = {name: tf.Variable(tf.zeros(shape)) for name, shape in _SHAPES.items()}
  step = checkpoints.Reader(prefix).global_step
  restoring.restore(variables, prefix, require_all=True)
  if step not in _STEPS:
    raise Silent(f'{prefix}: step {step} was never written')
  truth = _values(step)
  for name, variable in variables.items():
    if not np.array_equal(variable.numpy(), truth[name]):
      raise Silent(f'{prefix}: {name} has other values than were written, and no error')
  if checkpoints.step_of(prefix) not in (None, step):
    raise Silent(f'{prefix}: is of step {step}')


def _resume(directory):
  found, _ = RunDirectory(directory).newest_checkpoint()
  if found is None:
    raise Silent('a run with checkpoints begins anew')
  prefix, step = found
  try:
    _restore(checkpoint_files.find(prefix))
  except InputError as error:
    raise Silent(
      f'--resume takes step {step}, which is damaged, not a whole one: {error}'
    ) from error


TARGETS = (Target('checkpoints', run, weight=12, prepare=prepare),)
