"""Frames of video files and cameras, upright, with the sound beside them.

PyAV, FFmpeg as a library, does the reading: it is the extra `video`, imported with the first video.
"""

import dataclasses
import glob
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from deeplab.data import picture_limit
from deeplab.errors import InputError, shown
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS

EXTENSIONS = ('.mp4', '.mov', '.avi', '.webm', '.mkv', '.m4v')


class VideoError(InputError):
  """What is wrong with one video; the others can go on."""


@dataclasses.dataclass(frozen=True)
class Frame:
  """One frame.

  Attributes:
    image: uint8 [H, W, 3], upright.
    time: in units of VideoReader.time_base; each frame's is larger than that of the one before.
  """

  image: np.ndarray
  time: int


def is_video(path: str) -> bool:
  """Whether the name is that of a video file."""
  return path.lower().endswith(EXTENSIONS)


def is_camera(path: str) -> bool:
  """Whether `path` is the number of a camera, and no file."""
  return path.isascii() and path.isdecimal() and not os.path.lexists(path)


def import_av(path: str) -> ModuleType:
  """PyAV; an InputError that names `path` and the extra where it is not installed."""
  try:
    import av
  except ImportError as error:
    what = 'a camera' if is_camera(path) else 'a video'
    raise InputError(
      f"--input={shown(path)}: {what}, which needs PyAV to be read: pip install 'deeplab-tf[video]'"
      ' (or pip install av), or give its frames as images'
    ) from error
  # What is wrong with a file is said in one line here, not in FFmpeg's own.
  av.logging.set_level(av.logging.PANIC)
  return av


