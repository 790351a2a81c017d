"""A network with the weights of a checkpoint, as evaluation and inference need it."""

import dataclasses
from collections.abc import Collection

from deeplab import checkpoints, restoring, saved_options
from deeplab.class_names import load_class_names
from deeplab.errors import InputError, warn
from deeplab.model.backbones import BACKBONES
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions, PredictionOptions
from deeplab.prediction import image_padding


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
  """What `load` gives.

  Attributes:
    model: with the values of the checkpoint.
    options: the model's.
    prefix: the checkpoint.
    class_names: one for each class.
    notes: lines on where it comes from.
    trained_size: (height, width) of the crops it was trained on, or None where nobody knows.
  """

  model: DeepLabV3PredictionModel
  options: ModelOptions
  prefix: str
  class_names: tuple[str, ...]
  notes: tuple[str, ...]
  trained_size: tuple[int, int] | None = None

  def announce(self, prediction_options: PredictionOptions) -> None:
    """Prints the notes, and warns where the options do not suit the network."""
    for note in self.notes:
      print(note, flush=True)
    warn(image_padding.advice(self.options, prediction_options.pad_size(self.options)))


def find_checkpoint(ckpt_path: str) -> str:
  """The prefix that --ckpt_path means, as `checkpoints.find`; its InputError names the flag."""
  try:
    return checkpoints.find(ckpt_path)
  except InputError as error:
    reason = str(error)
    for known in (f'checkpoint {ckpt_path}: ', f'checkpoint directory {ckpt_path}: '):
      reason = reason.removeprefix(known)
    raise InputError(f'--ckpt_path={ckpt_path}: {reason}') from error


def load(
  ckpt_path: str,
  model_options: ModelOptions,
  *,
  given: Collection[str],
  compute_dtype: str = 'float32',
  operations: str = 'auto',
  class_names: str | None = None,
) -> TrainedNetwork:
  """Makes the network of a checkpoint and restores all its variables.

  Args:
    ckpt_path: checkpoint prefix or directory.
    model_options: from the flags; what is saved beside the checkpoint wins over their defaults.
    given: names of the options that the user gave.
    compute_dtype, operations: as in ComputeOptions.
    class_names: a data set's name or a file; None for those saved beside the checkpoint, else
      'class 0' and so on.

  Raises:
    InputError: no such checkpoint, another network's, flags that contradict it, or another number
      of names.
  """
  prefix = find_checkpoint(ckpt_path)
  saved = saved_options.read(prefix)
  options, notes = saved_options.for_prediction(saved, model_options, given)
  names, notes_on_names = _class_names(class_names, saved, options.num_classes)
  model = DeepLabV3PredictionModel(options, compute_dtype=compute_dtype, operations=operations)
  restore(model, prefix)
  return TrainedNetwork(
    model=model,
    options=options,
    prefix=prefix,
    class_names=names,
    notes=(*notes, *notes_on_names),
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


def _class_names(name_or_path, saved, num_classes):
  """(names of the classes, lines to print)."""
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
  return tuple(f'class {index}' for index in range(num_classes)), notes
