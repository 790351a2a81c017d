"""An inference, from options to pictures: what run_inferencer.py does."""

import os
import time
from collections.abc import Collection

from deeplab import devices, output_places
from deeplab.errors import InputError
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.messages import say
from deeplab.options import ComputeOptions, InferenceOptions, ModelOptions, PredictionOptions
from deeplab.prediction import (
  foreground,
  image_files,
  output_types,
  prediction_files,
  prediction_paths,
  trained_network,
)
from deeplab.prediction.image_reduction import SizeAdvice
from deeplab.prediction.prediction_paths import PlannedPrediction
from deeplab.prediction.prediction_pipeline import PredictionPipeline, PredictionSummary


def run(
  model_options: ModelOptions,
  prediction_options: PredictionOptions,
  inference_options: InferenceOptions,
  compute_options: ComputeOptions,
  *,
  given: Collection[str] = (),
  started: float | None = None,
) -> PredictionSummary:
  """Predicts images and writes the files asked for; prints a line for each.

  Args:
    given: names of the options that the user gave; the other model options are those saved beside
      the checkpoint.
    started: time.monotonic() from which the printed time to the first prediction counts; None: from
      this call.

  Returns:
    what became of the images; those that cannot be predicted are also named on stderr.

  Raises:
    InputError: the options do not fit the images or the checkpoint, or a file cannot be written.
  """
  started = time.monotonic() if started is None else started
  planned = _plan(inference_options)
  if not planned:
    return PredictionSummary()
  devices.prepare(compute_options)
  network = trained_network.load(
    inference_options.ckpt_path,
    model_options,
    given=given,
    compute_dtype=compute_options.compute_dtype,
    operations=compute_options.operations,
    class_names=inference_options.class_names,
  )
  network.announce(prediction_options)
  colors = network.color_map(inference_options.colormap)
  num_classes, types = network.options.num_classes, inference_options.output_type
  overlay_settings = {
    'alpha': inference_options.overlay_alpha,
    'background': foreground.background_class(network.class_names),
    'with_outlines': True,
  }
  writer = prediction_files.PredictionWriter(
    color_map=colors, num_classes=num_classes, overlay_settings=overlay_settings
  )
  output_types.check_classes(types, num_classes)
  to_cut_out = ()
  if output_types.need_foreground(types):
    to_cut_out = foreground.foreground_classes(
      inference_options.cutout_classes, network.class_names
    )
  output_places.make_directory(inference_options.output_path, flag='output_path')
  say(f'predicting {len(planned)} images with {network.prefix}')
  inferencer = DeepLabV3Inferencer(
    network.model,
    options=prediction_options,
    with_probabilities=output_types.need_probabilities(types),
    foreground_classes=to_cut_out,
    jit_compile=compute_options.jit_compile,
  )
  pipeline = PredictionPipeline(
    inferencer,
    writer,
    batch_size=prediction_options.batch_size,
    pages=_legend_and_pages(
      inference_options, network.class_names, colors, overlay_settings=overlay_settings
    ),
    advice=SizeAdvice(network.trained_size, prediction_options),
    # Images that need tiles are few and large.
    look_ahead=1 if prediction_options.tile_size else None,
  )
  seconds_to_load = time.monotonic() - started
  summary = pipeline.run(planned)
  _say_totals(summary, seconds_to_load=seconds_to_load, num_traces=inferencer.num_traces)
  return summary


def _plan(options: InferenceOptions) -> list[PlannedPrediction]:
  """The images to predict with their files; says what is left out."""
  if options.input_file_list:
    images, notes = image_files.listed_images(options.input_file_list), []
  else:
    if os.path.realpath(options.output_path) in {
      os.path.realpath(one) for one in options.input if os.path.isdir(one)
    }:
      raise InputError(
        f'--output_path={options.output_path}: is also --input, so the next run would take the '
        'predictions for images; choose another'
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
    types=options.output_type,
    suffix=options.output_suffix,
    keep_structure=options.keep_structure,
  )
  if options.skip_existing:
    missing = [one for one in planned if not one.exists]
    notes.append(f'{len(planned) - len(missing)} of {len(planned)} images have predictions already')
    planned = missing
  for note in notes:
    say(note)
  return planned


def _legend_and_pages(options, class_names, colors, *, overlay_settings):
  """Writes the legend if it is asked for; returns what writes pages of many images, a list."""
  legend = list(zip(class_names, colors.tolist())) if options.legend else ()
  if legend:
    prediction_files.save_legend(
      legend, os.path.join(options.output_path, prediction_paths.LEGEND_NAME)
    )
  return [
    kind.pages(
      options.output_path,
      color_map=colors,
      legend=legend,
      overlay=overlay_settings,
      keep_pages=options.skip_existing,
    )
    for kind in output_types.page_types(options.output_type).values()
  ]


def _say_totals(summary, *, seconds_to_load, num_traces):
  if not summary.num_predicted:
    return
  say(
    f'{summary.num_predicted} images in {summary.seconds:.1f} s, '
    f'{summary.num_predicted / summary.seconds:.2f} images/s; first prediction '
    f'{seconds_to_load + summary.seconds_to_first:.1f} s after the start, '
    f'{summary.seconds_to_first:.1f} s after loading; '
    f'network traced {num_traces} time{"s" if num_traces != 1 else ""}'
  )
