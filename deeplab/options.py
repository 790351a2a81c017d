"""Every option of the toolkit: name, type, default, allowed values and help, in one place.

An options object is a frozen dataclass that checks itself when it is made, so a wrong value is refused before TensorFlow
is imported. `flags.py` makes command-line flags out of the classes; as a library, construct them directly.
"""
import dataclasses
import os
import re

from deeplab.errors import InputError

RESNET_VARIANTS = ('resnet_v1_50', 'resnet_v1_101', 'resnet_v2_50', 'resnet_v2_101')
MODEL_VARIANTS = RESNET_VARIANTS + ('mobilenet_v2',)
OUTPUT_STRIDES = (8, 16, 32)
PREPROCESS_IMAGES_OPTIONS = ('subtract_imagenet_mean', 'zero_mean_unit_range', 'subtract_official_mean')
DEPTH_MULTIPLIERS = (0.35, 0.5, 0.75, 1.0, 1.4)
OUTPUT_TYPES = ('color', 'ids', 'palette', 'overlay', 'probabilities', 'contact_sheet')


def option(default, help, *, choices=None, minimum=None, above=None, maximum=None, required=False):
  """A dataclass field with what a flag needs to know.

  Args:
    default: the value when nothing is given; a tuple marks an option that may be repeated.
    help: one or two sentences for `--help`.
    choices: allowed values, or None.
    minimum, above, maximum: inclusive lower, exclusive lower and inclusive upper bound, of each element of a tuple too.
    required: True when a command cannot run without it.
  """
  return dataclasses.field(default=default, metadata=dict(
      help=help, choices=choices, minimum=minimum, above=above, maximum=maximum, required=required))


class CheckedOptions:
  """Checks each field against its metadata on construction; subclasses add checks between fields."""

  group = ''  # The heading in --help.

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if field.metadata['required'] and not value:
        raise InputError(f'--{field.name} is required: {field.metadata["help"]}')
      if isinstance(value, list):
        value = tuple(value)
        object.__setattr__(self, field.name, value)
      for element in value if isinstance(value, tuple) else (value,):
        _check_value(field, element)

  def replace(self, **changes):
    """A copy with other values, checked again."""
    return dataclasses.replace(self, **changes)


def _check_value(field, value):
  if value is None:
    return
  limits = field.metadata
  if limits['choices'] and value not in limits['choices']:
    allowed = ', '.join(str(choice) for choice in limits['choices'])
    raise InputError(f'--{field.name}={value}: must be one of {allowed}')
  if isinstance(value, float) and not abs(value) < float('inf'):
    raise InputError(f'--{field.name}={value}: must be a finite number')
  if limits['minimum'] is not None and value < limits['minimum']:
    raise InputError(f'--{field.name}={value}: must be at least {limits["minimum"]}')
  if limits['above'] is not None and value <= limits['above']:
    raise InputError(f'--{field.name}={value}: must be greater than {limits["above"]}')
  if limits['maximum'] is not None and value > limits['maximum']:
    raise InputError(f'--{field.name}={value}: must be at most {limits["maximum"]}')


