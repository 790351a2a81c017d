"""TensorFlow and Pillow without their chatter: that at TensorFlow's start no environment variable
silences.
"""

import contextlib
import functools
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from deeplab.errors import InputError


@functools.cache  # Later calls have nothing to hide.
def import_tensorflow(*, hides_errors: bool = False) -> None:
  """Imports TensorFlow and looks for devices; what it writes to stderr meanwhile is shown only if
  the import fails.

  With TF_CPP_MIN_LOG_LEVEL in the environment, nothing is hidden.

  Args:
    hides_errors: later, too, TensorFlow logs nothing but what ends the process: of several workers
      each would write pages where one is gone, of which the command says one line.
  """
  if 'TF_CPP_MIN_LOG_LEVEL' in os.environ:
    import tensorflow as tf  # noqa: F401

    return
  os.environ['TF_CPP_MIN_LOG_LEVEL'] = (
    '3' if hides_errors else '2'
  )  # Read once, for what TensorFlow writes later.
  try:
    with hidden_stderr():
      import tensorflow as tf

      tf.config.list_physical_devices()
  finally:
    # A child process is not to take it for the user's setting.
    del os.environ['TF_CPP_MIN_LOG_LEVEL']


@contextlib.contextmanager
def hidden_stderr() -> Iterator[None]:
  """Meanwhile what anything writes to stderr is shown only if an exception ends it that is no
  InputError, which says itself what is wrong.
  """
  sys.stderr.flush()
  stderr = os.dup(2)
  with tempfile.TemporaryFile() as hidden:
    # The messages come from C++, so the file descriptor is redirected, not sys.stderr.
    os.dup2(hidden.fileno(), 2)
    try:
      yield
    except InputError:
      raise
    except Exception:
      hidden.seek(0)
      os.write(stderr, hidden.read())
      raise
    finally:
      os.dup2(stderr, 2)
      os.close(stderr)


def hide_advice() -> None:
  """From now on TensorFlow logs errors only: its advice on its own functions is for programmers,
  not for who trains or converts with a command.
  """
  import tensorflow as tf

  tf.get_logger().setLevel('ERROR')


def hide_warnings_of_pillow() -> None:
  """From now on this process hears nothing of tags and palettes that are not as they should be,
  which change no pixel here, nor of large pictures, of which data/picture_limit.py says more.
  """
  warnings.filterwarnings('ignore', category=UserWarning, module=r'PIL\.')
  warnings.filterwarnings('ignore', message='Image size', category=RuntimeWarning)
