"""The one exception that stands for a mistake of the user, and how its message shows names."""

import codecs
import sys


class InputError(ValueError):
  """Bad input from outside: a flag, a file, a record, a checkpoint.

  The message is one line that says what (file, record or flag), the value got, what is allowed, and
  the remedy. The commands print it after `error: ` and exit with status 1; a traceback is only for
  our own mistakes.
  """


def let_streams_take_any_name() -> None:
  """From now on printing a file name never fails: stdout and stderr get bytes that are no text as
  they are, and characters that their encoding lacks escaped.
  """
  codecs.register_error('deeplab.any_name', _encode_any_name)
  for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(errors='deeplab.any_name')


def _encode_any_name(error):
  # Python holds a byte of a name that is no text as a surrogate, U+DC80 to U+DCFF.
  encoded = b''.join(
    bytes([ord(character) - 0xDC00])
    if '\udc80' <= character <= '\udcff'
    else character.encode('ascii', 'backslashreplace')
    for character in error.object[error.start : error.end]
  )
  return encoded, error.end


def shown(path: str) -> str:
  """`path` on one line: control characters such as newlines are escaped, undecodable bytes stay as
  they are.
  """
  return ''.join(
    character if character >= ' ' and character != '\x7f' else repr(character)[1:-1]
    for character in path
  )