@dataclasses.dataclass(frozen=True)
class ModelOptions(CheckedOptions):
  """What the network is. Saved as JSON beside each checkpoint; shared by trainer, evaluator and inferencer."""

  group = 'Model'

  model_variant: str = option('resnet_v2_101', 'Backbone.', choices=MODEL_VARIANTS)
  output_stride: int = option(
      16, 'Ratio of the input size to the size of the features ASPP sees. Smaller is finer, slower and needs more memory.',
      choices=OUTPUT_STRIDES)
  num_classes: int = option(21, 'Number of classes, background included.', minimum=1, maximum=65535)
  weight_decay: float = option(
      5e-4, 'L2 weight decay on convolution weights; also part of the Loss that the evaluator reports.', minimum=0.0)
  preprocess_images_option: str = option(
      'subtract_imagenet_mean',
      'How the network normalizes pixels: subtract the RGB mean, or map [0, 255] to [-1, 1].',
      choices=PREPROCESS_IMAGES_OPTIONS)
  use_image_level_feature: bool = option(True, 'Add the globally pooled branch to ASPP.')
  atrous_rates: tuple[int, ...] = option(
      (), 'Rates of the 3x3 ASPP branches, repeated or comma-separated: 6,12,18 at stride 16, 12,24,36 at stride 8. '
      'None: no such branches.', minimum=1)
  aspp_with_separable_conv: bool = option(False, 'Separable instead of plain 3x3 convolutions in ASPP.')
  use_decoder: bool = option(False, 'Add the decoder of DeepLabv3+.')
  decoder_with_separable_conv: bool = option(True, 'Separable instead of plain 3x3 convolutions in the decoder.')
  align_corners: bool = option(
      False, 'Bilinear resizes in the network align the corner pixels, as official DeepLab weights expect.')
  depth_multiplier: float = option(
      1.0, 'Width of mobilenet_v2 relative to the standard one.', choices=DEPTH_MULTIPLIERS)
  multi_grid: tuple[int, ...] = option(
      (), 'Three extra rates of the units in the last ResNet block, such as 1,2,4.', minimum=1)

  def __post_init__(self):
    super().__post_init__()
    if self.multi_grid and len(self.multi_grid) != 3:
      raise InputError(f'--multi_grid={",".join(map(str, self.multi_grid))}: must be three rates, one for each unit of '
                       'the last ResNet block, such as 1,2,4')
    if self.multi_grid and self.model_variant not in RESNET_VARIANTS:
      raise InputError(f'--multi_grid: {self.model_variant} has no ResNet block; leave it out')
    if self.depth_multiplier != 1.0 and self.model_variant != 'mobilenet_v2':
      raise InputError(f'--depth_multiplier={self.depth_multiplier}: only mobilenet_v2 has one, not '
                       f'{self.model_variant}; leave it out')


@dataclasses.dataclass(frozen=True)
class ComputeOptions(CheckedOptions):
  """How the network is computed; none of it changes what a checkpoint holds."""

  group = 'Computation'

  compute_dtype: str = option(
      'float32', 'Type of activations and convolutions. Variables, statistics, softmax and loss stay float32. float16 needs a '
      'GPU.', choices=('float32', 'bfloat16', 'float16'))
  jit_compile: bool = option(False, 'Compile with XLA: a slower start for faster steps, most of all on a GPU.')


@dataclasses.dataclass(frozen=True)
class TrainingInputOptions(CheckedOptions):
  """Records to training batches."""

  group = 'Training input'

  filenames: tuple[str, ...] = option(
      (), 'TFRecord files to train on: paths, globs or directories, repeated.', required=True)
  batch_size: int = option(12, 'Images in a batch, over all devices.', minimum=1)
  min_rescale_factor: float = option(0.5, 'Smallest random scale of an image.', above=0.0)
  max_rescale_factor: float = option(2.0, 'Largest random scale of an image.', above=0.0)
  rescale_step_size: float | None = option(
      None, 'Draw the scale from steps of this size instead of uniformly.', above=0.0)
  crop_size_height: int = option(513, 'Height of the training crop; best is a multiple of the output stride plus 1.', minimum=1)
  crop_size_width: int = option(513, 'Width of the training crop; best is a multiple of the output stride plus 1.', minimum=1)
  ignore_label: int = option(255, 'Label value that counts neither in the loss nor in the mIOU.', minimum=0, maximum=65535)
  pad_imagenet_mean: bool = option(
      False, 'Pad images with the ImageNet mean instead of 127.5. Use it with subtract_imagenet_mean.')
  random_vertical_flip: bool = option(False, 'Flip images upside down with probability 1/2.')
  max_rotation_degrees: float = option(
      0.0, 'Rotate by a random angle up to this, either way; the corners are padded.', minimum=0.0, maximum=180.0)
  color_jitter: float = option(
      0.0, 'Multiply brightness, contrast and saturation by random factors from 1 - this to 1 + this.',
      minimum=0.0, maximum=1.0)
  seed: int | None = option(
      None, 'Makes the batches reproducible, whatever the number of threads. Left out: other batches in each run.', minimum=0,
      maximum=2 ** 31 - 1)
  shuffle_buffer_size: int = option(
      10000, 'Records to draw the next one from. More mix better where the shards are sorted; 1 keeps the order of the files.',
      minimum=1)
  shuffle_buffer_mb: int = option(
      1024, 'Memory bound of that buffer in MB of encoded records: it holds fewer records where they are large.', minimum=1)
  num_input_threads: int | None = option(
      None, 'Threads that decode and augment. Default: one for each core.', minimum=1)
  skip_bad_records: bool = option(
      False, 'Look through all records before training, list those that cannot be used, and go on without them, '
      'instead of stopping at the first.')
  max_image_pixels: int = option(
      100_000_000, 'A record with a larger image is refused, before it is decoded into three bytes a pixel.', minimum=1)

  def __post_init__(self):
    super().__post_init__()
    if self.min_rescale_factor > self.max_rescale_factor:
      raise InputError(f'--min_rescale_factor={self.min_rescale_factor}: must not exceed '
                       f'--max_rescale_factor={self.max_rescale_factor}')


