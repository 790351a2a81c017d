"""An inference, from options to pictures: what run_inferencer.py does."""

import os
import time
from collections.abc import Collection
from typing import NamedTuple

from deeplab import atomic_files, devices, output_places
from deeplab.errors import InputError, shown
from deeplab.inferencer import DeepLabV3Inferencer
from deeplab.messages import phase, say, warn
from deeplab.options import EngineOptions, InferenceOptions, ModelOptions, PredictionOptions
from deeplab.prediction import (
  foreground,
  given_network,
  image_files,
  output_types,
  prediction_files,
  prediction_paths,
  video_paths,
  video_reader,
)
from deeplab.prediction.image_reduction import SizeAdvice
from deeplab.prediction.prediction_paths import PlannedPrediction
from deeplab.prediction.prediction_pipeline import PredictionPipeline, PredictionSummary
from deeplab.prediction.video_paths import PlannedVideo
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
  planned = _plan(inference_options)
  for directory in planned.directories:
    atomic_files.remove_unfinished(directory)  # Of killed commands.
  if not (planned.images or planned.videos):
    return PredictionSummary(num_bad=planned.num_bad)
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
  inferencer = _inferencer(network, prediction_options, inference_options, compute_options)
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
  earlier = prediction_paths.Earlier(planned.paths)
  summary = PredictionSummary()
  if planned.images:
    # Images that need tiles are few and large.
    look_ahead = 1 if prediction_options.tile_size else None
    pipeline = PredictionPipeline(
      inferencer,
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
    _say_totals(summary, seconds_to_load=seconds_to_load, num_traces=inferencer.num_traces)
  if planned.videos:
    videos = VideoPipeline(
      inferencer,
      writer,
      max_frames=inference_options.max_frames,
      max_image_pixels=prediction_options.max_image_pixels,
      **settings,
    )
    with network.explaining_failures():
      _predict_videos(videos, planned.videos, summary)
  summary.num_bad += planned.num_bad
  num_replaced = earlier.num_replaced()
  if num_replaced:
    say(f'replaced {num_replaced} file{"s" if num_replaced > 1 else ""} of earlier predictions')
  return summary


def _inferencer(network, prediction_options, inference_options, compute_options):
  types = inference_options.output_type
  output_types.check_classes(types, network.options.num_classes)
  to_cut_out = ()
  if output_types.need_foreground(types):
    to_cut_out = foreground.foreground_classes(
      inference_options.cutout_classes, network.class_names
    )
  return DeepLabV3Inferencer(
    network.model,
    options=prediction_options,
    with_probabilities=output_types.need_probabilities(types),
    foreground_classes=to_cut_out,
    jit_compile=compute_options.jit_compile,
  )


def _predict_videos(pipeline, planned, summary):
  """Predicts the videos and adds to the PredictionSummary what became of them."""
  summary.kind = 'inputs'
  for one in planned:
    try:
      found = pipeline.run(one)
    except VideoError as error:
      warn([str(error)])
      summary.num_bad += 1
      continue
    s = 's' if found.num_frames > 1 else ''
    say(
      f'{shown(one.path)}: {found.num_frames} frame{s} in {found.seconds:.1f} s, '
      f'{found.num_frames / found.seconds:.2f} frames/s'
    )
    if found.problem:
      warn([f'{shown(one.path)}: {found.problem}'])
      summary.num_bad += 1
      summary.num_partial += 1
    else:
      summary.num_predicted += 1


class _Planned(NamedTuple):
  """What to predict; how many inputs, named in warnings, are neither image nor video; and the
  directories of all predictions, those that are there already too.
  """

  images: list[PlannedPrediction]
  videos: list[PlannedVideo]
  num_bad: int
  directories: Collection[str] = ()

  @property
  def paths(self):
    """Of files that are written or replaced; of videos those that are there."""
    of_images = [path for one in self.images for path in one.paths.values()]
    return of_images + [path for one in self.videos for path in one.existing_files()]

  @property
  def outputs(self):
    """Paths of all that is written, of videos' directories of frames too."""
    of_videos = [
      path
      for one in self.videos
      for path in (*one.videos.values(), *(directory for directory, _ in one.frames.values()))
    ]
    return [*(path for one in self.images for path in one.paths.values()), *of_videos]

  @property
  def counted(self):
    parts = [f'{len(self.images)} images'] if self.images or not self.videos else []
    if self.videos:
      parts.append(f'{len(self.videos)} video{"s" if len(self.videos) > 1 else ""}')
    return ' and '.join(parts)


def _plan(options: InferenceOptions) -> _Planned:
  """The images and videos to predict with their files; says what is left out."""
  problems = []
  if options.input_file_list:
    images = image_files.listed_images(options.input_file_list, problems=problems)
    notes = []
  else:
    if os.path.realpath(options.output_path) in {
      os.path.realpath(one) for one in options.input if os.path.isdir(one)
    }:
      raise InputError(
        f'--output_path={options.output_path}: is also --input, so the next run would take the '
        'predictions for images; choose another'
      )
    images, notes = image_files.find_images(
      options.input,
      recursive=options.recursive,
      excluded_directory=options.output_path,
      problems=problems,
    )
  images, repeated = image_files.without_duplicates(images)
  if repeated:
    notes.append(f'{repeated} images are named more than once; each is predicted once')
  images, videos = video_paths.split(images)
  if videos:
    video_reader.import_av(videos[0].path)  # Before a network is loaded for nothing.
  settings = dict(
    output_path=options.output_path,
    types=options.output_type,
    suffix=options.output_suffix,
    keep_structure=options.keep_structure,
  )
  planned = _Planned(
    prediction_paths.plan(images, **settings),
    video_paths.plan(videos, **settings),
    num_bad=len(problems),
  )
  planned = planned._replace(
    directories={options.output_path, *map(os.path.dirname, planned.outputs)}
  )
  if options.skip_existing:
    everything = [*planned.images, *planned.videos]
    missing = planned._replace(
      images=[one for one in planned.images if not one.exists],
      videos=[one for one in planned.videos if not one.exists],
    )
    count = len(everything) - len(missing.images) - len(missing.videos)
    what = 'inputs' if videos else 'images'
    notes.append(f'{count} of {len(everything)} {what} have predictions already')
    planned = missing
  for note in notes:
    say(note)
  warn(problems)
  return planned


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
