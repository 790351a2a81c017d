#!/usr/bin/env python3
"""Evaluates a trained network on records: loss, mIOU, a table of the classes, and a report of what
went wrong where.
"""

import os
import sys
import time

from deeplab import flags
from deeplab.errors import InputError, warn
from deeplab.options import ComputeOptions, EvaluationOptions, ModelOptions, PredictionOptions

DESCRIPTION = """Evaluates a trained network on TFRecords.

example:
  run_evaluator.py --filenames=val --ckpt_path=model --class_names=voc --report_path=report"""


def main(model_options, prediction_options, evaluation_options, compute_options):
  # Here and not above: these import TensorFlow, which --help and flag errors need not wait for.
  from deeplab import checkpoints, color_map, devices
  from deeplab.evaluation import evaluation_report
  from deeplab.evaluation.checkpoint_sequence import checkpoint_sequence
  from deeplab.prediction import image_padding, trained_network

  colors = color_map.load_color_map(evaluation_options.colormap, flag='colormap')
  devices.prepare(compute_options)
  strategy = devices.make_strategy()
  evaluation, reports = None, []
  several = evaluation_options.all_checkpoints or evaluation_options.watch
  for prefix in checkpoint_sequence(
    evaluation_options.ckpt_path,
    all_checkpoints=evaluation_options.all_checkpoints,
    watch=evaluation_options.watch,
    timeout=evaluation_options.watch_timeout,
    say=lambda line: print(line, flush=True),
  ):
    if evaluation is None:
      with strategy.scope():
        network = trained_network.load(
          prefix,
          model_options,
          given=flags.given(ModelOptions),
          compute_dtype=compute_options.compute_dtype,
          class_names=evaluation_options.class_names,
        )
      print(*network.notes, sep='\n', end='\n' if network.notes else '', flush=True)
      warn(image_padding.advice(network.options, prediction_options.pad_size))
      evaluation = _Evaluation(
        network,
        strategy,
        prediction_options,
        evaluation_options,
        compute_options,
        colors,
        frozen=not several and strategy.num_replicas_in_sync == 1,
      )
    else:
      trained_network.restore(network.model, prefix)
    if several:
      print(f'\n{prefix}', flush=True)
    report_path = evaluation_options.report_path
    if report_path and several:
      report_path = os.path.join(report_path, os.path.basename(prefix))
    reports.append(evaluation.run(prefix, checkpoints.Reader(prefix).global_step, report_path))
  if several and reports:
    print('', *evaluation_report.comparison_lines(reports), sep='\n', flush=True)
  if not reports:
    raise InputError(f'--ckpt_path={evaluation_options.ckpt_path}: no checkpoint appeared')
  return 0


class _Evaluation:
  """One network and one set of records, evaluated with the weights of one checkpoint after the
  other.
  """

  def __init__(
    self,
    network,
    strategy,
    prediction_options,
    evaluation_options,
    compute_options,
    colors,
    *,
    frozen,
  ):
    from deeplab.data import input_pipeline
    from deeplab.evaluator import DeepLabV3Evaluator
    from deeplab.prediction import prediction_files

    num_classes = network.options.num_classes
    if evaluation_options.report_path and len(colors) < num_classes:
      raise InputError(
        f'--colormap={evaluation_options.colormap}: {len(colors)} colours for {num_classes} '
        'classes; choose '
        'another or add lines to it'
      )
    if evaluation_options.report_path:
      prediction_files.make_directory(evaluation_options.report_path, flag='report_path')
    self._network = network
    self._options = evaluation_options
    self._colors = colors
    self._settings = {**vars(prediction_options), **vars(compute_options), **vars(network.options)}
    self._evaluator = DeepLabV3Evaluator(
      network.model,
      num_classes=num_classes,
      ignore_label=evaluation_options.ignore_label,
      options=prediction_options,
      strategy=strategy,
      jit_compile=compute_options.jit_compile,
      constant_weights=frozen,
    )
    self._dataset = input_pipeline.evaluation_examples(
      evaluation_options.filenames,
      num_classes=num_classes,
      ignore_label=evaluation_options.ignore_label,
    )

  def run(self, prefix, global_step, report_path):
    """Evaluates once, prints the results and returns the evaluation_report.Report."""
    from deeplab.evaluation import evaluation_report
    from deeplab.evaluation.boundary_iou import BoundaryIou
    from deeplab.evaluation.worst_images import WorstImages
    from deeplab.prediction import prediction_files

    num_classes, ignore_label = self._network.options.num_classes, self._options.ignore_label
    worst = WorstImages(self._options.num_worst_images) if report_path else None
    boundary = (
      BoundaryIou(num_classes=num_classes, ignore_label=ignore_label)
      if self._options.boundary_iou
      else None
    )
    start = time.monotonic()
    result = self._evaluate(worst, boundary)
    seconds = time.monotonic() - start
    if not result.confusion.any():
      raise InputError(
        f'no pixel counts in {result.num_images} records: every label is '
        f'--ignore_label={ignore_label}; check '
        '--filenames, or convert the data again (--label_offset, --label_colormap)'
      )
    print(*evaluation_report.score_lines(result), sep='\n', flush=True)
    report = evaluation_report.Report(
      result=result,
      class_names=self._network.class_names,
      checkpoint=prefix,
      global_step=global_step,
      boundary=boundary,
      settings={'filenames': list(self._options.filenames), **self._settings},
    )
    print(*evaluation_report.table_lines(report), sep='\n', flush=True)
    print(f'{result.num_images / seconds:.2f} images/s', flush=True)
    warn(evaluation_report.warnings(report))
    if report_path:
      with prediction_files.explaining(report_path, flag='report_path'):
        evaluation_report.write(report_path, report, worst, self._colors, ignore_label=ignore_label)
      print(f'Report written to {os.path.join(report_path, "report.html")}', flush=True)
    return report

  def _evaluate(self, worst, boundary):
    import tensorflow as tf
    from tqdm import tqdm

    from deeplab.data import input_pipeline

    progress = tqdm(
      total=int(self._dataset.cardinality()),
      unit='image',
      disable=not sys.stderr.isatty(),
      leave=False,
    )

    def on_image(evaluated):
      if worst is not None:
        worst.add(evaluated)
      if boundary is not None:
        boundary.add(evaluated.label, evaluated.prediction)
      progress.update()

    try:
      with progress:
        return self._evaluator.evaluate(self._dataset, on_image=on_image)
    except tf.errors.OpError as error:
      raise input_pipeline.explain_failure(
        error,
        self._options.filenames,
        num_classes=self._network.options.num_classes,
        ignore_label=self._options.ignore_label,
      ) from error


if __name__ == '__main__':
  flags.run(
    main,
    ModelOptions,
    PredictionOptions,
    EvaluationOptions,
    ComputeOptions,
    description=DESCRIPTION,
  )