@dataclasses.dataclass(frozen=True)
class TrainingOptions(CheckedOptions):
  """Optimizer, schedule and batch norm."""

  group = 'Training'

  num_steps: int = option(30000, 'Number of updates.', minimum=1)
  fine_tune_batch_norm: bool = option(
      True, 'Normalize with the statistics of the batch and update the stored ones. Set it to False for small batches: '
      'the stored statistics are used, gamma and beta still train.')
  batch_norm_decay: float | None = option(
      None, 'Decay of the stored batch norm statistics. Default: 0.9997, and 0.997 in the mobilenet_v2 backbone. A run of '
      'fewer than about 10000 steps needs less, such as 0.99, to evaluate sensibly.', above=0.0, maximum=1.0)
  init_learning_rate: float = option(7e-3, 'Learning rate at the first step.', above=0.0)
  learning_power: float = option(0.9, 'Power of the polynomial schedule.', minimum=0.0)
  momentum: float = option(0.9, 'Momentum.', minimum=0.0, maximum=1.0)
  man_step_lr: bool = option(
      False, 'Step the learning rate by --boundaries and --rates; giving either selects this schedule too.')
  boundaries: tuple[int, ...] | None = option(
      None, 'Steps from which --rates apply, increasing. With --man_step_lr alone: 60000 and 80000.', minimum=1)
  rates: tuple[float, ...] | None = option(
      None, 'Learning rates from each of --boundaries on. With --man_step_lr alone: 7e-4 and 7e-5.', above=0.0)

  learning_policy: str = option(
      'poly', 'Schedule when --boundaries and --rates are not used: polynomial to 0, or half a cosine to 0.',
      choices=('poly', 'cosine'))
  slow_start_step: int = option(
      0, 'Train the first steps at --slow_start_learning_rate; poly and cosine start after them.', minimum=0)
  slow_start_learning_rate: float = option(1e-4, 'Learning rate of the slow start.', above=0.0)
  warmup_steps: int = option(0, 'Ramp the rate linearly from 0 up to the schedule over this many steps.', minimum=0)
  optimizer: str = option(
      'momentum', 'momentum is TF 1 momentum. adamw takes --weight_decay out of the gradient and shrinks the weights by '
      'rate * weight_decay instead.', choices=('momentum', 'adam', 'adamw'))
  clip_gradient_norm: float | None = option(
      None, 'Scale the gradient down to this norm, over all variables together, when it is larger.', above=0.0)
  last_layer_gradient_multiplier: float = option(
      1.0, 'Factor on the gradient of the last layer (logits/semantic), such as 10 for a new head.', above=0.0)
  backbone_learning_rate_multiplier: float = option(
      1.0, 'Factor on the learning rate of the backbone, such as 0.1; 0 freezes its variables.', minimum=0.0)
  ema_decay: float | None = option(
      None, 'Keep an exponential moving average of the weights with this decay, such as 0.999; it is what is validated, and '
      'saved as best.ckpt and model_ema.ckpt.', above=0.0, maximum=0.999999)
  accumulate_steps: int = option(
      1, 'Add the gradients of this many batches before each update: the effect of a larger batch in the memory of a small '
      'one.', minimum=1)
  recompute_gradients: bool = option(
      False, 'Recompute activations in the backward pass instead of keeping them: less memory, slower steps.')
  deterministic: bool = option(
      False, 'Use only operations that give the same bits each time; slower. With the same --seed, two runs are then equal.')

  def __post_init__(self):
    super().__post_init__()
    if self.boundaries or self.rates:
      object.__setattr__(self, 'man_step_lr', True)
    if self.slow_start_step >= self.num_steps:
      raise InputError(f'--slow_start_step={self.slow_start_step}: must be below --num_steps={self.num_steps}')
    if self.man_step_lr and self.learning_policy != 'poly':
      raise InputError(f'--learning_policy={self.learning_policy}: contradicts --man_step_lr, --boundaries and --rates; '
                       'leave one out')
    if not self.man_step_lr:
      return
    object.__setattr__(self, 'boundaries', tuple(self.boundaries or (60000, 80000)))
    object.__setattr__(self, 'rates', tuple(self.rates or (7e-4, 7e-5)))
    if len(self.boundaries) != len(self.rates):
      raise InputError(f'--boundaries has {len(self.boundaries)} values {self.boundaries} and --rates has '
                       f'{len(self.rates)} values {self.rates}: give as many rates as boundaries')
    if list(self.boundaries) != sorted(set(self.boundaries)):
      raise InputError(f'--boundaries={self.boundaries}: must increase')


