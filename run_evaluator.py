#!/usr/bin/env python3
"""Evaluates a trained network on TFRecords: loss, mIOU, a table of the classes, and a report of
what went wrong where.

Example: run_evaluator.py --filenames=val --ckpt_path=model --class_names=voc --report_path=report
"""

from deeplab import flags
from deeplab.options import ComputeOptions, EvaluationOptions, ModelOptions, PredictionOptions

_OPTIONS = (ModelOptions, PredictionOptions, EvaluationOptions, ComputeOptions)


def main(*options):
  # Here and not above: it imports TensorFlow, which --help and flag errors need not wait for.
  from deeplab import evaluation_run

  evaluation_run.run(*options, given=flags.given(*_OPTIONS))


if __name__ == '__main__':
  flags.run(main, *_OPTIONS, description=__doc__)
