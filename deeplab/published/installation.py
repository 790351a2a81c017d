"""From a name to a checkpoint in the cache: downloaded and, if it is of the official DeepLab,
imported, once.
"""

import contextlib
import os
from collections.abc import Iterator

from deeplab import checkpoints, color_map
from deeplab.class_names import load_class_names
from deeplab.data_set import DataSet
from deeplab.errors import InputError, shown
from deeplab.failure_reasons import reason_of
from deeplab.messages import phase, say
from deeplab.model.backbones import BACKBONES, variant_of_variables
from deeplab.official import (
  archives,
  official_architectures,
  official_checkpoints,
  official_names,
)
from deeplab.options import ImportOptions
from deeplab.published import cache, connection, download, mirror
from deeplab.published.published_model import PublishedModel


def prefix_of(model: PublishedModel) -> str:
  """The prefix of its checkpoint in the cache, made if it is not there.

  Raises:
    InputError: it cannot be downloaded or written, is not what its name says, or was changed in the
      cache.
  """
  entry = cache.Entry(model.name)
  if not entry.is_there():
    with _explaining(entry), entry.locked():
      if not entry.is_there():  # Another process may have made it meanwhile.
        _make(entry, model)
  return entry.prefix()


def _make(entry, model):
  address = _archive(entry, model)

  def fill(directory):
    with phase(f'unpacking {model.name}'):
      return (
        _extract(entry, directory, model) if model.is_backbone else _import(entry, directory, model)
      )

  try:
    entry.make(fill, address=address)
  except InputError as error:
    # Another attempt with the same bytes would end the same way.
    with contextlib.suppress(FileNotFoundError):
      os.remove(entry.archive)
    raise InputError(str(error).replace(entry.archive, address)) from error


def _archive(entry, model):
  """Gets the archive to its place; returns where it came from."""
  if os.path.isfile(entry.archive):
    say(f'taking {model.name} from {shown(entry.archive)}')
    return entry.archive
  try:
    return download.download(mirror.addresses(model.address), entry.archive, name=model.name)
  except connection.UnavailableError as error:
    raise InputError(
      f'{error}; try again later, set {mirror.VARIABLE} to a server that has it, or put '
      f'{model.archive}, got on another machine, at {shown(entry.archive)}'
    ) from error


def _extract(entry, directory, model):
  """Writes the backbone of the checkpoint; returns the name of its prefix. Above it there may be a
  classifier, which nobody needs, or an ASPP in the order of the official program.
  """
  bounds = {
    'max_mb': ImportOptions.max_archive_mb,
    'max_members': ImportOptions.max_archive_members,
  }
  with archives.extracted_model(entry.archive, **bounds) as (path, name):
    if name.endswith('.pb'):
      raise InputError(f'{entry.archive}: holds a frozen graph ({shown(name)}) and no checkpoint')
    reader = checkpoints.Reader(checkpoints.find(path))
    variant = variant_of_variables(reader.shapes)
    if variant != model.flags['model_variant']:
      raise InputError(f'{name}: is not {model.name}: its backbone is {variant or "none of ours"}')
    backbone = BACKBONES[variant]
    scope = backbone.scope + '/'
    classifier = tuple(f'{scope}{each}/' for each in backbone.classifier_scopes)
    tensors = {
      each: reader.get(each)
      for each in reader.shapes
      if each.startswith(scope)
      and not each.startswith(classifier)
      and not official_names.is_optimizer_state(each)
    }
  return _write(directory, tensors)


def _import(entry, directory, model):
  """Writes our form of it, with its classes; returns the name of its prefix."""
  given = {
    'output_stride': model.flags['output_stride'],
    'weight_decay': ImportOptions.weight_decay,
  }
  with official_checkpoints.opened(entry.archive) as (source, name):
    recognized = official_architectures.recognize(source, name=name, given=given)
    _check_network(recognized.options, model, name)
    tensors = official_checkpoints.to_ours(source, recognized)
  options = recognized.options
  return _write(
    directory,
    tensors,
    model_options=options,
    data_set=_data_set(model),
    trained_size=model.trained_size or official_architectures.trained_size(options),
  )


def _write(directory, tensors, **description):
  """Writes a checkpoint; returns the name of its prefix."""
  try:
    prefix = official_checkpoints.write_directory(directory, tensors, **description)
  except InputError as error:  # Nothing is wrong with what is written.
    raise OSError(reason_of(error.__cause__)) from error
  return os.path.basename(prefix)


def _check_network(options, model, name):
  expected = {'depth_multiplier': 1.0, **model.flags, 'num_classes': model.num_classes}
  for option, value in expected.items():
    found = getattr(options, option)
    if found != value:
      raise InputError(f'{name}: is not {model.name}, whose {option} is {value} and not {found}')


def _data_set(model):
  colors = color_map.load_color_map(model.data_set)[: model.num_classes]
  return DataSet(
    num_classes=model.num_classes,
    ignore_label=model.ignore_label,
    class_names=load_class_names(model.data_set, model.num_classes),
    colors=tuple(map(tuple, colors.tolist())),
  )


@contextlib.contextmanager
def _explaining(entry) -> Iterator[None]:
  """Turns an operating-system error of the cache into the InputError that names it."""
  try:
    yield
  except OSError as error:
    reason = error.strerror or ' '.join(str(error).split())
    raise InputError(
      f'{entry.path}: the cache cannot be written ({reason}); free space there, or choose another '
      f'directory with the environment variable {cache.VARIABLE}'
    ) from error