class VideoReader:
  """A video file or a camera, as a context manager.

  Attributes:
    path: of the file, or the number of a camera.
    num_frames: as the file says, which may be wrong; None where it says nothing.
    rate: frames a second on the average, a Fraction.
    time_base: unit of Frame.time in seconds, a Fraction.
    pixel_aspect: width of a pixel by its height, a Fraction, when frames are upright.
    audio: PyAV's stream of the sound, or None.
    problem: after `read`, what is wrong with the video, or None.
  """

  def __init__(self, path: str, *, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS):
    """Opens it.

    Args:
      path: of the file, or the number of a camera.
      max_pixels: of a frame; larger ones are not decoded.

    Raises:
      VideoError: it cannot be opened, has no pictures or too large ones, or (InputError) PyAV is
        not installed.
    """
    self._av = import_av(path)
    self.path = path
    self._max_pixels = max_pixels
    # FFmpeg counts some rows and columns at the borders too; what it lets through is checked again.
    self._limits = {'max_pixels': str(min(2 * max_pixels + 2**16, 2**31 - 1))}
    self._container = self._open()
    if not self._container.streams.video:
      self._container.close()
      raise VideoError(f'{shown(path)}: holds no pictures, only sound or data; remove it')
    self._video = self._container.streams.video[0]
    context = self._video.codec_context
    try:
      self._check_size(context)
    except VideoError:
      self._container.close()
      raise
    context.options = {**context.options, **self._limits}
    self._video.thread_type = 'AUTO'
    self.audio = next(iter(self._container.streams.audio), None)
    self.num_frames = self._video.frames or None
    self.rate = self._video.average_rate or self._video.guessed_rate or Fraction(25)
    self.time_base = self._video.time_base or 1 / self.rate
    self.pixel_aspect = Fraction(1)
    self.problem = None

  def __enter__(self) -> 'VideoReader':
    return self

  def __exit__(self, *_):
    self._container.close()

  def read(self) -> Iterator[Frame | Any]:
    """Yields Frames, and between them the packets of `audio` as PyAV has them.

    Frames that are damaged are left out; where the video breaks off, it ends. `problem` says so.

    Raises:
      VideoError: there is no frame at all.
    """
    streams = [stream for stream in (self._video, self.audio) if stream is not None]
    num_frames = num_damaged = 0
    last_time, broken = None, False
    packets = self._container.demux(streams)
    while True:
      try:
        packet = next(packets, None)
      except (self._av.FFmpegError, OSError):
        broken = True
        break
      if packet is None:
        break
      if packet.stream is self.audio:
        if packet.dts is not None:  # The last, empty one has none.
          yield packet
        continue
      try:
        decoded = packet.decode()
      except self._av.FFmpegError:
        num_damaged += 1
        continue
      for frame in decoded:
        self._check_size(frame)
        time = num_frames if frame.pts is None else frame.pts
        time = time if last_time is None else max(time, last_time + 1)
        last_time, num_frames = time, num_frames + 1
        yield Frame(image=self._upright(frame), time=time)
    if not num_frames:
      raise VideoError(
        f'{shown(self.path)}: not one frame of it can be decoded; copy it again, or remove it '
        'from the inputs'
      )
    self.problem = self._what_is_wrong(
      num_frames, num_damaged, seconds=float(last_time * self.time_base), broken=broken
    )

  def _check_size(self, picture):
    try:
      picture_limit.check(
        height=picture.height, width=picture.width, max_pixels=self._max_pixels, what='frames of '
      )
    except picture_limit.TooLargeError as error:
      raise VideoError(f'{shown(self.path)}: {error}') from error

  def _open(self):
    path = self.path
    if is_camera(path):
      return self._open_camera(int(path))
    if not os.path.isfile(path):
      raise VideoError(
        f'{shown(path)}: no such file'
        if not os.path.exists(path)
        else f'{shown(path)}: is not a regular file; remove it from the inputs'
      )
    if not os.path.getsize(path):
      raise VideoError(f'{shown(path)}: is empty, not a video')
    try:
      # While it is opened, FFmpeg decodes frames to see what they are.
      return self._av.open(path, options=self._limits)
    except PermissionError as error:
      raise VideoError(f'{shown(path)}: cannot be read: {error.strerror}') from error
    except (self._av.FFmpegError, OSError) as error:
      raise VideoError(
        f'{shown(path)}: is not a video, or one whose recording or copying was cut off '
        f'({os.path.getsize(path)} bytes); copy it again, or remove it from the inputs'
      ) from error

  def _open_camera(self, number):
    if sys.platform == 'win32':
      raise VideoError(
        f'--input={number}: cameras cannot be read by their number on Windows; record a video'
      )
    is_mac = sys.platform == 'darwin'
    path, form = (str(number), 'avfoundation') if is_mac else (f'/dev/video{number}', 'v4l2')
    try:
      return self._av.open(path, format=form)
    except (self._av.FFmpegError, OSError, ValueError) as error:
      there = sorted(name.removeprefix('/dev/video') for name in glob.glob('/dev/video[0-9]*'))
      known = '' if is_mac else f'; there are {", ".join(there)}' if there else '; there is none'
      reason = getattr(error, 'strerror', None) or error
      raise VideoError(
        f'--input={number}: camera {number} cannot be opened ({reason}){known}'
      ) from error

  def _upright(self, frame):
    """The pixels, uint8 [H, W, 3], turned as the camera was held."""
    image = frame.to_ndarray(format='rgb24')
    turns = round(frame.rotation / 90) % 4  # Counterclockwise, as numpy turns.
    aspect = self._video.sample_aspect_ratio or Fraction(1)
    self.pixel_aspect = 1 / aspect if turns % 2 and aspect else aspect or Fraction(1)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

  def _what_is_wrong(self, num_frames, num_damaged, *, seconds, broken):
    missing = (self.num_frames or 0) - num_frames
    if self.num_frames is None and self._container.duration:  # WebM says how long it is only.
      length = self._container.duration / self._av.time_base
      broken |= seconds < 0.9 * length - 2
    if broken or missing > max(2, num_damaged):
      of = f' of {self.num_frames}' if self.num_frames else ''
      return f'breaks off after {num_frames}{of} frames'
    if num_damaged:
      return f'about {num_damaged} of its frames are damaged and left out'
    return None
