"""An evaluation, from options to results on stdout and a report: what run_evaluator.py does."""

import functools
import os
import sys
import time
from collections.abc import Collection

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from deeplab import (
  checkpoint_files,
  color_map,
  data_set_files,
  devices,
  machine_memory,
  messages,
  named_checkpoints,
  output_places,
)
from deeplab.data import input_pipeline, record_files
from deeplab.distribution import workers
from deeplab.distribution.follower import Follower
from deeplab.distribution.workers import Workers
from deeplab.engines import model_files
from deeplab.errors import InputError
from deeplab.evaluation import evaluation_data, evaluation_report, measures, report_files
from deeplab.evaluation.checkpoint_sequence import checkpoint_sequence
from deeplab.evaluation.evaluation_report import Report
from deeplab.evaluation.worst_images import WorstImages
from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.failure_reasons import memory_shortage
from deeplab.messages import warn
from deeplab.options import (
  THIS_PROCESS,
  DistributionOptions,
  EngineOptions,
  EvaluationOptions,
  ModelOptions,
  PredictionOptions,
)
from deeplab.prediction import given_network, trained_network
from deeplab.prediction.image_reduction import SizeAdvice
from deeplab.prediction.trained_network import TrainedNetwork


def run(
  model_options: ModelOptions,
  prediction_options: PredictionOptions,
  evaluation_options: EvaluationOptions,
  compute_options: EngineOptions,
  distribution_options: DistributionOptions = THIS_PROCESS,
  *,
  given: Collection[str] = (),
  own_process: bool = True,
) -> list[Report]:
  """Evaluates one checkpoint or several, prints the results and writes the reports asked for.

  Args:
    given: names of the options that the user gave; the other model options are those saved beside
      the checkpoint.
    own_process: as in `workers.joined` and `devices.prepare`.

  Returns:
    a report for each checkpoint, in the order in which they were evaluated; none of a worker that
    is not the chief.

  Raises:
    InputError: the options do not fit each other, the checkpoint or the records, or a report cannot
      be written.
  """
  with workers.joined(distribution_options, own_process=own_process) as joined:
    evaluate = functools.partial(
      _run,
      model_options,
      prediction_options,
      evaluation_options,
      compute_options,
      joined,
      given=given,
      own_process=own_process,
    )
    workers.refuse_other_commands(
      joined, model_options, prediction_options, evaluation_options, compute_options
    )
    if joined.num_workers > 1:
      evaluation_data.refuse_for_workers(evaluation_options)
    if joined.is_chief:
      return evaluate()
    with messages.heard_by(Follower()):
      evaluate()
      return []


def _run(
  model_options,
  prediction_options,
  evaluation_options,
  compute_options,
  workers,
  *,
  given,
  own_process,
):
  """As `run`, of one of the workers."""
  records = data_set_files.of_records(
    record_files.expand_filenames(evaluation_options.filenames),
    settled=evaluation_data.settled_by(given),
  )
  devices.prepare(compute_options, own_process=own_process)
  several = _several(evaluation_options)
  path = evaluation_options.ckpt_path
  if evaluation_options.best:
    path = named_checkpoints.find_given(path, best=True)
  network, reports = None, []
  for prefix in checkpoint_sequence(
    path,
    all_checkpoints=evaluation_options.all_checkpoints,
    watch=evaluation_options.watch,
    timeout=evaluation_options.watch_timeout,
    say=messages.say,
  ):
    if network is None:
      if not several and model_files.find(path) is None:
        messages.say(*checkpoint_files.chosen_notes(evaluation_options.ckpt_path, prefix))
      with messages.phase('loading the network'), workers.strategy.scope():
        network = given_network.load(
          prefix,
          model_options,
          given=given,
          options=compute_options,
          class_names=evaluation_options.class_names,
          records=records,
        )
      prediction_options = network.settle(prediction_options)
      network.announce(prediction_options)
      evaluation_options = evaluation_data.settle(evaluation_options, network, records, given=given)
      colors = network.color_map(evaluation_options.colormap, records=records)
      evaluation = _Evaluation(
        network, workers, prediction_options, evaluation_options, compute_options, colors
      )
    else:
      trained_network.restore(network.model, prefix)
    if several:
      messages.say('', prefix)
    reports.append(evaluation.run(prefix, directory=_report_directory(evaluation_options, prefix)))
  if not reports:
    raise InputError(f'--ckpt_path={evaluation_options.ckpt_path}: no checkpoint appeared')
  if several:
    messages.say('', *evaluation_report.comparison_lines(reports))
  return reports


def _several(options):
  """Whether more than one checkpoint may be evaluated."""
  return options.all_checkpoints or options.watch


def _report_directory(options, prefix):
  """Where the report of a checkpoint goes, or None; each of several has a directory of its own."""
  if options.report_path and _several(options):
    return os.path.join(options.report_path, os.path.basename(prefix))
  return options.report_path


