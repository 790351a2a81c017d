"""The files of an export: their names, which may be written, and how a whole one gets its name.

Free of TensorFlow, so that an export that would be in the way of another is refused at once.
"""

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from deeplab import atomic_files, directory_lock, file_digests, output_places
from deeplab.errors import InputError, shown
from deeplab.options import ModelExportOptions

SAVED_MODEL = 'saved_model'
SUMMARY = 'export.json'
# What makes and runs the files of a format: extra -> module and package.
_NEEDED = {
  'tflite': {'ai_edge_litert': 'ai-edge-litert'},
  'onnx': {'tf2onnx': 'tf2onnx', 'onnx': 'onnx', 'onnxruntime': 'onnxruntime'},
}


class ExportedFile(NamedTuple):
  """One model of an export.

  Attributes:
    name: below --output_path; a directory for a SavedModel.
    format: of options.FORMATS.
    weights: of description.WEIGHTS.
  """

  name: str
  format: str
  weights: str = 'float32'


def planned(options: ModelExportOptions) -> list[ExportedFile]:
  """What these options ask for."""
  files = {
    'saved_model': [ExportedFile(SAVED_MODEL, 'saved_model')],
    'tflite': [
      ExportedFile(f'model_{weights}.tflite', 'tflite', weights)
      for weights in dict.fromkeys(options.types)
    ],
    'onnx': [ExportedFile('model.onnx', 'onnx')],
  }
  return [file for name in dict.fromkeys(options.format) for file in files[name]]


def refuse_existing(output_path: str, files: Sequence[ExportedFile], *, overwrite: bool) -> None:
  """Raises InputError where one of the files is there, unless it may be replaced and is what it is
  taken for.
  """
  for file in files:
    path = os.path.join(output_path, file.name)
    if not os.path.lexists(path):
      continue
    if not overwrite:
      raise InputError(
        f'--output_path={output_path}: holds {shown(file.name)} already; give --overwrite to '
        'replace it, or another path'
      )
    if file.format == 'saved_model':
      expected = os.path.isfile(os.path.join(path, 'saved_model.pb')) and not os.path.islink(path)
    else:
      expected = os.path.isfile(path)
    if not expected:
      raise InputError(
        f'--output_path={output_path}: what is {shown(file.name)} there is no exported model; '
        'remove it, or choose another path'
      )


def refuse_without_extras(formats: Collection[str]) -> None:
  """Raises InputError where a package is missing that a format needs."""
  for name in formats:
    missing = [
      package
      for module, package in _NEEDED.get(name, {}).items()
      if importlib.util.find_spec(module) is None
    ]
    if missing:
      raise InputError(
        f"--format={name}: needs {', '.join(missing)}: pip install 'deeplab-tf[{name}]' "
        f'(or pip install {" ".join(missing)})'
      )


def unfinished_directory(output_path: str) -> contextlib.AbstractContextManager[str]:
  """A directory below `output_path`, hence on the same file system, that goes with all that is left
  in it.
  """
  return atomic_files.unfinished_directory(output_path, 'export')


@contextlib.contextmanager
def output(output_path: str) -> Iterator[None]:
  """Makes the directory. While open, no other process can export to it; what killed ones left is
  removed.

  Raises InputError where one does.
  """
  refusal = (
    f'--output_path={shown(output_path)}: another process is writing there; wait for it, stop it, '
    'or choose another'
  )
  with (
    output_places.new_directory(output_path, flag='output_path'),
    directory_lock.held(output_path, refusal=refusal),
  ):
    atomic_files.remove_unfinished(output_path)
    yield


def place(written: str, path: str) -> None:
  """Gives a whole file or directory its name, in place of an older one."""
  if os.path.isdir(path):  # Not every system replaces a directory in one stroke.
    if atomic_files.exchange(written, path):
      shutil.rmtree(written, ignore_errors=True)
      return
    older = f'{written}-older'
    os.rename(path, older)
    try:
      os.rename(written, path)
    except OSError:
      os.rename(older, path)
      raise
    shutil.rmtree(older, ignore_errors=True)
  else:
    os.replace(written, path)


def checksums(path: str) -> list[dict[str, str | int]]:
  """Name relative to `path`'s directory, bytes and SHA-256 of a file, or of each file of a
  directory.
  """
  paths = [path]
  if os.path.isdir(path):
    paths = sorted(
      os.path.join(directory, name) for directory, _, names in os.walk(path) for name in names
    )
  return [
    {
      'name': os.path.relpath(each, os.path.dirname(path)),
      'bytes': os.path.getsize(each),
      'sha256': file_digests.sha256_of(each),
    }
    for each in paths
  ]
