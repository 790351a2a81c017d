"""The architecture beside the checkpoint: `model_options.json`, so that evaluator and inferencer
need no model flags.

A command reads the file once and passes the SavedOptions on.
"""

import dataclasses
import json
import os
from collections.abc import Collection, Sequence

from deeplab import data_set_files
from deeplab.atomic_files import replacing
from deeplab.checkpoint_files import PREVIOUS, previous_of
from deeplab.data_set import DataSet
from deeplab.errors import InputError
from deeplab.options import ModelOptions

FILE_NAME = 'model_options.json'
# Neither carries weights nor changes what they mean, so an evaluation may choose others than the
# training had.
FREE_TO_DIFFER = ('output_stride', 'atrous_rates', 'weight_decay')


@dataclasses.dataclass(frozen=True)
class SavedOptions:
  """What `model_options.json` says.

  Attributes:
    path: of the file.
    model_options: the architecture.
    step: of the newest checkpoint when it was written, or None.
    class_names: of the classes, or () where none are saved.
    data_set: description of the records it was trained on, or None where none is saved.
    trained_size: (height, width) of the crops the network was trained on, or None where it is not
      saved.
  """

  path: str
  model_options: ModelOptions
  step: int | None = None
  class_names: tuple[str, ...] = ()
  data_set: DataSet | None = None
  trained_size: tuple[int, int] | None = None


def path_beside(prefix: str) -> str:
  """Where the options of checkpoint `prefix` are saved, whether or not they are."""
  path = os.path.join(os.path.dirname(prefix) or '.', FILE_NAME)
  if prefix.endswith(PREVIOUS) and os.path.exists(previous_of(path)):
    return previous_of(path)
  return path


def write(
  directory: str,
  model_options: ModelOptions,
  *,
  step: int | None = None,
  class_names: Sequence[str] | None = None,
  data_set: DataSet | None = None,
  trained_size: tuple[int, int] | None = None,
) -> None:
  """Writes DIRECTORY/model_options.json.

  Args:
    directory: where the checkpoints are.
    model_options: the architecture.
    step: of the newest checkpoint, or None.
    class_names: of the classes, or None for those of `data_set`.
    data_set: description of the records it is trained on, or None.
    trained_size: (height, width) of the crops, or None.
  """
  if not class_names and data_set is not None:
    class_names = data_set.class_names
  content = {
    'model_options': dataclasses.asdict(model_options),
    'step': step,
    'class_names': list(class_names) if class_names else None,
    'trained_size': list(trained_size) if trained_size else None,
  }
  if data_set is not None:
    content['data_set'] = data_set_files.to_json(data_set.replace(class_names=()))
    del content['data_set']['class_names']  # They are above, where they have always been.
  with (
    replacing(os.path.join(directory, FILE_NAME)) as temporary,
    open(temporary, 'w', encoding='utf-8') as file,
  ):
    json.dump(content, file, indent=2)
    file.write('\n')


def write_step(prefix: str, step: int) -> None:
  """Writes what is saved beside checkpoint `prefix` again, with another step; nothing without a
  file.
  """
  saved = read(prefix)
  if saved is not None and saved.step != step:
    write(
      os.path.dirname(prefix) or os.curdir,
      saved.model_options,
      step=step,
      class_names=saved.class_names,
      data_set=saved.data_set,
      trained_size=saved.trained_size,
    )


def read(prefix: str) -> SavedOptions | None:
  """What is saved beside checkpoint `prefix`, or None without a file.

  Raises:
    InputError: the file is no such JSON.
  """
  path = path_beside(prefix)
  if not os.path.exists(path):
    return None
  try:
    with open(path, encoding='utf-8') as file:
      content = json.load(file)
    names = content.get('class_names') or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
      raise ValueError('class_names must be a list of texts')
    options = dict(content['model_options'])
    for name in ('atrous_rates', 'multi_grid'):
      if isinstance(options.get(name, ()), int):
        raise ValueError(f'{name} must be a list of integers')
    return SavedOptions(
      path=path,
      model_options=ModelOptions(**options),
      step=content.get('step'),
      class_names=tuple(names),
      data_set=_data_set(content, path, names),
      trained_size=_trained_size(content.get('trained_size')),
    )
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f'{path}: not a file of model options ({error}); restore it, or remove it and give the model '
      'flags'
    ) from error


