"""Writing SavedModels: what TensorFlow runs, and what converters read."""

import contextlib
import os
import sys
import tempfile

import tensorflow as tf

from deeplab.export.description import LABELS_SIGNATURE, NAME, SIGNATURE, Description
from deeplab.export.exported_network import ExportedNetwork


def write(directory: str, network: ExportedNetwork, description: Description) -> None:
  """Writes a SavedModel whose variables stay variables: constants would be stored once for each of
  the functions that use them.

  Args:
    directory: of the SavedModel; must not exist, or be empty.
    network: what to save.
    description: becomes the asset `assets/deeplab.json`.

  Raises:
    OSError, tf.errors.OpError: it cannot be written.
  """
  # Beside it, so that what a kill leaves is found there.
  beside = os.path.dirname(os.path.abspath(directory))
  with tempfile.TemporaryDirectory(dir=beside) as aside:
    path = os.path.join(aside, NAME)
    with open(path, 'w', encoding='utf-8') as file:
      file.write(description.to_json())
    # The module must not keep an asset whose file is gone.
    network.description = tf.saved_model.Asset(path)
    modules = frozenset(sys.modules)
    try:
      tf.saved_model.save(
        network,
        directory,
        signatures={
          SIGNATURE: network.serving_default,
          LABELS_SIGNATURE: network.predict_labels,
        },
      )
    finally:
      del network.description
      _remove_generated(modules)


def _remove_generated(modules_before):
  """Removes the files that AutoGraph makes of TensorFlow's own wrappers of signatures, in the
  directory of temporary files, and leaves there until the process ends, or after a kill for good.
  """
  for name in set(sys.modules) - modules_before:
    if name.startswith('__autograph_generated_file'):
      with contextlib.suppress(OSError):
        os.remove(sys.modules[name].__file__)
