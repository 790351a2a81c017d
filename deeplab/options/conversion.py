"""Image and label files to records."""

import dataclasses

from deeplab.errors import InputError
from deeplab.options.checks import MOST_STEPS, CheckedOptions, option
from deeplab.options.data import (
  DEFAULT_MAX_IMAGE_PIXELS,
  MAX_IMAGE_PIXELS_HELP,
  MOST_IMAGE_PIXELS,
)
from deeplab.options.shards import (
  MERGE_SHARDS_HELP,
  MOST_SHARDS,
  NUM_SHARDS_HELP,
  check_shards,
)


@dataclasses.dataclass(frozen=True)
class ConversionOptions(CheckedOptions):
  """Image and label files to records."""

  group = 'Conversion'

  labels_dir: str | None = option(
    None,
    'Directory of the label files. Required without --layout and --annotations.',
    local='copy the files to a local disk first',
  )
  images_dir: str | None = option(
    None,
    'Directory of the image files. Required without --layout.',
    local='copy the files to a local disk first',
  )
  layout: str | None = option(
    None,
    'A published data set on the tree of its downloads in --data_dir: sets the directories, the '
    'list, what names end in, the number of classes and what is ignored. Flags that are given win.',
    choices=('voc', 'voc_aug', 'cityscapes', 'ade20k', 'camvid'),
  )
  data_dir: str | None = option(
    None,
    'Where the downloads of that data set were unpacked.',
    not_empty='a directory',
    local='copy the files to a local disk first',
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
    'What the names of the label files end in: .png, _mask.png, _gtFine_labelTrainIds.png, .tif, '
    'or .mat for SBD (needs scipy). Their content says what they are: PNG, lossless TIFF, BMP, GIF '
    'or WebP, .npy.',
    not_empty='what the names end in',
  )
  images_ext: str | None = option(
    None,
    'What the names of the image files end in, such as .jpg or _leftImg8bit.png. Left out: every '
    'image extension, in any case.',
    not_empty='what the names end in',
  )
  annotations: str | None = option(
    None,
    "Instead of --labels_dir: a COCO JSON of instances (needs pycocotools: pip install '.[coco]'), "
    'or a directory of labelme JSON files. Their regions become labels: class 0 where there is '
    'none, then the categories by id (labelme: the names in alphabetical order), or the classes of '
    '--class_names. Where regions overlap, the smaller is on top, of equal ones the later.',
    not_empty='a file or a directory',
    local='copy the files to a local disk first',
  )
  accept: tuple[str, ...] = option(
    (),
    'Go on where the converter would stop. one_class: all labels hold one class and the ignored '
    'value. palettes: the files have other colours for one index, or greys that are not the '
    'indices. interpolated: labels look resized with interpolation. outside: regions of '
    'annotations are cut off at the border of their picture. no_background: what is in no region '
    'is ignored, where class 0 is a category. Repeat it, or separate by commas.',
    choices=('one_class', 'palettes', 'interpolated', 'outside', 'no_background'),
  )
  output_dir: str = option(
    '.',
    'Directory to write to. The reference layout makes the directory SPLIT in it.',
    not_empty='a directory',
    local='copy what is written there afterwards',
  )
  record_format: str = option(
    'basic',
    "basic: SPLIT/SPLIT-00001-of-N.tfrecord with the reference's features; official: "
    'SPLIT-00000-of-N.tfrecord with '
    'those of research/deeplab. This toolkit reads both.',
    choices=('basic', 'official'),
  )
  num_per_shard: int = option(1024, 'Records in a file.', minimum=1, maximum=MOST_STEPS)
  num_shards: int | None = option(
    None,
    f'{NUM_SHARDS_HELP} Each checks its files and writes its part of the record files, aside. '
    'Without --num_per_shard there are at least as many files as shards.',
    minimum=1,
    maximum=MOST_SHARDS,
  )
  shard_index: int | None = option(
    None,
    'Which of them this is, from 0: --shard_index=$SLURM_ARRAY_TASK_ID in a Slurm array.',
    minimum=0,
    maximum=MOST_SHARDS - 1,
  )
  merge_shards: bool = option(
    False,
    MERGE_SHARDS_HELP.format(
      'looks at what only all labels together tell, gives the record files their names and writes '
      'dataset.json'
    ),
  )
  num_workers: int | None = option(
    None, 'Processes that check the files. Default: one for each core.', minimum=1, maximum=256
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
    'Colours of the classes: voc, cityscapes, ade20k, camvid or a file of lines "index r g b '
    '[name]". Labels stored as colours are read by it, and it is kept in dataset.json.',
    alias='label_colormap',
  )
  class_names: str | None = option(
    None,
    'Names of the classes, kept in dataset.json: voc, cityscapes, ade20k, camvid or a file with '
    'one name a line. Default: those in the file of --colormap.',
  )
  dataset: str | None = option(
    None,
    'The dataset.json of another split, or the directory of its records: number of classes, '
    'ignore_label, names and colours are taken from it.',
    not_empty='a file or directory',
  )
  binary: bool = option(
    False,
    'Labels are masks: 0 is class 0 and every other value, 255 too, is class 1 of two classes.',
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
  max_image_pixels: int = option(
    DEFAULT_MAX_IMAGE_PIXELS, MAX_IMAGE_PIXELS_HELP, minimum=1, maximum=MOST_IMAGE_PIXELS
  )

  def __post_init__(self):
    super().__post_init__()
    check_shards(
      shard_index=self.shard_index, num_shards=self.num_shards, merge_shards=self.merge_shards
    )
    if (self.layout is None) != (self.data_dir is None):
      raise InputError('--layout and --data_dir belong together: a data set, and where it is')
    for name in ('labels_dir', 'images_dir') if self.layout is None else ():
      if not getattr(self, name) and not (name == 'labels_dir' and self.annotations):
        raise InputError(
          f'--{name} is required; or give --layout and --data_dir'
          + (', or --annotations' if name == 'labels_dir' else '')
        )
    for name in ('labels_ext', 'images_ext'):
      if getattr(self, name) is not None:
        object.__setattr__(self, name, _ending(name, getattr(self, name)))
    for name in ('split', 'output_dir'):
      if any('\udc80' <= character <= '\udcff' for character in getattr(self, name)):
        raise InputError(
          f'--{name}={getattr(self, name)}: is no UTF-8, and TensorFlow opens no such files; '
          'choose another name'
        )
    if self.split in ('.', '..') or '/' in self.split:
      raise InputError(
        f'--split={self.split}: must be a plain name such as train; --output_dir says where the '
        'records go'
      )
    self._check_labels()

  def _check_labels(self):
    if self.annotations:
      for name in ('labels_dir', 'list_path', 'layout', 'label_map', 'label_offset', 'binary'):
        if getattr(self, name):
          raise InputError(
            f'--{name} does not go with --annotations, whose regions become the labels'
          )
    if self.binary:
      for name in ('colormap', 'label_offset', 'label_map'):
        if getattr(self, name):
          raise InputError(f'--binary does not go with --{name}: each of them says what is class 1')
      if self.num_classes not in (None, 2):
        raise InputError(f'--binary makes two classes; --num_classes={self.num_classes} is not 2')
      if self.ignore_label < 2:
        raise InputError(
          f'--binary makes the classes 0 and 1; --ignore_label={self.ignore_label} is one of them; '
          'choose another value, such as 255'
        )
      object.__setattr__(self, 'num_classes', 2)


def _ending(flag, text):
  """What names end in: `png` is `.png`; `_mask.png` stays."""
  if '/' in text or '*' in text or not ('.' in text or text.isalnum()) or text.endswith('.'):
    raise InputError(
      f'--{flag}={text}: must be what the file names end in, extension included, such as .png or '
      '_mask.png'
    )
  return text if '.' in text else f'.{text}'
