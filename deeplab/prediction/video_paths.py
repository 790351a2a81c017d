"""Which of the inputs are videos, and which files their predictions go to."""

import dataclasses
import os
import re
from collections.abc import Sequence

from deeplab.errors import InputError, shown
from deeplab.prediction import output_types, prediction_paths, video_reader
from deeplab.prediction.image_files import InputImage


@dataclasses.dataclass(frozen=True)
class PlannedVideo:
  """One video or camera, and where its predictions go.

  Attributes:
    path: of the file, or the number of a camera.
    videos: output type -> path of a video, for types that are RGB pictures.
    frames: output type -> (directory, extension of its files, one for each frame), for the others.
  """

  path: str
  videos: dict[str, str]
  frames: dict[str, tuple[str, str]]

  @property
  def exists(self) -> bool:
    """Whether all videos and directories of frames are there.

    They are renamed into place when they are whole, so what exists is whole.
    """
    first_frames = [
      os.path.join(directory, frame_name(0, extension))
      for directory, extension in self.frames.values()
    ]
    paths = [*self.videos.values(), *first_frames]
    return bool(paths) and all(os.path.exists(path) for path in paths)

  def existing_files(self) -> list[str]:
    """The videos and files of frames that are there and that a prediction may replace."""
    found = [path for path in self.videos.values() if os.path.exists(path)]
    for directory, extension in self.frames.values():
      names = os.listdir(directory) if os.path.isdir(directory) else ()
      found += [
        os.path.join(directory, name) for name in names if frame_names(extension).fullmatch(name)
      ]
    return found


def frame_name(index: int, extension: str) -> str:
  """Name of the file of a frame, from 0."""
  return f'{index:06d}{extension}'


def frame_names(extension: str) -> re.Pattern:
  """What `frame_name` makes."""
  return re.compile(r'[0-9]{6,}' + re.escape(extension))


def split(inputs: Sequence[InputImage]) -> tuple[list[InputImage], list[InputImage]]:
  """(images, videos and cameras)."""
  videos = [
    one for one in inputs if video_reader.is_video(one.path) or video_reader.is_camera(one.path)
  ]
  return [one for one in inputs if one not in videos], videos


def plan(videos: Sequence[InputImage], *, types: Sequence[str], **settings) -> list[PlannedVideo]:
  """Names the files of every video as `prediction_paths.plan` does, whose arguments it takes.

  Raises:
    InputError: as there; or one of the types has pages of many images.
  """
  for name in output_types.page_types(types) if videos else ():
    raise InputError(
      f'--output_type={name} is for images; leave it out, or --input={videos[0].path}'
    )
  kinds = output_types.file_types(types)
  planned = []
  for one, as_image in zip(videos, prediction_paths.plan(videos, types=types, **settings)):
    bases = {
      name: path.removesuffix(kinds[name].extension) for name, path in as_image.paths.items()
    }
    planned.append(
      PlannedVideo(
        path=one.path,
        videos={name: base + '.mp4' for name, base in bases.items() if kinds[name].draw},
        frames={
          name: (base, kinds[name].extension)
          for name, base in bases.items()
          if not kinds[name].draw
        },
      )
    )
    for path in planned[-1].videos.values():
      if os.path.realpath(path) == os.path.realpath(one.path):
        raise InputError(
          f'the prediction of {shown(one.path)} would overwrite it; choose another --output_path '
          'or --output_suffix'
        )
  return planned
