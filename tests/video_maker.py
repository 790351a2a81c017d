"""Small videos for tests. PyAV is needed: say pytest.importorskip('av') before."""

import struct
from fractions import Fraction

import numpy as np


def frame(index, *, height=48, width=64):
  """A picture whose left half is red, with a green stripe along the top; blue counts."""
  image = np.zeros([height, width, 3], np.uint8)
  image[:, : width // 2, 0] = 200
  image[: height // 4, :, 1] = 180
  image[..., 2] = min(20 * index, 180)
  return image


def write(path, *, num_frames=5, codec='libx264', rotation=None, sound=None, options=None):
  """Writes `frame(0)` and so on, 10 a second.

  Args:
    rotation: degrees counterclockwise by which players turn it, or None; of mp4 and mov.
    sound: name of an audio codec, or None.
    options: of the container.
  """
  import av

  container = av.open(str(path), 'w', options=options or {})
  # Without frames that wait for later ones, so that a part of a file holds frames.
  settings = {'crf': '10', 'tune': 'zerolatency'} if codec == 'libx264' else {}
  video = container.add_stream(codec, rate=10, options=settings)
  video.height, video.width = frame(0).shape[:2]
  video.pix_fmt = 'yuv420p'
  audio = container.add_stream(sound, rate=44100) if sound else None
  for index in range(num_frames):
    picture = av.VideoFrame.from_ndarray(frame(index), format='rgb24')
    container.mux(video.encode(picture))
    if audio:
      container.mux(audio.encode(_tone(index)))
  for stream in (video, audio) if audio else (video,):
    container.mux(stream.encode())
  container.close()
  if rotation is not None:
    _mark_as_turned(path, rotation)


def write_two_sizes(path):
  """A WebM of 3 frames of 48 x 64 pixels (height x width), then 3 of 64 x 48."""
  import av

  container = av.open(str(path), 'w')
  stream = container.add_stream('libvpx', rate=10)
  stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
  for first, (height, width) in ((0, (48, 64)), (3, (64, 48))):
    encoder = av.codec.CodecContext.create('libvpx', 'w')
    encoder.height, encoder.width, encoder.pix_fmt = height, width, 'yuv420p'
    encoder.time_base, encoder.framerate = Fraction(1, 10), Fraction(10)
    packets = []
    for index in range(first, first + 3):
      image = frame(index, height=height, width=width)
      picture = av.VideoFrame.from_ndarray(image, format='rgb24')
      picture.pts, picture.time_base = index, Fraction(1, 10)
      packets += encoder.encode(picture)
    for packet in packets + encoder.encode():
      packet.stream = stream
      container.mux(packet)
  container.close()


def read(path):
  """(frames uint8 [H, W, 3], their times in seconds, name of the audio codec or None, seconds of
  sound).
  """
  import av

  with av.open(str(path)) as container:
    frames = list(container.decode(video=0))
    audio = next(iter(container.streams.audio), None)
    codec = audio.codec_context.name if audio else None
  seconds = 0.0
  if codec:
    with av.open(str(path)) as container:
      seconds = sum(each.samples / each.sample_rate for each in container.decode(audio=0))
  images = [each.to_ndarray(format='rgb24') for each in frames]
  return images, [each.time for each in frames], codec, seconds


def _mark_as_turned(path, rotation):
  """Puts the rotation into the matrix of the track header (ISO/IEC 14496-12, 8.3.2), which takes
  pixels from where they are stored to where they are shown; rows go down.
  """
  a, b, c, d = {90: (0, -1, 1, 0), -90: (0, 1, -1, 0), 180: (-1, 0, 0, -1)}[rotation]
  content = bytearray(path.read_bytes())
  start = content.index(b'tkhd') + 4 + 4 + 36  # After name, version and flags, and other fields.
  one = 1 << 16  # Fixed point.
  values = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
  content[start : start + 36] = struct.pack('>9i', *values)
  path.write_bytes(content)


def _tone(index):
  import av

  samples = np.sin(np.arange(4410) * 0.06).astype(np.float32)[np.newaxis] * 8000
  sound = av.AudioFrame.from_ndarray(samples.astype(np.int16), format='s16', layout='mono')
  sound.sample_rate, sound.pts = 44100, 4410 * index
  return sound
