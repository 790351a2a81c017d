"""What exported models are compared on: images of several sizes, and two at once."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from deeplab import pixel_means, synthetic_scenes
from deeplab.errors import InputError
from deeplab.prediction import image_files

# Longer images are shrunk: the check is of the model, not of memory.
_LONGEST = 1025
# Height and width. The second is no multiple of any stride plus 1.
_SIZES = ((257, 257), (200, 300), (321, 225))
_MOST_IMAGES = 20


def read(patterns: Sequence[str]) -> list[np.ndarray]:
  """The images of --check_images, uint8 [H, W, 3] each: the first 20 that the patterns mean.

  Raises:
    InputError: a pattern means no image, or one cannot be read.
  """
  try:
    found, _ = image_files.find_images(patterns)
  except InputError as error:
    raise InputError(of_flag('check_images', error)) from error
  images = [image_files.read_image(each.path) for each in found[:_MOST_IMAGES]]
  return [
    _shrunk(image, _LONGEST / max(image.shape)) if max(image.shape) > _LONGEST else image
    for image in images
  ]


def of_flag(flag: str, error: InputError) -> str:
  """A message on the flag of another command, for a flag that takes the same."""
  message = str(error).replace('; --recursive looks into sub-directories too', '')
  for other in ('--filenames', '--input'):
    message = message.replace(f'{other}=', f'--{flag}=')
  return message


def batches(
  given: Sequence[np.ndarray], *, size: tuple[int, int] | None, several: bool
) -> list[np.ndarray]:
  """Arrays uint8 [B, H, W, 3] to predict.

  Args:
    given: images uint8 [H, W, 3]; [] for drawn scenes.
    size: (height, width) that all must have, or None: at least three sizes.
    several: the last array has two images, the others one.
  """
  images = list(given) or _drawn(size)
  if size is not None:
    images = [fitted(image, size) for image in images]
  else:
    images += _other_sizes(images)
  arrays = [image[np.newaxis] for image in images]
  if several:
    arrays.append(_pair(images))
  return arrays


def fitted(image: np.ndarray, size: tuple[int, int], *, fill: Sequence[float] = pixel_means.GREY):
  """An image brought to one size: shrunk if it is larger, then padded at the bottom and right.

  Args:
    image: uint8 [H, W, 3], or [H, W] for labels, which are shrunk without mixing.
    size: (height, width).
    fill: value of the padding, three numbers or one.

  Returns:
    an array of that size, of the same dtype.
  """
  scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
  if scale < 1:
    image = _shrunk(image, scale)
  padded = np.empty([*size, *image.shape[2:]], image.dtype)
  padded[...] = np.rint(fill)
  padded[: image.shape[0], : image.shape[1]] = image
  return padded


def _shrunk(image, scale):
  height, width = (max(1, int(side * scale)) for side in image.shape[:2])
  if image.ndim == 3:
    picture = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)
  rows, columns = (np.arange(new) * old // new for new, old in zip((height, width), image.shape))
  return image[rows[:, np.newaxis], columns]


def _drawn(size):
  scenes = []
  for index, (height, width) in enumerate(_SIZES if size is None else [size] * 3):
    # Scenes of less than 32 pixels cannot be drawn.
    image, _ = synthetic_scenes.draw_scene(
      np.random.default_rng(index), height=max(32, height), width=max(32, width), num_objects=4
    )
    scenes.append(image[:height, :width])
  return scenes


def _other_sizes(images):
  """Parts of the first image, so that there are three sizes."""
  height, width = images[0].shape[:2]
  parts = []
  for part in (images[0][: -(-height * 3 // 4)], images[0][:, : -(-width * 2 // 3)]):
    if len({image.shape for image in images + parts}) < 3:
      parts.append(part)
  return parts


def _pair(images):
  """Two images of one size in one array."""
  one, other = images[0], images[1] if len(images) > 1 else images[0][:, ::-1]
  height, width = (min(sides) for sides in zip(one.shape[:2], other.shape[:2]))
  return np.stack([one[:height, :width], other[:height, :width]])
