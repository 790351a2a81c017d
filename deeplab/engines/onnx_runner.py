"""ONNX files, run by onnxruntime."""

import contextlib
import io

import numpy as np

from deeplab.engines.interface import (
  INPUT,
  Tensor,
  check_interface,
  missing_package,
  num_classes,
  num_cores,
  unreadable,
)
from deeplab.engines.model_files import ONNX
from deeplab.export.description import NAME

_FATAL_ONLY = 4


class OnnxRunner:
  """A Runner."""

  engine = 'onnxruntime'

  def __init__(self, path: str, *, num_threads: int | None = None):
    """Loads the file.

    Args:
      num_threads: None for one on each core.

    Raises:
      InputError: onnxruntime is not installed, or this is no exported model.
    """
    try:
      import onnxruntime
    except ImportError as error:
      raise missing_package(
        path, engine='onnxruntime', extra='onnx', package='onnxruntime'
      ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or num_cores()
    options.log_severity_level = _FATAL_ONLY
    try:
      with contextlib.redirect_stdout(io.StringIO()):  # It prints that it tries again.
        session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
      self.description = session.get_modelmeta().custom_metadata_map.get(NAME)
      inputs, outputs = (_tensors(nodes) for nodes in (session.get_inputs(), session.get_outputs()))
    except Exception as error:  # They have no class in common.
      raise unreadable(path, ONNX, error) from error
    check_interface(path, inputs, outputs, described=self.description is not None)
    batch_size = inputs[0].shape[0]
    self.batch_size = batch_size if isinstance(batch_size, int) else None
    self.num_classes = num_classes(outputs)
    self._session = session
    self._how = onnxruntime.RunOptions()
    # Who wants the classes does not wait for the probabilities.
    self._how.only_execute_path_to_fetches = True

  def run(self, output: str, images: np.ndarray) -> np.ndarray:
    return self._session.run([output], {INPUT: images}, self._how)[0]


def _tensors(nodes):
  return [
    Tensor(node.name, node.type.removeprefix('tensor(').removesuffix(')'), node.shape)
    for node in nodes
  ]
