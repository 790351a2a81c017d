#!/usr/bin/env python3
"""Trains DeepLabv3 or DeepLabv3+ on TFRecords and writes checkpoints.

Example: run_trainer.py --filenames=train --model_variant=mobilenet_v2 --output_path=model
"""

from deeplab import flags
from deeplab import options as deeplab_options


def main(
  model_options,
  compute_options,
  input_options,
  training_options,
  loss_options,
  validation_options,
  run_options,
):
  """Builds the parts from the options and runs them; returns the exit status."""
  from deeplab.training import training_run

  given = frozenset().union(*map(flags.given, _OPTIONS))
  return training_run.run(
    model_options,
    compute_options,
    input_options,
    training_options,
    loss_options,
    validation_options,
    run_options,
    given=given,
  )


_OPTIONS = (
  deeplab_options.ModelOptions,
  deeplab_options.ComputeOptions,
  deeplab_options.TrainingInputOptions,
  deeplab_options.TrainingOptions,
  deeplab_options.LossOptions,
  deeplab_options.ValidationOptions,
  deeplab_options.RunOptions,
)


def command():
  """Entry point of the installed command."""
  flags.run(main, *_OPTIONS, description=__doc__)


if __name__ == '__main__':
  command()
