"""Records to training batches, and looking at both."""

import dataclasses

from deeplab.errors import InputError
from deeplab.options.checks import MOST_IMAGES_AT_ONCE, MOST_STEPS, CheckedOptions, option

DEFAULT_MAX_IMAGE_PIXELS = 100_000_000  # 300 MB decoded.
MOST_IMAGE_PIXELS = 2**31 - 1  # More are no tensor that the kernels take.
MOST_THREADS = 1024
# A scale of 32 makes the largest crop of 512 pixels.
SMALLEST_SCALE, LARGEST_SCALE = 0.01, 32.0
MAX_IMAGE_PIXELS_HELP = (
  'Height times width up to which a picture, a record or a frame of a video is decoded, into three '
  'bytes a pixel; a larger one is refused by its header.'
)


@dataclasses.dataclass(frozen=True)
class TrainingInputOptions(CheckedOptions):
  """Records to training batches."""

  group = 'Training input'

  filenames: tuple[str, ...] = option(
    (), 'TFRecord files to train on: paths, globs or directories, repeated.', required=True
  )
  batch_size: int = option(
    12, 'Images in a batch, over all devices.', minimum=1, maximum=MOST_IMAGES_AT_ONCE
  )
  min_rescale_factor: float = option(
    0.5, 'Smallest random scale of an image.', minimum=SMALLEST_SCALE, maximum=LARGEST_SCALE
  )
  max_rescale_factor: float = option(
    2.0, 'Largest random scale of an image.', minimum=SMALLEST_SCALE, maximum=LARGEST_SCALE
  )
  rescale_step_size: float | None = option(
    None,
    'Draw the scale from steps of this size instead of uniformly.',
    minimum=0.001,
    maximum=LARGEST_SCALE,
  )
  crop_size_height: int = option(
    513,
    'Height of the training crop; best is a multiple of the output stride plus 1.',
    minimum=1,
    maximum=16385,
  )
  crop_size_width: int = option(
    513,
    'Width of the training crop; best is a multiple of the output stride plus 1.',
    minimum=1,
    maximum=16385,
  )
  ignore_label: int = option(
    255, 'Label value that counts neither in the loss nor in the mIOU.', minimum=0, maximum=65535
  )
  pad_imagenet_mean: bool = option(
    False, 'Pad images with the ImageNet mean instead of 127.5. Use it with subtract_imagenet_mean.'
  )
  random_vertical_flip: bool = option(False, 'Flip images upside down with probability 1/2.')
  max_rotation_degrees: float = option(
    0.0,
    'Rotate by a random angle up to this, either way; the corners are padded.',
    minimum=0.0,
    maximum=180.0,
  )
  color_jitter: float = option(
    0.0,
    'Multiply brightness, contrast and saturation by random factors from 1 - this to 1 + this.',
    minimum=0.0,
    maximum=1.0,
  )
  seed: int | None = option(
    None,
    'Makes the batches reproducible, whatever the number of threads. Left out: other batches in '
    'each run.',
    minimum=0,
    maximum=2**31 - 1,
  )
  shuffle_buffer_size: int = option(
    10000,
    'Records to draw the next one from. More mix better where the shards are sorted; 1 keeps the '
    'order of the files.',
    minimum=1,
    maximum=MOST_STEPS,
  )
  shuffle_buffer_mb: int = option(
    1024,
    'Memory bound of that buffer in MB of encoded records: it holds fewer records where they are '
    'large.',
    minimum=1,
    maximum=2**24,
  )
  num_input_threads: int | None = option(
    None,
    'Threads that decode and augment. Default: one for each core.',
    minimum=1,
    maximum=MOST_THREADS,
  )
  skip_bad_records: bool = option(
    False,
    'Look through all records before training, list those that cannot be used in bad_records.txt '
    'in --output_path, and go on without them, instead of stopping at the first.',
  )
  max_image_pixels: int = option(
    DEFAULT_MAX_IMAGE_PIXELS, MAX_IMAGE_PIXELS_HELP, minimum=1, maximum=MOST_IMAGE_PIXELS
  )

  @property
  def crop_size(self) -> tuple[int, int]:
    """(height, width) of the training crop."""
    return self.crop_size_height, self.crop_size_width

  def __post_init__(self):
    super().__post_init__()
    if self.min_rescale_factor > self.max_rescale_factor:
      raise InputError(
        f'--min_rescale_factor={self.min_rescale_factor}: must not exceed '
        f'--max_rescale_factor={self.max_rescale_factor}'
      )


@dataclasses.dataclass(frozen=True)
class InspectionOptions(CheckedOptions):
  """Which records to look at, and how."""

  group = 'Inspection'

  filenames: tuple[str, ...] = option(
    (), 'TFRecord files to look at: paths, globs or directories, repeated.', required=True
  )
  num_classes: int | None = option(
    None,
    'Report records with a label value that is neither below this nor --ignore_label. Left out: '
    'as the description of the records (dataset.json) says; without one any value is taken.',
    minimum=1,
    maximum=65535,
  )
  ignore_label: int = option(
    255,
    'Label value of pixels that do not count. Left out: as the description says.',
    minimum=0,
    maximum=65535,
  )
  class_names: str | None = option(
    None,
    'Names in the histogram: voc, cityscapes, ade20k, camvid or a file with one name a line. '
    'Default: those of the description.',
  )
  colormap: str | None = option(
    None,
    'Colours in the contact sheet: voc, cityscapes, ade20k, camvid or a file. Default: those of '
    'the description, else voc.',
    alias='label_colormap',
  )
  contact_sheet: str | None = option(
    None,
    'PNG to write, with samples and their labels laid over them.',
    not_empty='a file name',
    local='copy what is written there afterwards',
  )
  bad_records_path: str | None = option(
    None,
    'Text file to write, with a line for each bad record.',
    not_empty='a file name',
    local='copy what is written there afterwards',
  )
  num_samples: int = option(
    16, 'Samples in the contact sheet, spread over the records.', minimum=1, maximum=400
  )
  max_image_pixels: int = option(
    DEFAULT_MAX_IMAGE_PIXELS, MAX_IMAGE_PIXELS_HELP, minimum=1, maximum=MOST_IMAGE_PIXELS
  )


@dataclasses.dataclass(frozen=True)
class PreviewOptions(CheckedOptions):
  """The contact sheet of augmented images."""

  group = 'Preview'

  output_path: str = option(
    'augmentation.png',
    'PNG to write.',
    not_empty='a file name',
    local='copy what is written there afterwards',
  )
  num_batches: int = option(2, 'Batches to draw.', minimum=1, maximum=100)
  start_step: int = option(0, 'First batch to draw, counted from 0.', minimum=0, maximum=MOST_STEPS)
  num_classes: int = option(
    21,
    'Number of classes, background included. Left out: as the description of the records '
    '(dataset.json) says.',
    minimum=1,
    maximum=65535,
  )
  class_names: str | None = option(
    None,
    'Names in the legend: voc, cityscapes, ade20k, camvid or a file with one name a line. '
    'Default: those of the description.',
  )
  colormap: str | None = option(
    None,
    'Colours of the classes: voc, cityscapes, ade20k, camvid or a file. Default: those of the '
    'description, else voc.',
    alias='label_colormap',
  )
