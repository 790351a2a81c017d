"""Import and export of official DeepLab weights, and published weights by name."""

import dataclasses

from deeplab.errors import InputError
from deeplab.options.checks import CheckedOptions, option
from deeplab.options.model import (
  LARGEST_ATROUS_RATE,
  LARGEST_MULTI_GRID,
  LARGEST_WEIGHT_DECAY,
  MODEL_VARIANTS,
  MOST_ATROUS_RATES,
  OUTPUT_STRIDES,
  PREPROCESS_IMAGES_OPTIONS,
)


@dataclasses.dataclass(frozen=True)
class ImportOptions(CheckedOptions):
  """Official weights, and what their names and shapes do not tell."""

  group = 'Import'

  ckpt_path: str | None = option(
    None,
    'Official DeepLab weights: a checkpoint prefix, a directory, an archive of the model zoo '
    '(.tar.gz), or a frozen_inference_graph.pb.',
    required=True,
    local='copy the files to a local disk first',
  )
  output_path: str | None = option(
    None,
    'Directory for model.ckpt and, beside it, the architecture as JSON.',
    required=True,
    local='copy what is written there afterwards',
  )
  overwrite: bool = option(False, 'Replace the result of an earlier import.')
  output_stride: int | None = option(
    None,
    'Output stride to save; evaluation and inference may choose another. Default: that of the '
    'graph, or 16.',
    choices=OUTPUT_STRIDES,
  )
  atrous_rates: tuple[int, ...] = option(
    (),
    'Rates of the atrous branches at that stride. Default: those of the graph, or the official '
    '6,12,18 at stride 16, 12,24,36 at 8.',
    minimum=1,
    maximum=LARGEST_ATROUS_RATE,
    most=MOST_ATROUS_RATES,
  )
  multi_grid: tuple[int, ...] = option(
    (),
    'Extra rates of the last ResNet or Xception block that the weights were trained with. Default: '
    'those of the graph, or none.',
    minimum=1,
    maximum=LARGEST_MULTI_GRID,
  )
  preprocess_images_option: str | None = option(
    None,
    'Normalization the weights were trained with. Default: that of the graph, or the official one '
    'of the backbone.',
    choices=PREPROCESS_IMAGES_OPTIONS,
  )
  align_corners: bool | None = option(
    None,
    'Whether the bilinear resizes align corners. Default: as in the graph, or as the official '
    'program: True.',
  )
  weight_decay: float = option(
    4e-5,
    'L2 weight decay to save, the official default; part of the Loss that the evaluator reports.',
    minimum=0.0,
    maximum=LARGEST_WEIGHT_DECAY,
  )
  model_variant: str | None = option(
    None, 'Refuse other backbones than this. Not needed: the names tell.', choices=MODEL_VARIANTS
  )
  num_classes: int | None = option(
    None,
    'Refuse another number of classes than this. Not needed: the shapes tell.',
    minimum=1,
    maximum=65535,
  )
  class_names: str | None = option(
    None,
    'Names of the classes to save: voc, cityscapes, ade20k, camvid, or a file with one name a '
    'line.',
  )
  max_archive_mb: int = option(
    4096,
    'MB (10^6 bytes) that an archive may unpack to, all of it.',
    minimum=1,
    maximum=10**7,
  )
  max_archive_members: int = option(
    10000, 'Files and directories that an archive may have.', minimum=1, maximum=10**7
  )


@dataclasses.dataclass(frozen=True)
class ExportOptions(CheckedOptions):
  """One of our checkpoints, and where its official form goes."""

  group = 'Export'

  ckpt_path: str | None = option(
    None, 'Checkpoint of this toolkit: its prefix, or a directory that holds one.', required=True
  )
  output_path: str | None = option(
    None,
    'Directory for the official model.ckpt.',
    required=True,
    local='copy what is written there afterwards',
  )
  overwrite: bool = option(False, 'Replace the result of an earlier export.')


@dataclasses.dataclass(frozen=True)
class DownloadOptions(CheckedOptions):
  """Published weights to download."""

  group = 'Download'

  name: tuple[str, ...] = option(
    (),
    'Name of published weights, such as official/xception65_voc_trainaug; may be given without the '
    'flag.',
  )
  list: bool = option(False, 'Show what there is, and what of it is in the cache.')

  def __post_init__(self):
    super().__post_init__()
    if not self.name and not self.list:
      raise InputError('give the name of published weights, or --list, which shows them')