class _Evaluation:
  """One network and one set of records, evaluated with the weights of one checkpoint after the
  other.
  """

  def __init__(
    self,
    network: TrainedNetwork,
    workers: Workers,
    prediction_options: PredictionOptions,
    evaluation_options: EvaluationOptions,
    compute_options: EngineOptions,
    colors: np.ndarray,
  ):
    num_classes = network.options.num_classes
    machine_memory.refuse_what_cannot_fit(
      8 * num_classes**2,
      what=f'the confusion matrix of {num_classes} classes',
      remedy='evaluate on a machine with more',
    )
    if evaluation_options.report_path:
      color_map.refuse_too_few(colors, num_classes, chosen=str(evaluation_options.colormap))
      output_places.make_directory(evaluation_options.report_path, flag='report_path')
    self._network = network
    self._options = evaluation_options
    self._colors = colors
    self._settings = {
      'filenames': list(evaluation_options.filenames),
      'ignore_label': evaluation_options.ignore_label,
      **vars(prediction_options),
      'eval_pad': network.shown_padding(prediction_options),
      **vars(compute_options),
      **vars(network.options),
    }
    self._labels = {'num_classes': num_classes, 'ignore_label': evaluation_options.ignore_label}
    self._evaluator = DeepLabV3Evaluator(
      network.model,
      options=prediction_options,
      workers=workers,
      jit_compile=compute_options.jit_compile,
      constant_weights=not _several(evaluation_options)
      and workers.strategy.num_replicas_in_sync == 1,
      **self._labels,
    )
    self._advice = SizeAdvice(network.trained_size, prediction_options)
    self._limits = {**self._labels, 'max_image_pixels': prediction_options.max_image_pixels}
    self._paths = record_files.expand_filenames(evaluation_options.filenames)
    self._dataset = input_pipeline.evaluation_examples(
      evaluation_options.filenames, **self._limits, share=(workers.index, workers.num_workers)
    )

  def run(self, prefix: str, *, directory: str | None) -> Report:
    """Evaluates the present weights, which are those of checkpoint `prefix`; prints the results and
    writes the report to `directory`, unless that is None.
    """
    ignore_label = self._options.ignore_label
    # Now: a training may remove the checkpoint while it is evaluated.
    global_step = self._network.global_step(prefix)
    worst = WorstImages(self._options.num_worst_images) if directory else None
    measured = measures.chosen(self._options, **self._labels)
    start = time.monotonic()
    result = self._evaluate([*measured, *([worst] if worst else [])])
    seconds = time.monotonic() - start
    if not result.confusion.any():
      raise InputError(
        f'no pixel counts in {result.num_images} records: every label is '
        f'--ignore_label={ignore_label}; check --filenames, or convert the data again '
        '(--label_offset, --colormap)'
      )
    report = Report(
      result=result,
      class_names=self._network.class_names,
      checkpoint=prefix,
      global_step=global_step,
      measures=measured,
      settings=self._settings,
    )
    messages.say(*evaluation_report.score_lines(result, report.class_names))
    messages.say(*evaluation_report.table_lines(report))
    messages.say(f'{result.num_images / seconds:.2f} images/s')
    warn(evaluation_report.warnings(report))
    if directory:
      with output_places.explaining(directory, flag='report_path'):
        report_files.write(directory, report, worst, self._colors, ignore_label=ignore_label)
      messages.say(f'Report written to {os.path.join(directory, "report.html")}')
    return report

  def _evaluate(self, onlookers):
    """The evaluator.EvaluationResult, after each of `onlookers` has seen every image; a bad record
    is an InputError that names it.
    """
    progress = tqdm(
      total=int(self._dataset.cardinality()),
      desc='tracing the network',
      unit='image',
      disable=not messages.shows_bars(),
      leave=False,
      **messages.size_for_bars(),
    )

    def on_image(evaluated):
      line = self._advice.line(evaluated.name, evaluated.image)
      if line:
        with progress.external_write_mode(file=sys.stderr):
          warn([line])
      for onlooker in onlookers:
        onlooker.add(evaluated)
      progress.set_description_str('evaluating', refresh=False)
      progress.update()

    try:
      with progress, self._network.explaining_failures():
        return self._evaluator.evaluate(self._dataset, on_image=on_image)
    except (tf.errors.OpError, MemoryError) as error:
      shortage = memory_shortage(error)
      if shortage:
        raise InputError(
          f'{shortage} after {int(progress.n)} images; give --max_size, --tile_size, a smaller '
          '--batch_size or smaller --eval_scales'
        ) from error
      raise input_pipeline.explain_failure(
        error, self._options.filenames, known=self._paths, **self._limits
      ) from error
