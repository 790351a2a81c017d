#!/usr/bin/env python3
"""Predicts the classes of every pixel of images and writes them as pictures."""

import os
import sys
import time

from deeplab import color_map, flags
from deeplab.errors import InputError, warn
from deeplab.options import ComputeOptions, InferenceOptions, ModelOptions, PredictionOptions
from deeplab.prediction import image_files, prediction_paths

_START = time.monotonic()  # Before TensorFlow is imported, which takes seconds.

DESCRIPTION = """Predicts images with a trained network and writes one PNG for each.

example:
  run_inferencer.py --input=photos --ckpt_path=model --output_path=predictions"""


def main(model_options, prediction_options, inference_options, compute_options):
  # Here and not above: these import TensorFlow, which --help and flag errors need not wait for.
  from deeplab import devices
  from deeplab.inferencer import DeepLabV3Inferencer
  from deeplab.prediction import image_padding, prediction_files, trained_network
  from deeplab.prediction.prediction_run import PredictionRun

  planned = _plan(inference_options)
  if not planned:
    return 0
  colors = color_map.load_color_map(inference_options.colormap, flag='colormap')

  devices.prepare(compute_options)
  network = trained_network.load(
    inference_options.ckpt_path,
    model_options,
    given=flags.given(ModelOptions),
    compute_dtype=compute_options.compute_dtype,
    class_names=inference_options.class_names,
  )
  for note in network.notes:
    print(note, flush=True)
  warn(image_padding.advice(network.options, prediction_options.pad_size))
  writer = prediction_files.PredictionWriter(
    color_map=colors, num_classes=network.options.num_classes
  )
  writer.check_types(inference_options.output_type)
  prediction_files.make_directory(inference_options.output_path)
  print(f'predicting {len(planned)} images with {network.prefix}', flush=True)

  legend = list(zip(network.class_names, colors.tolist())) if inference_options.legend else ()
  if legend:
    prediction_files.save_legend(
      legend, os.path.join(inference_options.output_path, prediction_paths.LEGEND_NAME)
    )
  sheets = None
  if 'contact_sheet' in inference_options.output_type:
    sheets = prediction_files.ContactSheets(
      inference_options.output_path,
      color_map=colors,
      legend=legend,
      keep_pages=inference_options.skip_existing,
    )
  inferencer = DeepLabV3Inferencer(
    network.model,
    options=prediction_options,
    with_probabilities='probabilities' in inference_options.output_type,
    jit_compile=compute_options.jit_compile,
  )
  run = PredictionRun(
    inferencer,
    writer,
    batch_size=prediction_options.batch_size,
    sheets=sheets,
    # Images that need tiles are few and large.
    look_ahead=1 if prediction_options.tile_size else None,
  )
  before = time.monotonic() - _START
  return _report(run.run(planned), before=before, num_traces=inferencer.num_traces)


def _plan(options):
  """The images to predict with their files; says what is left out."""
  if options.input_file_list:
    images, notes = image_files.listed_images(options.input_file_list), []
  else:
    if os.path.realpath(options.output_path) in {
      os.path.realpath(one) for one in options.input if os.path.isdir(one)
    }:
      raise InputError(
        f'--output_path={options.output_path}: is also --input, so the next run would take the '
        'predictions '
        'for images; choose another'
      )
    images, notes = image_files.find_images(
      options.input, recursive=options.recursive, excluded_directory=options.output_path
    )
  images, repeated = image_files.without_duplicates(images)
  if repeated:
    notes.append(f'{repeated} images are named more than once; each is predicted once')
  planned = prediction_paths.plan(
    images,
    output_path=options.output_path,
    output_types=options.output_type,
    suffix=options.output_suffix,
    keep_structure=options.keep_structure,
  )
  if options.skip_existing:
    missing = [one for one in planned if not one.exists]
    notes.append(f'{len(planned) - len(missing)} of {len(planned)} images have predictions already')
    planned = missing
  for note in notes:
    print(note, flush=True)
  return planned


def _report(summary, *, before, num_traces):
  """Prints the totals; returns the exit status."""
  if summary.num_predicted:
    rate = summary.num_predicted / summary.seconds
    print(
      f'{summary.num_predicted} images in {summary.seconds:.1f} s, {rate:.2f} images/s; first '
      'prediction '
      f'{before + summary.seconds_to_first:.1f} s after the start, {summary.seconds_to_first:.1f} '
      's after loading; '
      f'network traced {num_traces} time{"s" if num_traces != 1 else ""}',
      flush=True,
    )
  if summary.num_bad:
    sys.stdout.flush()
    print(
      f'run_inferencer.py: error: {summary.num_bad} of {summary.num_bad + summary.num_predicted} '
      'images could not be '
      'predicted; they are named above',
      file=sys.stderr,
    )
  return 1 if summary.num_bad else 0


if __name__ == '__main__':
  flags.run(
    main, ModelOptions, PredictionOptions, InferenceOptions, ComputeOptions, description=DESCRIPTION
  )
