"""What the workers of a training tell each other: whether they were started alike, where the chief
starts from, the variables it read, and the validations so far.
"""

import contextlib
import dataclasses
import typing
from collections.abc import Collection, Iterator

from deeplab.distribution import workers as distribution
from deeplab.distribution.workers import Workers
from deeplab.errors import InputError
from deeplab.options.distribution import DistributionOptions
from deeplab.training.follower import FollowerDirectory
from deeplab.training.run_start import AllOptions, RunStart
from deeplab.training.training_data import TrainingData

if typing.TYPE_CHECKING:
  from deeplab.trainer import DeepLabV3Trainer


@contextlib.contextmanager
def joined(
  distribution_options: DistributionOptions, options: AllOptions, *, own_process: bool
) -> Iterator[Workers]:
  """While open, this process is a worker of the run, or alone; see `distribution.workers.joined`.

  Raises:
    InputError: also where the workers were started with different flags or versions.
  """
  with distribution.joined(distribution_options, own_process=own_process) as workers:
    distribution.refuse_other_commands(workers, *options.groups())
    yield workers


@contextlib.contextmanager
def telling_errors(workers: Workers) -> Iterator[None]:
  """While open, only the chief works; what it refuses ends the other workers too."""
  try:
    yield
  except (InputError, OSError) as error:
    workers.told_by_chief({'error': str(error)})
    raise


def tell_start(workers: Workers, start: RunStart, data: TrainingData | None) -> None:
  """The chief tells where the run starts; `data` None: nothing is left to do."""
  groups = {
    field.name: dataclasses.asdict(getattr(start.options, field.name))
    for field in dataclasses.fields(start.options)
  }
  workers.told_by_chief(
    {'options': groups, 'step': start.step, 'facts': _counts(data) if data is not None else None}
  )


def told_start(
  workers: Workers, options: AllOptions, *, given: Collection[str]
) -> tuple[RunStart, dict | None]:
  """Of a worker that is not the chief: where the run starts, and what `check_data` takes; None: it
  is finished.

  Args:
    options: of the command, of which the chief has settled what they leave open.
    given: names of the options that the user gave.

  Raises:
    InputError: the chief refused to start.
  """
  told = workers.told_by_chief()
  if 'error' in told:
    raise InputError(f'the chief, worker 0, ends: {told["error"]}')
  groups = {
    name: type(getattr(options, name))(**_with_tuples(values))
    for name, values in told['options'].items()
  }
  start = RunStart(
    options=AllOptions(**groups),
    notes=(),
    saved=None,
    newest=('', told['step']) if told['step'] else None,
    loaded=None,
    given=frozenset(given),
  )
  return start, told['facts']


def check_data(workers: Workers, data: TrainingData, counts: dict) -> None:
  """Raises InputError where this worker does not see the chief's records."""
  own = _counts(data)
  for flag, (files, records, size) in counts.items():
    if own[flag] != [files, records, size]:
      raise InputError(
        f'--{flag}: worker {workers.index} sees {own[flag][1]} records of {own[flag][2]} bytes in '
        f'{own[flag][0]} files, the chief {records} of {size} in {files}; give all workers the '
        'same files'
      )


def share_variables(workers: Workers, trainer: 'DeepLabV3Trainer', start: RunStart) -> None:
  """Gives all workers the chief's variables, which it has read from a checkpoint, to the bit."""
  if workers.num_workers == 1:
    return
  variables = trainer.variables
  values = workers.values_of_chief([variable.numpy() for variable in variables.values()])
  if not workers.is_chief:
    trainer.global_step = start.step
    for variable, value in zip(variables.values(), values):
      variable.assign(value)


def tell_validations(workers: Workers, directory, validations: list[dict]) -> None:
  """Gives all workers what decides when to validate and when to give up.

  Args:
    directory: RunDirectory or FollowerDirectory.
    validations: lines of the validations so far; those of the others are filled.
  """
  if workers.num_workers == 1:
    return
  known = None
  if workers.is_chief:
    steps = [{'step': line['step']} for line in validations]
    known = {'validations': steps, 'best': directory.best_score()}
  told = workers.told_by_chief(known)
  if isinstance(directory, FollowerDirectory):
    validations[:] = told['validations']
    directory.best = told['best']


def await_saved(workers: Workers) -> None:
  """Waits until the chief has saved and comes here too; what happens to the others then does not
  matter to it.

  Raises:
    InputError: the chief is gone before it has saved; of a worker that is not the chief.
  """
  try:
    workers.meet()
  except InputError:
    if not workers.is_chief:
      raise


def _counts(data):
  """flag -> [files, records, bytes], which do not depend on where a worker sees them."""
  return {
    flag: [
      len(files),
      sum(file.num_records for file in files),
      sum(file.num_bytes for file in files),
    ]
    for flag, files in (('filenames', data.files), ('eval_filenames', data.eval_files))
  }


def _with_tuples(values):
  return {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
