"""Writing SavedModels: what TensorFlow runs, and what converters read."""

import os
import tempfile

import tensorflow as tf

from deeplab.export.description import NAME, Description
from deeplab.export.exported_network import LABELS_SIGNATURE, SIGNATURE, ExportedNetwork


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
  with tempfile.TemporaryDirectory() as aside:
    path = os.path.join(aside, NAME)
    with open(path, 'w', encoding='utf-8') as file:
      file.write(description.to_json())
    # The module must not keep an asset whose file is gone.
    network.description = tf.saved_model.Asset(path)
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
