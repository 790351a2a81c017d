"""Marks of label pictures that were resized with interpolation, which invents classes at borders.

Between two regions interpolation puts thin bands of values, or colours, that lie between those of
the regions. True labels do not look like that: a class is somewhere wider than a line, and the
classes beside a thin object are not just the one below and the one above it in number.

Where the values between are no classes, one picture shows it (`invents_values`, `invents_colors`).
Where they are classes themselves, as between sky and car of twelve classes, it takes the borders of
many pictures (`count_borders`, `invents_borders`): few pixels are thin and between there, but a
fifth to a half after interpolation.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

_REACH = 8  # Pixels from a band to the regions it lies between: enlarging by 16 is recognised.
_FEWEST_VALUES = 4  # Thin true classes, such as poles, are taken for true up to here.
_SHARE = 0.9  # Of the pixels that must agree.
_WINDOW = 512  # Pixels on a side of the middle of a picture, in which borders are counted.
_BORDER_SHARE = 0.15  # Of the border pixels, from which on they are invented.
_FEWEST_BORDER_PIXELS = 200


def invents_values(indices: np.ndarray) -> bool:
  """Whether the indices look interpolated.

  A value is a region if a square of 3x3 pixels has it, and stray if at most a tenth of its pixels
  are in a square of 2x2 of that value. Interpolated are labels with at least 4 stray values, more
  than they have regions, that nine times of ten have regions of a lower and of a higher value
  within 8 pixels, and a lower and a higher pixel beside them.

  Args:
    indices: uint8 or uint16 [height, width].
  """
  indices = _middle(indices, 2 * _WINDOW)
  counts = np.bincount(indices.ravel())
  values = np.flatnonzero(counts)
  if len(values) < 2 + _FEWEST_VALUES or min(indices.shape) < 3:
    return False
  same = _same_as_neighbours(indices)
  wide = np.bincount(indices[_squares(same, 3)].ravel(), minlength=len(counts)) > 0
  in_squares = np.bincount(
    indices[_grown(_squares(same, 2), indices.shape)].ravel(), minlength=len(counts)
  )
  stray = (counts > 0) & ~wide & (in_squares <= (1 - _SHARE) * counts)
  if stray.sum() < _FEWEST_VALUES or stray.sum() <= wide.sum() or wide.sum() < 2:
    return False
  pixels = stray[indices]
  between = _between(indices, indices, np.ones(indices.shape, bool), reach=1)
  between &= _between(indices, indices, wide[indices], reach=_REACH)
  agreeing = np.bincount(indices[pixels & between], minlength=len(counts))
  invented = stray & (agreeing >= _SHARE * counts)
  return bool(invented.sum() >= _FEWEST_VALUES and invented.sum() > wide.sum())


def are_invented(indices: np.ndarray, wrong: np.ndarray) -> bool:
  """Whether pixels whose values are no classes look interpolated: at most a tenth of them is in
  squares of 2x2 of one value, and nine of ten lie between other values within 8 pixels.

  Args:
    indices: uint8 or uint16 [height, width].
    wrong: bool [height, width], at least one of them.
  """
  squares = _grown(_squares(_same_as_neighbours(indices), 2), indices.shape)
  between = _between(indices, indices, ~wrong, reach=_REACH)
  return bool(squares[wrong].mean() <= 1 - _SHARE and between[wrong].mean() >= _SHARE)


def invents_colors(pixels: np.ndarray, unlisted: np.ndarray) -> bool:
  """Whether colours that no class has look interpolated: at least 3 of them, and nine pixels of ten
  lie in each channel between listed colours within 8 pixels, or little beyond.

  Args:
    pixels: uint8 [height, width, 3].
    unlisted: bool [height, width], where the colour is no class's.
  """
  codes = pixels[unlisted].astype(np.int64) @ np.array([65536, 256, 1])
  if unlisted.all() or len(np.unique(codes)) < 3:
    return False
  inside = np.ones(unlisted.shape, bool)
  changes = np.zeros(unlisted.shape, bool)
  for channel in np.moveaxis(pixels, 2, 0):
    lowest, highest = _range(channel, ~unlisted, reach=_REACH)
    # Bicubic interpolation overshoots.
    margin = (highest - lowest) // 6
    inside &= (lowest - margin <= channel) & (channel <= highest + margin)
    changes |= lowest < highest
  return bool((inside & changes)[unlisted].mean() >= _SHARE)


@dataclasses.dataclass(frozen=True)
class BorderCounts:
  """What the borders of a label show.

  Attributes:
    border: number of pixels beside another value, and near regions whose values are no neighbours.
    values: tuples (value, its pixels, those in a square of 2x2 of it, those that are in none and
      lie between a region of a lower and one of a higher value).
  """

  border: int
  values: tuple[tuple[int, int, int, int], ...]


def count_borders(indices: np.ndarray) -> BorderCounts | None:
  """The borders of uint8 or uint16 [height, width]; None where fewer than three values leave no
  room between.
  """
  indices = _middle(indices, _WINDOW)
  counts = np.bincount(indices.ravel())
  if np.count_nonzero(counts) < 3 or min(indices.shape) < 3:
    return None
  below, right = same = _same_as_neighbours(indices)
  border = np.zeros(indices.shape, bool)
  for first, second, equal in (
    (border[1:], border[:-1], below),
    (border[:, 1:], border[:, :-1], right),
  ):
    first |= ~equal
    second |= ~equal
  solid = _grown(_squares(same, 2), indices.shape)
  lowest, highest = _range(indices, solid, reach=3)
  border &= highest - lowest >= 2  # Others leave no room between.
  between = border & ~solid & (lowest < indices) & (indices < highest)
  in_squares, thin = (
    np.bincount(indices[mask], minlength=len(counts)) for mask in (solid, between)
  )
  return BorderCounts(
    border=int(border.sum()),
    values=tuple(
      (int(value), int(counts[value]), int(in_squares[value]), int(thin[value]))
      for value in np.flatnonzero(counts)
    ),
  )


def invents_borders(borders: Iterable[BorderCounts]) -> bool:
  """Whether the labels of these borders together look interpolated: 15 percent of the border pixels
  are thin and between.

  Only values of which a third is in squares count: a contour is thin and between everywhere.
  """
  border, values = summed(borders)
  between = sum(thin for _, pixels, solid, thin in values if 3 * solid >= pixels)
  return bool(border >= _FEWEST_BORDER_PIXELS and between >= _BORDER_SHARE * border)


def summed(borders: Iterable[BorderCounts]) -> tuple[int, list[tuple[int, int, int, int]]]:
  """What the borders of several labels show together: (border, values) as of BorderCounts."""
  border, sums = 0, {}
  for counts in borders:
    border += counts.border
    for value, *numbers in counts.values:
      sums[value] = [sum(pair) for pair in zip(sums.get(value, (0, 0, 0)), numbers)]
  return border, [(value, *numbers) for value, numbers in sums.items()]


def _middle(indices, size):
  """At most size x size pixels, which bounds the time that large labels take."""
  top, left = (max(0, side - size) // 2 for side in indices.shape)
  return indices[top : top + size, left : left + size]


def _same_as_neighbours(indices):
  """(equal to the pixel below, equal to the pixel on the right)."""
  return indices[1:] == indices[:-1], indices[:, 1:] == indices[:, :-1]


def _squares(same, size):
  """Where squares of `size` equal pixels have their first pixel, bool [height - size + 1, ...]."""
  below, right = same
  height, width = right.shape[0] - size + 1, below.shape[1] - size + 1
  found = np.ones([height, width], bool)
  for row in range(size):
    for column in range(size - 1):
      found &= right[row : row + height, column : column + width]
  for row in range(size - 1):
    found &= below[row : row + height, :width]
  return np.pad(found, [(0, size - 1), (0, size - 1)])


def _grown(corners, shape):
  """Every pixel of the squares of 2x2 that begin at `corners`."""
  pixels = np.zeros(shape, bool)
  for row in (0, 1):
    for column in (0, 1):
      pixels[row:, column:] |= corners[: shape[0] - row, : shape[1] - column]
  return pixels


def _between(indices, among, mask, *, reach):
  """Where `indices` lie strictly between values of `among` that `mask` admits within `reach`."""
  lowest, highest = _range(among, mask, reach=reach)
  return (lowest < indices) & (indices < highest)


def _range(values, mask, *, reach):
  """(lowest, highest) of the values that `mask` admits within `reach` pixels, int32."""
  values = values.astype(np.int32)
  lowest = np.where(mask, values, 1 << 20)
  highest = np.where(mask, values, -1)
  for axis in (0, 1):
    lowest, highest = (
      _slid(lowest, np.minimum, reach, axis),
      _slid(highest, np.maximum, reach, axis),
    )
  return lowest, highest


def _slid(values, extreme, reach, axis):
  """The extreme within `reach` pixels along an axis."""
  done, result = 0, values
  while done < reach:  # Windows of doubled reach: shifts may add up, as far as they do not exceed.
    step = min(done + 1, reach - done)
    forward, backward = _shifted(result, step, axis), _shifted(result, -step, axis)
    result = extreme(result, extreme(forward, backward))
    done += step
  return result


def _shifted(values, step, axis):
  """`values` moved by `step` along `axis`, with the border repeated."""
  size = values.shape[axis]
  return np.take(values, np.clip(np.arange(size) - step, 0, size - 1), axis=axis)
