"""TFLite and ONNX files, made of a SavedModel by converters in processes of their own."""

import os
from collections.abc import Sequence

import numpy as np

from deeplab.export import own_process
from deeplab.export.description import NAME, Description
from deeplab.export.exported_files import ExportedFile

_SCRIPTS = {
  name: os.path.join(os.path.dirname(os.path.abspath(__file__)), f'convert_to_{name}.py')
  for name in ('tflite', 'onnx')
}


def convert(
  file: ExportedFile,
  path: str,
  *,
  saved_model: str,
  description: Description,
  directory: str,
  representative: Sequence[np.ndarray] = (),
) -> None:
  """Writes one TFLite or ONNX file.

  Args:
    file: which.
    path: where to.
    saved_model: of a network with PortableOperations for converters.
    description: becomes its metadata.
    directory: empty, for what is needed meanwhile.
    representative: images uint8 [H, W, 3] that int8 is calibrated on.

  Raises:
    own_process.ProcessError: the converter fails.
  """
  saved_model, path, directory = map(os.path.abspath, (saved_model, path, directory))
  described = os.path.join(directory, NAME)
  with open(described, 'w', encoding='utf-8') as text:
    text.write(description.to_json())
  arguments = [saved_model, described, *([file.weights] if file.format == 'tflite' else []), path]
  if file.weights == 'int8':
    for index, image in enumerate(representative):
      np.save(os.path.join(directory, f'image_{index:05d}'), image[np.newaxis])
    arguments.append(directory)
  own_process.run(_SCRIPTS[file.format], *arguments, directory=directory)
