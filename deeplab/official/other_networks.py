"""Weights that are not of an official DeepLab this toolkit has: the names of their variables tell
what they are, so that the error can.
"""

import re
from collections.abc import Mapping

from deeplab.errors import InputError
from deeplab.model.backbones import BACKBONES, variant_of_scope
from deeplab.official.official_names import LAST_WEIGHTS

_DETECTOR_SCOPES = {
  'FeatureExtractor',
  'BoxPredictor',
  'FirstStageFeatureExtractor',
  'SecondStageBoxPredictor',
}
_ABSENT_BACKBONES = (
  r'xception|MobilenetV3|MobilenetEdgeTPU|pnasnet|nas_|mobilenet_v3|hnasnet|resnet_v1_\d+'
)
_IMPORTED = {
  name: backbone
  for name, backbone in BACKBONES.items()
  if backbone.official_preprocess_images_option
}


def refuse(shapes: Mapping[str, list[int]], name: str) -> None:
  """Raises InputError, which says what they are, where weights are not of an official DeepLab with
  a backbone that this toolkit has.

  Args:
    shapes: of the variables, by name.
    name: of the weights, for messages.
  """
  scopes = {each.split('/')[0] for each in shapes}
  if any(each.endswith('.ATTRIBUTES/VARIABLE_VALUE') for each in shapes):
    raise InputError(
      f'{name}: is an object-based checkpoint of TensorFlow 2, not one of the official DeepLab'
    )
  if scopes & _DETECTOR_SCOPES:
    raise InputError(
      f'{name}: is an object detector, not DeepLab; give a segmentation model of the DeepLab model '
      'zoo'
    )
  foreign = sorted(scope for scope in scopes if variant_of_scope(scope) is None)
  absent = next((scope for scope in foreign if re.match(_ABSENT_BACKBONES, scope)), None)
  if absent:
    raise InputError(
      f'{name}: its backbone is {absent}, which this toolkit does not have; it imports '
      f'{", ".join(_IMPORTED)}'
    )
  backbones = sorted(scope for scope in scopes if variant_of_scope(scope))
  if not backbones:
    shown = ', '.join(sorted(scopes)[:6]) or 'none'
    raise InputError(
      f'{name}: is not an official DeepLab model: no backbone among its scopes ({shown}); expected '
      f'{" or ".join(dict.fromkeys(backbone.scope for backbone in _IMPORTED.values()))}'
    )
  if LAST_WEIGHTS not in shapes:
    raise InputError(
      f'{name}: has a backbone ({backbones[0]}) but no {LAST_WEIGHTS}: a classification model; '
      'train from it with run_trainer.py --load_ckpt_path'
    )
  if variant_of_scope(backbones[0]) not in _IMPORTED:
    raise InputError(
      f'{name}: its backbone is {backbones[0]}, which the official DeepLab does not have; a '
      'checkpoint of this toolkit or of the 2019 program needs no import'
    )
