"""The architecture beside the checkpoint: `model_options.json`, so that evaluator and inferencer
need no model flags.

A command reads the file once and passes the SavedOptions on.
"""

import dataclasses
import json
import os
from collections.abc import Collection, Sequence

from deeplab import data_set_files, json_files, remote_files
from deeplab.atomic_files import replacing
from deeplab.checkpoint_files import PREVIOUS, previous_of
from deeplab.data_set import DataSet
from deeplab.errors import InputError, shown
from deeplab.options import ModelOptions
from deeplab.options.checks import field_type

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
  path = os.path.join(remote_files.parent(prefix) or '.', FILE_NAME)
  if prefix.endswith(PREVIOUS) and remote_files.exists(previous_of(path)):
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
  if not (os.path.lexists(path) or remote_files.exists(path)):
    return None
  try:
    content = json_files.read(path)
    names = json_files.texts(content.get('class_names'), 'class_names')
    step = content.get('step')
    return SavedOptions(
      path=path,
      model_options=_model_options(content),
      step=None if step is None else json_files.whole_number(step, 'step'),
      class_names=tuple(names),
      data_set=_data_set(content, path, names),
      trained_size=_trained_size(content.get('trained_size')),
    )
  except OSError as error:
    raise InputError(f'{shown(path)}: cannot be read ({error.strerror})') from error
  except ValueError as error:
    raise InputError(
      f'{shown(path)}: not a file of model options ({shown(str(error))}); restore it, or remove it '
      'and give the model flags'
    ) from error


def _model_options(content):
  """ModelOptions; raises ValueError for what is missing, unknown or of another type."""
  values = content.get('model_options')
  if not isinstance(values, dict):
    raise ValueError(f'model_options is {json_files.shown(values)}, not an object {{...}}')
  fields = {field.name: field for field in dataclasses.fields(ModelOptions)}
  unknown = sorted(set(values) - set(fields))
  if unknown:
    raise ValueError(
      f'{json_files.shown(unknown[0])} is no option of this version, or no option at all'
    )
  return ModelOptions(**{name: _value(fields[name], values[name]) for name in values})


def _value(field, value):
  kind, repeated = field_type(ModelOptions, field)
  if repeated:
    if not isinstance(value, list):
      raise ValueError(f'{field.name} is {json_files.shown(value)}, not a list')
    return tuple(_single(field.name, kind, one) for one in value)
  return _single(field.name, kind, value)


def _single(name, kind, value):
  if kind is float:
    return float(json_files.number(value, name))
  if kind is int:
    return json_files.whole_number(value, name)
  if not isinstance(value, kind):
    what = 'true or false' if kind is bool else 'a text'
    raise ValueError(f'{name} is {json_files.shown(value)}, not {what}')
  return value


def _data_set(content, path, names):
  """The saved description, with the names if they are those of its classes; or None."""
  if content.get('data_set') is None:
    return None
  content = json_files.mapping(content['data_set'], 'data_set')
  described = data_set_files.from_json(content, path=path)
  fitting = tuple(names) if len(names) == described.num_classes else ()
  return described.replace(class_names=fitting)


def _trained_size(value):
  if value is None:
    return None
  if not isinstance(value, list) or len(value) != 2:
    raise ValueError(f'trained_size is {json_files.shown(value)}, not a height and a width')
  height, width = (json_files.whole_number(side, 'trained_size', minimum=1) for side in value)
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
