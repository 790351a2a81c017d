"""How a trained network is computed, a checkpoint's or an exported one."""

import dataclasses

from deeplab.options.checks import option
from deeplab.options.model import ComputeOptions

ENGINES = ('auto', 'tensorflow', 'openvino')


@dataclasses.dataclass(frozen=True)
class EngineOptions(ComputeOptions):
  """Those of training, and what runs an exported SavedModel."""

  engine: str = option(
    'auto',
    'What runs an exported SavedModel: tensorflow, or openvino, in float32 unless '
    '--compute_dtype=bfloat16 is given. auto: tensorflow. Other exported models are run by LiteRT '
    '(.tflite) and onnxruntime (.onnx).',
    choices=ENGINES,
  )
