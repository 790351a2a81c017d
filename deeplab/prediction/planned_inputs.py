"""What an inference predicts: the images and videos that its options mean, with their files."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from deeplab import work_shards
from deeplab.errors import InputError
from deeplab.messages import say, warn
from deeplab.options import InferenceOptions
from deeplab.prediction import image_files, prediction_paths, video_paths, video_reader
from deeplab.prediction.prediction_paths import PlannedPrediction
from deeplab.prediction.video_paths import PlannedVideo


@dataclasses.dataclass(frozen=True)
class PlannedInputs:
  """What to predict.

  Attributes:
    images, videos: of a shard its own.
    existing: paths of inputs whose predictions are there already, and are left out.
    problems: lines on inputs that are neither image nor video; of several shards the first has
      them.
    directories: of all predictions, those that are there already too.
    shard_keys: path of each input -> the name by which it belongs to a shard: that of its
      prediction, which only one can have.
  """

  images: Sequence[PlannedPrediction]
  videos: Sequence[PlannedVideo]
  existing: Sequence[str] = ()
  problems: Sequence[str] = ()
  directories: frozenset[str] = frozenset()
  shard_keys: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def inputs(self) -> list[str]:
    """Paths of the images and videos to predict."""
    return [one.image.path for one in self.images] + [one.path for one in self.videos]

  @property
  def paths(self) -> list[str]:
    """Of files that are written or replaced; of videos those that are there."""
    of_images = [path for one in self.images for path in one.paths.values()]
    return of_images + [path for one in self.videos for path in one.existing_files()]

  @property
  def outputs(self) -> list[str]:
    """Paths of all that is written, of videos' directories of frames too."""
    of_videos = [
      path
      for one in self.videos
      for path in (*one.videos.values(), *(directory for directory, _ in one.frames.values()))
    ]
    return [*(path for one in self.images for path in one.paths.values()), *of_videos]

  @property
  def counted(self) -> str:
    """How many there are, in words."""
    parts = [f'{len(self.images)} images'] if self.images or not self.videos else []
    if self.videos:
      parts.append(f'{len(self.videos)} video{"s" if len(self.videos) > 1 else ""}')
    return ' and '.join(parts)


def plan(options: InferenceOptions) -> PlannedInputs:
  """The images and videos to predict with their files; says what is left out.

  Raises:
    InputError: no input is one, or their predictions would overwrite each other or them.
  """
  images, notes, problems = _find(options)
  images, repeated = image_files.without_duplicates(images)
  if repeated:
    notes.append(f'{repeated} images are named more than once; each is predicted once')
  images, videos = video_paths.split(images)
  if videos:
    video_reader.import_av(videos[0].path)  # Before a network is loaded for nothing.
  settings = dict(
    output_path=options.output_path,
    types=options.output_type,
    suffix=options.output_suffix,
    keep_structure=options.keep_structure,
  )
  planned = PlannedInputs(
    prediction_paths.plan(images, **settings),
    video_paths.plan(videos, **settings),
    problems=problems,
    shard_keys={
      one.path: one.relative_path if options.keep_structure else os.path.basename(one.relative_path)
      for one in (*images, *videos)
    },
  )
  shard = work_shards.of(options)
  if shard:
    planned, notes = _of_shard(planned, shard, notes)
  planned = dataclasses.replace(
    planned, directories=frozenset([options.output_path, *map(os.path.dirname, planned.outputs)])
  )
  if options.skip_existing and not options.merge_shards:
    planned, note = _without_existing(planned)
    notes.append(note)
  for note in notes:
    say(note)
  warn(() if options.merge_shards else planned.problems)  # The first shard tells them.
  return planned


def _find(options):
  """(InputImages, of videos too, notes, problems)."""
  problems = []
  if options.input_file_list:
    return image_files.listed_images(options.input_file_list, problems=problems), [], problems
  if os.path.realpath(options.output_path) in {
    os.path.realpath(one) for one in options.input if os.path.isdir(one)
  }:
    raise InputError(
      f'--output_path={options.output_path}: is also --input, so the next run would take the '
      'predictions for images; choose another'
    )
  images, notes = image_files.find_images(
    options.input,
    recursive=options.recursive,
    excluded_directory=options.output_path,
    problems=problems,
  )
  return images, notes, problems


def _of_shard(planned, shard, notes):
  """(what is the shard's, its notes); what all shards would say says the first."""
  is_first = shard.index == 0
  mine = dataclasses.replace(
    planned,
    images=[one for one in planned.images if shard.has(planned.shard_keys[one.image.path])],
    videos=[one for one in planned.videos if shard.has(planned.shard_keys[one.path])],
    problems=planned.problems if is_first else (),
  )
  what = 'inputs' if planned.videos else 'images'
  counts = f'{len(mine.inputs)} of {len(planned.inputs)} {what}'
  return mine, [*(notes if is_first else ()), f'{shard}: {counts}']


def _without_existing(planned):
  missing = dataclasses.replace(
    planned,
    images=[one for one in planned.images if not one.exists],
    videos=[one for one in planned.videos if not one.exists],
  )
  left = set(missing.inputs)
  existing = tuple(path for path in planned.inputs if path not in left)
  what = 'inputs' if planned.videos else 'images'
  note = f'{len(existing)} of {len(planned.inputs)} {what} have predictions already'
  return dataclasses.replace(missing, existing=existing), note
