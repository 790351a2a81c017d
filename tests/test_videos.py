"""Videos in, videos out, with a network whose classes are the colours: red, green, blue."""

import builtins
import os

import numpy as np
import PIL.Image
import pytest
import video_maker
from fake_model import PixelModel

from deeplab.color_map import pascal_voc_color_map
from deeplab.errors import InputError
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.options import PredictionOptions
from deeplab.prediction import (
  image_files,
  prediction_files,
  prediction_paths,
  video_paths,
  video_reader,
)
from deeplab.prediction.device_predictors import DevicePredictors
from deeplab.prediction.video_pipeline import VideoPipeline
from deeplab.prediction.video_reader import Frame, VideoReader

_RED, _GREEN = (0, 0, 0), (128, 0, 0)  # The colours of classes 0 and 1.


def _plan(tmp_path, path, types, **settings):
  inputs, _ = image_files.find_images([str(path)])
  images, videos = video_paths.split(inputs)
  assert not images
  return video_paths.plan(videos, output_path=str(tmp_path / 'out'), types=types, **settings)


def _run(tmp_path, path, *types, batch_size=1, **settings):
  (planned,) = _plan(tmp_path, path, types)
  options = PredictionOptions(batch_size=batch_size)
  pipeline = VideoPipeline(
    DevicePredictors([DeepLabV3Inferencer(PixelModel(), options=options)]),
    prediction_files.PredictionWriter(color_map=pascal_voc_color_map(), num_classes=3),
    batch_size=batch_size,
    **settings,
  )
  return pipeline.run(planned)


def _is_close(pixel, color):
  return np.abs(pixel.astype(int) - color).max() < 30


@pytest.fixture(autouse=True)
def _needs_av():
  pytest.importorskip('av')


@pytest.mark.parametrize('batch_size', [1, 2])
def test_color_side_by_side_and_ids(tmp_path, capsys, batch_size):
  video_maker.write(tmp_path / 'a.mp4', num_frames=5)
  summary = _run(
    tmp_path, tmp_path / 'a.mp4', 'color', 'side_by_side', 'ids', batch_size=batch_size
  )
  assert (summary.num_frames, summary.problem) == (5, None)
  out = tmp_path / 'out'
  assert sorted(os.listdir(out)) == ['a.mp4.mp4', 'a.mp4_ids', 'a.mp4_side_by_side.mp4']
  said = capsys.readouterr().out.splitlines()
  assert sorted(said) == [f'Prediction written to {out}/{name}' for name in sorted(os.listdir(out))]
  colors, times, sound, _ = video_maker.read(out / 'a.mp4.mp4')
  assert len(colors) == 5 and sound is None
  np.testing.assert_allclose(times, np.arange(5) / 10, atol=1e-3)
  assert colors[0].shape == (48, 64, 3)
  assert _is_close(colors[0][30, 10], _RED) and _is_close(colors[0][5, 50], _GREEN)
  both = video_maker.read(out / 'a.mp4_side_by_side.mp4')[0]
  assert both[0].shape == (48, 128, 3) and _is_close(both[0][30, 10], (200, 0, 0))
  ids = [np.asarray(PIL.Image.open(out / 'a.mp4_ids' / f'{index:06d}.png')) for index in range(5)]
  assert (ids[4][30, 10], ids[4][5, 50], ids[4][30, 50]) == (0, 1, 2)


@pytest.mark.parametrize('rotation, turns', [(90, 1), (-90, 3), (180, 2)])
def test_turned_videos_are_upright(tmp_path, rotation, turns):
  """A phone that is held upright writes -90 into its videos."""
  video_maker.write(tmp_path / 'a.mov', num_frames=2, rotation=rotation)
  _run(tmp_path, tmp_path / 'a.mov', 'side_by_side')
  (image, *_), *_ = video_maker.read(tmp_path / 'out' / 'a.mov_side_by_side.mp4')
  expected = np.rot90(video_maker.frame(0), turns)
  height, width = expected.shape[:2]
  assert image.shape == (height, 2 * width, 3)
  for row, column in ((3, 3), (3, -4), (-4, 3), (-4, -4)):
    assert _is_close(image[:, :width][row, column], expected[row, column])


@pytest.mark.parametrize(
  'name, codec, sound, kept',
  [
    ('a.mp4', 'libx264', 'aac', 'aac'),
    ('a.avi', 'mpeg4', 'pcm_s16le', 'aac'),
    ('a.webm', 'libvpx', None, None),
  ],
)
def test_containers_and_their_sound(tmp_path, name, codec, sound, kept):
  video_maker.write(tmp_path / name, num_frames=20, codec=codec, sound=sound)
  _run(tmp_path, tmp_path / name, 'color')
  frames, _, found, seconds = video_maker.read(tmp_path / 'out' / (name + '.mp4'))
  assert len(frames) == 20 and found == kept
  assert abs(seconds - (2.0 if sound else 0.0)) < 0.1


