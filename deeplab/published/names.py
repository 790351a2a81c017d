"""Names of published weights, looked up."""

import difflib
import os
import re

from deeplab.errors import InputError, shown
from deeplab.published.imagenet_models import IMAGENET
from deeplab.published.official_models import OFFICIAL
from deeplab.published.published_model import PublishedModel

MODELS = (*OFFICIAL, *IMAGENET)
LIST_COMMAND = 'download_checkpoint.py --list'

_NAME = re.compile(r'(official|imagenet)/[^/]+')
_BY_NAME = {name: model for model in MODELS for name in (model.name, *model.other_names)}


def meant(path: str, *, flag: str) -> PublishedModel | None:
  """The published weights that a checkpoint's path means; None where it is a path. What is there
  under the path goes first.

  Args:
    path: of a flag, such as 'official/xception65_voc_trainaug' or 'runs/model.ckpt'.
    flag: its name, for messages.

  Raises:
    InputError: a name that is none, or of weights that this toolkit cannot use.
  """
  if not _NAME.fullmatch(path) or os.path.lexists(path) or os.path.lexists(path + '.index'):
    return None
  return find(path, flag=flag)


def find(name: str, *, flag: str) -> PublishedModel:
  """The published weights called `name`; raises InputError as `meant` does."""
  model = _BY_NAME.get(name)
  if model is None:
    near = _nearest(name)
    raise InputError(
      f'--{flag}={shown(name)}: no published weights have this name, and no file; '
      + (f'nearest: {", ".join(near)}; ' if near else '')
      + f'{LIST_COMMAND} shows all'
    )
  if model.missing:
    raise InputError(
      f'--{flag}={name}: this toolkit lacks {model.missing} to use it; {LIST_COMMAND} shows what '
      'it can'
    )
  return model


def _nearest(name):
  """Up to three names, of what can be used, that look like `name`."""
  usable = {name: model.name for name, model in _BY_NAME.items() if not model.missing}
  near = difflib.get_close_matches(name, usable, n=5, cutoff=0.5)
  # Without the part before the slash: someone may have taken the wrong one, or none.
  short = {each.split('/')[1]: usable[each] for each in usable}
  also = difflib.get_close_matches(name.split('/')[-1], short, n=5, cutoff=0.6)
  return list(dict.fromkeys([*map(usable.get, near), *map(short.get, also)]))[:3]
