"""A network with the weights of a checkpoint, as evaluation and inference need it."""

import contextlib
import dataclasses
from collections.abc import Collection

import numpy as np

from deeplab import (
  checkpoint_files,
  checkpoint_origin,
  checkpoints,
  color_map,
  named_checkpoints,
  restoring,
  saved_options,
)
from deeplab.class_names import load_class_names
from deeplab.data_set import DataSet
from deeplab.messages import say, warn
from deeplab.model.backbones import BACKBONES
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions, PredictionOptions
from deeplab.prediction import image_padding
from deeplab.saved_options import SavedOptions


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
  """What `load` gives.

  Attributes:
    model: with the values of the checkpoint.
    options: the model's.
    prefix: the checkpoint.
    class_names: one for each class.
    notes: lines on where it comes from.
    data_set: description of the records it was trained on, or None.
    doubts: lines to warn with, on whose checkpoint it may be.
    trained_size: (height, width) of the crops it was trained on, or None where nobody knows.
  """

  model: DeepLabV3PredictionModel
  options: ModelOptions
  prefix: str
  class_names: tuple[str, ...]
  notes: tuple[str, ...]
  data_set: DataSet | None = None
  doubts: tuple[str, ...] = ()
  trained_size: tuple[int, int] | None = None

  @property
  def is_exported(self) -> bool:
    """Whether an exported model computes it, whose variables nobody sees."""
    return False

  def color_map(self, colormap: str | None, *, records: DataSet | None = None) -> np.ndarray:
    """The colours of the classes.

    Args:
      colormap: a data set's name or a file; None for the colours saved beside the checkpoint, else
        those of `records`, else those of PASCAL VOC.
      records: description of the records that are evaluated, or None.

    Returns:
      uint8 [n, 3], RGB.

    Raises:
      InputError: no such name or file.
    """
    if colormap is not None:
      return color_map.load_color_map(colormap, flag='colormap')
    num_classes = self.options.num_classes
    for known in (self.data_set, records):
      if known is not None and len(known.colors) == num_classes:
        return known.color_map()
    return color_map.pascal_voc_color_map(max(256, num_classes))

  def announce(self, prediction_options: PredictionOptions) -> None:
    """Says the notes, and warns where the options do not suit the network."""
    say(*self.notes)
    warn(self.doubts)
    warn(image_padding.advice(self.options, prediction_options.pad_size(self.options)))

  def settle(self, options: PredictionOptions) -> PredictionOptions:
    """The options as this network takes them. Raises InputError for what it does not take."""
    return options

  def shown_padding(self, options: PredictionOptions) -> str:
    """What --eval_pad says, and what that means for this network."""
    if options.eval_pad != 'auto':
      return options.eval_pad
    return f'auto: {options.pad_size(self.options) or "none"}'

  def global_step(self, prefix: str) -> int:
    """That of its weights, which are those of checkpoint `prefix`."""
    return checkpoints.Reader(prefix).global_step

  def need_weights(self) -> None:
    """Raises InputError where the network has no weights to make anything of."""

  def explaining_failures(self) -> contextlib.AbstractContextManager:
    """While open, errors of what computes the network are InputErrors where the user can do
    something.
    """
    return contextlib.nullcontext()


def load(
  ckpt_path: str,
  model_options: ModelOptions,
  *,
  given: Collection[str],
  compute_dtype: str = 'float32',
  operations: str = 'auto',
  class_names: str | None = None,
  records: DataSet | None = None,
  best: bool = False,
) -> TrainedNetwork:
  """Makes the network of a checkpoint and restores all its variables.

  Args:
    ckpt_path: checkpoint prefix, directory, or name of published weights.
    model_options: from the flags; what is saved beside the checkpoint wins over their defaults.
    given: names of the options that the user gave.
    compute_dtype, operations: as in ComputeOptions.
    class_names: a data set's name or a file; None for those saved beside the checkpoint, else
      those of `records`, else 'class 0' and so on.
    records: description of the records that are evaluated, or None.
    best: of the directory `ckpt_path` the best network of its validations.

  Raises:
    InputError: no such checkpoint, another network's, flags that contradict it, or another number
      of names.
  """
  prefix = named_checkpoints.find_given(ckpt_path, best=best)
  saved = saved_options.read(prefix)
  options, notes = saved_options.for_prediction(saved, model_options, given)
  names, notes_on_names = choose_class_names(class_names, saved, records, options.num_classes)
  model = DeepLabV3PredictionModel(options, compute_dtype=compute_dtype, operations=operations)
  restore(model, prefix)
  doubts = checkpoint_origin.doubts(prefix, checkpoints.Reader(prefix).shapes) if not saved else ()
  return TrainedNetwork(
    model=model,
    options=options,
    prefix=prefix,
    class_names=names,
    notes=(*checkpoint_files.chosen_notes(ckpt_path, prefix), *notes, *notes_on_names),
    data_set=saved.data_set if saved is not None else None,
    doubts=tuple(doubts),
    trained_size=saved.trained_size if saved is not None else None,
  )


def restore(model: DeepLabV3PredictionModel, prefix: str) -> None:
  """Gives `model` the values of a checkpoint, which must have all of its variables.

  Raises InputError.
  """
  restoring.restore(
    model.named_variables,
    prefix,
    require_all=True,
    backbone_scope=BACKBONES[model.options.model_variant].scope,
  )


def choose_class_names(
  name_or_path: str | None,
  saved: SavedOptions | None,
  records: DataSet | None,
  num_classes: int,
) -> tuple[tuple[str, ...], list[str]]:
  """(names of the classes, lines to print); arguments as `load`, `saved` is what is saved beside
  the checkpoint.
  """
  if name_or_path:
    return load_class_names(name_or_path, num_classes), []
  if saved is not None and len(saved.class_names) == num_classes:
    return saved.class_names, []
  notes = []
  if saved is not None and saved.class_names:
    notes = [
      f'{saved.path}: {len(saved.class_names)} class names for {num_classes} classes are not used; '
      'give --class_names'
    ]
  if records is not None and len(records.class_names) == num_classes:
    return records.class_names, notes
  return tuple(f'class {index}' for index in range(num_classes)), notes
