import numpy as np
from PIL import Image

from deeplab import synthetic_scenes


def test_scene():
  image, label = synthetic_scenes.draw_scene(
    np.random.default_rng(3), height=96, width=130, num_objects=4
  )
  assert image.shape == (96, 130, 3) and image.dtype == np.uint8
  assert label.shape == (96, 130) and label.dtype == np.uint8
  assert set(np.unique(label)) <= {
    *range(len(synthetic_scenes.CLASS_NAMES)),
    synthetic_scenes.IGNORE_LABEL,
  }
  assert image.std() > 10


def test_ignored_border_separates_shapes_from_background():
  _, label = synthetic_scenes.draw_scene(
    np.random.default_rng(3), height=96, width=130, num_objects=1
  )
  assert {0, synthetic_scenes.IGNORE_LABEL} < set(np.unique(label))
  is_shape = (label > 0) & (label < synthetic_scenes.IGNORE_LABEL)
  assert is_shape.sum() > 200
  # No pixel of the shape has a neighbour of the background to its right or below.
  assert (
    not (is_shape[:, 1:] & (label[:, :-1] == 0)).any()
    and not (is_shape[:, :-1] & (label[:, 1:] == 0)).any()
  )
  assert (
    not (is_shape[1:] & (label[:-1] == 0)).any() and not (is_shape[:-1] & (label[1:] == 0)).any()
  )


def test_data_set(tmp_path):
  training, held_out = synthetic_scenes.write_data_set(
    str(tmp_path), num_training=12, num_held_out=3, seed=7
  )
  assert (
    (tmp_path / 'train.txt').read_text().split()
    == training
    == [f'train_{index:04d}' for index in range(12)]
  )
  assert (tmp_path / 'val.txt').read_text().split() == held_out and len(held_out) == 3
  classes = set()
  for name in training + held_out:
    with Image.open(tmp_path / 'JPEGImages' / f'{name}.jpg') as image:
      with Image.open(tmp_path / 'SegmentationClass' / f'{name}.png') as label:
        assert image.size == label.size and image.mode == 'RGB' and label.mode == 'P'
        assert label.getpalette()[3:6] == [128, 0, 0]
        classes |= set(np.unique(label))
  assert classes == {*range(7), 255}


def test_data_set_depends_on_the_seed_only(tmp_path):
  for folder, num_training, seed in (('a', 2, 1), ('b', 4, 1), ('c', 2, 2)):
    (tmp_path / folder).mkdir()
    synthetic_scenes.write_data_set(
      str(tmp_path / folder), num_training=num_training, num_held_out=1, seed=seed
    )
  read = lambda folder, name: (tmp_path / folder / 'JPEGImages' / f'{name}.jpg').read_bytes()
  assert read('a', 'train_0001') == read('b', 'train_0001')
  assert read('a', 'val_0000') == read('b', 'val_0000')
  assert read('a', 'train_0001') != read('c', 'train_0001')
  assert read('a', 'train_0000') != read('a', 'val_0000')
