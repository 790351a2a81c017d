"""Writing a file so that a kill at any moment leaves the old or the new one, never half of one."""

import contextlib
import os
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
  """Yields a temporary path beside `path`; what is written there becomes `path` when the block ends
  without an error.

  Raises:
    OSError: the directory is missing or not writable, or the disk is full. `path` is then as it
      was.
  """
  path = os.path.abspath(path)
  # Same directory: a rename is atomic only within one file system. The suffix stays, because
  # writers choose a format by it.
  directory, name = os.path.split(path)
  # Names may use all 255 bytes.
  descriptor, temporary = tempfile.mkstemp(
    dir=directory, prefix='.unfinished-', suffix='-' + name[-20:]
  )
  os.close(descriptor)
  try:
    yield temporary
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner may read.
    os.replace(temporary, path)
  except BaseException:
    with contextlib.suppress(FileNotFoundError):
      os.remove(temporary)
    raise
