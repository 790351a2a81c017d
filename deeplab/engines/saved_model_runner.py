"""Exported SavedModels, run by TensorFlow."""

import tensorflow as tf

from deeplab import quiet_start
from deeplab.engines.interface import (
  Tensor,
  check_interface,
  num_classes,
  unreadable,
)
from deeplab.engines.model_files import SAVED_MODEL
from deeplab.export.description import (
  INPUT,
  LABELS,
  LABELS_SIGNATURE,
  PROBABILITIES,
  SIGNATURE,
)


class SavedModelRunner:
  """Takes and gives tensors, while a tf.function is traced too."""

  engine = 'TensorFlow'
  failure = None  # TensorFlow's own errors need no explanation.

  def __init__(self, path: str):
    """Loads the SavedModel in `path`. Raises InputError: it is damaged, or no exported model."""
    with quiet_start.hidden_stderr():  # It writes there what it thinks of damaged parts.
      try:
        self._loaded = tf.saved_model.load(path)
        signatures = dict(self._loaded.signatures)
        signature = signatures.get(SIGNATURE)
        inputs = _tensors(signature.structured_input_signature[1]) if signature else []
        outputs = _tensors(signature.structured_outputs) if signature else []
      except Exception as error:  # Of a damaged graph anything may come, even KeyError.
        raise unreadable(path, SAVED_MODEL) from error
    check_interface(path, inputs, outputs, described=True)
    batch_size = inputs[0].shape[0]
    self.batch_size = batch_size
    self.num_classes = num_classes(outputs)
    self._signatures = {
      PROBABILITIES: signature,
      LABELS: signatures.get(LABELS_SIGNATURE, signature),
    }

  def run(self, output: str, images: tf.Tensor) -> tf.Tensor:
    """As `interface.Runner.run`, of tensors."""
    return self._signatures[output](**{INPUT: images})[output]


def _tensors(specs):
  return [
    Tensor(name, spec.dtype.name, [None] * 4 if spec.shape.rank is None else spec.shape.as_list())
    for name, spec in specs.items()
  ]
