"""A network with the weights of a checkpoint, as evaluation and inference need it."""

import dataclasses

from deeplab import checkpoints, saved_options
from deeplab.class_names import load_class_names
from deeplab.errors import InputError
from deeplab.model import backbones
from deeplab.model.prediction_model import DeepLabV3PredictionModel


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
  """What `load` gives.

  Attributes:
    model: DeepLabV3PredictionModel.
    options: its ModelOptions.
    prefix: the checkpoint.
    class_names: a string for each class.
    notes: lines to print.
  """

  model: DeepLabV3PredictionModel
  options: object
  prefix: str
  class_names: tuple
  notes: tuple


def find_checkpoint(ckpt_path):
  """The prefix that --ckpt_path means, as `checkpoints.find`; its InputError names the flag."""
  try:
    return checkpoints.find(ckpt_path)
  except InputError as error:
    reason = str(error)
    for known in (f'checkpoint {ckpt_path}: ', f'checkpoint directory {ckpt_path}: '):
      reason = reason.removeprefix(known)
    raise InputError(f'--ckpt_path={ckpt_path}: {reason}') from error


def load(ckpt_path, model_options, *, given, compute_dtype='float32', class_names=None):
  """Makes the network of a checkpoint and restores all its variables.

  Args:
    ckpt_path: checkpoint prefix or directory.
    model_options: ModelOptions from the flags; what is saved beside the checkpoint wins over their
      defaults.
    given: names of the model options that the user gave.
    compute_dtype: as in ComputeOptions.
    class_names: a data set's name or a file; None for those saved beside the checkpoint, else
      'class 0' and so on.

  Returns:
    TrainedNetwork.

  Raises:
    InputError: no such checkpoint, another network's, flags that contradict it, or another number
      of names.
  """
  prefix = find_checkpoint(ckpt_path)
  options, notes = saved_options.resolve(model_options, given, prefix)
  names, notes_on_names = _class_names(class_names, prefix, options.num_classes)
  model = DeepLabV3PredictionModel(options, compute_dtype=compute_dtype)
  restore(model, prefix)
  return TrainedNetwork(
    model=model, options=options, prefix=prefix, class_names=names, notes=(*notes, *notes_on_names)
  )


def restore(model, prefix):
  """Gives `model` the values of a checkpoint, which must have all of its variables.

  Raises InputError.
  """
  checkpoints.restore(
    model.named_variables,
    prefix,
    require_all=True,
    backbone_scope=backbones.scope_name(model.options.model_variant),
  )


def _class_names(name_or_path, prefix, num_classes):
  """(names of the classes, lines to print)."""
  if name_or_path:
    return load_class_names(name_or_path, num_classes), []
  saved = (saved_options.read(prefix) or {}).get('class_names') or ()
  if len(saved) == num_classes:
    return tuple(saved), []
  names = tuple(f'class {index}' for index in range(num_classes))
  return names, [
    f'{saved_options.path_beside(prefix)}: {len(saved)} class names for {num_classes} classes are '
    'not used; give '
    '--class_names'
  ] if saved else []
