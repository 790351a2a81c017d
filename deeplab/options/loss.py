"""The loss of a training."""

import dataclasses

from deeplab.errors import InputError
from deeplab.options.checks import MOST_STEPS, CheckedOptions, option

_LARGEST_CLASS_WEIGHT = 1e6


@dataclasses.dataclass(frozen=True)
class LossOptions(CheckedOptions):
  """What is minimized, beside the L2 term."""

  group = 'Loss'

  loss: str = option(
    'cross_entropy',
    'Softmax cross entropy, focal loss (Lin et al. 2017), soft Dice, or the sum of two.',
    choices=('cross_entropy', 'focal', 'dice', 'cross_entropy_and_dice'),
  )
  class_weights: str | None = option(
    None,
    'One factor a class, separated by commas; or auto: median frequency balancing over the '
    'training records, which serves the mean accuracy rather than mIOU: rare classes are found, '
    'and seen where they are not; or auto_sqrt: the square roots of those weights, a compromise.',
  )
  top_k_percent_pixels: float = option(
    1.0,
    'Share of the pixels, those with the largest loss, that count; 1: all.',
    above=0.0,
    maximum=1.0,
  )
  hard_example_mining_step: int = option(
    0,
    'The share falls linearly from 1 to --top_k_percent_pixels up to this step. 0: it applies from '
    'the start.',
    minimum=0,
    maximum=MOST_STEPS,
  )
  focal_gamma: float = option(2.0, 'Exponent of the focal loss.', minimum=0.0, maximum=100.0)

  def __post_init__(self):
    super().__post_init__()
    if self.loss == 'dice' and self.top_k_percent_pixels < 1.0:
      raise InputError(
        f'--top_k_percent_pixels={self.top_k_percent_pixels}: the Dice loss has no loss per pixel '
        'to choose by; use cross_entropy, focal or cross_entropy_and_dice'
      )
    if self.class_weights is not None and not self.counts_records:
      self.listed_class_weights()

  @property
  def counts_records(self) -> bool:
    """Whether the class weights come from counting the training records."""
    return self.class_weights in ('auto', 'auto_sqrt')

  def listed_class_weights(self) -> tuple[float, ...]:
    """The factors of a listed --class_weights as a tuple of floats."""
    try:
      weights = tuple(float(weight) for weight in self.class_weights.split(','))
    except ValueError:
      weights = ()
    if (
      not weights
      or not all(0.0 <= weight <= _LARGEST_CLASS_WEIGHT for weight in weights)
      or max(weights) < 1.0 / _LARGEST_CLASS_WEIGHT
    ):
      raise InputError(
        f'--class_weights={self.class_weights}: must be auto, auto_sqrt, or numbers from 0 to '
        f'{_LARGEST_CLASS_WEIGHT:g}, not all near 0, one a class, separated by commas'
      )
    return weights
