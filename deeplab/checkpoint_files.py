"""Checkpoints as files: which one a path means, which may be remote. Free of TensorFlow for local
ones, so that a wrong path is told at once.
"""

import glob
import json
import os
import re

from deeplab import foreign_files, ordinary_files, remote_files
from deeplab.errors import InputError, shown

FINAL_NAME = 'model.ckpt'
BEST_NAME = 'best.ckpt'
# The text file in which TensorFlow lists the checkpoints of a directory.
STATE_NAME = 'checkpoint'
# The second name of a checkpoint while another one takes its place.
PREVIOUS = '.previous'


def find_given(ckpt_path: str, *, flag: str = 'ckpt_path', best: bool = False) -> str:
  """The prefix that --ckpt_path means, as `find`; its InputError names the flag.

  Args:
    ckpt_path: of the flag.
    flag: its name.
    best: --best: `best.ckpt` of the directory is meant.
  """
  if best:
    return _best_in(ckpt_path, flag=flag)
  try:
    return find(ckpt_path)
  except InputError as error:
    reason = str(error)
    for known in (f'checkpoint {ckpt_path}: ', f'checkpoint directory {ckpt_path}: '):
      reason = reason.removeprefix(known)
    raise InputError(f'--{flag}={ckpt_path}: {reason}') from error


def chosen_notes(ckpt_path: str, prefix: str) -> list[str]:
  """A line on which checkpoint of a directory was taken; none where `ckpt_path` names one."""
  if not remote_files.is_directory(os.path.expanduser(ckpt_path)):
    return []
  line = f'checkpoint: {shown(prefix)}'
  best = os.path.join(remote_files.parent(prefix), BEST_NAME)
  if prefix != best and best in list_prefixes(remote_files.parent(prefix)):
    line += f' ({BEST_NAME}, the best in validation, is there too: --best takes it)'
  return [line]


def _best_in(ckpt_path, *, flag):
  directory = os.path.expanduser(ckpt_path)
  if not remote_files.is_directory(directory):
    raise InputError(f'--{flag}={ckpt_path}: --best needs the directory of a training')
  best = os.path.join(directory, BEST_NAME)
  if best not in list_prefixes(directory):
    there = ', '.join(map(os.path.basename, list_prefixes(directory))) or 'none'
    raise InputError(
      f'--{flag}={ckpt_path}: holds no {BEST_NAME}, which a training with --eval_filenames keeps; '
      f'leave --best out; checkpoints there: {there}'
    )
  return find(best)


def find(path: str) -> str:
  """The checkpoint prefix that a user's path means.

  Args:
    path: a prefix (`run/model.ckpt-1000`), one of the files of a checkpoint, a V1 file, the file
      named `checkpoint` that lists a directory's checkpoints (its newest is meant), or a directory.
      Of a directory: `model.ckpt` if it is there, else the checkpoint of the highest step, else the
      only one there is.

  Returns:
    the prefix.

  Raises:
    InputError: there is no such checkpoint, a part of it is missing, or it is something else, such
      as an archive.
  """
  path = os.path.expanduser(path)
  # To ram:// all that names begin with is a directory.
  is_prefix = remote_files.is_remote(path) and remote_files.is_file(path + '.index')
  if remote_files.is_directory(path) and not is_prefix:
    return _find_in_directory(path)
  prefix = (
    re.sub(r'\.(index|data-\d{5}-of-\d{5}|meta)$', '', path) if remote_files.is_file(path) else path
  )
  if remote_files.is_file(prefix + '.index'):
    _check_data_files(prefix)
    return prefix
  if remote_files.is_file(prefix + PREVIOUS + '.index'):
    return prefix + PREVIOUS
  if remote_files.is_file(prefix) and ordinary_files.is_ordinary(prefix):
    return _find_in_file(prefix)
  if remote_files.exists(prefix):
    raise InputError(
      f'checkpoint {prefix}: is no checkpoint, but a device, a pipe or a file of the system; give '
      'the prefix of a checkpoint, such as model.ckpt-30000, or its directory'
    )
  if remote_files.matching(glob.escape(prefix) + '.data-*'):
    raise InputError(
      f'checkpoint {prefix}: {prefix}.index is missing; copy it beside the data file'
    )
  directory = remote_files.parent(prefix) or '.'
  if not remote_files.is_directory(directory):
    raise InputError(f'checkpoint {path}: no such file or directory')
  there = ', '.join(os.path.basename(other) for other in list_prefixes(directory)) or 'none'
  raise InputError(f'checkpoint {path}: not found; checkpoints in {directory}: {there}')


def list_prefixes(directory: str) -> list[str]:
  """The prefixes of all whole V2 checkpoints in `directory`, by step, those without one last."""
  prefixes = {
    # One that is being replaced may have its second name alone.
    name.removesuffix('.index').removesuffix(PREVIOUS)
    for name in remote_files.matching(os.path.join(glob.escape(directory), '*.index'))
  }
  return sorted(
    prefixes, key=lambda prefix: (step_of(prefix) is None, step_of(prefix) or 0, prefix)
  )