@dataclasses.dataclass(frozen=True)
class LossOptions(CheckedOptions):
  """What is minimized, beside the L2 term."""

  group = 'Loss'

  loss: str = option(
      'cross_entropy', 'Softmax cross entropy, focal loss (Lin et al. 2017), soft Dice, or the sum of two.',
      choices=('cross_entropy', 'focal', 'dice', 'cross_entropy_and_dice'))
  class_weights: str | None = option(
      None, 'One factor a class, separated by commas, or auto: median frequency balancing over the training records.')
  top_k_percent_pixels: float = option(
      1.0, 'Share of the pixels, those with the largest loss, that count; 1: all.', above=0.0, maximum=1.0)
  hard_example_mining_step: int = option(
      0, 'The share falls linearly from 1 to --top_k_percent_pixels up to this step. 0: it applies from the start.', minimum=0)
  focal_gamma: float = option(2.0, 'Exponent of the focal loss.', minimum=0.0)

  def __post_init__(self):
    super().__post_init__()
    if self.loss == 'dice' and self.top_k_percent_pixels < 1.0:
      raise InputError(f'--top_k_percent_pixels={self.top_k_percent_pixels}: the Dice loss has no loss per pixel to choose '
                       'by; use cross_entropy, focal or cross_entropy_and_dice')
    if self.class_weights not in (None, 'auto'):
      self.listed_class_weights()

  def listed_class_weights(self):
    """The factors of a listed --class_weights as a tuple of floats."""
    try:
      weights = tuple(float(weight) for weight in self.class_weights.split(','))
    except ValueError:
      weights = ()
    if not weights or not all(0.0 <= weight < float('inf') for weight in weights) or not any(weights):
      raise InputError(f'--class_weights={self.class_weights}: must be auto or numbers that are not negative, one a class, '
                       'separated by commas')
    return weights


