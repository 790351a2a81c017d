"""What went into the records of a split, and whether it can be meant."""

import collections
import os
from collections.abc import Collection, Sequence

from deeplab.conversion import label_checks, source_files
from deeplab.data import interpolation, labels
from deeplab.errors import InputError, shown
from deeplab.options import ConversionOptions


class ConversionSummary:
  """Counts what goes into the records."""

  def __init__(self, options: ConversionOptions):
    self._options = options
    self._pixels, self._images = collections.Counter(), collections.Counter()
    self._sizes, self._encoded_again = [], collections.Counter()
    self._borders = []
    self._noted = collections.defaultdict(list)  # Image paths by what is said about them.
    self._masks = {}  # The first label path by the pair of values that its mask has.
    self._transparent, self._overlapping = collections.Counter(), collections.Counter()

  def add(self, converted: source_files.Converted) -> None:
    """Counts a pair."""
    self._pixels.update(dict(zip(converted.values, converted.pixels)))
    self._images.update(converted.values)
    self._sizes.append((converted.height, converted.width))
    self._encoded_again.update(
      images=int(converted.image_encoded_again), labels=int(converted.label_encoded_again)
    )
    self._transparent.update(pixels=converted.transparent, images=int(converted.transparent > 0))
    if converted.borders is not None:
      self._borders.append(converted.borders)
    kind = label_checks.mask_kind(converted.values)
    if kind:
      self._masks.setdefault(kind, converted.label_path)
    for note in converted.notes:
      self._noted[note].append(converted.image_path)
    self._overlapping.update(pixels=converted.overlapping, images=int(converted.overlapping > 0))

  def check(self, given: Collection[str]) -> None:
    """Raises InputError where no pixel counts, or all that count are of one class, or a class does
    not count.
    """
    ignore_label = self._options.ignore_label
    if set(self._pixels) <= {ignore_label}:
      raise InputError(
        f'--split={self._options.split}: every pixel of all {len(self._sizes)} labels is ignored '
        f'(value {ignore_label}); check --label_offset and --ignore_label; nothing was written'
      )
    label_checks.refuse_ignored_class(self._options, given, highest=max(self._pixels))
    label_checks.refuse_one_class(self._pixels, self._options)
    if interpolation.invents_borders(self._borders):
      raise InputError(
        f'--split={self._options.split}: lines of one pixel whose value lies between those on both '
        f'sides are too many of the borders in the labels; {labels.INTERPOLATED} '
        '(--accept=interpolated takes them as they are); nothing was written'
      )

  def warnings(self) -> list[str]:
    """Lines about what was done to images and labels; one for all that share a note."""
    note = label_checks.transparency_note(
      pixels=self._transparent['pixels'],
      images=self._transparent['images'],
      ignore_label=self._options.ignore_label,
    )
    lines = [note] if note else []
    one_class = self._options.dataset and labels.explain_one_class(
      self._pixels, ignore_label=self._options.ignore_label
    )
    if one_class:  # Without a description it would have been refused.
      lines.append(f'--split={self._options.split}: {one_class}')
    if not self._options.binary:
      mixed = label_checks.mixed_masks_note(self._masks, self._pixels, self._options.ignore_label)
      lines += [mixed] if mixed else []
    values = [value for value in self._pixels if value != self._options.ignore_label]
    if min(values) == 1 and len(values) > 1 and not self._options.label_offset:
      lines.append(
        'no pixel of any label is of class 0; if the labels count from 1, give --label_offset=-1'
      )
    for note, paths in self._noted.items():
      others = f' (and {len(paths) - 1} other images)' if len(paths) > 1 else ''
      lines.append(f'{shown(paths[0])}{others} {note}')
    return lines

  def as_dict(self, paths: Sequence[str]) -> dict:
    """The summary, ready for JSON."""
    heights, widths = zip(*self._sizes)
    return {
      'split': self._options.split,
      'record_format': self._options.record_format,
      'num_records': len(self._sizes),
      'files': [os.path.basename(path) for path in paths],
      'directory': os.path.dirname(paths[0]),
      'num_classes': self._options.num_classes,
      'ignore_label': self._options.ignore_label,
      'height': {'min': min(heights), 'max': max(heights), 'mean': sum(heights) / len(heights)},
      'width': {'min': min(widths), 'max': max(widths), 'mean': sum(widths) / len(widths)},
      'labels': {
        str(value): {'pixels': self._pixels[value], 'images': self._images[value]}
        for value in sorted(self._pixels)
      },
      'images_encoded_again': self._encoded_again['images'],
      'labels_encoded_again': self._encoded_again['labels'],
      'transparent_pixels': self._transparent['pixels'],
      'overlapping_pixels': self._overlapping['pixels'],
      'overlapping_images': self._overlapping['images'],
    }
