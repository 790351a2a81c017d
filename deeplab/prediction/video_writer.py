"""Pictures to an mp4 video, with the sound of the video they were made from."""

import contextlib
from typing import Any

import numpy as np
from PIL import Image

from deeplab.prediction.video_reader import VideoReader, import_av

# Sound that an mp4 holds as it is; others are encoded anew.
_AUDIO_OF_MP4 = ('aac', 'mp3', 'opus', 'ac3', 'eac3', 'alac', 'flac')
_BT709 = 1  # The colours of HD video, in the numbering of ISO/IEC 23091-4.
# Of H.264, for pictures that look like their source (0 is lossless, 51 the worst).
_QUALITY = '18'


class VideoWriter:
  """Writes one video; call `close` at its end."""

  def __init__(self, path: str, *, size: tuple[int, int], reader: VideoReader):
    """Begins the file.

    Args:
      path: of the file; its format is mp4 whatever its name.
      size: (height, width) of the pictures; one that is odd grows by a pixel.
      reader: the video that the times of the frames and the sound come from.

    Raises:
      OSError: the file cannot be written.
    """
    self._av = import_av(path)
    self._size = tuple(side + side % 2 for side in size)  # H.264 has colours of 2 x 2 pixels.
    self._container = self._av.open(path, 'w', format='mp4', options={'movflags': '+faststart'})
    codec, options = _codec(self._av)
    self._video = self._container.add_stream(codec, rate=reader.rate, options=options)
    self._video.height, self._video.width = self._size
    self._video.pix_fmt = 'yuv420p'
    context = self._video.codec_context
    context.time_base = reader.time_base
    context.sample_aspect_ratio = reader.pixel_aspect
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    self._time_base = reader.time_base
    self._audio, self._copies_audio = self._add_audio(reader.audio)

  def add_picture(self, picture: np.ndarray, time: int) -> None:
    """Adds uint8 [H, W, 3], which is scaled to fit where it has another size than the first."""
    frame = self._av.VideoFrame.from_ndarray(_fit(picture, self._size), format='rgb24')
    frame = frame.reformat(format='yuv420p', dst_colorspace='ITU709')
    frame.pts, frame.time_base = time, self._time_base
    self._container.mux(self._video.encode(frame))

  def add_audio(self, packet: Any) -> None:
    """Adds a packet of the reader's sound."""
    if self._audio is None:
      return
    if self._copies_audio:
      packet.stream = self._audio
      self._container.mux(packet)
      return
    try:
      frames = packet.decode()
    except self._av.FFmpegError:
      return
    for frame in frames:
      self._container.mux(self._audio.encode(frame))

  def close(self) -> None:
    """Writes what is left and closes the file."""
    self._container.mux(self._video.encode())
    if self._audio is not None and not self._copies_audio:
      self._container.mux(self._audio.encode())
    self._container.close()

  def abandon(self) -> None:
    """Closes the file if it is still open; what is in it does not matter."""
    with contextlib.suppress(self._av.FFmpegError, OSError):
      self._container.close()

  def _add_audio(self, source):
    if source is None:
      return None, False
    if source.codec_context.name.removesuffix('float') in _AUDIO_OF_MP4:
      return self._container.add_stream_from_template(source), True
    return self._container.add_stream('aac', rate=source.codec_context.sample_rate), False


def _codec(av):
  """(name, options) of the best encoder that this PyAV was built with."""
  if 'libx264' in av.codecs_available:
    return 'libx264', {'crf': _QUALITY, 'preset': 'veryfast'}
  return 'mpeg4', {'qscale': '3'}


def _fit(picture, size):
  """The picture at the top left of `size` (height, width) where only an odd row or column is
  missing, else scaled into its middle.
  """
  height, width = size
  missing = height - picture.shape[0], width - picture.shape[1]
  if missing == (0, 0):
    return np.ascontiguousarray(picture)
  if all(0 <= each <= 1 for each in missing):
    return np.pad(picture, [(0, missing[0]), (0, missing[1]), (0, 0)], mode='edge')
  scale = min(height / picture.shape[0], width / picture.shape[1])
  inner = max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale))
  page = Image.new('RGB', (width, height))
  page.paste(
    Image.fromarray(picture).resize(inner), ((width - inner[0]) // 2, (height - inner[1]) // 2)
  )
  return np.asarray(page)
