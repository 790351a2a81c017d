"""What an inference predicts, and where the pictures go."""

import dataclasses
import os

from deeplab import private_places
from deeplab.errors import InputError
from deeplab.options.checks import MOST_STEPS, CheckedOptions, option
from deeplab.options.prediction import BEST_HELP, CKPT_PATH_HELP
from deeplab.options.shards import (
  MERGE_SHARDS_HELP,
  MOST_SHARDS,
  NUM_SHARDS_HELP,
  check_shards,
)
from deeplab.prediction.output_types import OUTPUT_TYPES

MOST_DEVICES = 64  # In one machine.


@dataclasses.dataclass(frozen=True)
class InferenceOptions(CheckedOptions):
  """What to predict, and where the pictures go."""

  group = 'Inference'

  input_file_list: str | None = option(None, 'Text file with one image path a line.')
  input: tuple[str, ...] = option(
    (),
    'Image file, directory or glob to predict, a video (mp4, mov, avi, webm, mkv) or the number of '
    'a camera; repeated, instead of --input_file_list.',
  )
  recursive: bool = option(False, 'Look into the sub-directories of directories too.')
  ckpt_path: str | None = option(None, CKPT_PATH_HELP, required=True)
  best: bool = option(False, BEST_HELP)
  output_path: str = option(
    f'{private_places.DEFAULT}/pred/',
    'Directory for the predictions.',
    not_empty='a directory',
    local='copy what is written there afterwards',
  )
  output_type: tuple[str, ...] = option(
    ('color',),
    'What to write for each image, repeated or comma-separated: '
    + '; '.join(f'{name} ({kind.description})' for name, kind in OUTPUT_TYPES.items())
    + '.',
    choices=tuple(OUTPUT_TYPES),
  )
  overlay_alpha: float = option(
    0.5,
    'Share of the colours in overlays, 0 to 1; the background stays as it is.',
    minimum=0.0,
    maximum=1.0,
  )
  cutout_classes: tuple[str, ...] = option(
    (),
    'Classes that --output_type=cutout keeps, by name or number: person,cat. Default: all but the '
    'background.',
  )
  output_suffix: str | None = option(
    None,
    'Names: --output_suffix=_pred writes NAME_pred.png for NAME.jpg. Default: NAME.jpg.png, and '
    'NAME.jpg_ids.png and so on for the other types.',
  )
  keep_structure: bool = option(
    False, 'Keep the sub-directories of the inputs below --output_path.'
  )
  skip_existing: bool = option(
    False, 'Leave out images whose predictions exist: continues an interrupted run.'
  )
  num_devices: int | None = option(
    None,
    'How many GPUs predict, each images of its own. Default: all that the process sees. Without a '
    'GPU: into how many devices to split the CPU, for a trial.',
    minimum=1,
    maximum=MOST_DEVICES,
  )
  num_shards: int | None = option(
    None,
    f'{NUM_SHARDS_HELP} The name of an image, with --keep_structure its path below --input, says '
    'which of them predicts it.',
    minimum=1,
    maximum=MOST_SHARDS,
  )
  shard_index: int | None = option(
    None,
    'Which of them this is, from 0: --shard_index=$SLURM_ARRAY_TASK_ID in a Slurm array, '
    '--shard_index=$JOB_COMPLETION_INDEX in an indexed job of Kubernetes.',
    minimum=0,
    maximum=MOST_SHARDS - 1,
  )
  merge_shards: bool = option(
    False,
    MERGE_SHARDS_HELP.format(
      'looks whether each image was predicted and writes summary.json, what became of them'
    ),
  )
  colormap: str | None = option(
    None,
    'Colours of the classes: voc, cityscapes, ade20k, camvid, or a file of `index r g b [name]` '
    'lines. Default: those saved beside the checkpoint, else voc.',
  )
  class_names: str | None = option(
    None,
    'Names of the classes for the legend: voc, cityscapes, ade20k, camvid, or a file with one '
    'name a line.',
  )
  max_frames: int | None = option(
    None,
    'Frames of a video or camera after which to stop. Default: all.',
    minimum=1,
    maximum=MOST_STEPS,
  )
  legend: bool = option(
    False, 'Write legend.png, the colour of each class, and show it on contact sheets.'
  )

  def __post_init__(self):
    super().__post_init__()
    check_shards(
      shard_index=self.shard_index, num_shards=self.num_shards, merge_shards=self.merge_shards
    )
    if bool(self.input) == bool(self.input_file_list):
      raise InputError(
        '--input_file_list or --input is required, and only one of them: which images to predict'
      )
    if not self.output_type:
      raise InputError(f'--output_type: give at least one of {", ".join(OUTPUT_TYPES)}')
    if self.cutout_classes and 'cutout' not in self.output_type:
      raise InputError(
        f'--cutout_classes={",".join(self.cutout_classes)}: give --output_type=cutout too'
      )
    if self.output_suffix and os.sep in self.output_suffix:
      raise InputError(
        f'--output_suffix={self.output_suffix}: must not contain {os.sep}; --output_path is the '
        'directory'
      )
