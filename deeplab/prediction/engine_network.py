"""An exported model, as evaluation and inference need it."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterator

import tensorflow as tf

from deeplab import saved_options
from deeplab.data_set import DataSet
from deeplab.engines import model_files, opening
from deeplab.engines.model_files import ModelFile
from deeplab.errors import InputError, shown
from deeplab.export.description import Description
from deeplab.failure_reasons import memory_shortage, words_of
from deeplab.messages import say
from deeplab.options import EngineOptions, ModelOptions, PredictionOptions
from deeplab.prediction import trained_network
from deeplab.prediction.engine_model import EngineModel
from deeplab.prediction.trained_network import TrainedNetwork
from deeplab.saved_options import SavedOptions

# What the network is fed with, an engine cannot change: it takes images of one kind.
_CHECKPOINT_ONLY = {
  PredictionOptions: ('eval_scales', 'add_flipped_images', 'tile_size'),
  EngineOptions: ('operations', 'jit_compile'),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineNetwork(TrainedNetwork):
  """A TrainedNetwork whose `prefix` is the path of the exported model.

  Attributes:
    description: what the model says of itself.
    batch_size: the most images it takes at once, or None.
  """

  description: Description
  batch_size: int | None

  @property
  def is_exported(self) -> bool:
    return True

  def announce(self, prediction_options: PredictionOptions) -> None:
    say(*self.notes)

  def settle(self, options: PredictionOptions) -> PredictionOptions:
    _refuse_for_engines(options)
    described = self.description
    if options.eval_pad not in ('auto', described.pad):
      raise InputError(
        f'--eval_pad={options.eval_pad}: an exported model pads images itself, this one with '
        f'--eval_pad={described.pad}; leave it out, or export the checkpoint with another --pad'
      )
    size = 'none' if described.size is None else f'{described.size[0]}x{described.size[1]}'
    batch_size = min(options.batch_size, self.batch_size or options.batch_size)
    return options.replace(eval_pad=size, batch_size=batch_size)

  def shown_padding(self, options: PredictionOptions) -> str:
    return f'{self.description.pad}, by the exported model'

  def global_step(self, prefix: str) -> int:
    return self.description.global_step

  def need_weights(self) -> None:
    raise InputError(
      f'{shown(self.prefix)}: is an exported model, and this needs a checkpoint; give the one that '
      f'it was made from ({shown(self.description.checkpoint)})'
    )

  @contextlib.contextmanager
  def explaining_failures(self) -> Iterator[None]:
    try:
      yield
    except tf.errors.OpError as error:
      if memory_shortage(error):
        raise
      failure = self.model.failure
      if failure is None:
        raise
      words = shown(words_of(failure))
      raise InputError(f'{shown(self.prefix)}: the engine failed ({words})') from error


def load(
  file: ModelFile,
  model_options: ModelOptions,
  *,
  given: Collection[str],
  options: EngineOptions,
  class_names: str | None = None,
  records: DataSet | None = None,
) -> EngineNetwork:
  """Loads an exported model.

  Args:
    file: which.
    model_options: from the flags; they must be the model's where they are given.
    given: names of the options that the user gave.
    options: how it is computed.
    class_names, records: as `trained_network.load`.

  Raises:
    InputError: no such engine for this file, options that no engine takes, a file that is damaged
      or of another program, flags that contradict it, or another number of names.
  """
  _refuse_for_engines(options)
  _check_engine(file, options)
  opened = opening.open_model(file, engine=options.engine, compute_dtype=options.compute_dtype)
  described = opened.description
  saved = _as_saved(file, described)
  chosen, notes = saved_options.for_prediction(saved, model_options, given)
  if chosen != described.model_options:
    raise InputError(
      f'{_changed(chosen, described.model_options)}: an exported model cannot be changed; leave '
      'the flag out, or give the checkpoint'
    )
  names, notes_on_names = trained_network.choose_class_names(
    class_names, saved, records, described.num_classes
  )
  weights = '' if described.weights == 'float32' else f' of weights in {described.weights}'
  return EngineNetwork(
    model=EngineModel(opened),
    options=described.model_options,
    prefix=file.path,
    class_names=names,
    notes=(
      f'exported model: {shown(file.path)} ({file.kind}{weights}), run by {opened.runner.engine}',
      *notes,
      *notes_on_names,
    ),
    data_set=saved.data_set,
    trained_size=described.trained_size,
    description=described,
    batch_size=opened.runner.batch_size,
  )


def _refuse_for_engines(options):
  """Raises InputError where an option is not at its default that exported models do not take."""
  for name in _CHECKPOINT_ONLY[type(options)]:
    value, default = getattr(options, name), type(options).__dataclass_fields__[name].default
    if value != default:
      text = ','.join(map(str, value)) if isinstance(value, tuple) else value
      raise InputError(
        f'--{name}={text}: not for exported models, which compute an image as it is; leave it out, '
        'or give the checkpoint'
      )


def _check_engine(file, options):
  if options.engine != 'auto' and file.kind != model_files.SAVED_MODEL:
    raise InputError(
      f'--engine={options.engine}: runs SavedModels, and {shown(file.path)} is {file.kind}; leave '
      'it out, or give the SavedModel of that export'
    )
  allowed = ('float32', 'bfloat16') if options.engine == 'openvino' else ('float32',)
  if options.compute_dtype not in allowed:
    raise InputError(
      f'--compute_dtype={options.compute_dtype}: an exported model computes in the type it was '
      'exported in; leave it out, or give the checkpoint (bfloat16 also: an exported SavedModel '
      'with --engine=openvino)'
    )


def _as_saved(file, described):
  """What would be saved beside the checkpoint."""
  named = described.class_names != tuple(f'class {index}' for index in range(described.num_classes))
  known = described.data_set or DataSet(num_classes=described.num_classes)
  return SavedOptions(
    path=file.path,
    model_options=described.model_options,
    class_names=described.class_names if named else (),
    data_set=known.replace(ignore_label=described.ignore_label, colors=described.colors),
    trained_size=described.trained_size,
  )


def _changed(chosen, architecture):
  """The first flag that would change the model."""
  for field in dataclasses.fields(chosen):
    value = getattr(chosen, field.name)
    if value != getattr(architecture, field.name):
      return f'--{field.name}={",".join(map(str, value)) if isinstance(value, tuple) else value}'
  raise AssertionError('nothing differs')
