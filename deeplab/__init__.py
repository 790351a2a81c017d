"""DeepLabv3 and DeepLabv3+ semantic segmentation on TensorFlow 2.

    network = deeplab.load('model')
    network.predict('photo.jpg').overlay().save('overlay.png')

`load`, `convert`, `train` and `evaluate` are the commands as functions. Importing this package
imports nothing else: TensorFlow comes with the first use.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from deeplab.errors import InputError
  from deeplab.guest import DeepLabWarning
  from deeplab.library import convert, evaluate, load, train
  from deeplab.network import Network
  from deeplab.prediction.python_prediction import Prediction

__version__ = '0.1.0'
__all__ = [
  'DeepLabWarning',
  'InputError',
  'Network',
  'Prediction',
  'convert',
  'evaluate',
  'load',
  'train',
]

_HOMES = {
  'DeepLabWarning': 'deeplab.guest',
  'InputError': 'deeplab.errors',
  'Network': 'deeplab.network',
  'Prediction': 'deeplab.prediction.python_prediction',
  'convert': 'deeplab.library',
  'evaluate': 'deeplab.library',
  'load': 'deeplab.library',
  'train': 'deeplab.library',
}


def __getattr__(name):
  if name not in _HOMES:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
  return value


def __dir__():
  return sorted({*globals(), *__all__})
