"""What an exported model looks like from outside, and the refusal of a file that does not."""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from deeplab.errors import InputError, shown
from deeplab.export.description import INPUT, LABELS, NAME, PROBABILITIES
from deeplab.failure_reasons import words_of

# With which onnxruntime begins its messages: what it is, the number and the name of the fault.
_FAULT_OF_ONNX = re.compile(r'\[ONNXRuntimeError\] : \d+ : ([A-Z_]+) : ')
_FAULTS = {
  'INVALID_PROTOBUF': 'it is no protobuf of an ONNX model',
  'INVALID_GRAPH': 'its graph is not valid',
  'NOT_IMPLEMENTED': 'it has an operation that onnxruntime lacks',
}


class Runner(Protocol):
  """An engine with one exported model loaded.

  Attributes:
    engine: name of the engine, for people.
    num_classes: size of the last axis of the probabilities, or None where the model does not say.
    batch_size: the only number of images that it takes at once, or None for any.
  """

  engine: str
  num_classes: int | None
  batch_size: int | None

  def run(self, output: str, images: np.ndarray) -> np.ndarray:
    """Computes one output of images uint8 [B, H, W, 3].

    Args:
      output: LABELS, integers [B, H, W], or PROBABILITIES, float32 [B, H, W, num_classes].
      images: of a size that the model takes.

    Raises:
      whatever the engine raises.
    """


class Tensor(NamedTuple):
  """An input or an output of a model.

  Attributes:
    name: of it.
    dtype: such as uint8.
    shape: a text for each axis whose size is not fixed, or None.
  """

  name: str
  dtype: str
  shape: Sequence[int | str | None]

  def __str__(self):
    sizes = ', '.join(
      str(size) if isinstance(size, int) and size >= 0 else '?' for size in self.shape
    )
    return f'{shown(self.name)} {self.dtype} [{sizes}]'


def check_interface(
  path: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, described: bool
) -> None:
  """Raises InputError where a model is not one that export_model.py wrote.

  Args:
    path: of the file.
    inputs, outputs: what the model has.
    described: whether it holds a description.
  """
  names = {tensor.name for tensor in outputs}
  fits = (
    [(tensor.name, tensor.dtype, len(tensor.shape)) for tensor in inputs] == [(INPUT, 'uint8', 4)]
    and LABELS in names
    and PROBABILITIES in names
  )
  if fits and described:
    return
  has = '; '.join(
    f'{kind}{"s" if len(tensors) != 1 else ""} {", ".join(map(str, tensors[:4])) or "none"}'
    for kind, tensors in (('input', inputs), ('output', outputs))
  )
  raise InputError(
    f'{shown(path)}: is no model that export_model.py wrote: it has {has}, and '
    f'{"a" if described else "no"} description ({NAME}); needed are the input {INPUT} uint8 '
    f'[B, H, W, 3], the outputs {LABELS} and {PROBABILITIES}, and the description; export the '
    'checkpoint with export_model.py'
  )


def unreadable(path: str, kind: str, error: Exception | None = None) -> InputError:
  """For a file that its engine cannot load; `error` is what the engine says."""
  words = words_of(error) if error is not None else ''
  fault = _FAULT_OF_ONNX.match(words)
  if fault:  # What follows names files and lines of its own.
    words = _FAULTS.get(fault.group(1), 'onnxruntime refuses it')
  elif type(error).__name__ == 'DecodeError':  # Of protobuf, whatever its implementation.
    words = _FAULTS['INVALID_PROTOBUF']
  reason = f' ({shown(words[:150])}{"..." if len(words) > 150 else ""})' if words else ''
  size = f'; {os.path.getsize(path)} bytes' if os.path.isfile(path) else ''
  return InputError(
    f'{shown(path)}: cannot be read as {kind}{reason}{size}; it is damaged or not whole: copy it '
    'again, or export the checkpoint again'
  )


def missing_package(path: str, *, engine: str, extra: str, package: str) -> InputError:
  """For an engine that is not installed."""
  return InputError(
    f"{shown(path)}: needs {engine} to be run: pip install 'deeplab-tf[{extra}]' (or pip install "
    f'{package})'
  )


def num_classes(outputs: Sequence[Tensor]) -> int | None:
  """Size of the last axis of the probabilities, None where it is not fixed."""
  shape = next(tensor.shape for tensor in outputs if tensor.name == PROBABILITIES)
  size = shape[-1] if len(shape) else None  # Of a damaged file it may be a single number.
  return size if isinstance(size, int) and size > 0 else None


def num_cores() -> int:
  """Cores that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
