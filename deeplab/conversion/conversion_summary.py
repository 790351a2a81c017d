"""What went into the records of a split, and whether it can be meant."""

import collections
import os
from collections.abc import Collection, Sequence

from deeplab.conversion import label_checks, source_files
from deeplab.data import interpolation, labels
from deeplab.errors import InputError, shown
from deeplab.json_files import items, texts, whole_number
from deeplab.options import ConversionOptions
from deeplab.undecodable_names import from_text, to_text


class ConversionSummary:
  """Counts what goes into the records."""

  def __init__(self, options: ConversionOptions):
    self._options = options
    self._pixels, self._images = collections.Counter(), collections.Counter()
    self._num_records, self._encoded_again = 0, collections.Counter()
    self._sides = {}  # 'height' and 'width' -> least, most, sum.
    self._borders = []
    self._noted = {}  # The first image path, and how many, by what is said about them.
    self._masks = {}  # The first label path by the pair of values that its mask has.
    self._transparent, self._overlapping = collections.Counter(), collections.Counter()

  def add(self, converted: source_files.Converted) -> None:
    """Counts a pair."""
    self._pixels.update(dict(zip(converted.values, converted.pixels)))
    self._images.update(converted.values)
    self._num_records += 1
    for side in ('height', 'width'):
      pixels = getattr(converted, side)
      self._add_side(side, least=pixels, most=pixels, total=pixels)
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
      self._add_note(note, converted.image_path, 1)
    self._overlapping.update(pixels=converted.overlapping, images=int(converted.overlapping > 0))

  @property
  def num_records(self) -> int:
    """How many pairs were counted."""
    return self._num_records

  def to_json(self) -> dict:
    """What is counted, for `add_json` of another summary."""
    return {
      'num_records': self._num_records,
      'labels': {value: [self._pixels[value], self._images[value]] for value in self._pixels},
      'sides': self._sides,
      'encoded_again': dict(self._encoded_again),
      'transparent': dict(self._transparent),
      'overlapping': dict(self._overlapping),
      'borders': interpolation.summed(self._borders),
      'masks': {kind: to_text(path) for kind, path in self._masks.items()},
      'notes': [[note, to_text(path), count] for note, (path, count) in self._noted.items()],
    }

  def add_json(self, content: dict) -> None:
    """Adds what another summary counted. Raises ValueError, TypeError, LookupError or
    AttributeError for anything else.
    """
    self._num_records += _count(content['num_records'])
    for value, (pixels, images) in content['labels'].items():
      value = whole_number(int(value), 'a label', maximum=65535)
      self._pixels[value] += _count(pixels)
      self._images[value] += _count(images)
    for side in ('height', 'width') if content['num_records'] else ():
      least, most, total = map(_count, content['sides'][side])
      self._add_side(side, least=least, most=most, total=total)
    for name in ('encoded_again', 'transparent', 'overlapping'):
      counts = content[name].items()
      getattr(self, f'_{name}').update({what: _count(number) for what, number in counts})
    border, values = content['borders']
    values = [tuple(map(_count, (value, *counts))) for value, *counts in items(values, 'borders')]
    if any(len(counts) != 4 for counts in values):
      raise ValueError('borders have other than 4 numbers')
    self._borders.append(interpolation.BorderCounts(_count(border), tuple(values)))
    for kind, path in content['masks'].items():
      if kind not in label_checks.MASK_KINDS:
        raise ValueError(f'masks of {shown(kind)}')
      self._masks.setdefault(kind, from_text(path))
    for note, path, count in items(content['notes'], 'notes'):
      self._add_note(*texts([note], 'a note'), from_text(path), _count(count))

  def _add_side(self, side, *, least, most, total):
    known = self._sides.get(side, (least, most, 0))
    self._sides[side] = (min(known[0], least), max(known[1], most), known[2] + total)

  def _add_note(self, note, path, count):
    first, others = self._noted.get(note, (path, 0))
    self._noted[note] = first, others + count

  def check(self, given: Collection[str]) -> None:
    """Raises InputError where no pixel counts, or all that count are of one class, or a class does
    not count.
    """
    ignore_label = self._options.ignore_label
    if set(self._pixels) <= {ignore_label}:
      raise InputError(
        f'--split={self._options.split}: every pixel of all {self._num_records} labels is ignored '
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
    for note, (path, count) in self._noted.items():
      others = f' (and {count - 1} other images)' if count > 1 else ''
      lines.append(f'{shown(path)}{others} {note}')
    return lines

  def as_dict(self, paths: Sequence[str]) -> dict:
    """The summary, ready for JSON."""
    sides = {
      side: {'min': least, 'max': most, 'mean': total / self._num_records}
      for side, (least, most, total) in self._sides.items()
    }
    return {
      'split': self._options.split,
      'record_format': self._options.record_format,
      'num_records': self._num_records,
      'files': [os.path.basename(path) for path in paths],
      'directory': os.path.dirname(paths[0]),
      'num_classes': self._options.num_classes,
      'ignore_label': self._options.ignore_label,
      **{side: sides[side] for side in ('height', 'width')},
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


def _count(value):
  return whole_number(value, 'a count')
