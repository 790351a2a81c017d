"""Predicting an image in overlapping square tiles whose results are blended, for images that do not
fit in memory.

Tiles are computed row by row, and finished rows of pixels are handed on at once: besides the image
itself, memory holds the probabilities of one row of tiles, whatever the image's height.
"""

import collections
from collections.abc import Callable, Iterator

import numpy as np

from deeplab.prediction.same_size_batches import same_size_batches


def needs_tiles(height: int, width: int, tile_size: int | None) -> bool:
  """Whether an image is larger than one tile; `tile_size` is None for no tiles."""
  return tile_size is not None and max(height, width) > tile_size


def tile_starts(size: int, *, tile_size: int, overlap: int, alignment: int = 1) -> list[int]:
  """First pixels of the tiles along one side: each shares at least `overlap` pixels with the next,
  the last ends at `size`.

  Args:
    size: of the image along this side.
    tile_size: the most pixels of a tile.
    overlap: the fewest pixels that neighbours share; at most tile_size - alignment.
    alignment: starts are multiples of it. With the network's output stride, tiles see features at
      the same pixels as the whole image would. The last tile may be up to alignment - 1 pixels
      smaller then.

  Returns:
    list of ints; [0] where one tile is enough.
  """
  if size <= tile_size:
    return [0]
  step = (tile_size - overlap) // alignment * alignment
  last = -(-(size - tile_size) // alignment) * alignment
  return list(range(0, last, step)) + [last]


def edge_weights(start: int, end: int, *, size: int, overlap: int) -> np.ndarray:
  """Blending weights of a tile's pixels along one side: 1 inside, a ramp towards each neighbour, no
  ramp at the image's border.

  Args:
    start, end: the tile covers pixels start to end - 1.
    size: of the image along this side.
    overlap: length of the ramp.

  Returns:
    float32 [end - start], all above 0.
  """
  weights = np.ones(end - start, np.float32)
  ramp = np.arange(1, overlap + 1, dtype=np.float32) / (overlap + 1)
  if start > 0:
    weights[:overlap] *= ramp
  if end < size:
    weights[len(weights) - overlap :] *= ramp[::-1]
  return weights


def predict_in_tiles(
  image: np.ndarray,
  predict_probabilities: Callable[[np.ndarray], np.ndarray],
  *,
  tile_size: int,
  overlap: int,
  alignment: int = 1,
  batch_size: int = 1,
  ahead: int = 0,
) -> Iterator[tuple[int, np.ndarray]]:
  """Predicts an image by tiles, as a generator of finished bands from top to bottom.

  Args:
    image: uint8 [H, W, 3].
    predict_probabilities: callable, uint8 [B, h, w, 3] -> float32 [B, h, w, num_classes], with h, w
      <= tile_size; an array, or a tensor that is still being computed.
    tile_size: side of a tile.
    overlap: pixels that neighbours share at least.
    alignment: tiles start at multiples of it.
    batch_size: tiles computed at once.
    ahead: batches begun before the result of one is waited for.

  Yields:
    (first_row, probabilities float32 [rows, W, num_classes]); the bands cover the image once.
  """
  height, width = image.shape[:2]
  row_starts = tile_starts(height, tile_size=tile_size, overlap=overlap, alignment=alignment)
  column_starts = tile_starts(width, tile_size=tile_size, overlap=overlap, alignment=alignment)
  unfinished = None  # Weighted sums of the rows that the next row of tiles adds to.
  for index, top in enumerate(row_starts):
    bottom = min(top + tile_size, height)
    sums, weights = _row_of_tiles(
      image,
      top,
      bottom,
      column_starts,
      predict_probabilities,
      tile_size=tile_size,
      overlap=overlap,
      batch_size=batch_size,
      ahead=ahead,
    )
    if unfinished is not None:
      shared = len(unfinished[1])
      sums[:shared] += unfinished[0]
      weights[:shared] += unfinished[1]
    next_top = row_starts[index + 1] if index + 1 < len(row_starts) else height
    finished = next_top - top
    unfinished = (sums[finished:].copy(), weights[finished:].copy())
    sums[:finished] /= weights[:finished, :, np.newaxis]
    yield top, sums[:finished]


def _row_of_tiles(
  image, top, bottom, column_starts, predict_probabilities, *, tile_size, overlap, batch_size, ahead
):
  """Weighted sums [rows, W, C] and weights [rows, W] of the tiles between two rows of pixels."""
  height, width = image.shape[:2]
  row_weights = edge_weights(top, bottom, size=height, overlap=overlap)
  sums, weights = None, np.zeros([bottom - top, width], np.float32)

  def width_at(left):
    return min(tile_size, width - left)

  def begun():
    for lefts in same_size_batches(column_starts, width_at, batch_size=batch_size):
      tiles = np.stack([image[top:bottom, left : left + width_at(left)] for left in lefts])
      yield lefts, predict_probabilities(tiles)

  for lefts, batch in _behind(begun(), ahead):
    for left, probabilities in zip(lefts, np.asarray(batch)):
      right = left + probabilities.shape[1]
      weight = row_weights[:, np.newaxis] * edge_weights(left, right, size=width, overlap=overlap)
      if sums is None:
        sums = np.zeros([bottom - top, width, probabilities.shape[-1]], np.float32)
      sums[:, left:right] += weight[..., np.newaxis] * probabilities
      weights[:, left:right] += weight
  return sums, weights


def _behind(items, count):
  """Yields the items, each when `count` more of them have been taken."""
  waiting = collections.deque()
  for item in items:
    waiting.append(item)
    if len(waiting) > count:
      yield waiting.popleft()
  yield from waiting
