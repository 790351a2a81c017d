"""Looks whether the paths that a command is given are there, and whether a new run would be in the
way of an old one, before TensorFlow is imported: a wrong path is told at once.
"""

import os

from deeplab import checkpoint_files, named_checkpoints, private_places
from deeplab.data import record_files
from deeplab.engines import model_files
from deeplab.errors import InputError
from deeplab.export import exported_files
from deeplab.options import (
  EvaluationOptions,
  ExportOptions,
  ExportSourceOptions,
  ImportOptions,
  InferenceOptions,
  InspectionOptions,
  ModelExportOptions,
  RunOptions,
  TrainingInputOptions,
  ValidationOptions,
)
from deeplab.prediction import image_files


def check(*options: object) -> None:
  """Raises InputError where what one of the options objects names is not there, or taken."""
  for each in options:
    look = _LOOKS.get(type(each))
    if look is not None:
      look(each)


def _records(options):
  record_files.expand_filenames(options.filenames)


def _validation(options):
  if options.eval_filenames:
    try:
      record_files.expand_filenames(options.eval_filenames)
    except InputError as error:
      raise InputError(str(error).replace('--filenames', '--eval_filenames', 1)) from error


def _run(options):
  private_places.check(os.path.expanduser(options.output_path), flag='output_path')
  if not (options.resume or options.overwrite):
    checkpoint_files.refuse_run(os.path.expanduser(options.output_path))
  # A run that goes on does not need the checkpoint it began with.
  if options.load_ckpt_path and not options.resume:
    named_checkpoints.check(options.load_ckpt_path, flag='load_ckpt_path')


def _evaluation(options):
  _records(options)
  if options.all_checkpoints or options.watch:
    flag = 'all_checkpoints' if options.all_checkpoints else 'watch'
    model_files.refuse(options.ckpt_path, flag=flag, why='and there is one of it')
  else:
    _network(options)


def _checkpoint(options):
  named_checkpoints.check(options.ckpt_path, best=getattr(options, 'best', False))


def _network(options):
  """A checkpoint or an exported model."""
  if options.best:
    model_files.refuse(options.ckpt_path, flag='best', why='and there is one of it')
  elif model_files.find(options.ckpt_path) is not None:
    return
  _checkpoint(options)


def _inference(options):
  private_places.check(options.output_path, flag='output_path')
  _network(options)
  if options.input_file_list:
    image_files.listed_images(options.input_file_list, problems=[])
  else:
    image_files.find_images(options.input, recursive=options.recursive, problems=[])


def _model_export(options):
  exported_files.refuse_existing(
    options.output_path, exported_files.planned(options), overwrite=options.overwrite
  )
  exported_files.refuse_without_extras(options.format)


def _official(options):
  if named_checkpoints.is_name(options.ckpt_path):
    raise InputError(
      f'--ckpt_path={options.ckpt_path}: is imported where it is used; give the name to '
      'run_inferencer.py, run_evaluator.py or run_trainer.py'
    )
  if not os.path.exists(os.path.expanduser(options.ckpt_path)):
    _checkpoint(options)


_LOOKS = {
  TrainingInputOptions: _records,
  ValidationOptions: _validation,
  RunOptions: _run,
  EvaluationOptions: _evaluation,
  InferenceOptions: _inference,
  InspectionOptions: _records,
  ExportOptions: _checkpoint,
  ExportSourceOptions: _checkpoint,
  ModelExportOptions: _model_export,
  ImportOptions: _official,
}
