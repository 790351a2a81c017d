"""A checkpoint's values into a model's variables, by name, with a word for what did not fit."""

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from deeplab import checkpoints
from deeplab.errors import InputError
from deeplab.model.backbones import BACKBONES, variant_of_scope, variant_of_variables


@dataclasses.dataclass(frozen=True)
class RestoreReport:
  """What `restore` did.

  Attributes:
    prefix: the checkpoint.
    restored: names of the variables that have the checkpoint's values.
    new: (name, reason) of the variables that keep their initial values.
    unused: names in the checkpoint that the model does not use.
  """

  prefix: str
  restored: tuple
  new: tuple
  unused: tuple


def restore(
  named_variables: Mapping[str, tf.Variable],
  prefix: str,
  *,
  exclude_scopes: Sequence[str] = (),
  require_all: bool = False,
  backbone_scope: str | None = None,
  new_head_for_other_classes: bool = False,
) -> RestoreReport:
  """Assigns to each variable the checkpoint's value of the same name.

  Args:
    named_variables: a model's, by name.
    prefix: a checkpoint prefix, from `checkpoints.find`.
    exclude_scopes: names or name prefixes of variables to leave new.
    require_all: every variable must be in the checkpoint (evaluation, inference, continuing a
      segmentation model).
    backbone_scope: variable scope of the backbone, such as 'resnet_v2_50'; less than half of it in
      the checkpoint is an error, because then the checkpoint is of another backbone.
    new_head_for_other_classes: leave `logits/` new where its shape differs, instead of raising.

  Raises:
    InputError: a shape differs (names variable and both shapes), a variable is missing that must
      not be, or nothing fits. Nothing has been assigned then.
  """
  reader = checkpoints.Reader(prefix)
  # First: with another backbone every shape of the head differs too, which would mislead.
  if backbone_scope:
    _check_backbone(named_variables, reader, backbone_scope, exclude_scopes)
  restored, new = _sorted_out(
    named_variables,
    reader,
    exclude_scopes,
    new_head_for_other_classes=new_head_for_other_classes,
    may_exclude=not require_all,
  )
  if not restored:
    raise InputError(
      f"checkpoint {prefix}: none of its {len(reader.shapes)} variables is one of this network's; "
      'check --model_variant'
    )
  if require_all and new:
    raise InputError(
      f"checkpoint {prefix}: lacks {len(new)} of the network's {len(named_variables)} variables, "
      f'the first is {new[0][0]}; the model flags must be those the checkpoint was trained with'
    )
  values = [reader.get(name) for name in restored]
  unused = sorted(set(reader.shapes) - set(restored))
  for name in unused:  # A file that is damaged anywhere is not trusted.
    reader.get(name)
  for name, value in zip(restored, values):
    named_variables[name].assign(value)
  return RestoreReport(
    prefix=prefix, restored=tuple(restored), new=tuple(new), unused=tuple(unused)
  )


def _sorted_out(
  named_variables, reader, exclude_scopes, *, new_head_for_other_classes, may_exclude
):
  """(names to restore, (name, reason) of those that stay new); a shape that differs is an error."""
  restored, new, differing = [], [], {}
  for name, variable in named_variables.items():
    shape = variable.shape.as_list()
    if any(_is_below(name, scope) for scope in exclude_scopes):
      new.append((name, 'excluded'))
    elif name not in reader.shapes:
      new.append((name, 'not in the checkpoint'))
    elif reader.shapes[name] == shape:
      restored.append(name)
    elif new_head_for_other_classes and name.startswith('logits/'):
      new.append((name, f'shape {reader.shapes[name]} in the checkpoint, {shape} here'))
    else:
      differing[name] = reader.shapes[name], shape
  if differing:
    raise InputError(_shape_message(reader.prefix, differing, may_exclude=may_exclude))
  return restored, new


def _shape_message(prefix, differing, *, may_exclude):
  """What `differing`, name -> (shape in the checkpoint, shape here), means and what to do."""
  name, (theirs, ours) = next(iter(differing.items()))
  hint = 'the model flags must be those the checkpoint was trained with'
  if name.startswith('logits/'):
    hint = f'the checkpoint has {theirs[-1]} classes; check --num_classes'
  message = (
    f'checkpoint {prefix}: variable {name} has shape {theirs}, the network needs {ours}; {hint}'
  )
  scopes = list(dict.fromkeys(name.split('/')[0] for name in differing))
  # Without its backbone nothing of a checkpoint is worth loading.
  if may_exclude and not any(map(variant_of_scope, scopes)):
    flags = ' '.join(f'--exclude_scopes={scope}' for scope in scopes)
    message += f', or leave new what differs: {flags}'
  return message


def _check_backbone(named_variables, reader, scope, exclude_scopes):
  if any(scope == excluded.rstrip('/') for excluded in exclude_scopes):
    return
  ours = [name for name in named_variables if name.startswith(scope + '/')]
  found = sum(name in reader.shapes for name in ours)
  if 2 * found >= len(ours):
    _check_root(named_variables, reader, exclude_scopes)
    return
  theirs = variant_of_variables(reader.shapes)
  scopes = sorted({name.split('/')[0] for name in reader.shapes if '/' in name})
  own = f'backbone is {theirs}' if theirs else f'own scopes are {", ".join(scopes[:8]) or "none"}'
  raise InputError(
    f'checkpoint {reader.prefix}: has {found} of the {len(ours)} variables of the backbone '
    f'{scope}; its {own}; check --model_variant, or, if it is an official DeepLab checkpoint, '
    'import it with import_official_checkpoint.py'
  )


def _check_root(named_variables, reader, exclude_scopes):
  """A ResNet and its beta variant share a scope and all but the first convolutions."""
  ours, theirs = variant_of_variables(named_variables), variant_of_variables(reader.shapes)
  if ours is None or theirs in (None, ours):
    return
  root = f'{BACKBONES[ours].scope}/{BACKBONES[ours].root}'
  if not any(_is_below(root, excluded) for excluded in exclude_scopes):
    raise InputError(
      f'checkpoint {reader.prefix}: its backbone is {theirs}, not {ours}: the first convolutions '
      f'differ; give --model_variant={theirs}'
    )


def _is_below(name, scope):
  return name == scope or name.startswith(scope.rstrip('/') + '/')