@dataclasses.dataclass(frozen=True)
class RunOptions(CheckedOptions):
  """Where a training run starts, what it says and what it leaves."""

  group = 'Run'

  load_ckpt_path: str | None = option(
      None, 'Checkpoint to start from, classification or segmentation. Left out: training starts from scratch.')
  restore_from_seg_model: bool = option(
      False, 'The checkpoint is a segmentation model: every variable of the network must be in it.')
  exclude_scopes: tuple[str, ...] = option(
      (), 'Variables of the checkpoint to leave out, by the start of their names, such as logits; repeated.')
  output_path: str = option('/tmp/deeplabv3', 'Directory for checkpoints and summaries.')
  resume: bool = option(
      False, 'Continue the run in --output_path from its last checkpoint, exactly as if it had not stopped.')
  overwrite: bool = option(False, 'Start anew in an --output_path that holds a run; its files are removed.')
  class_names: str | None = option(
      None, 'Names of the classes: voc, cityscapes, ade20k, or a file with one name a line; shown, and saved for evaluation.')
  log_per_steps: int = option(200, 'Steps between two loss lines (the mean since the last line).', minimum=1)
  persist_per_steps: int = option(1000, 'Steps between two checkpoints.', minimum=1)
  max_to_keep: int = option(
      5, 'Number of model.ckpt-STEP to keep, the newest; 0 keeps all. model.ckpt and best.ckpt are always kept.', minimum=0)

  def __post_init__(self):
    super().__post_init__()
    if self.resume and self.overwrite:
      raise InputError('--resume and --overwrite: one continues the run in --output_path, the other removes it; give one')
    if not self.output_path:
      raise InputError('--output_path is empty: give a directory for checkpoints and summaries')


@dataclasses.dataclass(frozen=True)
class ValidationOptions(CheckedOptions):
  """Evaluation while training."""

  group = 'Validation'

  eval_filenames: tuple[str, ...] = option(
      (), 'TFRecord files to validate on while training: paths, globs or directories, repeated.')
  eval_per_steps: int | None = option(
      None, 'Steps between two validations. Default: --persist_per_steps.', minimum=1)
  patience: int = option(
      0, 'Stop when this many validations in a row have not raised the best mIOU; 0: never.', minimum=0)

  def __post_init__(self):
    super().__post_init__()
    if (self.eval_per_steps or self.patience) and not self.eval_filenames:
      raise InputError(f'--{"eval_per_steps" if self.eval_per_steps else "patience"}: needs --eval_filenames, the records to '
                       'validate on')


@dataclasses.dataclass(frozen=True)
class PredictionOptions(CheckedOptions):
  """How one prediction is computed from the network; shared by evaluator and inferencer."""

  group = 'Prediction'

  batch_size: int = option(
      1, 'Images (or tiles) computed at once. Only images of one size share a batch, so the numbers are those of batch 1.',
      minimum=1)
  eval_scales: tuple[float, ...] = option(
      (1.0,), 'Scales at which each image is predicted; the result is the mean of the softmax over scales and flips.',
      above=0.0, maximum=8.0)
  add_flipped_images: bool = option(False, 'Predict the mirrored image too, and average.')
  eval_pad: str = option(
      'none', 'Padding at the bottom and right before the network, cropped off afterwards: none; stride (to the next '
      'multiple of the output stride plus 1); or HEIGHTxWIDTH such as 513x513, for smaller images. Weights with '
      '--align_corners want stride or a fixed size: official MobileNetV2 weights gave mIOU 0.796 on 8 PASCAL VOC images of '
      'native size, 0.853 with stride, 0.859 with 513x513.')
  tile_size: int | None = option(
      None, 'Predict images larger than this in square tiles with this side, for images that do not fit in memory; best is '
      'a multiple of the output stride plus 1.', minimum=2)
  tile_overlap: int | None = option(
      None, 'Pixels that neighbouring tiles share; there the results are blended. Default: a quarter of --tile_size.', minimum=0)

  def __post_init__(self):
    super().__post_init__()
    if not self.eval_scales:
      raise InputError('--eval_scales: give at least one scale, 1.0 for the image as it is')
    self.pad_size  # Refuses what it cannot read.
    if self.tile_size is None and self.tile_overlap is not None:
      raise InputError(f'--tile_overlap={self.tile_overlap}: give --tile_size too')
    if self.tile_size is not None and self.tile_overlap is not None and self.tile_overlap > self.tile_size // 2:
      raise InputError(f'--tile_overlap={self.tile_overlap}: must be at most half of --tile_size={self.tile_size}')
    if self.tile_size is not None and self.pad_size not in (None, 'stride'):
      raise InputError(f'--eval_pad={self.eval_pad}: with --tile_size it must be none or stride')

  @property
  def pad_size(self):
    """None without padding, 'stride', or (height, width)."""
    if self.eval_pad in ('none', 'stride'):
      return None if self.eval_pad == 'none' else 'stride'
    match = re.fullmatch(r'([1-9]\d*)x([1-9]\d*)', self.eval_pad, flags=re.ASCII)
    if not match:
      raise InputError(f'--eval_pad={self.eval_pad}: must be none, stride, or HEIGHTxWIDTH such as 513x513')
    return int(match.group(1)), int(match.group(2))

  @property
  def overlap(self):
    """Pixels that neighbouring tiles share at least, or None without tiles."""
    return self.tile_size // 4 if self.tile_size and self.tile_overlap is None else self.tile_overlap

  def check_against(self, model_options):
    """Raises InputError where the tiles are too small for the network."""
    if self.tile_size is not None and self.tile_size <= model_options.output_stride:
      raise InputError(f'--tile_size={self.tile_size}: must be greater than --output_stride={model_options.output_stride}')
    if self.tile_size is not None and self.tile_size - self.overlap < model_options.output_stride:
      raise InputError(f'--tile_overlap={self.overlap}: must be smaller than --tile_size={self.tile_size} by at least '
                       f'--output_stride={model_options.output_stride}')


