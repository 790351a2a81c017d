"""Which exported model a path means. Free of TensorFlow, so that a wrong path is told at once."""

import glob
import os
from typing import NamedTuple

from deeplab import ordinary_files, remote_files
from deeplab.errors import InputError, shown
from deeplab.export.description import NAME

SAVED_MODEL, TFLITE, ONNX = 'SavedModel', 'TensorFlow Lite', 'ONNX'
_SUFFIXES = {'.tflite': TFLITE, '.onnx': ONNX}
_TFLITE_MARK = b'TFL3'  # At byte 4.
_GRAPH_NAME = 'saved_model.pb'
_MOST_NAMED = 8


class ModelFile(NamedTuple):
  """An exported model, not opened yet.

  Attributes:
    path: of the file, or of the directory of a SavedModel.
    kind: SAVED_MODEL, TFLITE or ONNX.
  """

  path: str
  kind: str


def find(path: str, *, flag: str = 'ckpt_path') -> ModelFile | None:
  """The exported model that a user's path means, None where it means none: a checkpoint, or nothing
  that is there.

  Args:
    path: a .tflite or .onnx file, the directory of a SavedModel, or a directory that holds one of
      them, such as --output_path of export_model.py. A directory with checkpoints means those.
    flag: its name, for errors.

  Raises:
    InputError: there is no such file, the directory holds several exported models, or it is a
      SavedModel of another program.
  """
  expanded = os.path.expanduser(path)
  if remote_files.is_remote(path):
    return _refuse_remote(path, flag=flag)
  if os.path.isdir(expanded):
    return _in_directory(expanded, flag=flag)
  kind = _SUFFIXES.get(os.path.splitext(expanded)[1].lower())
  if kind is None and os.path.isfile(expanded) and _is_tflite(expanded):
    kind = TFLITE
  if kind is None:
    return None
  if not os.path.isfile(expanded):
    raise InputError(f'--{flag}={shown(path)}: no such file')
  if not os.path.getsize(expanded) and ordinary_files.is_ordinary(expanded):
    raise InputError(
      f'--{flag}={shown(path)}: is empty; copy it again, or export the checkpoint again'
    )
  return ModelFile(expanded, kind)


def refuse(path: str, *, flag: str, why: str) -> None:
  """Raises InputError where `path` means an exported model, for options that need a checkpoint;
  `why` continues a sentence.
  """
  found = find(path)
  if found is not None:
    raise InputError(f'--{flag}: {shown(path)} is an exported model ({found.kind}), {why}')


def is_saved_model(directory: str) -> bool:
  """Whether `directory` is that of a SavedModel, of whatever program."""
  return remote_files.is_file(os.path.join(directory, _GRAPH_NAME))


def _refuse_remote(path, *, flag):
  """Of remote paths only checkpoints are read."""
  if os.path.splitext(path)[1].lower() in _SUFFIXES or is_saved_model(path):
    raise InputError(
      f'--{flag}={shown(path)}: exported models are read from a local disk; copy it there first'
    )


def _in_directory(directory, *, flag):
  if is_saved_model(directory):
    if not os.path.isfile(description_of_saved_model(directory)):
      raise InputError(
        f'--{flag}={shown(directory)}: is a SavedModel of another program, without assets/{NAME}; '
        'give one that export_model.py wrote, or a checkpoint'
      )
    return ModelFile(directory, SAVED_MODEL)
  inside = os.path.join(glob.escape(directory), '')
  if glob.glob(f'{inside}*.index') or glob.glob(f'{inside}*.ckpt'):
    return None
  found = [
    ModelFile(path, kind)
    for suffix, kind in _SUFFIXES.items()
    for path in sorted(glob.glob(f'{inside}*{suffix}'))
  ]
  found += [
    ModelFile(os.path.dirname(path), SAVED_MODEL)
    for path in sorted(glob.glob(f'{inside}*/{_GRAPH_NAME}'))
    if os.path.isfile(description_of_saved_model(os.path.dirname(path)))
  ]
  if len(found) > 1:
    names = ', '.join(shown(os.path.basename(one.path)) for one in found[:_MOST_NAMED])
    names += ', ...' if len(found) > _MOST_NAMED else ''
    raise InputError(
      f'--{flag}={shown(directory)}: holds {len(found)} exported models ({names}); name one, such '
      f'as --{flag}={shown(found[0].path)}'
    )
  return found[0] if found else None


def description_of_saved_model(directory: str) -> str:
  """Path of the description in the directory of a SavedModel."""
  return os.path.join(directory, 'assets', NAME)


def _is_tflite(path):
  try:
    if not ordinary_files.is_ordinary(path):
      return False
    with open(path, 'rb') as file:
      return file.read(8)[4:] == _TFLITE_MARK
  except OSError:  # Who reads it will say so.
    return False
