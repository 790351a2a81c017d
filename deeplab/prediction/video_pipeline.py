"""A video through the network, frame by frame: only the frames of one batch are in memory."""

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Iterator, Sequence

import tensorflow as tf
from tqdm import tqdm

from deeplab import messages, output_places
from deeplab.atomic_files import replacing, replacing_directory
from deeplab.errors import InputError, shown
from deeplab.failure_reasons import memory_shortage
from deeplab.messages import say, warn
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS
from deeplab.prediction import video_paths, video_reader
from deeplab.prediction.device_predictors import DevicePredictors
from deeplab.prediction.image_reduction import SizeAdvice
from deeplab.prediction.output_types import OUTPUT_TYPES
from deeplab.prediction.prediction_files import PredictionWriter
from deeplab.prediction.video_paths import PlannedVideo
from deeplab.prediction.video_reader import Frame, VideoError, VideoReader
from deeplab.prediction.video_writer import VideoWriter

# Seconds between two lines of progress where there is no terminal.
_LINE_INTERVAL = 10.0


@dataclasses.dataclass(frozen=True)
class VideoSummary:
  """What became of one video.

  Attributes:
    num_frames: frames predicted.
    seconds: that it took.
    problem: what is wrong with the video, or None.
  """

  num_frames: int
  seconds: float
  problem: str | None


class VideoPipeline:
  """Predicts videos, one after the other."""

  def __init__(
    self,
    predictors: DevicePredictors,
    writer: PredictionWriter,
    *,
    batch_size: int = 1,
    max_frames: int | None = None,
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
    advice: SizeAdvice | None = None,
  ):
    """Prepares it.

    Args:
      predictors: what predicts.
      writer: makes the pictures, and the files of single frames.
      batch_size: the most frames predicted at once.
      max_frames: where to stop; None for the end of the video.
      max_image_pixels: videos with larger frames are refused.
      advice: on frames that are far larger than the network knows; None for none.
    """
    self._predictors, self._writer, self._advice = predictors, writer, advice
    self._batch_size, self._max_frames = batch_size, max_frames
    self._max_image_pixels = max_image_pixels

  def run(self, planned: PlannedVideo) -> VideoSummary:
    """Predicts one video and prints a line for every file and directory written.

    An interrupt is the usual end of a camera's video; of a file's it leaves no video and no frames.

    Raises:
      VideoError: it cannot be read or predicted.
      InputError: a file cannot be written.
    """
    start = time.monotonic()
    opened = VideoReader(planned.path, max_pixels=self._max_image_pixels)
    with opened as reader, contextlib.ExitStack() as outputs:
      run = _Run(planned, reader, self._writer, outputs)
      total = min(filter(None, (reader.num_frames, self._max_frames)), default=None)
      progress = _Progress(planned.path, total)
      try:
        outcomes = self._predictors.outcomes(
          self._batches(self._frames(reader, run), reader),
          lambda batch: [frame.image for frame in batch],
        )
        with progress, contextlib.closing(outcomes):
          for batch, outcome in outcomes:
            for frame, predicted in zip(batch, self._predicted(batch, outcome, planned.path)):
              run.add(frame, self._writer.prediction(image=frame.image, **predicted._asdict()))
              progress.add()
      except KeyboardInterrupt:
        if not (video_reader.is_camera(planned.path) and run.num_frames):
          raise
      run.finish()
    for path in [
      *planned.videos.values(),
      *(directory for directory, _ in planned.frames.values()),
    ]:
      say(f'Prediction written to {shown(path)}')
    return VideoSummary(run.num_frames, time.monotonic() - start, reader.problem)

  def _frames(self, reader, run) -> Iterator[Frame]:
    """The frames to predict; the sound between them goes to the outputs. Where an interrupt ends a
    camera's video, those that were read are still predicted.
    """
    count = 0
    try:
      for item in reader.read():
        if not isinstance(item, Frame):
          run.add_audio(item)
          continue
        yield item
        count += 1
        if count == self._max_frames:
          return
    except KeyboardInterrupt:
      if not (video_reader.is_camera(reader.path) and count):
        raise

  def _batches(self, frames, reader) -> Iterator[Sequence[Frame]]:
    """Lists of up to batch_size successive frames that may be predicted together."""
    batch, key = [], None
    for frame in frames:
      self._advise(reader, frame)
      try:
        frame_key = self._predictors.batch_key(frame.image)
      except InputError as error:
        raise VideoError(f'{shown(reader.path)}: {error}') from error
      if batch and (frame_key != key or len(batch) == self._batch_size):
        yield batch
        batch = []
      batch, key = [*batch, frame], frame_key
    if batch:
      yield batch

  def _predicted(self, batch, outcome, path):
    try:
      return outcome()
    except (tf.errors.OpError, MemoryError) as error:
      shortage = memory_shortage(error)
      if shortage is None:
        raise
      height, width = batch[0].image.shape[:2]
      raise VideoError(
        f'{shown(path)}: {shortage} for height {height}, width {width}; give --max_size, '
        '--tile_size, a smaller --batch_size or smaller --eval_scales'
      ) from error

  def _advise(self, reader, frame):
    line = self._advice.line(shown(reader.path), frame.image) if self._advice else None
    if line:
      warn([line])


