#!/usr/bin/env python3
"""Trains DeepLabv3 or DeepLabv3+ on TFRecords and writes checkpoints.

Example: run_trainer.py --filenames=train --model_variant=mobilenet_v2 --output_path=model
"""

from deeplab import flags
from deeplab.options import (
  ComputeOptions,
  LossOptions,
  ModelOptions,
  RunOptions,
  TrainingInputOptions,
  TrainingOptions,
  ValidationOptions,
)

_OPTIONS = (
  ModelOptions,
  ComputeOptions,
  TrainingInputOptions,
  TrainingOptions,
  LossOptions,
  ValidationOptions,
  RunOptions,
)


def main(*options):
  # Here and not above: it imports TensorFlow, which --help and flag errors need not wait for.
  from deeplab import training_run

  training_run.run(*options, given=flags.given(*_OPTIONS))


if __name__ == '__main__':
  flags.run(main, *_OPTIONS, description=__doc__)
