"""Exported SavedModels, run by OpenVINO."""

import threading

import numpy as np

from deeplab.engines.interface import (
  Tensor,
  check_interface,
  missing_package,
  num_classes,
  num_cores,
  unreadable,
)
from deeplab.engines.model_files import SAVED_MODEL
from deeplab.export.description import (
  INPUT,
  LABELS,
  PROBABILITIES,
)

_PRECISIONS = {'float32': 'f32', 'bfloat16': 'bf16'}
# Sizes whose prepared work is kept; its own default keeps thousands, some megabytes each.
_SIZES_KEPT = 200


class OpenVinoRunner:
  """A Runner. Each output is a model of its own, compiled when it is first asked for."""

  engine = 'OpenVINO'
  batch_size = None

  def __init__(self, path: str, *, compute_dtype: str = 'float32', num_threads: int | None = None):
    """Converts the SavedModel in `path`.

    Args:
      compute_dtype: float32 or bfloat16; left to itself OpenVINO takes bfloat16 where the processor
        has it.
      num_threads: None for one on each core.

    Raises:
      InputError: OpenVINO is not installed, or this is no exported model.
    """
    try:
      import openvino
    except ImportError as error:
      raise missing_package(
        path, engine='OpenVINO', extra='openvino', package='openvino'
      ) from error
    try:
      self._model = openvino.convert_model(path)
      inputs, outputs = (_tensors(ports) for ports in (self._model.inputs, self._model.outputs))
    except Exception as error:  # They have no class in common.
      raise unreadable(path, SAVED_MODEL, error) from error
    check_interface(path, inputs, outputs, described=True)
    self.num_classes = num_classes(outputs)
    self._core = openvino.Core()
    self._settings = {
      'INFERENCE_PRECISION_HINT': _PRECISIONS[compute_dtype],
      'INFERENCE_NUM_THREADS': num_threads or num_cores(),
      'PERFORMANCE_HINT': 'LATENCY',
      'CPU_RUNTIME_CACHE_CAPACITY': _SIZES_KEPT,
    }
    self._requests = {}
    self._one_at_a_time = threading.Lock()

  def run(self, output: str, images: np.ndarray) -> np.ndarray:
    with self._one_at_a_time:
      if output not in self._requests:
        self._requests[output] = self._compiled(output).create_infer_request()
      # The result is a copy: the next run writes over the engine's own memory.
      return self._requests[output].infer({INPUT: images}, share_inputs=True)[0]

  def _compiled(self, output):
    model = self._model.clone()
    for result in list(model.get_results()):
      if output not in result.output(0).names:
        model.remove_result(result)
    return self._core.compile_model(model, 'CPU', self._settings)


def _tensors(ports):
  """As Tensors, under the official name where a port has several."""
  return [
    Tensor(
      next((name for name in sorted(port.names) if name in (INPUT, LABELS, PROBABILITIES)), '')
      or port.get_any_name(),
      _dtype(port.element_type),
      [size.get_length() if size.is_static else None for size in port.partial_shape],
    )
    for port in ports
  ]


def _dtype(element_type):
  return np.dtype(element_type.to_dtype()).name
