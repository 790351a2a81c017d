"""Augmentation: its distribution, and that image and label stay together."""

import io

import numpy as np
import pytest
import record_makers
import tensorflow as tf
from PIL import Image

from deeplab import pixel_means
from deeplab.data import augmentation
from deeplab.options import TrainingInputOptions


def make_options(**changes):
  changes = {'crop_size_height': 40, 'crop_size_width': 50, **changes}
  return TrainingInputOptions(filenames=('unused',), **changes)


def make_draws(
  *,
  scale=0.0,
  row=0.0,
  column=0.0,
  horizontal_flip=0.9,
  vertical_flip=0.9,
  angle=0.5,
  brightness=0.5,
  contrast=0.5,
  saturation=0.5,
):
  return tf.constant(
    [scale, row, column, horizontal_flip, vertical_flip, angle, brightness, contrast, saturation],
    tf.float32,
  )


def run(image, label, draws, options):
  image, label = augmentation.augment(
    tf.constant(record_makers.encode(image)), tf.constant(label), draws, options
  )
  return image.numpy(), label.numpy()


def random_image(height, width):
  return np.random.default_rng(0).integers(0, 256, [height, width, 3]).astype(np.uint8)


def random_label(height, width):
  return np.random.default_rng(1).integers(0, 21, [height, width]).astype(np.uint8)


def test_scale_is_uniform_or_one_of_equal_steps():
  options = make_options(min_rescale_factor=0.5, max_rescale_factor=2.0)
  assert augmentation.draw_scale(tf.constant(0.0), options).numpy() == 0.5
  assert augmentation.draw_scale(tf.constant(0.5), options).numpy() == 1.25
  stepped = options.replace(rescale_step_size=0.25)
  scales = [
    float(augmentation.draw_scale(tf.constant(draw), stepped))
    for draw in np.linspace(0, 0.9999, 7000)
  ]
  values, counts = np.unique(scales, return_counts=True)
  assert values.tolist() == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
  np.testing.assert_allclose(counts, 1000, atol=2)


def test_rescale_steps_of_equal_factors():
  options = make_options(min_rescale_factor=1.0, max_rescale_factor=1.0, rescale_step_size=0.25)
  assert augmentation.draw_scale(tf.constant(0.7), options).numpy() == 1.0


@pytest.mark.parametrize('horizontal_flip', [0.1, 0.9])
def test_unscaled_window_is_a_plain_crop(horizontal_flip):
  image, label = random_image(60, 90), random_label(60, 90)
  options = make_options(min_rescale_factor=1.0, max_rescale_factor=1.0)
  # Rows 0..20, columns 0..40 to begin at.
  draws = make_draws(row=0.5, column=0.999, horizontal_flip=horizontal_flip)
  crop, crop_label = run(image, label, draws, options)
  expected, expected_label = image[10:50, 40:90], label[10:50, 40:90]
  if horizontal_flip < 0.5:
    expected, expected_label = expected[:, ::-1], expected_label[:, ::-1]
  np.testing.assert_array_equal(crop, expected)
  np.testing.assert_array_equal(crop_label, expected_label)


@pytest.mark.parametrize(
  'scale, row, column', [(0.5, 0.0, 0.0), (2.0, 0.34, 0.67), (2.0, 0.0, 0.99)]
)
def test_window_equals_scaling_the_whole_image(scale, row, column):
  image, label = random_image(100, 120), random_label(100, 120)
  options = make_options(min_rescale_factor=scale, max_rescale_factor=scale)
  scaled = [int(100 * scale), int(120 * scale)]
  # Even places fall on whole source pixels at scale 2.
  top, left = (
    int(draw * (size - crop + 1)) // 2 * 2
    for draw, size, crop in zip((row, column), scaled, (40, 50))
  )
  draws = make_draws(row=(top + 0.5) / (scaled[0] - 39), column=(left + 0.5) / (scaled[1] - 49))
  crop, crop_label = run(image, label, draws, options)
  whole = tf.compat.v1.image.resize_bilinear(image[np.newaxis].astype(np.float32), scaled)[
    0
  ].numpy()
  whole_label = tf.compat.v1.image.resize_nearest_neighbor(
    label[np.newaxis, ..., np.newaxis], scaled
  )[0, ..., 0].numpy()
  np.testing.assert_array_equal(crop_label, whole_label[top : top + 40, left : left + 50])
  # A row and a column at the end are interpolated with pixels outside the window.
  np.testing.assert_allclose(
    crop[:-2, :-2], whole[top : top + 40, left : left + 50][:-2, :-2], atol=1e-3
  )


