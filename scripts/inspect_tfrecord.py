#!/usr/bin/env python3
"""Shows what TFRecord files hold, and which records are bad."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from deeplab import class_names, color_map, flags, output_places  # noqa: E402
from deeplab.errors import InputError  # noqa: E402
from deeplab.options import InspectionOptions  # noqa: E402

DESCRIPTION = """
Shows what TFRecord files hold: number, sizes and layout of the records, pixels of each class, bad
records; and, with --contact_sheet, samples with their labels laid over them. Exits with 1 where a
record is bad.

  inspect_tfrecord.py --filenames=train --num_classes=21 --class_names=voc \\
    --contact_sheet=train.png
"""

_MOST_LISTED = 20
_NAMES = {
  'voc': class_names.VOC,
  'cityscapes': class_names.CITYSCAPES,
  'ade20k': class_names.ADE20K,
  'ade20k_150': class_names.ADE20K[1:],
  'camvid': class_names.CAMVID,
}


def main(options):
  """Prints what is found and writes the contact sheet; returns the exit status."""
  from deeplab import pictures
  from deeplab.data import inspection

  names = _class_names(options)
  colors = color_map.load_color_map(options.colormap, flag='colormap')
  if options.contact_sheet:
    output_places.check_file(options.contact_sheet, flag='contact_sheet')
  found = inspection.inspect(
    options, color_map=colors, num_samples=options.num_samples if options.contact_sheet else 0
  )
  print('\n'.join(describe(found, names=names, ignore_label=options.ignore_label)), flush=True)
  if options.contact_sheet and found.samples:
    legend = [
      (_label_text(value, names), tuple(colors[value].tolist()))
      for value in sorted(found.pixels)
      if value != options.ignore_label and value < len(colors)
    ]
    titles, samples = zip(*found.samples)
    rows = [list(samples[start : start + 4]) for start in range(0, len(samples), 4)]
    sheet = pictures.contact_sheet(
      rows,
      row_titles=['   '.join(titles[start : start + 4]) for start in range(0, len(samples), 4)],
      legend=legend,
    )
    with output_places.replacing_file(options.contact_sheet, flag='contact_sheet') as temporary:
      sheet.save(temporary, format='PNG')
    print(f'Contact sheet written to {options.contact_sheet}', flush=True)
  return 1 if found.bad else 0


def describe(found, *, names, ignore_label):
  """Lines that tell a person what an Inspection found."""
  lines = []
  for file in found.files:
    problem = f', {file.problem}' if file.problem else ''
    lines.append(
      f'{file.path}: {file.num_records} records, {file.num_bytes / 2**20:.1f} MB{problem}'
    )
  if found.sizes:
    heights, widths = ([size[side] for size in found.sizes] for side in (0, 1))
    layouts = ', '.join(f'{count} {layout}' for layout, count in sorted(found.layouts.items()))
    lines += [
      f'layout: {layouts}',
      f'height: {min(heights)} to {max(heights)}',
      f'width: {min(widths)} to {max(widths)}',
      f'{"label":>8}{"pixels":>14}{"share":>9}{"images":>9}',
    ]
  total = sum(found.pixels.values())
  for value in sorted(found.pixels):
    name = 'ignored' if value == ignore_label else names[value] if value < len(names) else ''
    lines.append(
      f'{value:>8}{found.pixels[value]:>14}{100 * found.pixels[value] / total:>8.2f}%'
      f'{found.images[value]:>9}'
      f'  {name}'.rstrip()
    )
  lines += [f'bad: {problem}' for problem in found.bad[:_MOST_LISTED]]
  if len(found.bad) > _MOST_LISTED:
    lines.append(f'bad: ... and {len(found.bad) - _MOST_LISTED} more')
  lines.append(f'{sum(found.layouts.values())} good records, {len(found.bad)} problems')
  return lines


def _class_names(options):
  if options.class_names is None:
    return ()
  num_classes = options.num_classes or len(_NAMES.get(options.class_names, ()))
  if not num_classes:
    raise InputError(
      f'--class_names={options.class_names}: names from a file need --num_classes too'
    )
  return class_names.load_class_names(options.class_names, num_classes)


def _label_text(value, names):
  return f'{value} {names[value]}' if value < len(names) else str(value)


if __name__ == '__main__':
  flags.run(main, InspectionOptions, description=DESCRIPTION)
