"""Model archives: the checkpoint or frozen graph in a tar file, taken out safely."""

import contextlib
import os
import posixpath
import re
import tempfile
from collections.abc import Iterator

from deeplab.atomic_files import remove_unfinished, unfinished_directory
from deeplab.errors import InputError
from deeplab.tar_archives import BoundedArchive

_CHECKPOINT_FILE = re.compile(r'(.+)\.(index|data-\d{5}-of-\d{5})$')


@contextlib.contextmanager
def extracted_model(path: str, *, max_mb: int, max_members: int) -> Iterator[tuple[str, str]]:
  """Takes the model out of a tar archive, compressed or not; nothing else in it is touched.

  Args:
    path: of the archive.
    max_mb: what it may unpack to, in MB (10^6 bytes).
    max_members: how many files and directories it may have.

  Yields:
    (prefix of a checkpoint or path of a frozen graph in a temporary directory, its name in the
    archive). A checkpoint is preferred.

  Raises:
    InputError: the archive is damaged or beyond these bounds, holds no model or several, has names
      that lead out of it, sparse files, or links where files should be.
  """
  bounded = BoundedArchive(path, max_mb=max_mb, max_members=max_members)
  temporary = tempfile.gettempdir()
  remove_unfinished(temporary)  # Of killed imports.
  with unfinished_directory(temporary, 'deeplab-model') as directory:
    with bounded.opened() as archive:
      members = bounded.members(archive)
      name = _choose(path, members)
      for member in members:
        if member.name == name or _prefix(member.name) == name:
          _extract(path, archive, member, directory)
    yield os.path.join(directory, posixpath.basename(name)), name


def _choose(path, members):
  """The name of the one checkpoint prefix, or else of the one frozen graph."""
  # macOS adds a ._NAME beside each NAME.
  names = [
    member.name for member in members if not posixpath.basename(member.name).startswith('._')
  ]
  checkpoints = sorted({_prefix(name) for name in names if name.endswith('.index')})
  # Checkpoints of one file, as TensorFlow wrote them until 2017.
  files = {member.name for member in members if member.isfile()}
  old = sorted(name for name in names if name in files and name.endswith('.ckpt'))
  graphs = sorted(name for name in names if name.endswith('.pb'))
  frozen = [name for name in graphs if posixpath.basename(name) == 'frozen_inference_graph.pb']
  for found in (checkpoints, old, frozen or graphs):
    if len(found) == 1:
      if found is checkpoints and not any(
        _prefix(name) == found[0] and not name.endswith('.index') for name in names
      ):
        raise InputError(
          f'{path}: the archive has {found[0]}.index without its data file '
          f'{found[0]}.data-00000-of-00001; download it again'
        )
      return found[0]
    if found:
      raise InputError(
        f'{path}: the archive holds several models ({", ".join(found)}); extract it and name one'
      )
  shown = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
  raise InputError(
    f'{path}: the archive holds no checkpoint (*.index) and no frozen graph (*.pb), but '
    f'{shown or "nothing"}'
  )


def _extract(path, archive, member, directory):
  if not member.isfile():
    raise InputError(
      f'{path}: {member.name} is not a file in the archive but a link or the like; extract the '
      'archive yourself and name the checkpoint'
    )
  target = os.path.join(directory, posixpath.basename(member.name))
  source = archive.extractfile(member)
  with open(target, 'wb') as file:
    while block := source.read(1 << 20):
      try:
        file.write(block)
      except OSError as error:
        raise InputError(
          f'{path}: cannot be unpacked into {directory} ({error.strerror}); free space, or set '
          'TMPDIR to a directory that has it'
        ) from error


def _prefix(name):
  match = _CHECKPOINT_FILE.match(name)
  return match.group(1) if match else None
