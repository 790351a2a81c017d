"""Whose a checkpoint is that has no `model_options.json` beside it: what its variables tell."""

import re
from collections.abc import Mapping, Sequence

from deeplab.saved_options import FILE_NAME

_LAST_WEIGHTS = 'logits/semantic/weights'
_POOLED_BRANCH = 'image_pooling/weights'
_FIRST_WEIGHTS_OF_MOBILENET = 'MobilenetV2/Conv/weights'
_FULL_WIDTH = 32
# What the program of 2019 did not have: Xception, and a root of three convolutions.
_NOT_OF_2019 = re.compile(r'xception_\d+/|resnet_v1_\d+/conv1_1/')
# Neither backbone nor names of a decoder that the official program has.
_NOT_OFFICIAL = ('resnet_v2_', 'decoder/Conv/', 'decoder/Conv_1/')


def doubts(prefix: str, shapes: Mapping[str, Sequence[int]]) -> list[str]:
  """A warning where a segmentation checkpoint without saved options may be one of the official
  DeepLab. Its names are ours, but its ASPP concatenates the pooled branch first and ours last, so
  that it can be read and predicts rubbish.

  Args:
    prefix: of the checkpoint.
    shapes: name -> shape of its variables.

  Returns:
    no line where it is no segmentation checkpoint, has no pooled branch (then the order is one), or
    has what the official program does not have.
  """
  if _LAST_WEIGHTS not in shapes or _POOLED_BRANCH not in shapes:
    return []
  if any(name.startswith(_NOT_OFFICIAL) for name in shapes):
    return []
  remedy = 'make a checkpoint of it with import_official_checkpoint.py and give that'
  first = shapes.get(_FIRST_WEIGHTS_OF_MOBILENET)
  absent = 'MobileNetV2 of this width' if first and first[-1] != _FULL_WIDTH else None
  if any(map(_NOT_OF_2019.match, shapes)):
    absent = 'such backbone'
  if absent:
    return [
      f'{prefix} has no {FILE_NAME} beside it, and the program of 2019 had no {absent}: it is '
      'probably of the official DeepLab, whose ASPP has another order, and would predict rubbish; '
      f'{remedy}. If this toolkit trained it, put its {FILE_NAME} beside it'
    ]
  return [
    f'{prefix} has no {FILE_NAME} beside it; it is read as a checkpoint of this toolkit or of the '
    'program of 2019, and if it is one, all is well. Weights of the official DeepLab look the same '
    f'but have another order in ASPP, and would predict rubbish: if it is one, {remedy}'
  ]
