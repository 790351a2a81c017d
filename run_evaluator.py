#!/usr/bin/env python3
"""Evaluates a trained network on TFRecords: loss, mIOU, a table of the classes, and a report of
what went wrong where.

  run_evaluator.py --filenames=val --ckpt_path=model --report_path=report
  run_evaluator.py --filenames=val --ckpt_path=model --best
"""

from deeplab import flags, messages, next_command
from deeplab.options import (
  OPTIONS_OF_EVALUATION,
  DistributionOptions,
  EngineOptions,
  EvaluationOptions,
  ModelOptions,
  PredictionOptions,
)


def main(*options):
  # Here and not above: it imports TensorFlow, which --help and flag errors need not wait for.
  from deeplab import evaluation_run

  given = flags.given(*OPTIONS_OF_EVALUATION)
  reports = evaluation_run.run(*options, given=given)
  if not reports:  # The chief of several workers says it.
    return
  _, prediction_options, evaluation_options, engine_options, _ = options
  messages.say(
    next_command.after_evaluation(
      evaluation_options, prediction_options, engine_options, given=given
    )
  )


if __name__ == '__main__':
  flags.run(
    main,
    *OPTIONS_OF_EVALUATION,
    description=__doc__,
    help_order=(
      EvaluationOptions,
      PredictionOptions,
      EngineOptions,
      ModelOptions,
      DistributionOptions,
    ),
    saved_with_checkpoint=ModelOptions,
  )
