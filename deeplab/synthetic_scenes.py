"""Draws small labelled scenes, so that the whole job can be shown and tested without downloading a
data set.
"""

import colorsys
import os

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from deeplab import color_map as color_maps
from deeplab.atomic_files import replacing

CLASS_NAMES = ('background', 'disc', 'square', 'triangle', 'star', 'ring', 'cross')
IGNORE_LABEL = 255

# Shapes are drawn this much larger and averaged down, for edges as soft as a camera's.
_OVERSAMPLING = 4


def draw_scene(
  random: np.random.Generator, *, height: int, width: int, num_objects: int
) -> tuple[np.ndarray, np.ndarray]:
  """Draws one scene: shapes on a textured background, later ones in front of earlier ones.

  Both the hue and the outline of a shape depend on its class, and both vary; brightness, texture,
  size and angle say nothing.

  Args:
    height, width: size in pixels, at least 32.
    num_objects: number of shapes; some may be hidden by others.

  Returns:
    image: uint8 [height, width, 3].
    label: uint8 [height, width], indices of CLASS_NAMES, and IGNORE_LABEL in a border of two pixels
      around every shape.
  """
  size = height, width
  pale = _random_color(random, hue=random.uniform(), saturation=(0.0, 0.45), value=(0.25, 0.95))
  image = _textured(random, pale, size, contrast=70)
  label = np.zeros(size, np.uint8)
  for _ in range(num_objects):
    class_index = int(random.integers(1, len(CLASS_NAMES)))
    coverage = _draw_shape(random, CLASS_NAMES[class_index], size)
    hue = (class_index - 1) / (len(CLASS_NAMES) - 1) + random.uniform(-0.06, 0.06)
    color = _random_color(random, hue=hue, saturation=(0.55, 1.0), value=(0.45, 1.0))
    shape = _textured(random, color, size, contrast=50)
    weight = np.asarray(coverage, np.float32)[..., np.newaxis] / 255
    image = image * (1 - weight) + shape * weight
    label[np.asarray(coverage) > 127] = class_index
    # The border, as in PASCAL VOC: where annotators would disagree, the label says nothing.
    border = np.asarray(coverage.filter(ImageFilter.MaxFilter(3))) > 127
    border &= ~(np.asarray(coverage.filter(ImageFilter.MinFilter(3))) > 127)
    label[border] = IGNORE_LABEL
  image += random.normal(0, 4, image.shape)  # Sensor noise.
  return np.clip(np.rint(image), 0, 255).astype(np.uint8), label


def write_data_set(
  directory: str, *, num_training: int, num_held_out: int, seed: int = 0
) -> tuple[list[str], list[str]]:
  """Draws a data set in the layout of PASCAL VOC.

  Writes JPEGImages/NAME.jpg, SegmentationClass/NAME.png (palette PNGs), and the lists train.txt and
  val.txt with one NAME a line. The same arguments give the same files.

  Args:
    directory: where to write; must exist.
    num_training, num_held_out: numbers of scenes in the two lists.
    seed: of the random numbers.

  Returns:
    (names of the training scenes, names of the held-out scenes).
  """
  for folder in ('JPEGImages', 'SegmentationClass'):
    os.makedirs(os.path.join(directory, folder), exist_ok=True)
  palette = color_maps.pascal_voc_color_map().ravel().tolist()
  lists = {'train': num_training, 'val': num_held_out}
  for split, (list_name, num_scenes) in enumerate(lists.items()):
    lists[list_name] = names = [f'{list_name}_{index:04d}' for index in range(num_scenes)]
    for index, name in enumerate(names):
      # A generator per scene: the first scenes stay the same when more are asked for.
      random = np.random.default_rng([seed, split, index])
      height, width = (int(side) for side in random.integers(128, 193, size=2))
      image, label = draw_scene(
        random, height=height, width=width, num_objects=int(random.integers(2, 6))
      )
      with replacing(os.path.join(directory, 'JPEGImages', name + '.jpg')) as path:
        Image.fromarray(image).save(path, quality=92)
      picture = Image.fromarray(label)
      picture.putpalette(palette)
      with replacing(os.path.join(directory, 'SegmentationClass', name + '.png')) as path:
        picture.save(path)
    with (
      replacing(os.path.join(directory, list_name + '.txt')) as path,
      open(path, 'w', encoding='utf-8') as file,
    ):
      file.writelines(name + '\n' for name in names)
  return lists['train'], lists['val']


def _draw_shape(random, class_name, size):
  """A PIL image in mode L, 255 inside a shape of random place, size and angle, with soft edges."""
  height, width = size
  radius = random.uniform(0.14, 0.3) * min(size)
  center = np.array([random.uniform(0.1, 0.9) * width, random.uniform(0.1, 0.9) * height])
  turn = random.uniform(0, 2 * np.pi)
  mask = Image.new('L', (width * _OVERSAMPLING, height * _OVERSAMPLING))
  draw = ImageDraw.Draw(mask)

  def disc(disc_radius, fill):
    low, high = (center - disc_radius) * _OVERSAMPLING, (center + disc_radius) * _OVERSAMPLING
    draw.ellipse([*low, *high], fill=fill)

  if class_name in ('disc', 'ring'):
    disc(radius, 255)
    if class_name == 'ring':
      disc(radius * 0.5, 0)
  else:
    corners = _corners(class_name) * radius
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    draw.polygon(
      [tuple(point) for point in (corners @ rotation.T + center) * _OVERSAMPLING], fill=255
    )
  return mask.resize((width, height), Image.Resampling.BOX)


def _corners(class_name):
  """Corners [n, 2] of a shape in the unit disc."""
  if class_name == 'cross':
    arm = 0.33
    return np.array(
      [
        (arm, arm),
        (arm, 1),
        (-arm, 1),
        (-arm, arm),
        (-1, arm),
        (-1, -arm),
        (-arm, -arm),
        (-arm, -1),
        (arm, -1),
        (arm, -arm),
        (1, -arm),
        (1, arm),
      ]
    )
  count = {'triangle': 3, 'square': 4, 'star': 10}[class_name]
  angles = np.arange(count) * 2 * np.pi / count
  radii = np.where(np.arange(count) % 2, 0.45, 1.0) if class_name == 'star' else np.ones(count)
  return radii[:, np.newaxis] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _random_color(random, *, hue, saturation, value):
  """RGB in [0, 255], float64 [3], with saturation and value drawn from the given (low, high)."""
  return 255 * np.array(
    colorsys.hsv_to_rgb(hue % 1, random.uniform(*saturation), random.uniform(*value))
  )


def _textured(random, color, size, *, contrast):
  """A color with clouds and stripes of random strength over it, float64 [height, width, 3]."""
  height, width = size
  clouds = _clouds(random, size, cells=4) + 0.5 * _clouds(random, size, cells=12)
  rows, columns = np.mgrid[:height, :width]
  angle, period = random.uniform(0, np.pi), random.uniform(4, 16)
  stripes = np.sin(2 * np.pi / period * (np.cos(angle) * columns + np.sin(angle) * rows))
  lightness = contrast * (clouds * random.uniform(0.3, 1) + stripes * random.uniform(0, 0.5))
  tint = random.uniform(0.6, 1, size=3)
  return color + lightness[..., np.newaxis] * tint


def _clouds(random, size, *, cells):
  """Smooth noise in about [-1, 1], float32 [height, width]."""
  height, width = size
  coarse = Image.fromarray(random.uniform(-1, 1, size=[cells, cells]).astype(np.float32))
  return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
