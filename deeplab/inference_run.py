"""An inference, from options to pictures: what run_inferencer.py does."""

import os
import time
from collections.abc import Collection

from deeplab import atomic_files, devices, output_places, work_shards
from deeplab.errors import shown
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.messages import phase, say, warn
from deeplab.options import EngineOptions, InferenceOptions, ModelOptions, PredictionOptions
from deeplab.prediction import (
  foreground,
  given_network,
  gpu_tuning,
  output_types,
  planned_inputs,
  prediction_devices,
  prediction_files,
  prediction_paths,
  prediction_shards,
)
from deeplab.prediction.device_predictors import DevicePredictors
from deeplab.prediction.image_reduction import SizeAdvice
from deeplab.prediction.prediction_pipeline import PredictionPipeline, PredictionSummary
from deeplab.prediction.prediction_shards import ShardReport
from deeplab.prediction.video_pipeline import VideoPipeline
from deeplab.prediction.video_reader import VideoError


def run(
  model_options: ModelOptions,
  prediction_options: PredictionOptions,
  inference_options: InferenceOptions,
  compute_options: EngineOptions,
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
    InputError: the options do not fit the images or the checkpoint, no input is an image, or a file
      cannot be written.
  """
  started = time.monotonic() if started is None else started
  planned = planned_inputs.plan(inference_options)
  all_options = (model_options, prediction_options, inference_options, compute_options)
  if inference_options.merge_shards:
    return prediction_shards.merge(planned, all_options, inference_options)
  shard = work_shards.of(inference_options)
  report = shard and ShardReport(shard, all_options, output_path=inference_options.output_path)
  for directory in planned.directories:
    atomic_files.remove_unfinished(directory)  # Of killed commands.
  summary, num_replaced = PredictionSummary(), 0
  if planned.inputs:
    earlier = prediction_paths.Earlier(planned.paths)
    summary = _predict(planned, *all_options, given=given, report=report, started=started)
    num_replaced = earlier.num_replaced()
  summary.num_bad += len(planned.problems)
  if report:
    report.write(planned, summary)
  if num_replaced:
    say(f'replaced {num_replaced} file{"s" if num_replaced > 1 else ""} of earlier predictions')
  return summary


def _predict(
  planned,
  model_options,
  prediction_options,
  inference_options,
  compute_options,
  *,
  given,
  report,
  started,
):
  """Loads the network and predicts what is planned; returns what became of it."""
  devices.split_cpu(inference_options.num_devices)
  devices.prepare(compute_options)
  with phase('loading the network'):
    network = given_network.load(
      inference_options.ckpt_path,
      model_options,
      given=given,
      options=compute_options,
      class_names=inference_options.class_names,
      best=inference_options.best,
    )
  if report:
    report.note_checkpoint(network.prefix)
  prediction_options = network.settle(prediction_options)
  network.announce(prediction_options)
  colors = network.color_map(inference_options.colormap)
  overlay_settings = {
    'alpha': inference_options.overlay_alpha,
    'background': foreground.background_class(network.class_names),
    'with_outlines': True,
  }
  writer = prediction_files.PredictionWriter(
    color_map=colors, num_classes=network.options.num_classes, overlay_settings=overlay_settings
  )
  predictors = _predictors(network, prediction_options, inference_options, compute_options)
  output_places.make_directory(inference_options.output_path, flag='output_path')
  say(*output_places.notes_on_default(inference_options.output_path, InferenceOptions))
  say(f'predicting {planned.counted} with {network.prefix}')
  settings = {
    'batch_size': prediction_options.batch_size,
    'advice': SizeAdvice(network.trained_size, prediction_options),
  }
  pages = _legend_and_pages(
    inference_options, network.class_names, colors, overlay_settings=overlay_settings
  )
  seconds_to_load = time.monotonic() - started
  summary = PredictionSummary()
  if planned.images:
    gpu_tuning.limit(planned.images, predictors.batch_key)
    # Images that need tiles are few and large.
    look_ahead = 1 if prediction_options.tile_size else None
    pipeline = PredictionPipeline(
      predictors,
      writer,
      pages=pages,
      look_ahead=look_ahead,
      max_image_pixels=prediction_options.max_image_pixels,
      **settings,
    )
    with network.explaining_failures():
      summary = pipeline.run(planned.images)
    if not pipeline.names_files and summary.num_predicted:
      say(f'predictions written to {shown(inference_options.output_path)}')
    _say_totals(summary, seconds_to_load=seconds_to_load, num_traces=predictors.num_traces)
  if planned.videos:
    videos = VideoPipeline(
      predictors,
      writer,
      max_frames=inference_options.max_frames,
      max_image_pixels=prediction_options.max_image_pixels,
      **settings,
    )
    with network.explaining_failures():
      _predict_videos(videos, planned.videos, summary)
  return summary


def _predictors(network, prediction_options, inference_options, compute_options):
  types = inference_options.output_type
  output_types.check_classes(types, network.options.num_classes)
  to_cut_out = ()
  if output_types.need_foreground(types):
    to_cut_out = foreground.foreground_classes(
      inference_options.cutout_classes, network.class_names
    )
  models = prediction_devices.models(
    network, compute_options, num_devices=inference_options.num_devices
  )
  return DevicePredictors(
    [
      DeepLabV3Inferencer(
        model,
        options=prediction_options,
        with_probabilities=output_types.need_probabilities(types),
        foreground_classes=to_cut_out,
        jit_compile=compute_options.jit_compile,
        device=device,
      )
      for model, device in models
    ]
  )


def _predict_videos(pipeline, planned, summary):
  """Predicts the videos and adds to the PredictionSummary what became of them."""
  summary.kind = 'inputs'
  for one in planned:
    try:
      found = pipeline.run(one)
    except VideoError as error:
      warn([str(error)])
      summary.add_problem(one.path, str(error))
      continue
    s = 's' if found.num_frames > 1 else ''
    say(
      f'{shown(one.path)}: {found.num_frames} frame{s} in {found.seconds:.1f} s, '
      f'{found.num_frames / found.seconds:.2f} frames/s'
    )
    if found.problem:
      line = f'{shown(one.path)}: {found.problem}'
      warn([line])
      summary.add_problem(one.path, line)
      summary.num_partial += 1
    else:
      summary.num_predicted += 1


def _legend_and_pages(options, class_names, colors, *, overlay_settings):
  """Writes the legend if it is asked for; returns what writes pages of many images, a list."""
  legend = list(zip(class_names, colors.tolist())) if options.legend else ()
  if legend:
    path = os.path.join(options.output_path, prediction_paths.LEGEND_NAME)
    prediction_files.save_legend(legend, path)
    say(f'Legend written to {shown(path)}')
  return [
    kind.pages(
      options.output_path,
      color_map=colors,
      legend=legend,
      overlay=overlay_settings,
      keep_pages=options.skip_existing,
      name_part=f'{shard.file_part}-' if (shard := work_shards.of(options)) else '',
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
