"""An exported model from its file to a way to run it."""

from typing import NamedTuple

from deeplab import quiet_start
from deeplab.engines import checksums, in_graph, model_files
from deeplab.engines.interface import unreadable
from deeplab.engines.model_files import ModelFile
from deeplab.errors import InputError, shown
from deeplab.export import description
from deeplab.export.description import Description

# Smallest size with more than one feature, at any output stride.
_TRIAL_SIZE = (33, 33)


class OpenedModel(NamedTuple):
  """An exported model, ready to run.

  Attributes:
    runner: with `engine`, `batch_size`, `failure` and `run`, of tensors: a SavedModelRunner or an
      InGraph.
    description: of the model.
  """

  runner: object
  description: Description


def open_model(file: ModelFile, *, engine: str, compute_dtype: str) -> OpenedModel:
  """Loads an exported model and tries it on a black image.

  Args:
    file: which.
    engine: --engine: auto, or tensorflow or openvino for a SavedModel.
    compute_dtype: for OpenVINO.

  Raises:
    InputError: the file is damaged, of another program, or its engine is not installed.
  """
  checksums.refuse_changed(file.path)
  if file.kind == model_files.SAVED_MODEL and engine != 'openvino':
    from deeplab.engines.saved_model_runner import SavedModelRunner

    described = description.from_json(_described(file.path), path=file.path)
    runner = SavedModelRunner(file.path)
    _check(runner, file, described)
    return OpenedModel(runner, described)
  with quiet_start.hidden_stderr():  # Engines say there what they compute with.
    runner, text = _runner(file, compute_dtype)
    described = description.from_json(text, path=file.path)
    _check(runner, file, described)
    _try_out(runner, file, described)
  return OpenedModel(in_graph.InGraph(runner, num_classes=described.num_classes), described)


def _runner(file, compute_dtype):
  """(Runner, text of the description)."""
  if file.kind == model_files.TFLITE:
    from deeplab.engines.litert_runner import LiteRtRunner

    runner = LiteRtRunner(file.path)
  elif file.kind == model_files.ONNX:
    from deeplab.engines.onnx_runner import OnnxRunner

    runner = OnnxRunner(file.path)
  else:
    from deeplab.engines.openvino_runner import OpenVinoRunner

    return OpenVinoRunner(file.path, compute_dtype=compute_dtype), _described(file.path)
  return runner, runner.description


def _described(directory):
  """The text of the description in a SavedModel's directory."""
  path = model_files.description_of_saved_model(directory)
  with open(path, 'rb') as file:
    return file.read()


def _check(runner, file, described):
  """Raises InputError where a model is not as its description says."""
  if runner.num_classes not in (None, described.num_classes):
    raise InputError(
      f'{shown(file.path)}: computes {runner.num_classes} classes, and its description says '
      f'{described.num_classes}; export the checkpoint again'
    )
  if runner.batch_size not in (None, 1):
    raise InputError(
      f'{shown(file.path)}: takes {runner.batch_size} images at once and no other number; export '
      'the checkpoint with export_model.py'
    )


def _try_out(runner, file, described):
  try:
    problem = in_graph.try_out(
      runner, size=described.size or _TRIAL_SIZE, num_classes=described.num_classes
    )
  except Exception as error:  # Each engine has its own.
    raise unreadable(file.path, file.kind, error) from error
  if problem:
    raise unreadable(file.path, file.kind, ValueError(problem))
