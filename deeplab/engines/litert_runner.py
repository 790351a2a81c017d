"""TensorFlow Lite files, run by LiteRT."""

import mmap
import threading

import numpy as np

from deeplab.engines import tflite_metadata
from deeplab.engines.interface import (
  Tensor,
  check_interface,
  missing_package,
  num_classes,
  num_cores,
  unreadable,
)
from deeplab.engines.model_files import TFLITE
from deeplab.export.description import (
  INPUT,
  LABELS,
  LABELS_SIGNATURE,
  NAME,
  PROBABILITIES,
  SIGNATURE,
)


class LiteRtRunner:
  """A Runner. One interpreter serves all sizes: a new one costs milliseconds, and no weights are
  packed anew.
  """

  engine = 'LiteRT'

  def __init__(self, path: str, *, num_threads: int | None = None):
    """Loads the file.

    Args:
      num_threads: None for one on each core.

    Raises:
      InputError: LiteRT is not installed, or this is no exported model.
    """
    try:
      from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
      raise missing_package(
        path, engine='LiteRT', extra='tflite', package='ai-edge-litert'
      ) from error
    self.description = _metadata(path)
    try:
      interpreter = Interpreter(path, num_threads=num_threads or num_cores())
      signatures = {
        key: interpreter.get_signature_runner(key) for key in interpreter.get_signature_list()
      }
      inputs, outputs = _tensors(interpreter, signatures.get(SIGNATURE))
    except (ValueError, RuntimeError, TypeError, UnicodeDecodeError) as error:
      raise unreadable(path, TFLITE, error) from error
    check_interface(path, inputs, outputs, described=self.description is not None)
    self._signatures = {
      PROBABILITIES: signatures[SIGNATURE],
      # A file with one signature computes the probabilities anyway.
      LABELS: signatures.get(LABELS_SIGNATURE, signatures[SIGNATURE]),
    }
    sizes = inputs[0].shape
    self.batch_size = int(sizes[0]) if sizes[0] > 0 else None
    self.num_classes = num_classes(outputs)
    self._one_at_a_time = threading.Lock()
    self._interpreter = interpreter  # The signatures do not hold it.

  def run(self, output: str, images: np.ndarray) -> np.ndarray:
    with self._one_at_a_time:
      return self._signatures[output](**{INPUT: images})[output]


def _metadata(path):
  """The description's text, or None where the file has none."""
  try:
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
      return tflite_metadata.read(data, NAME)
  except ValueError as error:  # mmap's own too, of an empty file.
    raise unreadable(path, TFLITE, error) from error


def _tensors(interpreter, signature):
  """(inputs, outputs) as lists of Tensor; without `signature` those of the model as it is."""
  if signature is None:
    inputs = {one['name']: one for one in interpreter.get_input_details()}
    outputs = {one['name']: one for one in interpreter.get_output_details()}
  else:
    inputs, outputs = signature.get_input_details(), signature.get_output_details()
  return tuple(
    [
      Tensor(name, np.dtype(one['dtype']).name, one['shape_signature'].tolist())
      for name, one in tensors.items()
    ]
    for tensors in (inputs, outputs)
  )
