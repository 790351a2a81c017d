"""What the network is, and how it is computed."""

import dataclasses

from deeplab.errors import InputError
from deeplab.model.backbones import BACKBONES, variants_with
from deeplab.options.checks import CheckedOptions, option

MODEL_VARIANTS = tuple(BACKBONES)
# Output stride -> the rates whose branches see the same context there: a rate counts in features.
USUAL_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
OUTPUT_STRIDES = tuple(USUAL_RATES)
PREPROCESS_IMAGES_OPTIONS = (
  'subtract_imagenet_mean',
  'zero_mean_unit_range',
  'subtract_official_mean',
)
OPERATIONS = ('auto', 'plain')
COMPUTE_DTYPES = ('float32', 'bfloat16', 'float16')
DEPTH_MULTIPLIERS = (0.35, 0.5, 0.75, 1.0, 1.4)
LARGEST_WEIGHT_DECAY = 1000.0
# A rate counts in features: of the largest crop there are 2048 in a row at stride 8.
LARGEST_ATROUS_RATE, MOST_ATROUS_RATES = 2048, 16
LARGEST_MULTI_GRID = 128


@dataclasses.dataclass(frozen=True)
class ModelOptions(CheckedOptions):
  """What the network is.

  Saved as JSON beside each checkpoint; shared by trainer, evaluator and inferencer.
  """

  group = 'Model'

  model_variant: str = option('resnet_v2_101', 'Backbone.', choices=MODEL_VARIANTS)
  output_stride: int = option(
    16,
    'Ratio of the input size to the size of the features ASPP sees. Smaller is finer, slower and '
    'needs more memory.',
    choices=OUTPUT_STRIDES,
  )
  num_classes: int = option(21, 'Number of classes, background included.', minimum=1, maximum=65535)
  weight_decay: float = option(
    5e-4,
    'L2 weight decay on convolution weights; also part of the Loss that the evaluator reports.',
    minimum=0.0,
    maximum=LARGEST_WEIGHT_DECAY,
  )
  preprocess_images_option: str = option(
    'subtract_imagenet_mean',
    'How the network normalizes pixels: subtract the RGB mean, or map [0, 255] to [-1, 1].',
    choices=PREPROCESS_IMAGES_OPTIONS,
  )
  use_image_level_feature: bool = option(True, 'Add the globally pooled branch to ASPP.')
  atrous_rates: tuple[int, ...] = option(
    (),
    'Rates of the 3x3 ASPP branches, repeated or comma-separated: 6,12,18 at stride 16, 12,24,36 '
    'at stride 8. None: no such branches.',
    minimum=1,
    maximum=LARGEST_ATROUS_RATE,
    most=MOST_ATROUS_RATES,
  )
  aspp_with_separable_conv: bool = option(
    False, 'Separable instead of plain 3x3 convolutions in ASPP.'
  )
  use_decoder: bool = option(False, 'Add the decoder of DeepLabv3+.')
  decoder_with_separable_conv: bool = option(
    True, 'Separable instead of plain 3x3 convolutions in the decoder.'
  )
  align_corners: bool = option(
    False,
    'Bilinear resizes in the network align the corner pixels, as official DeepLab weights expect.',
  )
  depth_multiplier: float = option(
    1.0, 'Width of mobilenet_v2 relative to the standard one.', choices=DEPTH_MULTIPLIERS
  )
  multi_grid: tuple[int, ...] = option(
    (),
    'Three extra rates, such as 1,2,4: of the units in the last block of a ResNet, or of the '
    'convolutions in that of Xception.',
    minimum=1,
    maximum=LARGEST_MULTI_GRID,
  )

  def __post_init__(self):
    super().__post_init__()
    if self.multi_grid and len(self.multi_grid) != 3:
      raise InputError(
        f'--multi_grid={",".join(map(str, self.multi_grid))}: must be three rates, one for each '
        'unit of the last ResNet block, or convolution of the last Xception block, such as 1,2,4'
      )
    if self.multi_grid and 'multi_grid' not in BACKBONES[self.model_variant].own_options:
      raise InputError(
        f'--multi_grid: {self.model_variant} has no ResNet or Xception block; leave it out'
      )
    widths = variants_with('depth_multiplier')
    if self.depth_multiplier != 1.0 and self.model_variant not in widths:
      raise InputError(
        f'--depth_multiplier={self.depth_multiplier}: only {", ".join(widths)} has one, not '
        f'{self.model_variant}; leave it out'
      )


@dataclasses.dataclass(frozen=True)
class ComputeOptions(CheckedOptions):
  """How the network is computed; none of it changes what a checkpoint holds."""

  group = 'Computation'

  compute_dtype: str = option(
    'float32',
    'Type of activations and convolutions. Variables, statistics, softmax and loss stay float32. '
    'float16 needs a GPU.',
    choices=COMPUTE_DTYPES,
  )
  operations: str = option(
    'auto',
    "plain: TensorFlow's own operations, as a GPU runs them. auto: on a CPU the faster ways to the "
    'same numbers; on a GPU the same as plain.',
    choices=OPERATIONS,
  )
  tf32: bool = option(
    True,
    'On a GPU that can, multiply float32 in TensorFloat-32: faster, with the range of float32 and '
    '10 of its 23 bits behind the point.',
  )
  jit_compile: bool = option(
    False,
    'Compile with XLA: a slower start for faster steps on a GPU; on a CPU the steps are slower.',
  )