class _Run:
  """The outputs of one video; they begin with its first frame, which has their size."""

  def __init__(self, planned, reader, writer, outputs):
    self._planned, self._reader, self._writer, self._outputs = planned, reader, writer, outputs
    self._videos = None
    self._directories = {}  # Output type -> temporary directory of its frames.
    self._early_audio = []  # From before the first frame.
    self._size = None
    self.num_frames = 0

  def add(self, frame, prediction):
    if self._videos is None:
      self._begin(prediction)
    if frame.image.shape != self._size and self._size is not None:
      height, width = frame.image.shape[:2]
      warn(
        [
          f'{shown(self._planned.path)}: from frame {self.num_frames + 1} on, height {height}, '
          f'width {width} instead of {self._size[0]}, {self._size[1]}; scaled to fit'
        ]
      )
      self._size = None  # Said once.
    for name, video in self._videos.items():
      with self._explaining(name):
        video.add_picture(OUTPUT_TYPES[name].draw(prediction), frame.time)
    for name, directory in self._directories.items():
      file_name = video_paths.frame_name(self.num_frames, self._planned.frames[name][1])
      with self._explaining(name):
        OUTPUT_TYPES[name].write(os.path.join(directory, file_name), prediction)
    self.num_frames += 1

  def add_audio(self, packet):
    if self._videos is None:
      self._early_audio.append(packet)
      return
    for name, video in self._videos.items():
      with self._explaining(name):
        video.add_audio(packet)

  def finish(self):
    for name, video in self._videos.items():
      with self._explaining(name):
        video.close()
    self._outputs.close()  # Renames the files into place.

  def _begin(self, prediction):
    self._size, self._videos = prediction.image.shape, {}
    for name, path in self._planned.videos.items():
      with self._explaining(name):
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        temporary = self._outputs.enter_context(replacing(path))
        picture = OUTPUT_TYPES[name].draw(prediction)
        self._videos[name] = VideoWriter(temporary, size=picture.shape[:2], reader=self._reader)
        self._outputs.callback(self._videos[name].abandon)
    for name, (directory, extension) in self._planned.frames.items():
      with self._explaining(name):
        os.makedirs(os.path.dirname(directory) or '.', exist_ok=True)
        self._directories[name] = self._outputs.enter_context(
          replacing_directory(directory, members=video_paths.frame_names(extension))
        )
    for packet in self._early_audio:
      self.add_audio(packet)
    self._early_audio = []

  def _explaining(self, name):
    path = self._planned.videos[name] if name in self._planned.videos else self._directory(name)
    return output_places.explaining(path, flag='output_path')

  def _directory(self, name):
    return self._planned.frames[name][0]


class _Progress:
  """A bar on a terminal, else a line now and then: frames done, and frames a second."""

  def __init__(self, path, total):
    self._name, self._total = shown(os.path.basename(path)), total
    self._start = self._last_line = time.monotonic()
    self._count = 0
    self._bar = tqdm(
      total=total,
      desc=self._name,
      unit='frame',
      disable=not sys.stderr.isatty(),
      smoothing=0.1,
      **messages.size_for_bars(),
    )

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._bar.close()

  def add(self):
    self._count += 1
    self._bar.update()
    now = time.monotonic()
    if self._bar.disable and now - self._last_line > _LINE_INTERVAL:
      self._last_line = now
      of = f' of {self._total}' if self._total else ''
      rate = self._count / (now - self._start)
      say(f'{self._name}: {self._count}{of} frames, {rate:.2f} frames/s')
