#!/usr/bin/env python3
"""Shows what TFRecord files hold, and which records are bad."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from deeplab import (  # noqa: E402
  class_names,
  color_map,
  data_set_files,
  flags,
  next_command,
  output_places,
)
from deeplab.errors import InputError, shown  # noqa: E402
from deeplab.messages import say  # noqa: E402
from deeplab.options import InspectionOptions  # noqa: E402

DESCRIPTION = """
Shows what TFRecord files hold: number, sizes and layout of the records, pixels of each class, bad
records; and, with --contact_sheet, samples with their labels laid over them. Exits with 1 where a
record is bad.

  inspect_tfrecord.py --filenames=train --num_classes=21 --class_names=voc \\
    --contact_sheet=train.png
"""

_MOST_LISTED = 20


def main(options, *, given=frozenset()):
  """Prints what is found and writes the contact sheet; returns the exit status."""
  from deeplab import pictures
  from deeplab.data import bad_records, inspection, record_files
  from deeplab.prediction import foreground

  described = data_set_files.of_records(record_files.expand_filenames(options.filenames))
  if described is not None:
    options = described.fill_in(options, given=given)
  names = _class_names(options, described)
  colors = _colors(options, described)
  if options.contact_sheet:
    output_places.check_file(options.contact_sheet, flag='contact_sheet')
  if options.bad_records_path:
    output_places.check_file(options.bad_records_path, flag='bad_records_path')
  found = inspection.inspect(
    options,
    color_map=colors,
    num_samples=options.num_samples if options.contact_sheet else 0,
    background=foreground.background_class(names) if names else None,
  )
  lines = _lines_on_data_set(described, found)
  lines += describe(found, names=names, ignore_label=options.ignore_label)
  say(*lines)
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
      cell_titles=[titles[start : start + 4] for start in range(0, len(samples), 4)],
      legend=legend,
    )
    with output_places.replacing_file(options.contact_sheet, flag='contact_sheet') as temporary:
      sheet.save(temporary, format='PNG')
    say(f'Contact sheet written to {shown(options.contact_sheet)}')
  if options.bad_records_path:
    bad_records.write(found.bad, options.bad_records_path)
    say(f'Bad records written to {shown(options.bad_records_path)}')
  if found.bad:
    return 1
  following = next_command.after_inspection(
    options, num_records=sum(file.num_records for file in found.files)
  )
  if following:
    say(following)
  return 0


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
    lines.append(
      f'bad: ... and {len(found.bad) - _MOST_LISTED} more; --bad_records_path=FILE lists all'
    )
  lines.append(f'{sum(found.layouts.values())} good records, {len(found.bad)} problems')
  return lines


def _lines_on_data_set(described, found):
  """Lines on what the description says, and whether the files have as many records."""
  if described is None:
    return []
  classes = 'unknown' if described.num_classes is None else described.num_classes
  lines = [
    f'data set: {classes} classes, {described.ignore_label} ignored ({shown(described.path)})'
  ]
  counts = {os.path.abspath(file.path): file.num_records for file in found.files}
  for name, split in described.splits.items():
    directory = os.path.dirname(os.path.abspath(split.path))
    num_found = sum(counts.get(os.path.join(directory, file), 0) for file in split.files)
    lines.append(f'{shown(name)}: {num_found} of {split.num_records} records')
  return lines


def _colors(options, described):
  if options.colormap is None and described is not None and described.colors:
    return described.color_map()
  return color_map.load_color_map(options.colormap or 'voc', flag='colormap')


def _class_names(options, described):
  if options.class_names is None:
    return described.class_names if described is not None else ()
  num_classes = options.num_classes or len(class_names.of_data_set(options.class_names))
  if not num_classes:
    raise InputError(
      f'--class_names={options.class_names}: names from a file need --num_classes too'
    )
  return class_names.load_class_names(options.class_names, num_classes)


def _label_text(value, names):
  return f'{value} {names[value]}' if value < len(names) else str(value)


if __name__ == '__main__':
  flags.run(
    lambda options: main(options, given=flags.given(InspectionOptions)),
    InspectionOptions,
    description=DESCRIPTION,
  )
