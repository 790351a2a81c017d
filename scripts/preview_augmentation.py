#!/usr/bin/env python3
"""Writes a contact sheet of what the network will see in training."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from deeplab import class_names, color_map, data_set_files, flags, output_places  # noqa: E402
from deeplab.data_set import DataSet  # noqa: E402
from deeplab.messages import say  # noqa: E402
from deeplab.options import PreviewOptions, TrainingInputOptions  # noqa: E402

DESCRIPTION = """
Writes a contact sheet of training batches: each crop as the network will see it, and with its label
laid over it. It takes the input flags of run_trainer.py; with the same --seed it shows the batches
of that run.

  preview_augmentation.py --filenames=train --batch_size=4 --max_rotation_degrees=15 \\
    --output_path=augmentation.png
"""


def main(options, input_options, *, given=frozenset()):
  """Draws batches and writes the sheet."""
  import numpy as np
  import tensorflow as tf

  from deeplab import pictures
  from deeplab.data import input_pipeline

  output_places.check_file(options.output_path, flag='output_path')
  options, input_options, names, colors = _as_described(options, input_options, given)
  batches = input_pipeline.training_batches(
    input_options, num_classes=options.num_classes, start_step=options.start_step
  )
  rows, titles, present = [], [], set()
  try:
    for batch in batches.take(options.num_batches):
      images = np.clip(np.rint(batch['images'].numpy()), 0, 255).astype(np.uint8)
      labels = batch['labels'].numpy()
      present.update(np.unique(labels).tolist())
      titles += ['   '.join(name.decode(errors='replace') for name in batch['names'].numpy()), '']
      rows += [
        list(images),
        [
          pictures.overlay(image, label, colors, ignore_label=input_options.ignore_label)
          for image, label in zip(images, labels)
        ],
      ]
  except tf.errors.OpError as error:
    raise input_pipeline.explain_failure(
      error,
      input_options.filenames,
      num_classes=options.num_classes,
      ignore_label=input_options.ignore_label,
      max_image_pixels=input_options.max_image_pixels,
    ) from error
  legend = [
    (f'{value} {names[value] if value < len(names) else ""}'.strip(), tuple(colors[value].tolist()))
    for value in sorted(present)
    if value != input_options.ignore_label and value < len(colors)
  ]
  with output_places.replacing_file(options.output_path, flag='output_path') as temporary:
    pictures.contact_sheet(rows, row_titles=titles, legend=legend).save(temporary, format='PNG')
  say(f'Contact sheet written to {options.output_path}')


def _as_described(options, input_options, given):
  """(both options, class names, colours): flags, else what the description of the records says."""
  from deeplab.data import record_files

  described = data_set_files.of_records(record_files.expand_filenames(input_options.filenames))
  described = described or DataSet()
  options = described.fill_in(options, given=given)
  input_options = described.fill_in(input_options, given=given)
  names = described.class_names
  if options.class_names:
    names = class_names.load_class_names(options.class_names, options.num_classes)
  colors = described.color_map()
  if options.colormap or colors is None:
    colors = color_map.load_color_map(options.colormap or 'voc', flag='colormap')
  return options, input_options, names, colors


if __name__ == '__main__':
  _OPTIONS = (PreviewOptions, TrainingInputOptions)
  flags.run(
    lambda *options: main(*options, given=flags.given(*_OPTIONS)),
    *_OPTIONS,
    description=DESCRIPTION,
  )
