#!/usr/bin/env python3
"""Predicts the class of every pixel of images with a trained network and writes pictures of it.

run_inferencer.py --ckpt_path=model --input=photos --output_path=predictions
run_inferencer.py --ckpt_path=model --output_path=predictions --output_type=overlay --input *.jpg
"""

import time

from deeplab import flags
from deeplab.errors import InputError
from deeplab.options import (
  OPTIONS_OF_INFERENCE,
  EngineOptions,
  InferenceOptions,
  ModelOptions,
  PredictionOptions,
)

# The time to the first prediction counts from here: importing TensorFlow takes seconds of it.
_COMMAND_STARTED = time.monotonic()


def main(*options):
  # Here and not above: it imports TensorFlow, which --help and flag errors need not wait for.
  from deeplab import inference_run

  summary = inference_run.run(
    *options, given=flags.given(*OPTIONS_OF_INFERENCE), started=_COMMAND_STARTED
  )
  problem = summary.problem()
  if problem:
    raise InputError(problem)


if __name__ == '__main__':
  flags.run(
    main,
    *OPTIONS_OF_INFERENCE,
    description=__doc__,
    help_order=(InferenceOptions, PredictionOptions, EngineOptions, ModelOptions),
    saved_with_checkpoint=ModelOptions,
    more_values_of='input',
  )
