"""Checkpoints that a path or the name of published weights means.

Free of TensorFlow until such weights are downloaded.
"""

from collections.abc import Collection

from deeplab import checkpoint_files
from deeplab.errors import InputError
from deeplab.options import ModelOptions
from deeplab.published import mirror, names


def find_given(ckpt_path: str, *, flag: str = 'ckpt_path', best: bool = False) -> str:
  """The prefix of the checkpoint: `checkpoint_files.find_given`, which also takes the names of
  published weights, such as official/xception65_voc_trainaug, and then downloads them if they are
  not in the cache.

  Raises InputError.
  """
  model = _named(ckpt_path, flag=flag, best=best)
  if model is None:
    return checkpoint_files.find_given(ckpt_path, flag=flag, best=best)
  from deeplab.published import installation

  return installation.prefix_of(model)


def check(ckpt_path: str, *, flag: str = 'ckpt_path', best: bool = False) -> None:
  """Raises InputError where `find_given` would before it downloads anything."""
  if _named(ckpt_path, flag=flag, best=best) is None:
    checkpoint_files.find_given(ckpt_path, flag=flag, best=best)


def is_name(ckpt_path: str) -> bool:
  """Whether it is the name of published weights. Raises InputError where they cannot be used."""
  return names.meant(ckpt_path, flag='ckpt_path') is not None


def for_training(
  load_ckpt_path: str | None, options: ModelOptions, given: Collection[str]
) -> tuple[ModelOptions, list[str]]:
  """The options of a network whose training starts from a published backbone: those of that
  backbone, where the user did not give them.

  Args:
    load_ckpt_path: of the flag, or None.
    options: of the command.
    given: names of the options that the user gave.

  Returns:
    (options, lines to print); the options as they are where it is no such backbone.
  """
  model = names.meant(load_ckpt_path, flag='load_ckpt_path') if load_ckpt_path else None
  if model is None or not model.is_backbone:
    return options, []
  changes = {name: value for name, value in model.network_flags().items() if name not in given}
  if not changes:
    return options, []
  said = ' '.join(f'--{name}={value}' for name, value in changes.items())
  return options.replace(**changes), [f'network of {model.name}: {said}']


def refuse_other_backbone(
  load_ckpt_path: str | None, options: ModelOptions, given: Collection[str]
) -> None:
  """Raises InputError where a training is to start from published weights of another backbone than
  the user asks for; before anything is downloaded. Arguments as of `for_training`.
  """
  model = names.meant(load_ckpt_path, flag='load_ckpt_path') if load_ckpt_path else None
  if model is None or 'model_variant' not in given:
    return
  variant = model.network_flags().get('model_variant', options.model_variant)
  if variant != options.model_variant:
    raise InputError(
      f'--model_variant={options.model_variant}: {model.name} is {variant}; leave --model_variant '
      'out, or give other weights (download_checkpoint.py --list)'
    )


def _named(ckpt_path, *, flag, best):
  """The PublishedModel that is named, or None; refuses what needs none or another one."""
  model = names.meant(ckpt_path, flag=flag)
  if model is None:
    return None
  if flag == 'ckpt_path' and model.is_backbone:
    raise InputError(
      f'--ckpt_path={ckpt_path}: is a backbone and no segmentation network; start a training from '
      f'it with run_trainer.py --load_ckpt_path={ckpt_path}'
    )
  if best:
    raise InputError(f'--{flag}={ckpt_path}: --best needs the directory of a training')
  mirror.addresses(model.address)  # Refuses a mirror that is none.
  return model