def _data_set(content, path, names):
  """The saved description, with the names if they are those of its classes; or None."""
  if not content.get('data_set'):
    return None
  described = data_set_files.from_json(content['data_set'], path=path)
  fitting = tuple(names) if len(names) == described.num_classes else ()
  return described.replace(class_names=fitting)


def _trained_size(value):
  if value is None:
    return None
  height, width = value
  if not all(isinstance(side, int) and side > 0 for side in value):
    raise ValueError('trained_size must be a height and a width')
  return height, width


def for_prediction(
  saved: SavedOptions | None, from_flags: ModelOptions, given: Collection[str]
) -> tuple[ModelOptions, list[str]]:
  """The architecture with which evaluation and inference read a checkpoint: the saved one, in which
  flags may change only what the weights leave free.

  Args:
    saved: what is saved beside the checkpoint.
    from_flags: the options of the command line.
    given: names of the options that the user gave there; those of other options do not matter.

  Returns:
    (options, lines to print).

  Raises:
    InputError: a flag contradicts the saved architecture.
  """
  if saved is None:
    return from_flags, []
  given, architecture = _of_the_model(given), saved.model_options
  for name in sorted(given - set(FREE_TO_DIFFER)):
    asked, have = getattr(from_flags, name), getattr(architecture, name)
    if asked != have:
      raise InputError(
        f'--{name}={asked}: the checkpoint was made with --{name}={have} ({saved.path}); leave the '
        'flag out'
      )
  changes = {name: getattr(from_flags, name) for name in FREE_TO_DIFFER if name in given}
  notes = [
    f'architecture from {saved.path}: {architecture.model_variant}, {architecture.num_classes} '
    'classes'
  ]
  rates, asked_rates = architecture.atrous_rates, changes.get('atrous_rates')
  if asked_rates is not None and len(asked_rates) != len(rates):
    raise InputError(
      f'--atrous_rates={_listed(asked_rates)}: the checkpoint has {len(rates)} atrous branches '
      f'(rates {_listed(rates)}); give as many rates'
    )
  stride = changes.get('output_stride', architecture.output_stride)
  if stride != architecture.output_stride and rates and asked_rates is None:
    # A rate counts in feature pixels: at half the stride the same context needs twice the rate.
    changes['atrous_rates'] = tuple(
      max(1, rate * architecture.output_stride // stride) for rate in rates
    )
    notes.append(
      f'--output_stride={stride} instead of {architecture.output_stride}: atrous rates '
      f'{_listed(changes["atrous_rates"])} instead of {_listed(rates)}'
    )
  return architecture.replace(**changes), notes


def for_training(
  saved: SavedOptions | None, from_flags: ModelOptions, given: Collection[str]
) -> tuple[ModelOptions, list[str]]:
  """The architecture with which training starts from a checkpoint, or goes on: the saved one, but
  for the flags the user gave.

  Args:
    saved, from_flags, given: as in `for_prediction`. Any flag may differ from the saved
      architecture: training can add a decoder, or begin another last layer for other classes. With
      another backbone nothing of the saved one is taken.

  Returns:
    (options, lines to print).
  """
  if saved is None:
    return from_flags, []
  given, architecture = _of_the_model(given), saved.model_options
  if 'model_variant' in given and from_flags.model_variant != architecture.model_variant:
    return from_flags, []
  options = architecture.replace(**{name: getattr(from_flags, name) for name in given})
  kept = [name for name in sorted(given) if getattr(options, name) != getattr(architecture, name)]
  but = ''.join(f', but --{name}={_text(getattr(options, name))}' for name in kept)
  return options, [
    f'architecture from {saved.path}: {architecture.model_variant}, {architecture.num_classes} '
    f'classes{but}'
  ]


def _of_the_model(given):
  return {field.name for field in dataclasses.fields(ModelOptions)} & set(given)


def _text(value):
  return _listed(value) if isinstance(value, tuple) else value


def _listed(rates):
  return ','.join(map(str, rates)) or 'none'