@pytest.mark.parametrize(
  'pad_imagenet_mean, value', [(False, [127.5] * 3), (True, pixel_means.IMAGENET)]
)
@pytest.mark.parametrize('horizontal_flip, left', [(0.9, 9), (0.1, 10)])
def test_small_image_is_padded_in_the_centre(pad_imagenet_mean, value, horizontal_flip, left):
  image, label = np.full([20, 31, 3], 200, np.uint8), np.full([20, 31], 3, np.uint8)
  options = make_options(
    min_rescale_factor=1.0, max_rescale_factor=1.0, pad_imagenet_mean=pad_imagenet_mean
  )
  crop, crop_label = run(image, label, make_draws(horizontal_flip=horizontal_flip), options)
  inside = np.zeros([40, 50], bool)
  # 19 columns of padding: 9 before and 10 behind, flipped with the image.
  inside[10:30, left : left + 31] = True
  np.testing.assert_allclose(crop[inside], 200, atol=1e-4)
  np.testing.assert_allclose(crop[~inside], np.broadcast_to(value, [(~inside).sum(), 3]), rtol=1e-6)
  np.testing.assert_array_equal(crop_label, np.where(inside, 3, 255))


def test_padding_of_the_label_is_ignore_label():
  options = make_options(min_rescale_factor=1.0, max_rescale_factor=1.0, ignore_label=0)
  _, crop_label = run(random_image(20, 31), np.full([20, 31], 3, np.uint8), make_draws(), options)
  assert crop_label[0, 0] == 0 and crop_label[20, 25] == 3


def test_statistics_are_the_references():
  """10,000 windows against 10,000 draws of the reference's order of work, written out in numpy."""
  height, width, crop = 375, 500, 513
  options = make_options(crop_size_height=crop, crop_size_width=crop)
  rows = np.random.default_rng(2).random([10_000, augmentation.NUM_DRAWS]).astype(np.float32)
  windows = (
    tf.data.Dataset.from_tensor_slices(rows)
    .map(
      lambda draws: augmentation.choose_window(
        tf.constant([height, width]), draws, options, crop_size=tf.constant([crop, crop])
      )
    )
    .batch(10_000)
  )
  window = augmentation.Window(*(part.numpy() for part in next(iter(windows))))

  generator = np.random.default_rng(3)
  scale = generator.uniform(0.5, 2.0, 10_000)
  for axis, size in enumerate((height, width)):
    scaled = (size * scale).astype(int)
    padded = np.maximum(scaled, crop)
    offset = np.floor(generator.random(10_000) * (padded - crop + 1))
    pad_before = (padded - scaled) // 2
    visible = np.minimum(scaled, crop) / scaled * size  # Source pixels in the crop.
    begin = offset / scaled * size  # The first of them.
    room = window.scaled_size[:, axis] < crop
    unflipped = np.where(
      window.flip[:, axis], window.pad_after[:, axis], window.pad_before[:, axis]
    )
    assert _distance(window.size[:, axis], visible) < 0.025
    assert _distance(window.begin[:, axis], begin) < 0.025
    assert _distance(unflipped, pad_before) < 0.025
    assert _distance(window.scaled_size[:, axis] / window.size[:, axis], scaled / size) < 0.025
    assert abs(room.mean() - (scaled < crop).mean()) < 0.02
    assert (window.begin[:, axis] + window.size[:, axis] <= size).all() and (
      window.begin[:, axis] >= 0
    ).all()
    np.testing.assert_array_equal(
      window.pad_before[:, axis] + window.scaled_size[:, axis] + window.pad_after[:, axis], crop
    )
  assert not window.flip[:, 0].any()
  assert abs(window.flip[:, 1].mean() - 0.5) < 0.02


def _distance(sample, other):
  """Largest distance between the distribution functions of two samples (Kolmogorov and Smirnov),
  rounded to whole units.
  """
  sample, other = (
    np.sort(np.round(sample, 1 if sample.max() < 10 else 0)),
    np.sort(np.round(other, 1 if sample.max() < 10 else 0)),
  )
  points = np.union1d(sample, other)
  return np.abs(
    np.searchsorted(sample, points, side='right') / len(sample)
    - np.searchsorted(other, points, side='right') / len(other)
  ).max()


@pytest.mark.parametrize(
  'changes',
  [
    {},
    {'random_vertical_flip': True},
    {'max_rotation_degrees': 180.0},
    {'pad_imagenet_mean': True},
    {'rescale_step_size': 0.25, 'random_vertical_flip': True, 'max_rotation_degrees': 30.0},
  ],
)
@pytest.mark.parametrize('size', [(120, 90), (31, 160)])
def test_image_and_label_move_together(changes, size):
  """The image encodes its label, smoothly, so that the crop's colours say which label belongs
  there.
  """
  height, width = size
  rows, columns = np.meshgrid(
    np.linspace(0, 200, height), np.linspace(0, 200, width), indexing='ij'
  )
  image = np.stack([rows, columns, np.full(size, 100)], axis=-1).astype(np.uint8)
  options = make_options(crop_size_height=65, crop_size_width=65, **changes)
  generator = np.random.default_rng(4)
  # Nearest neighbours are off by up to a source pixel, and in rotation by half a crop pixel: at
  # scale 0.5, another source pixel.
  step = (2.5 if options.max_rotation_degrees else 1.5) * 200 / min(size) + 2
  for channel in (0, 1):
    label = image[..., channel].copy()
    for _ in range(20):
      crop, crop_label = run(
        image, label, tf.constant(generator.random(augmentation.NUM_DRAWS), tf.float32), options
      )
      inside = crop_label != 255
      # Rotation mixes the border with the padding: look one pixel further in.
      inside[1:-1, 1:-1] &= (
        inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
      )
      assert inside.sum() > 20
      difference = np.abs(crop[..., channel] - crop_label)[1:-1, 1:-1][inside[1:-1, 1:-1]]
      assert difference.max() <= step


