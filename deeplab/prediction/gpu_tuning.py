"""Whether cuDNN tries its algorithms for each size of image.

For every new shape of a convolution's input cuDNN runs all its algorithms to find the fastest. That
pays for images of one size, which is kept; of folders in which each image has another size it takes
longer than the prediction. Padding such images to a few common sizes would change what the network
says of them, to which padding is not nothing, so the trials are left out instead, and cuDNN takes
the algorithm that its heuristics name.
"""

import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab.errors import InputError
from deeplab.messages import say
from deeplab.prediction.prediction_paths import PlannedPrediction

_VARIABLE = 'TF_CUDNN_USE_AUTOTUNE'  # Read by TensorFlow when it makes the kernels of a function.
_MOST_LOOKED_AT = 64
_MOST_TUNED = 8


def limit(planned: Sequence[PlannedPrediction], batch_key: Callable[[np.ndarray], tuple]) -> None:
  """Turns the trials off where there is a GPU and the images have many sizes; call it before the
  first prediction. Where the user has set TF_CUDNN_USE_AUTOTUNE, that holds.

  Args:
    planned: the images.
    batch_key: of the inferencer.
  """
  if _VARIABLE in os.environ or not tf.config.list_physical_devices('GPU'):
    return
  if has_many_sizes(planned, batch_key):
    os.environ[_VARIABLE] = '0'
    say(
      'the images have many sizes: cuDNN takes the algorithms it knows instead of trying all for '
      f'each size ({_VARIABLE}=1 tries them)'
    )


def has_many_sizes(
  planned: Sequence[PlannedPrediction], batch_key: Callable[[np.ndarray], tuple]
) -> bool:
  """Whether the network sees more than 8 sizes in 64 of the images, by their headers.

  Args:
    planned, batch_key: as `limit`.
  """
  step = max(1, len(planned) // _MOST_LOOKED_AT)
  keys = set()
  for one in planned[::step][:_MOST_LOOKED_AT]:
    size = _size(one.image.path)
    if size is None:
      continue
    try:
      keys.add(batch_key(np.broadcast_to(np.uint8(0), (*size, 3))))  # Takes no memory.
    except InputError:  # It will be told when it is read.
      continue
    if len(keys) > _MOST_TUNED:
      return True
  return False


def _size(path):
  """(height, width) of an image file; None where its header does not say."""
  try:
    with Image.open(path) as picture:
      return picture.height, picture.width
  except Exception:  # Pillow raises many kinds, and the reader says what is wrong.
    return None
