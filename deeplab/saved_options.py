"""The architecture beside the checkpoint: `model_options.json`, so that evaluator and inferencer
need no model flags.
"""

import dataclasses
import json
import os

from deeplab.atomic_files import replacing
from deeplab.errors import InputError
from deeplab.options import ModelOptions

FILE_NAME = 'model_options.json'
# Neither carries weights nor changes what they mean, so an evaluation may choose others than the
# training had.
FREE_TO_DIFFER = ('output_stride', 'atrous_rates', 'weight_decay')


def path_beside(prefix):
  """Where the options of checkpoint `prefix` are saved, whether or not they are."""
  return os.path.join(os.path.dirname(prefix) or '.', FILE_NAME)


def write(directory, model_options, *, step=None, class_names=None):
  """Writes DIRECTORY/model_options.json.

  Args:
    directory: where the checkpoints are.
    model_options: ModelOptions.
    step: the step of the newest checkpoint, or None.
    class_names: sequence of str, or None.
  """
  content = {
    'model_options': dataclasses.asdict(model_options),
    'step': step,
    'class_names': list(class_names) if class_names else None,
  }
  with (
    replacing(os.path.join(directory, FILE_NAME)) as temporary,
    open(temporary, 'w', encoding='utf-8') as file,
  ):
    json.dump(content, file, indent=2)
    file.write('\n')


def read(prefix):
  """The saved content beside checkpoint `prefix` with a ModelOptions under 'model_options', or None
  without a file.

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
    return {**content, 'model_options': ModelOptions(**options)}
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f'{path}: not a file of model options ({error}); restore it, or remove it and give the model '
      'flags'
    ) from error


def resolve(from_flags, given, prefix):
  """The architecture to build for a checkpoint: what is saved beside it, with the flags that may
  differ.

  Args:
    from_flags: ModelOptions of the command line.
    given: names of the options that the user gave there.
    prefix: the checkpoint.

  Returns:
    (ModelOptions, list of lines to print).

  Raises:
    InputError: a flag contradicts the saved architecture.
  """
  content = read(prefix)
  if content is None:
    return from_flags, []
  saved = content['model_options']
  for name in sorted(given - set(FREE_TO_DIFFER)):
    asked, have = getattr(from_flags, name), getattr(saved, name)
    if asked != have:
      raise InputError(
        f'--{name}={asked}: the checkpoint was made with --{name}={have} ({path_beside(prefix)}); '
        'leave '
        'the flag out'
      )
  changes = {name: getattr(from_flags, name) for name in FREE_TO_DIFFER if name in given}
  notes = [
    f'architecture from {path_beside(prefix)}: {saved.model_variant}, {saved.num_classes} classes'
  ]
  asked_rates = changes.get('atrous_rates')
  if asked_rates is not None and len(asked_rates) != len(saved.atrous_rates):
    raise InputError(
      f'--atrous_rates={_listed(asked_rates)}: the checkpoint has {len(saved.atrous_rates)} atrous '
      'branches '
      f'(rates {_listed(saved.atrous_rates)}); give as many rates'
    )
  stride = changes.get('output_stride', saved.output_stride)
  if stride != saved.output_stride and saved.atrous_rates and asked_rates is None:
    # A rate counts in feature pixels: at half the stride the same context needs twice the rate.
    changes['atrous_rates'] = tuple(
      max(1, rate * saved.output_stride // stride) for rate in saved.atrous_rates
    )
    notes.append(
      f'--output_stride={stride} instead of {saved.output_stride}: atrous rates '
      f'{_listed(changes["atrous_rates"])} instead of {_listed(saved.atrous_rates)}'
    )
  return saved.replace(**changes), notes


def adopt(from_flags, given, prefix):
  """The architecture to train from a checkpoint: what is saved beside it, but for the flags the
  user gave.

  Args:
    from_flags, given, prefix: as in `resolve`. A flag may differ from the saved architecture:
      training can add a decoder, or begin another last layer for other classes. With another
      backbone nothing is adopted.

  Returns:
    (ModelOptions, list of lines to print).
  """
  content = read(prefix)
  if content is None:
    return from_flags, []
  saved = content['model_options']
  if 'model_variant' in given and from_flags.model_variant != saved.model_variant:
    return from_flags, []
  options = saved.replace(**{name: getattr(from_flags, name) for name in given})
  kept = [name for name in sorted(given) if getattr(options, name) != getattr(saved, name)]
  but = ''.join(f', but --{name}={_text(getattr(options, name))}' for name in kept)
  return options, [
    f'architecture from {path_beside(prefix)}: {saved.model_variant}, {saved.num_classes} '
    f'classes{but}'
  ]


def _text(value):
  return _listed(value) if isinstance(value, tuple) else value


def _listed(rates):
  return ','.join(map(str, rates)) or 'none'
