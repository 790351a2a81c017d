"""The options of a run that follow from its records and its checkpoint."""

from collections.abc import Collection

from deeplab import named_checkpoints
from deeplab.training import epochs, recipes
from deeplab.training.run_directory import RunDirectory
from deeplab.training.run_start import AllOptions


def settled(
  directory: RunDirectory, options: AllOptions, *, given: Collection[str]
) -> tuple[AllOptions, list[str]]:
  """The options after the recipe, with a number of steps and an interval of validation.

  Args:
    directory: of the run.
    options: of the command.
    given: names of the options that the user gave.

  Returns:
    (options, lines to print).

  Raises:
    InputError: the records or the checkpoint cannot be read, or options contradict each other.
  """
  named_checkpoints.refuse_other_backbone(options.run.load_ckpt_path, options.model, given)
  lines = []
  saved_flags = directory.saved_flags() if options.run.resume else None
  if options.run.recipe is not None:
    options, lines = recipes.settled(options, given=given, saved_flags=saved_flags)
  if options.training.num_epochs is not None:
    training_options, line = epochs.settled(
      options.training, options.input, given=given, saved_flags=saved_flags
    )
    options = options.replace(training=training_options)
    lines = [*lines, line]
  if options.validation.eval_filenames and options.validation.eval_per_steps is None:
    every = options.validation.replace(eval_per_steps=options.run.persist_per_steps)
    options = options.replace(validation=every)
  return options, lines
