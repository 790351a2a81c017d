"""Which network official DeepLab weights are of: read from names and shapes, with a word for every
variable.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping

from deeplab import checkpoints
from deeplab.errors import InputError
from deeplab.model.backbones import BACKBONES, variant_of_variables
from deeplab.model.mobilenet_v2 import ROOT_DEPTH, scaled_depth
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.official import official_names, other_networks
from deeplab.official.frozen_graphs import FrozenGraph
from deeplab.official.graph_facts import Facts
from deeplab.official.official_names import CONCAT_WEIGHTS, IMAGE_POOLING, LAST_WEIGHTS
from deeplab.options import DEPTH_MULTIPLIERS, USUAL_RATES, ModelOptions
from deeplab.options.model import MOST_ATROUS_RATES

# The official default.
OFFICIAL_STRIDE = 16
# The official networks this toolkit has, and their normalization.
PREPROCESSING = {
  name: backbone.official_preprocess_images_option
  for name, backbone in BACKBONES.items()
  if backbone.official_preprocess_images_option
}
_HEAD_SCOPES = r'(aspp\d+(_depthwise|_pointwise)?|image_pooling|concat_projection|decoder|logits)/'
# What a classification network has after the features that DeepLab reads.
_CLASSIFIER = '|'.join(
  f'{backbone.scope}/({"|".join(backbone.classifier_scopes)})/' for backbone in BACKBONES.values()
)
_QUANTIZATION = r'.*_quant/'


@dataclasses.dataclass(frozen=True)
class Recognized:
  """What weights are of.

  Attributes:
    options: ModelOptions of the network.
    assumed: lines about what neither names nor shapes tell and the user did not say.
    notes: other lines to print.
    order: scopes of the ASPP branches in the order the weights have.
    used, optimizer_state, unknown: the names of the source, every one in one of the three.
  """

  options: ModelOptions
  assumed: tuple
  notes: tuple
  order: tuple
  used: tuple
  optimizer_state: tuple
  unknown: tuple


def trained_size(options: ModelOptions) -> tuple[int, int] | None:
  """(height, width) of the crops that official weights with so many classes were trained on, as the
  model zoo's recipes say (g3doc/pascal.md, ade20k.md, cityscapes.md); None for other data sets.
  """
  side = {21: 513, 151: 513, 19: 769}.get(options.num_classes)
  return None if side is None else (side, side)


def recognize(source: checkpoints.Reader | FrozenGraph, *, name: str, given: Mapping) -> Recognized:
  """Finds out which network official weights are of, and accounts for every variable.

  Args:
    source: from `opened`.
    name: to call it in messages.
    given: dict of ModelOptions values the user gave; None and () where not given.

  Returns:
    Recognized.

  Raises:
    InputError: not DeepLab weights, an architecture that this toolkit does not have, or a given
      value that disagrees.
  """
  shapes, facts = source.shapes, getattr(source, 'facts', Facts())
  given = {option: value for option, value in given.items() if value not in (None, ())}
  other_networks.refuse(shapes, name)
  found = _from_names_and_shapes(shapes, name)
  for option in found.keys() & given.keys():
    if found[option] != given[option]:
      raise InputError(
        f'--{option}={given[option]}: {name} has {found[option]}; leave the flag out'
      )
  chosen, assumed = _choose_rest(found, facts, given, name)
  num_rates, image_level = found.pop('num_rates'), found['use_image_level_feature']
  options = ModelOptions(**{**found, **chosen})
  usual_order = official_names.branch_order(num_rates, image_level=image_level, official=True)
  order = facts.branch_order or usual_order
  if sorted(order) != sorted(usual_order):
    raise InputError(
      f'{name}: the graph concatenates {", ".join(order)}; this network has other branches; give '
      'the checkpoint'
    )
  return Recognized(
    options=options,
    assumed=tuple(assumed),
    notes=facts.notes,
    order=order,
    **_account(shapes, options, name),
  )


def _from_names_and_shapes(shapes, name):
  """dict of the ModelOptions that names and shapes tell, and num_rates."""
  root = official_names.root_convolution(
    each.rsplit('/', 1)[0] for each in shapes if each.endswith('/weights')
  )
  if root is None or 'aspp0/weights' not in shapes or CONCAT_WEIGHTS not in shapes:
    what = (
      'first convolution of the backbone'
      if root is None
      else 'ASPP with batch norm (aspp0 and concat_projection)'
    )
    raise InputError(
      f'{name}: has no {what}: an architecture that this toolkit does not have, or a damaged model'
    )
  for variable in (LAST_WEIGHTS, f'{root}/weights'):
    if len(shapes[variable]) != 4:
      raise InputError(
        f'{name}: variable {variable} has shape {shapes[variable]}, not four sides: a damaged model'
      )
  found = {
    'num_classes': shapes[LAST_WEIGHTS][-1],
    'model_variant': variant_of_variables(shapes),
  }
  if 'depth_multiplier' in BACKBONES[found['model_variant']].own_options:
    found['depth_multiplier'] = _depth_multiplier(shapes[root + '/weights'][-1], name)
  plain = {each for each in shapes if re.fullmatch(r'aspp[1-9]\d*/weights', each)}
  separable = {
    each for each in shapes if re.fullmatch(r'aspp[1-9]\d*_depthwise/depthwise_weights', each)
  }
  if plain and separable:
    raise InputError(
      f'{name}: has both plain and separable atrous branches, which this network does not'
    )
  found['num_rates'] = len(plain or separable)
  if found['num_rates'] > MOST_ATROUS_RATES:
    raise InputError(f'{name}: has {found["num_rates"]} atrous branches; DeepLab has 3 or so')
  found['aspp_with_separable_conv'] = bool(separable)
  found['use_image_level_feature'] = f'{IMAGE_POOLING}/weights' in shapes
  found['use_decoder'] = 'decoder/feature_projection0/weights' in shapes
  if found['use_decoder']:
    found['decoder_with_separable_conv'] = (
      'decoder/decoder_conv0_depthwise/depthwise_weights' in shapes
    )
  return found


def _depth_multiplier(root_depth, name):
  depths = {
    scaled_depth(ROOT_DEPTH, multiplier=multiplier): multiplier for multiplier in DEPTH_MULTIPLIERS
  }
  if root_depth not in depths:
    allowed = ', '.join(
      f'{depth} (multiplier {multiplier})' for depth, multiplier in depths.items()
    )
    raise InputError(
      f'{name}: MobilenetV2/Conv/weights has {root_depth} channels; this toolkit has {allowed}'
    )
  return depths[root_depth]


def _choose_rest(found, facts, given, name):
  """(dict of the ModelOptions that names do not tell, lines about those that were assumed)."""
  chosen, assumed = {}, []
  defaults = {
    'preprocess_images_option': PREPROCESSING[found['model_variant']],
    'align_corners': True,
    'multi_grid': (),
    'output_stride': OFFICIAL_STRIDE,
  }
  for option, default in defaults.items():
    read = getattr(facts, option)
    if option in given:
      chosen[option] = given[option]
      if read not in (None, given[option]) and option != 'output_stride':
        raise InputError(
          f'--{option}={_shown(given[option])}: the graph {name} has {_shown(read)}; leave the '
          'flag out'
        )
    elif read is not None:
      chosen[option] = read
    else:
      chosen[option] = default
      if default != () or 'multi_grid' in BACKBONES[found['model_variant']].own_options:
        assumed.append(f'{option}={_shown(default)}')
  chosen['atrous_rates'], rates_assumed = _choose_rates(
    found['num_rates'], chosen['output_stride'], facts, given, name
  )
  if rates_assumed:
    assumed.append(f'atrous_rates={_shown(chosen["atrous_rates"])}')
  chosen['weight_decay'] = given.get('weight_decay', ModelOptions.weight_decay)
  return chosen, assumed


def _choose_rates(number, stride, facts, given, name):
  """(rates, whether they were assumed)."""
  rates = given.get('atrous_rates')
  if rates is not None:
    if len(rates) != number:
      raise InputError(
        f'--atrous_rates={_shown(rates)}: {name} has {number} atrous branches; give '
        f'{number or "no"} rates'
      )
    return rates, False
  if facts.atrous_rates and facts.output_stride:
    return tuple(max(1, rate * facts.output_stride // stride) for rate in facts.atrous_rates), False
  if number not in (0, 3):
    raise InputError(
      f'{name}: has {number} atrous branches, whose rates are not in a checkpoint; give them with '
      '--atrous_rates, such as 6,12 for two'
    )
  return (USUAL_RATES[stride] if number else ()), bool(number)


def _account(shapes, options, name):
  """Every variable of the source as used, optimizer state or unknown; checks the shapes of those
  used.
  """
  used = {}
  for ours, shape in variable_shapes(options).items():
    theirs = official_names.official_name(ours, shapes)
    if theirs not in shapes:
      raise InputError(
        f'{name}: lacks {theirs}, which {options.model_variant} with this head has: an '
        'architecture that this toolkit does not have, or a damaged model'
      )
    if shapes[theirs] != shape:
      raise InputError(
        f'{name}: variable {theirs} has shape {shapes[theirs]}, this network needs {shape}: an '
        'architecture that this toolkit does not have'
      )
    used[theirs] = ours
  rest = sorted(set(shapes) - set(used) - {checkpoints.GLOBAL_STEP})
  optimizer_state = [each for each in rest if official_names.is_optimizer_state(each)]
  unknown = [each for each in rest if not official_names.is_optimizer_state(each)]
  backbone = (
    official_names.root_convolution(each.rsplit('/', 1)[0] for each in shapes).split('/')[0] + '/'
  )
  foreign = [
    each
    for each in unknown
    if re.match(f'{_HEAD_SCOPES}|{backbone}', each)
    and not re.match(f'{_CLASSIFIER}|{_QUANTIZATION}', each)
  ]
  if foreign:
    raise InputError(
      f'{name}: has {len(foreign)} variables that this network does not have, the first is '
      f'{foreign[0]}: an architecture that this toolkit does not have'
    )
  return {'used': tuple(used), 'optimizer_state': tuple(optimizer_state), 'unknown': tuple(unknown)}


@functools.lru_cache(maxsize=2)
def variable_shapes(options: ModelOptions) -> dict[str, list[int]]:
  """dict of name -> list of ints, the variables of the network that `options` describe."""
  return {
    name: variable.shape.as_list()
    for name, variable in DeepLabV3PredictionModel(options).named_variables.items()
  }


def _shown(value):
  return ','.join(map(str, value)) or 'none' if isinstance(value, tuple) else value
