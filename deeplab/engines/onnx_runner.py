"""ONNX files, run by onnxruntime."""

import contextlib
import io
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
from deeplab.engines.model_files import ONNX
from deeplab.export.description import (
  INPUT,
  LABELS,
  NAME,
)

_FATAL_ONLY = 4


class OnnxRunner:
  """A Runner. Each output is a session of its own, made when it is first asked for: a session
  computes all that its graph holds, and the softmax of all pixels costs more than the network.
  """

  engine = 'onnxruntime'

  def __init__(self, path: str, *, num_threads: int | None = None):
    """Loads the file.

    Args:
      num_threads: None for one on each core.

    Raises:
      InputError: onnxruntime is not installed, or this is no exported model.
    """
    try:
      import onnx
      import onnxruntime
    except ImportError as error:
      raise missing_package(
        path, engine='onnxruntime', extra='onnx', package='onnxruntime onnx'
      ) from error
    if hasattr(onnxruntime, 'disable_telemetry_events'):  # It may keep them on the user's disk.
      onnxruntime.disable_telemetry_events()
    self._path, self._num_threads = path, num_threads or num_cores()
    try:
      model = onnx.load(path)
      session = self._session_of(model, LABELS)
      # Names and shapes of the input as onnxruntime sees them: it may ask for more than one.
      inputs = [_of_session(node) for node in session.get_inputs()]
      outputs = [_of_graph(value, onnx) for value in model.graph.output]
      metadata = {entry.key: entry.value for entry in model.metadata_props}
    except Exception as error:  # They have no class in common.
      raise unreadable(path, ONNX, error) from error
    self.description = metadata.get(NAME)
    check_interface(path, inputs, outputs, described=self.description is not None)
    batch_size = inputs[0].shape[0]
    self.batch_size = batch_size if isinstance(batch_size, int) else None
    self.num_classes = num_classes(outputs)
    self._sessions = {LABELS: session}
    self._one_at_a_time = threading.Lock()

  def run(self, output: str, images: np.ndarray) -> np.ndarray:
    with self._one_at_a_time:
      if output not in self._sessions:
        import onnx

        self._sessions[output] = self._session_of(onnx.load(self._path), output)
    return self._sessions[output].run([output], {INPUT: images})[0]

  def _session_of(self, model, output):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = self._num_threads
    options.log_severity_level = _FATAL_ONLY
    with contextlib.redirect_stdout(io.StringIO()):  # It prints that it tries again.
      return onnxruntime.InferenceSession(
        _with_one_output(model, output), options, providers=['CPUExecutionProvider']
      )


def _with_one_output(model, output):
  """A file's bytes with what leads to one output; with everything where it has no such output, or
  graphs within its nodes, of which nothing lists the inputs.
  """
  part = type(model)()
  part.CopyFrom(model)
  graph = part.graph
  has_graphs = any(each.HasField('g') or each.graphs for n in graph.node for each in n.attribute)
  if has_graphs or output not in {value.name for value in graph.output}:
    return part.SerializeToString()
  needed, nodes = {output}, []
  for node in reversed(model.graph.node):  # In order: whatever uses a value comes after it.
    if needed.intersection(node.output):
      nodes.insert(0, node)
      needed.update(node.input)
  outputs = [value for value in model.graph.output if value.name == output]
  weights = [value for value in model.graph.initializer if value.name in needed]
  for there, remaining in (
    (graph.node, nodes),
    (graph.output, outputs),
    (graph.initializer, weights),
  ):
    del there[:]
    there.extend(remaining)
  return part.SerializeToString()


def _of_session(node):
  dtype = node.type.removeprefix('tensor(').removesuffix(')')
  return Tensor(node.name, {'float': 'float32'}.get(dtype, dtype), node.shape)


def _of_graph(value, onnx):
  tensor, name = value.type.tensor_type, value.name
  return Tensor(
    # A name that is no UTF-8 comes as bytes.
    name if isinstance(name, str) else name.decode('utf-8', 'backslashreplace'),
    onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name,
    [size.dim_value or size.dim_param or None for size in tensor.shape.dim],
  )
