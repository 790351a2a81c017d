#!/usr/bin/env python3
"""Trains DeepLabv3 or DeepLabv3+ on TFRecords and writes checkpoints.

run_trainer.py --recipe=fine_tune --filenames=train --load_ckpt_path=voc_model --output_path=model
run_trainer.py --filenames=train --model_variant=mobilenet_v2 --output_path=model
run_trainer.py --flagfile=model/flags.txt --resume
"""

from deeplab import flags, messages, next_command
from deeplab.options import (
  OPTIONS_OF_TRAINING,
  ComputeOptions,
  DistributionOptions,
  LossOptions,
  ModelOptions,
  RunOptions,
  TrainingInputOptions,
  TrainingOptions,
  ValidationOptions,
)

_HELP_ORDER = (
  RunOptions,
  TrainingInputOptions,
  TrainingOptions,
  ValidationOptions,
  LossOptions,
  ModelOptions,
  ComputeOptions,
  DistributionOptions,
)


def main(*options):
  # Here and not above: it imports TensorFlow, which --help and flag errors need not wait for.
  from deeplab import training_run

  result = training_run.run(*options, given=flags.given(*OPTIONS_OF_TRAINING))
  if result.outcome != 'stopped' and result.checkpoint:  # None of a worker that is not the chief.
    _, _, input_options, _, _, validation_options, run_options, _ = options
    messages.say(next_command.after_training(input_options, validation_options, run_options))


if __name__ == '__main__':
  flags.run(main, *OPTIONS_OF_TRAINING, description=__doc__, help_order=_HELP_ORDER)
