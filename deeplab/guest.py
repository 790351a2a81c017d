"""The toolkit as a guest in somebody else's program: quiet, and leaving the process as it was."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from deeplab import messages, quiet_start
from deeplab.errors import InputError
from deeplab.options.keywords import as_keywords

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class DeepLabWarning(UserWarning):
  """What a command would warn of."""


@contextlib.contextmanager
def as_guest(*, verbose: bool = False) -> Iterator[None]:
  """Meanwhile warnings are Python's, and an InputError has all that is said, in the words of a
  Python program: names of options without --.

  Args:
    verbose: lines on how it goes are printed as a command prints them.
  """
  program = _Program(verbose=verbose)
  with messages.heard_by(program):
    try:
      yield
    except InputError as error:
      # A command has printed them before.
      text = str(error).replace('(listed above)', '(listed below)') if program.problems else error
      error.args = (as_keywords('\n'.join([str(text), *program.problems])),)
      raise


@contextlib.contextmanager
def tensorflow_at_work() -> Iterator[None]:
  """Imports TensorFlow, without its chatter and its advice to programmers; what the work changes in
  the process is undone.
  """
  quiet_start.import_tensorflow()
  import tensorflow as tf
  from PIL import Image

  logger, max_pixels = logging.getLogger('tensorflow'), Image.MAX_IMAGE_PIXELS
  level, seed = logger.level, tf.compat.v1.get_seed(None)[0]
  tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
  quiet_start.hide_advice()
  try:
    yield
  finally:
    logger.setLevel(level)
    Image.MAX_IMAGE_PIXELS = max_pixels
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    if tf.compat.v1.get_seed(None)[0] != seed:
      tf.random.set_seed(seed)


class _Program(messages.Terminal):
  """Hears for a program."""

  def __init__(self, *, verbose):
    self.problems = []
    self._verbose = verbose

  def say(self, line):
    if self._verbose:
      super().say(line)

  def warn(self, line):
    warnings.warn(as_keywords(line), DeepLabWarning, stacklevel=_levels_to_caller())

  def problem(self, line):
    self.problems.append(line)

  def shows_bars(self):
    return self._verbose and super().shows_bars()


def _levels_to_caller():
  """The stacklevel, seen from who asks, of the program's line that called the toolkit."""
  frame, level, highest = sys._getframe(1), 1, 1
  while frame is not None:
    if frame.f_code.co_filename.startswith(_PACKAGE):
      highest = level
    frame, level = frame.f_back, level + 1
  return highest + 1
