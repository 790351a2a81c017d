#!/usr/bin/env python3
"""Writes image and label files to TFRecord files, after checking all of them."""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from deeplab import data_set_files, flags, next_command  # noqa: E402
from deeplab.errors import shown  # noqa: E402
from deeplab.messages import say, warn  # noqa: E402
from deeplab.options import ConversionOptions  # noqa: E402

DESCRIPTION = """
Writes image and label files to TFRecord files. Everything is checked first: missing and unreadable
files, sizes, label values; with a problem nothing is written. Labels are class indices: palette or
grey PNGs, .mat; colours need --colormap.

  write_tfrecord.py --list_path=train.txt --images_dir=JPEGImages \\
    --labels_dir=SegmentationClass --split=train --num_classes=21
  write_tfrecord.py --layout=voc --data_dir=VOCdevkit --split=train
"""


def main(options, *, given=frozenset()):
  """Converts, and prints what went into the records."""
  from deeplab import conversion_run

  _end_tidily_by_signals()
  summary = conversion_run.convert(options, given=given)
  if 'shard_index' in summary:
    say(*describe_shard(summary))
    return
  say(*describe(summary).split('\n'))
  warning = suspicious_values(summary) if summary['num_classes'] is None else None
  if warning:
    warn([warning])
  say(next_command.after_conversion(summary['directory'], summary['split']))


def _end_tidily_by_signals():
  """Lets what asks the process to end, or a terminal that goes, remove unfinished files first."""
  for name in ('SIGTERM', 'SIGHUP'):
    number = getattr(signal, name, None)  # Windows has no SIGHUP, and nohup ignores it.
    if number is not None and signal.getsignal(number) != signal.SIG_IGN:
      signal.signal(number, lambda number, _: sys.exit(128 + number))


def describe_shard(summary: dict) -> list[str]:
  """The lines on one shard of several; `summary` as conversion_run.convert returns it."""
  index, count, num_files = (summary[name] for name in ('shard_index', 'num_shards', 'num_files'))
  lines = [
    f'shard {index} of {count}: {summary["num_records"]} records in {len(summary["files"])} of '
    f'{num_files} files, which wait in {shown(summary["directory"])}'
  ]
  if num_files < count:
    lines.append(
      f'there are fewer files than shards, so {count - num_files} have nothing to do; a smaller '
      '--num_per_shard gives more files'
    )
  lines.append(
    f'when all {count} shards are done, the same command with --merge_shards in place of '
    '--shard_index makes a data set of them'
  )
  return lines


def describe(summary: dict) -> str:
  """The lines that tell a person what went into the records; `summary` as conversion_run.convert
  returns it.
  """
  num_classes, names = summary['num_classes'], summary['class_names'] or ()
  num_records = summary['num_records']
  total = sum(entry['pixels'] for entry in summary['labels'].values())
  lines = [f'{"label":>8}{"pixels":>14}{"share":>9}{"images":>9}']
  for value, entry in summary['labels'].items():
    ignored = int(value) == summary['ignore_label']
    note = 'ignored' if ignored else names[int(value)] if int(value) < len(names) else ''
    lines.append(
      f'{value:>8}{entry["pixels"]:>14}{100 * entry["pixels"] / total:>8.2f}%'
      f'{entry["images"]:>9}  {shown(note)}'.rstrip()
    )
  if num_classes:
    absent = [str(value) for value in range(num_classes) if str(value) not in summary['labels']]
    if absent:
      lines.append(f'classes in no image: {", ".join(absent)}')
  for side in ('height', 'width'):
    sizes = summary[side]
    lines.append(f'{side}: {sizes["min"]} to {sizes["max"]}, mean {sizes["mean"]:.1f}')
  for what in ('images', 'labels'):
    again = summary[f'{what}_encoded_again']
    lines.append(f'{what}: {num_records - again} stored as they are, {again} encoded again')
  if summary['overlapping_pixels']:
    lines.append(
      f'regions: {summary["overlapping_pixels"]} pixels in {summary["overlapping_images"]} images '
      'lie in regions of several classes; there the smallest region counts'
    )
  files = summary['files']
  lines.append(
    f'{num_records} records written to {shown(os.path.join(summary["directory"], files[0]))}'
    + (f' and {len(files) - 1} more files' if len(files) > 1 else '')
  )
  where = shown(os.path.join(summary['directory'], data_set_files.FILE_NAME))
  if num_classes is None:
    lines.append(
      f'{where} does not say how many classes there are; with --num_classes, or --class_names or '
      '--colormap with a file, the other commands need no flags on the data'
    )
  else:
    lines.append(
      f'{where} says {num_classes} classes, {summary["ignore_label"]} ignored'
      + (', their names' if names else '')
      + '; the other commands take that from there'
    )
  return '\n'.join(lines)


def suspicious_values(summary: dict) -> str | None:
  """None, or a line about label values that do not look like class indices."""
  values = [int(value) for value in summary['labels'] if int(value) != summary['ignore_label']]
  if not values or len(values) > (max(values) + 1) / 4 or max(values) < 10:
    return None
  shown = ', '.join(map(str, values[:8])) + (', ...' if len(values) > 8 else '')
  return (
    f'label values {shown}: class indices count from 0, and here most are absent. If these are '
    'grey levels, give --colormap; --num_classes makes wrong values an error'
  )


if __name__ == '__main__':
  flags.run(
    lambda options: main(options, given=flags.given(ConversionOptions)),
    ConversionOptions,
    description=DESCRIPTION,
    uses_tensorflow=False,
  )
