"""Which checkpoints to evaluate: one, all of a directory, or those that a training run is still to
write; or an exported model.
"""

import os
import time
from collections.abc import Callable, Iterator

from deeplab import checkpoints, remote_files
from deeplab.engines import model_files
from deeplab.errors import InputError
from deeplab.named_checkpoints import find_given

_SECONDS_BETWEEN_LOOKS = 5.0


def checkpoint_sequence(
  path: str,
  *,
  all_checkpoints: bool = False,
  watch: bool = False,
  timeout: float = 3600.0,
  wait: Callable[[float], None] = time.sleep,
  say: Callable[[str], None] = print,
) -> Iterator[str]:
  """Yields checkpoint prefixes, or the path of an exported model.

  Args:
    path: a prefix, a directory or an exported model; a directory of checkpoints for the next two.
    all_checkpoints: all that the directory holds, by step, instead of its final or newest one.
    watch: then each new one as it appears.
    timeout: seconds without a new one after which watching ends.
    wait: called with the seconds until the next look.
    say: called with a line when waiting begins and ends.

  Raises:
    InputError: there is no such checkpoint, or `path` is no directory where one is needed.
  """
  if not (all_checkpoints or watch):
    exported = model_files.find(path)
    yield find_given(path) if exported is None else exported.path
    return
  model_files.refuse(
    path, flag='all_checkpoints' if all_checkpoints else 'watch', why='and there is one of it'
  )
  if not remote_files.is_directory(path):
    raise InputError(
      f'--ckpt_path={path}: --all_checkpoints and --watch need the directory of the checkpoints'
    )
  present = checkpoints.list_prefixes(path)
  seen = {_state(prefix) for prefix in present}
  if present or not watch:
    yield from _still_there(present) if all_checkpoints and present else [find_given(path)]
  waited = 0.0
  if watch:
    say(f'waiting for a new checkpoint in {path}')
  while watch and waited < timeout:
    new = [prefix for prefix in checkpoints.list_prefixes(path) if _state(prefix) not in seen]
    if new:
      seen.update(map(_state, new))
      yield from _still_there(new)
      waited = 0.0
    else:
      wait(min(_SECONDS_BETWEEN_LOOKS, timeout))
      waited += _SECONDS_BETWEEN_LOOKS
  if watch:
    say(f'no new checkpoint in {path} for {timeout:g} s: done')


def _still_there(prefixes):
  """Leaves out what a training run has deleted while others were evaluated."""
  return (prefix for prefix in prefixes if _state(prefix) is not None)


def _state(prefix):
  """What tells a checkpoint from a later one of its name; None once it is deleted."""
  try:
    if remote_files.is_remote(prefix):
      return prefix, remote_files.status_of(prefix + '.index')
    status = os.stat(prefix + '.index')
    return prefix, status.st_mtime_ns, status.st_ino
  except FileNotFoundError:
    return None