def test_rotation_by_a_right_angle_is_exact():
  image, label = random_image(50, 50), random_label(50, 50)
  options = make_options(
    crop_size_height=50,
    crop_size_width=50,
    min_rescale_factor=1.0,
    max_rescale_factor=1.0,
    max_rotation_degrees=90.0,
  )
  crop, crop_label = run(image, label, make_draws(angle=0.0), options)
  quarter_turns = next(
    turns for turns in (1, 3) if np.array_equal(crop_label, np.rot90(label, turns))
  )
  np.testing.assert_allclose(crop, np.rot90(image, quarter_turns), atol=0.01)


def test_rotation_takes_its_corners_from_the_image():
  image, label = np.full([200, 200, 3], 60, np.uint8), np.full([200, 200], 4, np.uint8)
  options = make_options(min_rescale_factor=1.0, max_rescale_factor=1.0, max_rotation_degrees=45.0)
  crop, crop_label = run(image, label, make_draws(angle=0.99, row=0.5, column=0.5), options)
  np.testing.assert_allclose(crop, 60, atol=1e-3)
  np.testing.assert_array_equal(crop_label, 4)


def test_no_jitter_in_the_middle_of_the_range():
  image = tf.constant(random_image(4, 5), tf.float32)
  np.testing.assert_allclose(
    augmentation.jitter_colors(image, make_draws(), strength=0.5), image, atol=1e-3
  )


@pytest.mark.parametrize(
  'draws, expected',
  [
    # One pixel of (100, 50, 50) and one of (50, 50, 50); brightness 0.299 * 100 + 0.701 * 50 =
    # 64.95 and 50: mean 57.475.
    (make_draws(brightness=1.0), [[150, 75, 75], [75, 75, 75]]),
    (make_draws(contrast=0.0), [[78.7375, 53.7375, 53.7375], [53.7375, 53.7375, 53.7375]]),
    (make_draws(saturation=0.0), [[82.475, 57.475, 57.475], [50, 50, 50]]),
  ],
)
def test_jitter_factors(draws, expected):
  image = tf.constant([[[100, 50, 50], [50, 50, 50]]], tf.float32)
  np.testing.assert_allclose(
    augmentation.jitter_colors(image, draws, strength=0.5)[0], expected, rtol=1e-5
  )


def test_jitter_stays_in_range_and_leaves_label_and_padding_alone():
  image, label = random_image(20, 31), random_label(20, 31)
  options = make_options(min_rescale_factor=1.0, max_rescale_factor=1.0)
  draws = make_draws(brightness=0.99, contrast=0.99, saturation=0.01)
  plain, plain_label = run(image, label, draws, options)
  crop, crop_label = run(image, label, draws, options.replace(color_jitter=1.0))
  np.testing.assert_array_equal(crop_label, plain_label)
  outside = crop_label == 255
  np.testing.assert_array_equal(crop[outside], plain[outside])
  assert crop.min() >= 0 and crop.max() <= 255 and np.abs(crop - plain)[~outside].mean() > 10


def test_labels_of_two_bytes():
  label = np.full([60, 90], 300, np.uint16)
  _, crop_label = run(random_image(60, 90), label, make_draws(), make_options(ignore_label=65535))
  assert set(np.unique(crop_label)) == {300, 65535} and crop_label.dtype == np.int32


@pytest.mark.parametrize('size', [(1, 1), (1, 300), (300, 1)])
def test_tiny_images(size):
  crop, crop_label = run(
    random_image(*size),
    random_label(*size),
    make_draws(scale=0.01, row=0.9, column=0.9),
    make_options(),
  )
  assert crop.shape == (40, 50, 3) and crop_label.shape == (40, 50) and np.isfinite(crop).all()


def test_jpeg_is_cropped_like_png():
  image = np.asarray(
    Image.fromarray(random_image(12, 15)).resize((150, 120), Image.Resampling.BICUBIC)
  )
  label, draws, options = (
    random_label(120, 150),
    make_draws(scale=0.6, row=0.3, column=0.8),
    make_options(),
  )
  file = io.BytesIO()
  Image.fromarray(image).save(file, format='JPEG', quality=100, subsampling=0)
  from_jpeg, _ = augmentation.augment(
    tf.constant(file.getvalue()), tf.constant(label), draws, options
  )
  from_png, _ = run(image, label, draws, options)
  assert np.abs(from_jpeg.numpy() - from_png).mean() < 2
