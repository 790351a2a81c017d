"""The length of a run given in epochs: how many updates that is."""

import fractions
import math
from collections.abc import Collection, Mapping, Sequence

from deeplab.data import record_files
from deeplab.errors import InputError
from deeplab.options import TrainingInputOptions, TrainingOptions


def num_steps(
  num_epochs: float, *, num_records: int, batch_size: int, accumulate_steps: int
) -> int:
  """The fewest updates that draw `num_epochs * num_records` records or more, at least one."""
  # As written: 0.1 of 30 records are 3, which in binary floats they are not.
  drawn = fractions.Fraction(str(num_epochs)) * num_records
  return math.ceil(drawn / (batch_size * accumulate_steps))


def settled(
  options: TrainingOptions,
  input_options: TrainingInputOptions,
  *,
  given: Collection[str],
  saved_flags: Mapping[str, Sequence[str]] | None,
) -> tuple[TrainingOptions, str]:
  """Turns --num_epochs into a number of steps, for which the records are counted.

  Args:
    options: of the command, with num_epochs.
    input_options: of the command.
    given: names of the options that the user gave.
    saved_flags: name -> values of the run that goes on, or None. That run's own number of steps,
      which its flagfile gives, may be given beside --num_epochs: so it can become longer.

  Returns:
    (options with num_steps and without num_epochs, a line to print).

  Raises:
    InputError: --num_steps is given, too; another option does not fit this number of steps; or the
      records cannot be read.
  """
  said = f'--num_epochs={options.num_epochs:g}'
  run_has = (saved_flags or {}).get('num_steps')
  if 'num_steps' in given and run_has != [str(options.num_steps)]:
    raise InputError(
      f'--num_steps={options.num_steps} and {said}: both say how long to train; leave one out (the '
      'flagfile of an earlier run has --num_steps)'
    )
  files = record_files.index_files(
    record_files.expand_filenames(input_options.filenames),
    allow_problems=input_options.skip_bad_records,
  )
  num_records = sum(file.num_records for file in files)
  batch_size, accumulate_steps = input_options.batch_size, options.accumulate_steps
  steps = num_steps(
    options.num_epochs,
    num_records=num_records,
    batch_size=batch_size,
    accumulate_steps=accumulate_steps,
  )
  said += f' is --num_steps={steps}'
  try:
    options = options.replace(num_steps=steps, num_epochs=None)
  except InputError as error:
    raise InputError(f'{said}; {error}') from error
  a_step = f'{accumulate_steps} times {batch_size}' if accumulate_steps > 1 else f'{batch_size}'
  return options, f'{said}: {num_records} records, {a_step} a step'
