"""What official DeepLab checkpoints (tensorflow/models research/deeplab) have otherwise than ours:
few names, and one order.

Their ASPP concatenates [image_pooling, aspp0, aspp1, ...], ours [aspp0, aspp1, ..., image_pooling],
so the weights that read the concatenation have the same name and shape, but their blocks of input
channels in another order. The decoder's plain convolutions have other names. All else agrees.
"""

import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from deeplab.model.aspp import DEPTH
from deeplab.model.backbones import BACKBONES, HEAD_BATCH_NORM_EPSILON, variant_of_scope

LAST_WEIGHTS = 'logits/semantic/weights'
CONCAT_WEIGHTS = 'concat_projection/weights'
IMAGE_POOLING = 'image_pooling'

# The official program names them with slim.repeat. The second form is accepted too.
_PLAIN_DECODER = {
  'decoder/Conv': 'decoder/decoder_conv0/decoder_conv0_1',
  'decoder/Conv_1': 'decoder/decoder_conv0/decoder_conv0_2',
}
_PLAIN_DECODER_ALSO = {
  'decoder/Conv': 'decoder/decoder_conv0',
  'decoder/Conv_1': 'decoder/decoder_conv1',
}
_SLOT = re.compile(
  r'(.+)/(Momentum|Adam|Adam_1|AdaMax|AdaMax_1|RMSProp|RMSProp_1|RMSProp_2|Adagrad|Ftrl|Ftrl_1|'
  r'ExponentialMovingAverage)$'
)
_OPTIMIZER_SCALARS = ('beta1_power', 'beta2_power', 'learning_rate')


def official_name(name: str, there: Collection[str] | None = None) -> str:
  """The official name of our variable `name`; `there`, the names a checkpoint has, decides between
  two forms.
  """
  scope, _, rest = name.partition('/BatchNorm/') if '/BatchNorm/' in name else name.rpartition('/')
  separator = '/BatchNorm/' if '/BatchNorm/' in name else '/'
  if scope not in _PLAIN_DECODER:
    return name
  for forms in (_PLAIN_DECODER, _PLAIN_DECODER_ALSO):
    candidate = forms[scope] + separator + rest
    if there is None or candidate in there:
      return candidate
  return _PLAIN_DECODER[scope] + separator + rest


def branch_order(num_rates: int, *, image_level: bool, official: bool) -> tuple[str, ...]:
  """The scopes of ASPP's branches in the order of their concatenation: the official or ours."""
  convolutions = [f'aspp{index}' for index in range(num_rates + 1)]
  pooling = [IMAGE_POOLING] if image_level else []
  return tuple(pooling + convolutions if official else convolutions + pooling)


def reorder_concatenation(
  weights: np.ndarray, *, before: Sequence[str], after: Sequence[str]
) -> np.ndarray:
  """Moves the blocks of input channels of `concat_projection/weights`.

  Args:
    weights: ndarray [1, 1, 256 * branches, depth].
    before, after: scopes of the branches in the order they have, and shall have.

  Returns:
    ndarray of the same shape.
  """
  blocks = dict(zip(before, np.split(weights, range(DEPTH, weights.shape[2], DEPTH), axis=2)))
  return np.ascontiguousarray(np.concatenate([blocks[scope] for scope in after], axis=2))


def is_optimizer_state(name: str) -> bool:
  """Whether a checkpoint's variable is a slot of an optimizer (or a moving average), or one of its
  scalars.
  """
  return bool(_SLOT.match(name)) or name.split('/')[-1] in _OPTIMIZER_SCALARS


def batch_norm_epsilon(scope: str) -> float:
  """The epsilon of the batch norm in a scope, which is part of what the stored variance means."""
  variant = variant_of_scope(scope.split('/')[0])
  return BACKBONES[variant].batch_norm_epsilon if variant else HEAD_BATCH_NORM_EPSILON


def root_convolution(scopes: Iterable[str]) -> str | None:
  """The one of `scopes` that is the backbone's first convolution, or None."""
  roots = {f'{backbone.scope}/{backbone.root}' for backbone in BACKBONES.values()}
  return next((scope for scope in scopes if scope in roots), None)
