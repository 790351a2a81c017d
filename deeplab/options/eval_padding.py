"""What --eval_pad means, in the evaluator, the inferencer and the trainer's validation."""

import re

from deeplab.errors import InputError
from deeplab.options.model import ModelOptions

_MAX_PAD_SIZE = 16384

EVAL_PAD_HELP = (
  'Padding at the bottom and right before the network, cropped off afterwards: none; stride (to '
  'the next multiple of the output stride plus 1); HEIGHTxWIDTH such as 513x513, for smaller '
  'images; or auto: stride where the network aligns corners (--align_corners, official weights), '
  'else none.'
)


def pad_size(eval_pad: str, model_options: ModelOptions) -> str | tuple[int, int] | None:
  """The padding of a network's images: None without padding, 'stride', or (height, width).

  Raises:
    InputError: `eval_pad` is nothing that --eval_pad takes.
  """
  named = {'auto': 'stride' if model_options.align_corners else None, 'stride': 'stride'}
  return named.get(eval_pad, fixed_pad_size(eval_pad))


def fixed_pad_size(eval_pad: str) -> tuple[int, int] | None:
  """(height, width) of HEIGHTxWIDTH; None for auto, none and stride.

  Raises:
    InputError: `eval_pad` is nothing that --eval_pad takes.
  """
  if eval_pad in ('auto', 'none', 'stride'):
    return None
  match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', eval_pad, flags=re.ASCII)
  if not match:
    raise InputError(
      f'--eval_pad={eval_pad}: must be auto, none, stride, or HEIGHTxWIDTH such as 513x513'
    )
  size = int(match.group(1)), int(match.group(2))
  if max(size) > _MAX_PAD_SIZE:
    raise InputError(
      f'--eval_pad={eval_pad}: must be at most {_MAX_PAD_SIZE}x{_MAX_PAD_SIZE}; larger '
      'images need --tile_size'
    )
  return size
