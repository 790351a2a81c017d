"""How a prediction is computed, and evaluation."""

import dataclasses

from deeplab.errors import InputError
from deeplab.options.checks import MOST_IMAGES_AT_ONCE, CheckedOptions, option
from deeplab.options.data import (
  DEFAULT_MAX_IMAGE_PIXELS,
  MAX_IMAGE_PIXELS_HELP,
  MOST_IMAGE_PIXELS,
)
from deeplab.options.eval_padding import EVAL_PAD_HELP, fixed_pad_size, pad_size
from deeplab.options.model import ModelOptions

_LONGEST_SIDE = 65535  # In pixels, of pictures: more than JPEG can hold.
# What evaluator and inferencer take.
CKPT_PATH_HELP = (
  'Checkpoint: its prefix, a directory that holds one, or the name of published weights such as '
  'official/xception65_voc_trainaug (download_checkpoint.py --list). Or a model that '
  'export_model.py wrote: a .tflite or .onnx file, or the directory of a SavedModel.'
)
BEST_HELP = (
  'Of the directory --ckpt_path take best.ckpt, the best network of the validations while training.'
)


@dataclasses.dataclass(frozen=True)
class PredictionOptions(CheckedOptions):
  """How one prediction is computed from the network; shared by evaluator and inferencer."""

  group = 'Prediction'

  batch_size: int = option(
    1,
    'Images (or tiles) computed at once. Only images of one size share a batch, so the numbers are '
    'those of batch 1.',
    minimum=1,
    maximum=MOST_IMAGES_AT_ONCE,
  )
  eval_scales: tuple[float, ...] = option(
    (1.0,),
    'Scales at which each image is predicted; the result is the mean of the softmax over scales '
    'and flips.',
    minimum=0.1,
    maximum=8.0,
  )
  add_flipped_images: bool = option(False, 'Predict the mirrored image too, and average.')
  eval_pad: str = option('auto', EVAL_PAD_HELP)
  max_size: int | None = option(
    None,
    'Shrink images whose longer side is larger to this many pixels for the network, and enlarge '
    'the result to their own size; tiles, scales and padding apply to the shrunk image. Best is '
    'about the size of the crops that the network was trained on.',
    minimum=1,
    maximum=_LONGEST_SIDE,
  )
  tile_size: int | None = option(
    None,
    'Predict images larger than this in square tiles with this side, for images that do not fit in '
    'memory; best is a multiple of the output stride plus 1.',
    minimum=2,
    maximum=_LONGEST_SIDE,
  )
  tile_overlap: int | None = option(
    None,
    'Pixels that neighbouring tiles share; there the results are blended. Default: a quarter of '
    '--tile_size.',
    minimum=0,
    maximum=_LONGEST_SIDE,
  )
  max_image_pixels: int = option(
    DEFAULT_MAX_IMAGE_PIXELS, MAX_IMAGE_PIXELS_HELP, minimum=1, maximum=MOST_IMAGE_PIXELS
  )

  def __post_init__(self):
    super().__post_init__()
    if not self.eval_scales:
      raise InputError('--eval_scales: give at least one scale, 1.0 for the image as it is')
    fixed_size = fixed_pad_size(self.eval_pad)  # Refuses what it cannot read.
    if self.tile_size is None and self.tile_overlap is not None:
      raise InputError(f'--tile_overlap={self.tile_overlap}: give --tile_size too')
    if (
      self.tile_size is not None
      and self.tile_overlap is not None
      and self.tile_overlap > self.tile_size // 2
    ):
      raise InputError(
        f'--tile_overlap={self.tile_overlap}: must be at most half of --tile_size={self.tile_size}'
      )
    if self.tile_size is not None and fixed_size is not None:
      raise InputError(
        f'--eval_pad={self.eval_pad}: with --tile_size it must be auto, none or stride'
      )

  def pad_size(self, model_options: ModelOptions) -> str | tuple[int, int] | None:
    """As `eval_padding.pad_size`."""
    return pad_size(self.eval_pad, model_options)

  @property
  def overlap(self) -> int | None:
    """Pixels that neighbouring tiles share at least, or None without tiles."""
    return (
      self.tile_size // 4 if self.tile_size and self.tile_overlap is None else self.tile_overlap
    )

  def check_against(self, model_options: ModelOptions) -> None:
    """Raises InputError where the tiles are too small for the network."""
    if self.tile_size is not None and self.tile_size <= model_options.output_stride:
      raise InputError(
        f'--tile_size={self.tile_size}: must be greater than '
        f'--output_stride={model_options.output_stride}'
      )
    if self.tile_size is not None and self.tile_size - self.overlap < model_options.output_stride:
      raise InputError(
        f'--tile_overlap={self.overlap}: must be smaller than --tile_size={self.tile_size} by at '
        f'least --output_stride={model_options.output_stride}'
      )


@dataclasses.dataclass(frozen=True)
class EvaluationOptions(CheckedOptions):
  """What to evaluate, and what to report."""

  group = 'Evaluation'

  filenames: tuple[str, ...] = option(
    (), 'TFRecord files to evaluate on: paths, globs or directories, repeated.', required=True
  )
  ckpt_path: str | None = option(None, CKPT_PATH_HELP, required=True)
  best: bool = option(False, BEST_HELP)
  ignore_label: int = option(
    255,
    'Label value that counts neither in the loss nor in the mIOU. Left out: that in the '
    'description of the records (dataset.json), else that saved with the network.',
    minimum=0,
    maximum=65535,
  )
  class_names: str | None = option(
    None,
    'Names of the classes: voc, cityscapes, ade20k, camvid, or a file with one name a line. '
    'Default: those saved beside the checkpoint, else those of the records, else their numbers.',
  )
  colormap: str | None = option(
    None,
    'Colours in the report: voc, cityscapes, ade20k, camvid, or a file of `index r g b [name]` '
    'lines. Default: those saved beside the checkpoint, else those of the records, else voc.',
  )
  report_path: str | None = option(
    None,
    'Directory for report.html, report.json, per_class.csv, confusion.csv and pictures.',
    not_empty='a directory',
    local='copy what is written there afterwards',
  )
  num_worst_images: int = option(
    12, 'Images with the lowest mIOU that the report shows.', minimum=0, maximum=1000
  )
  boundary_iou: bool = option(
    False,
    'Also the IoU of the bands along the borders of the classes, whose width is 2 % of the image '
    'diagonal.',
  )
  all_checkpoints: bool = option(
    False,
    'Evaluate every checkpoint of the directory --ckpt_path, oldest first, and end with a table.',
  )
  watch: bool = option(
    False, 'Then wait for new checkpoints in the directory --ckpt_path and evaluate each.'
  )
  watch_timeout: float = option(
    3600.0,
    'Seconds without a new checkpoint after which --watch ends.',
    above=0.0,
    maximum=1e9,
  )

  def __post_init__(self):
    super().__post_init__()
    if self.best and (self.all_checkpoints or self.watch):
      raise InputError('--best: means one checkpoint; leave --all_checkpoints and --watch out')
