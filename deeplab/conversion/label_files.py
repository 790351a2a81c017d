"""Label files of any lossless kind to class indices: colours, transparency, masks.

Without TensorFlow, for workers.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from deeplab.conversion import label_samples
from deeplab.data import interpolation, labels
from deeplab.errors import InputError
from deeplab.options import ConversionOptions

_MOST_GREY_CLASSES = 32  # More values than these in an RGB picture may be a photograph's.


@dataclasses.dataclass(frozen=True)
class Label:
  """What a label file holds.

  Attributes:
    indices: uint8 or uint16 [height, width].
    stored: whether the file itself, put into a record, is read as these indices.
    transparent: number of pixels that are not opaque and got the ignored value.
    palette: (index, (r, g, b)) of the indices present, where the file has a palette.
    overlapping: number of pixels in annotated regions of several classes.
    borders: how they look, of indices that no colour map made.
    by_color: whether a colour map made the indices.
  """

  indices: np.ndarray
  stored: bool = False
  transparent: int = 0
  palette: tuple[tuple[int, tuple[int, int, int]], ...] = ()
  overlapping: int = 0
  borders: interpolation.BorderCounts | None = None
  by_color: bool = False


def read(
  data: bytes,
  options: ConversionOptions,
  *,
  color_map: Mapping[tuple, int] | None = None,
  is_mat: bool = False,
) -> Label:
  """The class indices of a label file.

  Pixels that are not opaque get `options.ignore_label`. With `options.binary` what is not 0 is
  class 1.

  Args:
    data: bytes of the file.
    options: ignore_label, num_classes, binary, accept and max_image_pixels count here.
    color_map: dict from (r, g, b) to index, for colours, palettes included; for greys only if the
      map has nothing but greys.
    is_mat: the name of the file says that it is a .mat file.

  Raises:
    InputError: a phrase that says what is wrong with the file.
  """
  samples = label_samples.read(data, max_pixels=options.max_image_pixels, is_mat=is_mat)
  if samples.opaque is not None and samples.opaque.all():
    samples = dataclasses.replace(samples, opaque=None)
  if samples.opaque is not None and not samples.opaque.any():
    raise InputError(
      'has no opaque pixel, so that all of it would be ignored; export it without transparency'
    )
  if samples.palette is not None and color_map is None:
    samples = _settle_grey_palette(samples, options)
  indices, by_color = _indices(samples, options, color_map)
  trusted = by_color or 'interpolated' in options.accept
  if not trusted and interpolation.invents_values(indices):
    raise InputError(
      f'has label values between those of neighbouring regions; {labels.INTERPOLATED} '
      '(--accept=interpolated takes it as it is)'
    )
  stored = samples.stored and not by_color
  if options.record_format == 'official' and samples.palette is None and samples.highest_grey < 255:
    stored = False  # TensorFlow's decoder stretches greys of fewer than 8 bits to 0..255.
  if options.binary:
    stored = stored and indices.max(initial=0) <= 1
    indices = (indices > 0).astype(np.uint8)
  transparent = 0
  if samples.opaque is not None:
    stored, transparent = False, int((~samples.opaque).sum())
    indices = _with_ignored(indices, ~samples.opaque, options.ignore_label)
  palette = () if by_color or options.binary else _used_palette(samples)
  return Label(
    indices=indices,
    stored=stored,
    transparent=transparent,
    palette=palette,
    borders=None if trusted else interpolation.count_borders(indices),
    by_color=by_color,
  )


def _with_ignored(indices, ignored, ignore_label):
  dtype = np.uint16 if ignore_label > 255 or indices.dtype.itemsize > 1 else np.uint8
  return np.where(ignored, dtype(ignore_label), indices).astype(dtype)


def _indices(samples, options, color_map):
  """(indices [height, width], whether a colour map made them)."""
  values = samples.values
  if values.ndim == 3 and options.binary:
    return values.max(axis=2), False
  if values.ndim == 3 and color_map is None:
    return _indices_of_greys(values, options), False
  if values.ndim == 2 and samples.palette is not None and color_map is not None:
    values = samples.palette[_within_palette(samples)]
  elif values.ndim == 2 and color_map is not None and _has_only_greys(color_map):
    values = np.repeat((values.astype(np.int64) * 255 // samples.highest_grey)[..., None], 3, 2)
  if values.ndim == 2:
    return values, False
  if samples.opaque is not None:  # Whatever colour a pixel has that cannot be seen.
    values = np.where(samples.opaque[..., None], values, next(iter(color_map)))
  return labels.indices_of_colors(values, color_map), True


def _within_palette(samples):
  """The indices, 0 for unseen ones beyond the palette; raises InputError for seen ones."""
  beyond = samples.values >= len(samples.palette)
  seen = beyond if samples.opaque is None else beyond & samples.opaque
  if seen.any():
    raise InputError(
      f'has the index {samples.values[seen].max()}, but its palette has {len(samples.palette)} '
      'entries, so that --colormap finds no colour for it; leave --colormap out if the indices are '
      'the classes'
    )
  return np.where(beyond, 0, samples.values)


def _settle_grey_palette(samples, options):
  """The samples; as greys where a GIF's palette is grey, since tools number greys anew for it.

  Other files have a mode for greys, so there either reading may be meant: raises InputError. A mask
  of index 0 in black and index 1 in white is meant as the indices.
  """
  palette = samples.palette
  used = np.unique(samples.values if samples.opaque is None else samples.values[samples.opaque])
  if (
    'palettes' in options.accept or used[-1] >= len(palette) or not labels.are_greys(palette[None])
  ):
    return samples
  greys = palette[used, 0]
  is_mask = used[-1] <= 1 and ((greys == used * 255) | (greys == used)).all()
  same = (greys > 0) == (used > 0) if options.binary else greys == used
  if is_mask or same.all():
    return samples
  if samples.is_gif:
    values = palette[np.minimum(samples.values, len(palette) - 1), 0]
    return dataclasses.replace(samples, values=values, palette=None)
  raise InputError(
    f'has a palette of greys: index {used[~same][0]} is the grey {greys[~same][0]}, and either may '
    'be the class; give --colormap=FILE with lines such as "1 '
    + ' '.join([str(greys[~same][0])] * 3)
    + '" if it is the grey, or --accept=palettes if it is the index'
  )


def _has_only_greys(color_map):
  return all(r == g == b for r, g, b in color_map)


def _indices_of_greys(pixels, options):
  """The indices that an RGB picture with three equal channels holds, as Supervisely writes it."""
  if not labels.are_greys(pixels):
    raise InputError(labels.explain_colors(pixels))
  indices = pixels[..., 0]
  values = np.unique(indices)
  repeated = (indices[:, 1:] == indices[:, :-1]).mean() if indices.shape[1] > 1 else 1
  if len(values) > _MOST_GREY_CLASSES and repeated < 0.6:
    raise InputError(
      f'is an RGB picture of {len(values)} greys that change from pixel to pixel, like a '
      'photograph, not a map of class indices'
    )
  values = values[values != options.ignore_label]
  highest = values.max(initial=0)
  if options.num_classes is None and highest >= 64 and len(values) <= (highest + 1) / 4:
    shown = ', '.join(map(str, values[:8])) + (', ...' if len(values) > 8 else '')
    raise InputError(
      f'is an RGB picture of the greys {shown}, which do not look like class indices; say with '
      '--colormap=FILE which grey is which class, or with --num_classes that they are indices'
    )
  return indices


def _used_palette(samples):
  if samples.palette is None:
    return ()
  used = samples.values if samples.opaque is None else samples.values[samples.opaque]
  return tuple(
    (int(index), tuple(samples.palette[index].tolist()))
    for index in np.unique(used)
    if index < len(samples.palette)
  )
