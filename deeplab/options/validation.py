"""Validation while training."""

import dataclasses

from deeplab.errors import InputError
from deeplab.options.checks import MOST_STEPS, CheckedOptions, option
from deeplab.options.eval_padding import EVAL_PAD_HELP, fixed_pad_size


@dataclasses.dataclass(frozen=True)
class ValidationOptions(CheckedOptions):
  """Evaluation while training."""

  group = 'Validation'

  eval_filenames: tuple[str, ...] = option(
    (), 'TFRecord files to validate on while training: paths, globs or directories, repeated.'
  )
  eval_per_steps: int | None = option(
    None,
    'Steps between two validations. Default: --persist_per_steps.',
    minimum=1,
    maximum=MOST_STEPS,
  )
  patience: int = option(
    0,
    'Stop when this many validations in a row have not raised the best mIOU; 0: never.',
    minimum=0,
    maximum=MOST_STEPS,
  )
  eval_pad: str = option('auto', EVAL_PAD_HELP)

  def __post_init__(self):
    super().__post_init__()
    fixed_pad_size(self.eval_pad)  # Refuses what it cannot read.
    if (self.eval_per_steps or self.patience) and not self.eval_filenames:
      raise InputError(
        f'--{"eval_per_steps" if self.eval_per_steps else "patience"}: needs --eval_filenames, the '
        'records to validate on'
      )