def test_frames_of_another_size_are_scaled_to_fit(tmp_path, capsys):
  video_maker.write_two_sizes(tmp_path / 'a.webm')
  assert _run(tmp_path, tmp_path / 'a.webm', 'color', 'ids').num_frames == 6
  assert 'from frame 4 on, height 64, width 48 instead of 48, 64' in capsys.readouterr().err
  frames, *_ = video_maker.read(tmp_path / 'out' / 'a.webm.mp4')
  assert {frame.shape for frame in frames} == {(48, 64, 3)}
  sizes = [
    PIL.Image.open(tmp_path / 'out' / 'a.webm_ids' / f'{index:06d}.png').size for index in (2, 3)
  ]
  assert sizes == [(64, 48), (48, 64)]


def test_what_breaks_off_is_written_up_to_there(tmp_path):
  video_maker.write(tmp_path / 'whole.mp4', num_frames=40, options={'movflags': '+faststart'})
  content = (tmp_path / 'whole.mp4').read_bytes()
  (tmp_path / 'cut.mp4').write_bytes(content[: len(content) * 3 // 4])
  summary = _run(tmp_path, tmp_path / 'cut.mp4', 'color')
  assert 1 < summary.num_frames < 40
  assert summary.problem == f'breaks off after {summary.num_frames} of 40 frames'
  assert len(video_maker.read(tmp_path / 'out' / 'cut.mp4.mp4')[0]) == summary.num_frames


def test_what_is_no_video_is_refused(tmp_path):
  video_maker.write(tmp_path / 'whole.mp4')
  content = (tmp_path / 'whole.mp4').read_bytes()
  for name, data, message in (
    ('cut', content[: len(content) // 2], 'is not a video, or one whose recording or copying was'),
    ('noise', b'nonsense' * 100, 'is not a video, or one whose recording or copying was cut off'),
    ('empty', b'', 'is empty, not a video'),
  ):
    (tmp_path / f'{name}.mp4').write_bytes(data)
    with pytest.raises(InputError, match=f'{name}.mp4: {message}'):
      _run(tmp_path, tmp_path / f'{name}.mp4', 'color')
  assert not (tmp_path / 'out').exists()


def test_frames_larger_than_allowed_are_not_decoded(tmp_path):
  video_maker.write_two_sizes(tmp_path / 'a.webm')
  with VideoReader(str(tmp_path / 'a.webm'), max_pixels=48 * 64) as reader:
    assert len(list(reader.read())) == 6
  with pytest.raises(InputError, match='a.webm: has frames of 64x48 pixels .* more than --'):
    VideoReader(str(tmp_path / 'a.webm'), max_pixels=48 * 64 - 1)


def test_only_so_many_frames(tmp_path):
  video_maker.write(tmp_path / 'a.mp4', num_frames=5)
  assert _run(tmp_path, tmp_path / 'a.mp4', 'color', max_frames=2).num_frames == 2
  assert len(video_maker.read(tmp_path / 'out' / 'a.mp4.mp4')[0]) == 2


def test_an_interrupt_leaves_no_half_video(tmp_path, monkeypatch):
  video_maker.write(tmp_path / 'a.mp4', num_frames=5)
  predict, calls = DeepLabV3Inferencer.start, []

  def interrupt(self, images):
    calls.append(len(images))
    if len(calls) == 3:
      raise KeyboardInterrupt
    return predict(self, images)

  monkeypatch.setattr(DeepLabV3Inferencer, 'start', interrupt)
  with pytest.raises(KeyboardInterrupt):
    _run(tmp_path, tmp_path / 'a.mp4', 'color', 'ids')
  assert os.listdir(tmp_path / 'out') == []


def test_frames_take_the_place_of_earlier_ones_when_all_are_there(tmp_path, monkeypatch):
  video_maker.write(tmp_path / 'a.mp4', num_frames=5)
  _run(tmp_path, tmp_path / 'a.mp4', 'ids', 'color')
  frames = tmp_path / 'out' / 'a.mp4_ids'
  (planned,) = _plan(tmp_path, tmp_path / 'a.mp4', ('ids', 'color'))
  assert planned.exists and len(planned.existing_files()) == 6
  (tmp_path / 'out' / 'a.mp4.mp4').rename(tmp_path / 'b.mp4')
  assert not planned.exists
  (tmp_path / 'b.mp4').rename(tmp_path / 'out' / 'a.mp4.mp4')
  (frames / 'notes.txt').write_text('mine')
  earlier = prediction_paths.Earlier(planned.existing_files())
  with monkeypatch.context() as patch:
    patch.setattr(VideoPipeline, '_predicted', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      _run(tmp_path, tmp_path / 'a.mp4', 'ids', 'color')
  assert planned.exists and len(os.listdir(frames)) == 6 and earlier.num_replaced() == 0
  _run(tmp_path, tmp_path / 'a.mp4', 'ids', 'color', max_frames=2)
  assert sorted(os.listdir(frames)) == ['000000.png', '000001.png', 'notes.txt']
  assert sorted(os.listdir(tmp_path / 'out')) == ['a.mp4.mp4', 'a.mp4_ids']
  assert earlier.num_replaced() == 3
  assert frames.stat().st_mode == (tmp_path / 'out').stat().st_mode
  (frames / '000000.png').unlink()
  assert not planned.exists


def test_a_file_in_the_place_of_the_frames(tmp_path):
  video_maker.write(tmp_path / 'a.mp4', num_frames=2)
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / 'a.mp4_ids').write_text('mine')
  with pytest.raises(InputError, match='out/a.mp4_ids: cannot be written: Not a directory; '):
    _run(tmp_path, tmp_path / 'a.mp4', 'ids')
  assert os.listdir(tmp_path / 'out') == ['a.mp4_ids']
  assert (tmp_path / 'out' / 'a.mp4_ids').read_text() == 'mine'


def test_an_interrupt_ends_the_video_of_a_camera(tmp_path, monkeypatch):
  """A file in place of the camera, read as one."""
  video_maker.write(tmp_path / 'a.mp4', num_frames=5)
  real = VideoReader.read

  def read(self):
    for index, item in enumerate(real(self)):
      if index == 3:
        raise KeyboardInterrupt
      yield item

  monkeypatch.setattr(VideoReader, 'read', read)
  monkeypatch.setattr(video_reader, 'is_camera', lambda path: True)
  monkeypatch.setattr(
    VideoReader, '_open_camera', lambda self, number: self._av.open(str(tmp_path / 'a.mp4'))
  )
  monkeypatch.chdir(tmp_path)
  assert _run(tmp_path, '0', 'color').num_frames == 3
  assert len(video_maker.read(tmp_path / 'out' / 'camera-0.mp4')[0]) == 3


def test_a_camera_that_is_not_there(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(InputError, match='--input=97: camera 97 cannot be opened'):
    _run(tmp_path, '97', 'color')


def test_times_increase(tmp_path):
  video_maker.write(tmp_path / 'a.mp4', num_frames=5)
  with VideoReader(str(tmp_path / 'a.mp4')) as reader:
    frames = [item for item in reader.read() if isinstance(item, Frame)]
    assert reader.num_frames == 5 and reader.rate == 10
  np.testing.assert_allclose(
    np.diff([float(frame.time * reader.time_base) for frame in frames]), 0.1
  )
  np.testing.assert_allclose(frames[2].image[30, 10], [200, 0, 40], atol=12)


def test_without_the_extra(tmp_path, monkeypatch):
  real = builtins.__import__

  def without_av(name, *arguments):
    if name == 'av':
      raise ImportError
    return real(name, *arguments)

  monkeypatch.setattr(builtins, '__import__', without_av)
  with pytest.raises(InputError, match=r"a.mp4: a video, .* pip install 'deeplab-tf\[video\]'"):
    video_reader.import_av('a.mp4')
  with pytest.raises(InputError, match='--input=0: a camera, which needs PyAV'):
    video_reader.import_av('0')


def test_names(tmp_path):
  (tmp_path / 'a.MOV').write_bytes(b'x')
  (planned,) = _plan(tmp_path, tmp_path / 'a.MOV', ('overlay', 'ids'), suffix='_pred')
  out = str(tmp_path / 'out')
  assert planned.videos == {'overlay': f'{out}/a_pred_overlay.mp4'}
  assert planned.frames == {'ids': (f'{out}/a_pred_ids', '.png')}
  assert not planned.exists
  with pytest.raises(InputError, match='--output_type=contact_sheet is for images'):
    _plan(tmp_path, tmp_path / 'a.MOV', ('contact_sheet',))
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / 'b.mp4').write_bytes(b'x')
  with pytest.raises(InputError, match='the prediction of .*b.mp4 would overwrite it'):
    _plan(tmp_path, tmp_path / 'out' / 'b.mp4', ('color',), suffix='')
