"""Files that people give for a checkpoint and that are something else: what they are, and what to
give instead.
"""

import os
import re
import shlex
import zipfile

from deeplab import remote_files, tar_archives

_IMPORT = 'import_official_checkpoint.py'
_OTHERS = (
  'is a file of {}; this toolkit reads checkpoints in the format of TensorFlow 1 (PREFIX.index and '
  'PREFIX.data-00000-of-00001): give the PREFIX of one'
)
_KERAS = _OTHERS.format('Keras')
_PYTORCH = _OTHERS.format('PyTorch')
_EXPORTED = 'is a model exported for {}, no checkpoint; give the checkpoint that it was made from'
_ZIP = (
  f'is a zip archive; unpack it and give what is in it (to {_IMPORT} first, if these are official '
  'DeepLab weights)'
)
_BY_SUFFIX = {
  '.h5': _KERAS,
  '.hdf5': _KERAS,
  '.keras': _KERAS,
  '.pth': _PYTORCH,
  '.pt': _PYTORCH,
  '.safetensors': _OTHERS.format('safetensors'),
  '.onnx': _EXPORTED.format('ONNX'),
  '.tflite': _EXPORTED.format('TensorFlow Lite'),
  '.zip': _ZIP,
}
_ARCHIVE_SUFFIX = re.compile(r'\.(tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))$')


def explain(path: str) -> str | None:
  """What the file or directory `path` is and what to give instead, as a phrase that continues its
  name; None where nothing says that it is no checkpoint. A file's name and first bytes are looked
  at.
  """
  if remote_files.is_directory(path):
    return _explain_directory(path)
  name = os.path.basename(path).lower()
  if name.endswith('.pb'):
    return f'is a frozen graph; {_import_first(path)}'
  if _ARCHIVE_SUFFIX.search(name) or _is_tar(path):
    return (
      f'is an archive; if it holds official DeepLab weights, {_import_first(path)}; else unpack it '
      'and give what is in it'
    )
  suffix = os.path.splitext(name)[1]
  if suffix in _BY_SUFFIX:
    return _BY_SUFFIX[suffix]
  return _explain_bytes(path)


def _explain_directory(path):
  names = {name for name, _ in remote_files.entries(path)}
  if 'frozen_inference_graph.pb' in names:
    return f'holds no checkpoint, but a frozen graph; {_import_first(path)}'
  if 'export.json' in names:
    return 'holds no checkpoint, but exported models; give the checkpoint that they were made from'
  if 'saved_model.pb' in names:
    return 'holds no checkpoint, but a SavedModel; give the checkpoint that it was made from'
  return None


def _is_tar(path):
  return not remote_files.is_remote(path) and tar_archives.is_tar(path)


def _import_first(path):
  return (
    f'make a checkpoint of it first ({_IMPORT} --ckpt_path={shlex.quote(path)} '
    '--output_path=DIRECTORY), then give DIRECTORY'
  )


def _explain_bytes(path):
  """By what the file begins with: names may say nothing, as with .ckpt."""
  try:
    with remote_files.open_file(path) as file:
      start = file.read(8)
  except OSError:  # Who reads it will say so.
    return None
  if start.startswith(b'\x89HDF'):
    return _KERAS
  if remote_files.is_remote(path):
    return None
  if start.startswith(b'PK\x03\x04') and zipfile.is_zipfile(path):
    with zipfile.ZipFile(path) as archive:
      names = archive.namelist()
    if any(name.endswith('data.pkl') for name in names):
      return _PYTORCH
    return _KERAS if 'model.weights.h5' in names else _ZIP
  return None