def another_than(prefix: str) -> str | None:
  """The checkpoint of the highest step beside this one of which no file is missing or empty, None
  without one. Nothing is read.
  """
  for other in reversed(list_prefixes(remote_files.parent(prefix) or os.curdir)):
    if os.path.abspath(other) == os.path.abspath(prefix.removesuffix(PREVIOUS)):
      continue
    try:
      found = find(other)
    except InputError:
      continue
    files = [found + '.index', *remote_files.matching(glob.escape(found) + '.data-*')]
    if all(map(remote_files.size_of, files)):
      return found
  return None


def of_run(directory: str) -> list[str]:
  """The prefixes of the whole checkpoints of a training run in `directory`, `model.ckpt-STEP` by
  step and `model.ckpt` last.
  """
  final = os.path.join(directory, FINAL_NAME)
  return [
    prefix
    for prefix in list_prefixes(directory)
    if prefix == final or prefix == f'{final}-{step_of(prefix)}'
  ]


def refuse_run(directory: str) -> None:
  """Raises InputError, for --output_path of a new run, where `directory` holds a run already."""
  found = of_run(directory)
  if found:
    raise InputError(
      f'--output_path={directory}: holds a run already ({os.path.basename(found[-1])}); give '
      '--resume to continue it, --overwrite to replace it, or another path'
    )


def previous_of(file_name: str) -> str:
  """The second name of a file beside a checkpoint, such as its model_options.json, while another
  checkpoint takes its place.
  """
  stem, extension = os.path.splitext(file_name)
  return stem + PREVIOUS + extension


def step_of(prefix: str) -> int | None:
  """The step in a prefix such as `model.ckpt-1000`, or None."""
  match = re.search(r'-(\d+)$', prefix)
  return int(match.group(1)) if match else None


def _find_in_directory(directory):
  prefixes = list_prefixes(directory)
  final = os.path.join(directory, FINAL_NAME)
  if final in prefixes:
    return find(final)
  trained = [prefix for prefix in prefixes if os.path.basename(prefix).startswith(FINAL_NAME)]
  if trained:
    return find(trained[-1])
  if len(prefixes) == 1:
    return find(prefixes[0])
  v1_files = [
    name
    for name in remote_files.matching(os.path.join(glob.escape(directory), '*.ckpt'))
    if remote_files.is_file(name)
  ]
  if not prefixes and len(v1_files) == 1:
    return v1_files[0]
  names = ', '.join(os.path.basename(name) for name in prefixes + v1_files)
  if not names:
    what = foreign_files.explain(directory) or 'holds no checkpoint (no *.index file)'
    raise InputError(f'checkpoint directory {directory}: {what}')
  raise InputError(
    f'checkpoint directory {directory}: holds several checkpoints ({names}); name one'
  )


def _find_in_file(path):
  """The prefix that a file means which is no part of a V2 checkpoint."""
  newest = _newest_in_state(path) if os.path.basename(path) == STATE_NAME else None
  if newest is None:
    what = foreign_files.explain(path)
    if what:
      raise InputError(f'checkpoint {path}: {what}')
    return path
  directory = remote_files.parent(path)
  # What it says may be the path on another machine.
  for prefix in (os.path.join(directory, newest), os.path.join(directory, _last_part(newest))):
    if remote_files.is_file(prefix + '.index') or remote_files.is_file(prefix):
      return find(prefix)
  there = ', '.join(os.path.basename(other) for other in list_prefixes(directory or '.')) or 'none'
  raise InputError(
    f'checkpoint {path}: is the list of the checkpoints of its directory, and the newest it names, '
    f'{newest}, is not there; checkpoints beside it: {there}'
  )


def _newest_in_state(path):
  """The prefix that a `checkpoint` file calls the newest, or None where it is no such file."""
  with remote_files.open_file(path) as file:
    text = file.read(1 << 16).decode('utf-8', 'surrogateescape')
  match = re.match(r'\s*model_checkpoint_path:\s*("(?:[^"\\\n]|\\.)*")', text)
  try:
    return json.loads(match.group(1)) if match else None
  except ValueError:
    return None


def _last_part(path):
  return re.split(r'[/\\]', path)[-1]


def _check_data_files(prefix):
  parts = [
    part
    for part in remote_files.matching(glob.escape(prefix) + '.data-*')
    if re.search(r'\.data-\d{5}-of-\d{5}$', part)
  ]
  counts = {part[-5:] for part in parts}
  if not parts:
    raise InputError(
      f'checkpoint {prefix}: {prefix}.data-00000-of-00001 is missing; copy it beside the index'
    )
  for count in counts:
    for number in range(int(count)):
      part = f'{prefix}.data-{number:05d}-of-{count}'
      if part not in parts:
        raise InputError(f'checkpoint {prefix}: {part} is missing; copy it beside the index')
