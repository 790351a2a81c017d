"""Objects cut out of their photograph, to be laid on another background.

What the network says is soft and follows an outline only to within some pixels. So the outline is
drawn to the edges of the photograph by a guided filter (He, Sun, Tang, ECCV 2010; at low resolution
as in He, Sun, "Fast Guided Filter", 2015), and pixels that are part object, part background get the
colour of the object alone (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021), else
the old background would shine around it.
"""

import numpy as np
from PIL import Image

# The filter's coefficients are computed at this size at most: they are smooth.
_GUIDE_SIZE = 512
# The colours around the edges likewise.
_COLORS_SIZE = 1024
# Half the side of the filter's windows, as a share of the longer side of the image: about as far as
# outlines are off at an output stride of 16.
_RADIUS = 1 / 56
# Below this variance of the colour, on a scale of 0 to 1, the filter smooths instead of following
# edges.
_EPSILON = 2e-4
# How much steeper than the network's probability the opacity rises at one half, before and after
# the filter.
_CONTRAST, _LAST_CONTRAST = 2.0, 2.2


def cutout(image: np.ndarray, foreground: np.ndarray) -> np.ndarray:
  """Cuts the foreground out.

  Args:
    image: uint8 [H, W, 3].
    foreground: float [H, W], the probability that a pixel belongs to it.

  Returns:
    uint8 [H, W, 4]: RGB, and the opacity, not multiplied into it.
  """
  opacity = opacity_of(image, foreground)
  colors = _object_colors(image, opacity)
  return np.dstack([colors, np.rint(opacity * 255).astype(np.uint8)])


def opacity_of(image: np.ndarray, foreground: np.ndarray) -> np.ndarray:
  """How opaque each pixel of the cutout is: float32 [H, W], 0 to 1; arguments as `cutout`."""
  height, width = foreground.shape
  soft = _steeper(np.asarray(foreground, np.float32), _CONTRAST)
  if soft.min() == soft.max():
    return soft
  scale = min(1.0, _GUIDE_SIZE / max(height, width))
  small = max(1, round(height * scale)), max(1, round(width * scale))
  guide = _resized(image, small) / np.float32(255)
  slope, offset = _guided_filter(
    guide, _resized(soft, small), radius=max(1, round(_RADIUS * max(small)))
  )
  filtered = _resized(offset, (height, width))
  for channel in range(3):
    share = _resized(slope[..., channel], (height, width))
    filtered = filtered + share * (image[..., channel] / np.float32(255))
  return _steeper(filtered, _LAST_CONTRAST)


def _steeper(values, contrast):
  return np.clip((values - 0.5) * contrast + 0.5, 0, 1)


def _guided_filter(guide, values, *, radius):
  """The mean coefficients of the linear models of `values` [h, w] in the colours of `guide`
  [h, w, 3]: (slope [h, w, 3], offset [h, w]).
  """
  mean_color, mean_value = _box_mean(guide, radius), _box_mean(values, radius)
  covariance = _box_mean(guide * values[..., np.newaxis], radius)
  covariance -= mean_color * mean_value[..., np.newaxis]
  products = guide[..., :, np.newaxis] * guide[..., np.newaxis, :]
  variance = _box_mean(products.reshape(*values.shape, 9), radius).reshape(*values.shape, 3, 3)
  variance -= mean_color[..., :, np.newaxis] * mean_color[..., np.newaxis, :]
  variance += _EPSILON * np.eye(3, dtype=np.float32)
  slope = np.linalg.solve(variance, covariance[..., np.newaxis])[..., 0]
  offset = mean_value - (slope * mean_color).sum(axis=-1)
  return _box_mean(slope, radius), _box_mean(offset, radius)


def _object_colors(image, opacity):
  """The colours of the object alone, uint8 [H, W, 3]: those of `image` but where it is neither
  opaque nor transparent.
  """
  on_edge = (opacity > 0) & (opacity < 1)
  if not on_edge.any():
    return image
  height, width = opacity.shape
  scale = min(1.0, _COLORS_SIZE / max(height, width))
  size = max(1, round(height * scale)), max(1, round(width * scale))
  small_image, small_opacity = _resized(image, size), _resized(opacity, size)
  front = small_image
  # The second, narrow pass brings back what the wide one has smeared.
  for radius in (max(2, round(max(size) / 40)), max(1, round(max(size) / 200))):
    near_front, near_back = _colors_around(small_image, front, small_opacity, radius)
    front = _unmixed(small_image, near_front, near_back, small_opacity[..., np.newaxis])
  share, colors = opacity[on_edge], image.copy()
  for channel in range(3):
    near = [
      _resized(each[..., channel], (height, width))[on_edge] for each in (near_front, near_back)
    ]
    colors[..., channel][on_edge] = np.rint(_unmixed(image[..., channel][on_edge], *near, share))
  return colors


def _colors_around(image, front, opacity, radius):
  """The mean colours of object and background around each pixel, float32 [h, w, 3] each."""
  share, weight = opacity[..., np.newaxis], _box_mean(opacity, radius)[..., np.newaxis]
  return (
    _box_mean(front * share, radius) / np.maximum(weight, 1e-4),
    _box_mean(image * (1 - share), radius) / np.maximum(1 - weight, 1e-4),
  )


def _unmixed(image, front, back, share):
  """The colour that, with the colours around, explains the mixture in `image` best."""
  return np.clip(front + share * (image - share * front - (1 - share) * back), 0, 255)


def _box_mean(values, radius):
  """The mean of the (2 * radius + 1) ** 2 pixels around each, of those that there are: float32."""
  values = np.asarray(values, np.float32)
  for axis in (0, 1):
    size = values.shape[axis]
    sums = np.cumsum(values, axis=axis, dtype=np.float64)
    sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis=axis)
    positions = np.arange(size)
    ends, starts = np.minimum(positions + radius + 1, size), np.maximum(positions - radius, 0)
    counts = (ends - starts).reshape([-1 if each == axis else 1 for each in range(values.ndim)])
    values = ((sums.take(ends, axis) - sums.take(starts, axis)) / counts).astype(np.float32)
  return values


def _resized(values, size):
  """uint8 [h, w, 3] or float32 [h, w] at another size (height, width), anti-aliased; float32."""
  picture = Image.fromarray(values).resize(size[::-1], Image.Resampling.BILINEAR)
  return np.asarray(picture, np.float32)
