"""Files to records, and records to training batches."""

import dataclasses

from deeplab.errors import InputError
from deeplab.options.checks import CheckedOptions, option

DEFAULT_MAX_IMAGE_PIXELS = 100_000_000  # 300 MB decoded.


@dataclasses.dataclass(frozen=True)
class TrainingInputOptions(CheckedOptions):
  """Records to training batches."""

  group = 'Training input'

  filenames: tuple[str, ...] = option(
    (), 'TFRecord files to train on: paths, globs or directories, repeated.', required=True
  )
  batch_size: int = option(12, 'Images in a batch, over all devices.', minimum=1)
  min_rescale_factor: float = option(0.5, 'Smallest random scale of an image.', above=0.0)
  max_rescale_factor: float = option(2.0, 'Largest random scale of an image.', above=0.0)
  rescale_step_size: float | None = option(
    None, 'Draw the scale from steps of this size instead of uniformly.', above=0.0
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
  )
  shuffle_buffer_mb: int = option(
    1024,
    'Memory bound of that buffer in MB of encoded records: it holds fewer records where they are '
    'large.',
    minimum=1,
  )
  num_input_threads: int | None = option(
    None, 'Threads that decode and augment. Default: one for each core.', minimum=1
  )
  skip_bad_records: bool = option(
    False,
    'Look through all records before training, list those that cannot be used, and go on without '
    'them, instead of stopping at the first.',
  )
  max_image_pixels: int = option(
    DEFAULT_MAX_IMAGE_PIXELS,
    'A record with a larger image is refused, before it is decoded into three bytes a pixel.',
    minimum=1,
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
class ConversionOptions(CheckedOptions):
  """Image and label files to records."""

  group = 'Conversion'

  labels_dir: str | None = option(None, 'Directory of the label files. Required without --layout.')
  images_dir: str | None = option(None, 'Directory of the image files. Required without --layout.')
  layout: str | None = option(
    None,
    'A published data set on the tree of its downloads in --data_dir: sets the directories, the '
    'list, what names end in, the number of classes and what is ignored. Flags that are given win.',
    choices=('voc', 'voc_aug', 'cityscapes', 'ade20k', 'camvid'),
  )
  data_dir: str | None = option(
    None, 'Where the downloads of that data set were unpacked.', not_empty='a directory'
  )
  split: str | None = option(
    None, 'Name of the data set, such as train: it names the records.', required=True
  )
  list_path: str | None = option(
    None,
    'Text file with one name a line, with or without its ending, or with the image and its label. '
    'Paths of another machine are looked for by their last parts below --images_dir and '
    '--labels_dir. Left out: every label, with its image, in sub-directories too.',
  )
  labels_ext: str = option(
    '.png',
    'What the names of the label files end in: .png, _mask.png, _gtFine_labelTrainIds.png, or .mat '
    'for SBD (needs scipy).',
    not_empty='what the names end in',
  )
  images_ext: str | None = option(
    None,
    'What the names of the image files end in, such as .jpg or _leftImg8bit.png. Left out: every '
    'image extension, in any case.',
    not_empty='what the names end in',
  )
  output_dir: str = option(
    '.',
    'Directory to write to. The reference layout makes the directory SPLIT in it.',
    not_empty='a directory',
  )
  record_format: str = option(
    'basic',
    "basic: SPLIT/SPLIT-00001-of-N.tfrecord with the reference's features; official: "
    'SPLIT-00000-of-N.tfrecord with '
    'those of research/deeplab. This toolkit reads both.',
    choices=('basic', 'official'),
  )
  num_per_shard: int = option(1024, 'Records in a file.', minimum=1)
  num_workers: int | None = option(
    None, 'Processes that check the files. Default: one for each core.', minimum=1
  )
  num_classes: int | None = option(
    None,
    'Refuse labels with a value that is neither below this nor --ignore_label. Left out: as many '
    'as --class_names or a file of --colormap lists; without those any value is taken, and the '
    'summary shows which.',
    minimum=1,
    maximum=65535,
  )
  ignore_label: int = option(
    255, 'Label value of pixels that do not count.', minimum=0, maximum=65535
  )
  colormap: str | None = option(
    None,
    'Colours of the classes: voc, cityscapes, ade20k or a file of lines "index r g b [name]". '
    'Labels stored as colours are read by it, and it is kept in dataset.json.',
    alias='label_colormap',
  )
  class_names: str | None = option(
    None,
    'Names of the classes, kept in dataset.json: voc, cityscapes, ade20k or a file with one name '
    'a line. Default: those in the file of --colormap.',
  )
  dataset: str | None = option(
    None,
    'The dataset.json of another split, or the directory of its records: number of classes, '
    'ignore_label, names and colours are taken from it.',
    not_empty='a file or directory',
  )
  label_offset: int = option(
    0,
    'Add this to each label value but --ignore_label. Values that fall below 0 become '
    '--ignore_label: -1 makes class 0 of ADE20K ignored.',
    minimum=-65535,
    maximum=65535,
  )
  label_map: str | None = option(
    None,
    'Replace the values in the label files by classes. cityscapes_ids: label ids of Cityscapes (0 '
    'to 33) by its 19 training ids, others by --ignore_label.',
    choices=('cityscapes_ids',),
  )
  max_image_pixels: int = option(DEFAULT_MAX_IMAGE_PIXELS, 'A larger image is refused.', minimum=1)

  def __post_init__(self):
    super().__post_init__()
    if (self.layout is None) != (self.data_dir is None):
      raise InputError('--layout and --data_dir belong together: a data set, and where it is')
    for name in ('labels_dir', 'images_dir') if self.layout is None else ():
      if not getattr(self, name):
        raise InputError(f'--{name} is required; or give --layout and --data_dir')
    for name in ('labels_ext', 'images_ext'):
      if getattr(self, name) is not None:
        object.__setattr__(self, name, _ending(name, getattr(self, name)))
    if self.split in ('.', '..') or '/' in self.split:
      raise InputError(
        f'--split={self.split}: must be a plain name such as train; --output_dir says where the '
        'records go'
      )


def _ending(flag, text):
  """What names end in: `png` is `.png`; `_mask.png` stays."""
  if '/' in text or '*' in text or not ('.' in text or text.isalnum()) or text.endswith('.'):
    raise InputError(
      f'--{flag}={text}: must be what the file names end in, extension included, such as .png or '
      '_mask.png'
    )
  return text if '.' in text else f'.{text}'


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
    'Names in the histogram: voc, cityscapes, ade20k or a file with one name a line. Default: '
    'those of the description.',
  )
  colormap: str | None = option(
    None,
    'Colours in the contact sheet: voc, cityscapes, ade20k or a file. Default: those of the '
    'description, else voc.',
    alias='label_colormap',
  )
  contact_sheet: str | None = option(
    None, 'PNG to write, with samples and their labels laid over them.', not_empty='a file name'
  )
  num_samples: int = option(
    16, 'Samples in the contact sheet, spread over the records.', minimum=1, maximum=400
  )
  max_image_pixels: int = option(
    DEFAULT_MAX_IMAGE_PIXELS, 'A record with a larger image is reported as bad.', minimum=1
  )


@dataclasses.dataclass(frozen=True)
class PreviewOptions(CheckedOptions):
  """The contact sheet of augmented images."""

  group = 'Preview'

  output_path: str = option('augmentation.png', 'PNG to write.', not_empty='a file name')
  num_batches: int = option(2, 'Batches to draw.', minimum=1, maximum=100)
  start_step: int = option(0, 'First batch to draw, counted from 0.', minimum=0)
  num_classes: int = option(
    21,
    'Number of classes, background included. Left out: as the description of the records '
    '(dataset.json) says.',
    minimum=1,
    maximum=65535,
  )
  class_names: str | None = option(
    None,
    'Names in the legend: voc, cityscapes, ade20k or a file with one name a line. Default: those '
    'of the description.',
  )
  colormap: str | None = option(
    None,
    'Colours of the classes: voc, cityscapes, ade20k or a file. Default: those of the description, '
    'else voc.',
    alias='label_colormap',
  )