@dataclasses.dataclass(frozen=True)
class EvaluationOptions(CheckedOptions):
  """What to evaluate, and what to report."""

  group = 'Evaluation'

  filenames: tuple[str, ...] = option(
      (), 'TFRecord files to evaluate on: paths, globs or directories, repeated.', required=True)
  ckpt_path: str | None = option(None, 'Checkpoint: its prefix, or a directory that holds one.', required=True)
  ignore_label: int = option(255, 'Label value that counts neither in the loss nor in the mIOU.', minimum=0, maximum=65535)
  class_names: str | None = option(
      None, 'Names of the classes: voc, cityscapes, ade20k, or a file with one name a line. Default: those saved beside the '
      'checkpoint, else their numbers.')
  colormap: str = option('voc', 'Colours in the report: voc, cityscapes, ade20k, or a file of `index r g b [name]` lines.')
  report_path: str | None = option(
      None, 'Directory for report.html, report.json, per_class.csv, confusion.csv and pictures.')
  num_worst_images: int = option(12, 'Images with the lowest mIOU that the report shows.', minimum=0, maximum=1000)
  boundary_iou: bool = option(
      False, 'Also the IoU of the bands along the borders of the classes, whose width is 2 % of the image diagonal.')
  all_checkpoints: bool = option(
      False, 'Evaluate every checkpoint of the directory --ckpt_path, oldest first, and end with a table.')
  watch: bool = option(
      False, 'Then wait for new checkpoints in the directory --ckpt_path and evaluate each.')
  watch_timeout: float = option(
      3600.0, 'Seconds without a new checkpoint after which --watch ends.', above=0.0)


