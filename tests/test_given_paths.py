"""Wrong paths are told before TensorFlow is imported."""

import os
import subprocess
import sys

import pytest

from deeplab import given_paths
from deeplab.errors import InputError
from deeplab.options import (
  EvaluationOptions,
  ExportOptions,
  ImportOptions,
  InferenceOptions,
  InspectionOptions,
  RunOptions,
  TrainingInputOptions,
  ValidationOptions,
)

NOPE = '/nonexistent/thing'


@pytest.fixture(name='checkpoint')
def _checkpoint(tmp_path):
  for suffix in ('.index', '.data-00000-of-00001'):
    (tmp_path / f'model.ckpt{suffix}').touch()
  return str(tmp_path / 'model.ckpt')


@pytest.mark.parametrize(
  'options, message',
  [
    (TrainingInputOptions(filenames=(NOPE,)), '--filenames='),
    (ValidationOptions(eval_filenames=(NOPE,)), '--eval_filenames='),
    (RunOptions(load_ckpt_path=NOPE, output_path='new'), '--load_ckpt_path='),
    (EvaluationOptions(filenames=(NOPE,), ckpt_path='x'), '--filenames='),
    (InspectionOptions(filenames=(NOPE,)), '--filenames='),
    (ExportOptions(ckpt_path=NOPE, output_path='x'), '--ckpt_path='),
    (ImportOptions(ckpt_path=NOPE, output_path='x'), '--ckpt_path='),
    (InferenceOptions(ckpt_path=NOPE, input=('x',)), '--ckpt_path='),
  ],
)
def test_what_is_not_there_is_named_with_its_flag(options, message):
  with pytest.raises(InputError, match=f'^{message}{NOPE}: no such file or directory'):
    given_paths.check(options)


def test_inputs_are_looked_at_too(checkpoint):
  with pytest.raises(InputError, match=f'^--input={NOPE}: no such file'):
    given_paths.check(InferenceOptions(ckpt_path=checkpoint, input=(NOPE,)))
  with pytest.raises(InputError, match=f'^--input_file_list={NOPE}'):
    given_paths.check(InferenceOptions(ckpt_path=checkpoint, input_file_list=NOPE))
  given_paths.check(InferenceOptions(ckpt_path=checkpoint, input=('0',)))  # A camera.


def test_a_directory_that_holds_a_run_is_not_for_another(checkpoint, tmp_path):
  directory = str(tmp_path)
  with pytest.raises(InputError, match=f'^--output_path={directory}: holds a run already .model.c'):
    given_paths.check(RunOptions(output_path=directory))
  given_paths.check(RunOptions(output_path=directory, resume=True))
  given_paths.check(RunOptions(output_path=directory, overwrite=True))
  given_paths.check(RunOptions(output_path=os.path.join(directory, 'new')))


def test_a_run_that_goes_on_needs_no_checkpoint_to_start_from():
  given_paths.check(RunOptions(load_ckpt_path=NOPE, resume=True))
  given_paths.check(ValidationOptions())


def test_the_look_does_not_import_tensorflow():
  program = 'import sys; from deeplab import given_paths; print("tensorflow" in sys.modules)'
  result = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  assert result.stdout == 'False\n'
