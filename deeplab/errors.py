"""The one exception that stands for a mistake of the user, and how its message shows names."""

import codecs
import re
import sys

# C0, DEL, C1, as characters and as bytes that are no text; marks of direction, and line ends of
# Unicode.
_UNSEEN = re.compile(
  '[\x00-\x1f\x7f-\x9f\udc80-\udc9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]'
)


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
    if stream is not None:
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
  """`path` on one line that looks as it is: control characters, such as newlines and what moves the
  cursor, and what turns the direction of the text are escaped; other undecodable bytes stay as they
  are.
  """
  return _UNSEEN.sub(_escape_unseen, path)


def _escape_unseen(match):
  character = match.group()
  if character >= '\udc80':  # A byte that is no text.
    return f'\\x{ord(character) - 0xDC00:02x}'
  return repr(character)[1:-1]