@dataclasses.dataclass(frozen=True)
class InferenceOptions(CheckedOptions):
  """What to predict, and where the pictures go."""

  group = 'Inference'

  input_file_list: str | None = option(None, 'Text file with one image path a line.')
  input: tuple[str, ...] = option((), 'Image file, directory or glob to predict; repeated, instead of --input_file_list.')
  recursive: bool = option(False, 'Look into the sub-directories of directories too.')
  ckpt_path: str | None = option(None, 'Checkpoint: its prefix, or a directory that holds one.', required=True)
  output_path: str = option('/tmp/deeplabv3/pred/', 'Directory for the predictions.')
  output_type: tuple[str, ...] = option(
      ('color',), 'What to write for each image, repeated or comma-separated: color (RGB PNG); ids (grey PNG, values = '
      'classes, 16-bit above 256 classes); palette (a PNG that is both); overlay (colours over the image); probabilities '
      '(npz, float16 [height, width, num_classes]); contact_sheet (pages of image, prediction and overlay).',
      choices=OUTPUT_TYPES)
  output_suffix: str | None = option(
      None, 'Names: --output_suffix=_pred writes NAME_pred.png for NAME.jpg. Default: NAME.jpg.png, and NAME.jpg_ids.png and '
      'so on for the other types.')
  keep_structure: bool = option(False, 'Keep the sub-directories of the inputs below --output_path.')
  skip_existing: bool = option(False, 'Leave out images whose predictions exist: continues an interrupted run.')
  colormap: str = option('voc', 'Colours of the classes: voc, cityscapes, ade20k, or a file of `index r g b [name]` lines.')
  class_names: str | None = option(
      None, 'Names of the classes for the legend: voc, cityscapes, ade20k, or a file with one name a line.')
  legend: bool = option(False, 'Write legend.png, the colour of each class, and show it on contact sheets.')

  def __post_init__(self):
    super().__post_init__()
    if bool(self.input) == bool(self.input_file_list):
      raise InputError('--input_file_list or --input is required, and only one of them: which images to predict')
    if not self.output_type:
      raise InputError(f'--output_type: give at least one of {", ".join(OUTPUT_TYPES)}')
    if self.output_suffix and os.sep in self.output_suffix:
      raise InputError(f'--output_suffix={self.output_suffix}: must not contain {os.sep}; --output_path is the directory')


@dataclasses.dataclass(frozen=True)
class ConversionOptions(CheckedOptions):
  """Image and label files to records."""

  group = 'Conversion'

  labels_dir: str | None = option(None, 'Directory of the label files.', required=True)
  images_dir: str | None = option(None, 'Directory of the image files.', required=True)
  split: str | None = option(None, 'Name of the data set, such as train: it names the records.', required=True)
  list_path: str | None = option(
      None, 'Text file with one basename (no extension) a line. Left out: every basename that has an image and a label.')
  labels_ext: str = option('.png', 'Extension of the label files: .png, or .mat for SBD (needs scipy).')
  images_ext: str = option('.jpg', 'Extension of the image files, JPEG or PNG.')
  output_dir: str = option('.', 'Directory to write to. The reference layout makes the directory SPLIT in it.')
  record_format: str = option(
      'basic', "basic: SPLIT/SPLIT-00001-of-N.tfrecord with the reference's features; official: SPLIT-00000-of-N.tfrecord with "
      'those of research/deeplab. This toolkit reads both.', choices=('basic', 'official'))
  num_per_shard: int = option(1024, 'Records in a file.', minimum=1)
  num_workers: int | None = option(None, 'Processes that check the files. Default: one for each core.', minimum=1)
  num_classes: int | None = option(
      None, 'Refuse labels with a value that is neither below this nor --ignore_label. Left out: any value is taken, and the '
      'summary shows which.', minimum=1, maximum=65535)
  ignore_label: int = option(255, 'Label value of pixels that do not count.', minimum=0, maximum=65535)
  label_colormap: str | None = option(
      None, 'Colours of the classes, for labels stored as colours: voc, cityscapes, ade20k or a file of lines '
      '"index r g b [name]".')
  label_offset: int = option(
      0, 'Add this to each label value but --ignore_label. Values that fall below 0 become --ignore_label: -1 makes class 0 '
      'of ADE20K ignored.', minimum=-65535, maximum=65535)
  max_image_pixels: int = option(100_000_000, 'A larger image is refused.', minimum=1)

  def __post_init__(self):
    super().__post_init__()
    for name in ('labels_ext', 'images_ext'):
      extension = getattr(self, name)
      object.__setattr__(self, name, extension if extension.startswith('.') else f'.{extension}')
    if self.split in ('.', '..') or '/' in self.split:
      raise InputError(f'--split={self.split}: must be a plain name such as train; --output_dir says where the records go')


@dataclasses.dataclass(frozen=True)
class InspectionOptions(CheckedOptions):
  """Which records to look at, and how."""

  group = 'Inspection'

  filenames: tuple[str, ...] = option(
      (), 'TFRecord files to look at: paths, globs or directories, repeated.', required=True)
  num_classes: int | None = option(
      None, 'Report records with a label value that is neither below this nor --ignore_label. Left out: any value is taken.',
      minimum=1, maximum=65535)
  ignore_label: int = option(255, 'Label value of pixels that do not count.', minimum=0, maximum=65535)
  class_names: str | None = option(
      None, 'Names in the histogram: voc, cityscapes, ade20k or a file with one name a line.')
  label_colormap: str = option('voc', 'Colours in the contact sheet: voc, cityscapes, ade20k or a file.')
  contact_sheet: str | None = option(None, 'PNG to write, with samples and their labels laid over them.')
  num_samples: int = option(16, 'Samples in the contact sheet, spread over the records.', minimum=1, maximum=400)
  max_image_pixels: int = option(100_000_000, 'A record with a larger image is reported as bad.', minimum=1)


@dataclasses.dataclass(frozen=True)
class PreviewOptions(CheckedOptions):
  """The contact sheet of augmented images."""

  group = 'Preview'

  output_path: str = option('augmentation.png', 'PNG to write.')
  num_batches: int = option(2, 'Batches to draw.', minimum=1, maximum=100)
  start_step: int = option(0, 'First batch to draw, counted from 0.', minimum=0)
  num_classes: int = option(21, 'Number of classes, background included.', minimum=1, maximum=65535)
  class_names: str | None = option(None, 'Names in the legend: voc, cityscapes, ade20k or a file with one name a line.')
  label_colormap: str = option('voc', 'Colours of the classes: voc, cityscapes, ade20k or a file.')


@dataclasses.dataclass(frozen=True)
class ImportOptions(CheckedOptions):
  """Official weights, and what their names and shapes do not tell."""

  group = 'Import'

  ckpt_path: str | None = option(
      None, 'Official DeepLab weights: a checkpoint prefix, a directory, an archive of the model zoo (.tar.gz), or a '
      'frozen_inference_graph.pb.', required=True)
  output_path: str | None = option(
      None, 'Directory for model.ckpt and, beside it, the architecture as JSON.', required=True)
  overwrite: bool = option(False, 'Replace the result of an earlier import.')
  output_stride: int | None = option(
      None, 'Output stride to save; evaluation and inference may choose another. Default: that of the graph, or 16.',
      choices=OUTPUT_STRIDES)
  atrous_rates: tuple[int, ...] = option(
      (), 'Rates of the atrous branches at that stride. Default: those of the graph, or the official 6,12,18 at stride 16, '
      '12,24,36 at 8.', minimum=1)
  multi_grid: tuple[int, ...] = option(
      (), 'Extra rates of the last ResNet block that the weights were trained with. Default: those of the graph, or none.',
      minimum=1)
  preprocess_images_option: str | None = option(
      None, 'Normalization the weights were trained with. Default: that of the graph, or the official one of the backbone.',
      choices=PREPROCESS_IMAGES_OPTIONS)
  align_corners: bool | None = option(
      None, 'Whether the bilinear resizes align corners. Default: as in the graph, or as the official program: True.')
  weight_decay: float = option(
      4e-5, 'L2 weight decay to save, the official default; part of the Loss that the evaluator reports.', minimum=0.0)
  model_variant: str | None = option(
      None, 'Refuse other backbones than this. Not needed: the names tell.', choices=MODEL_VARIANTS)
  num_classes: int | None = option(
      None, 'Refuse another number of classes than this. Not needed: the shapes tell.', minimum=1, maximum=65535)
  class_names: str | None = option(
      None, 'Names of the classes to save: voc, cityscapes, ade20k, or a file with one name a line.')


@dataclasses.dataclass(frozen=True)
class ExportOptions(CheckedOptions):
  """One of our checkpoints, and where its official form goes."""

  group = 'Export'

  ckpt_path: str | None = option(
      None, 'Checkpoint of this toolkit: its prefix, or a directory that holds one.', required=True)
  output_path: str | None = option(None, 'Directory for the official model.ckpt.', required=True)
  overwrite: bool = option(False, 'Replace the result of an earlier export.')
