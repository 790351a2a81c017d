"""Text files of lines that people and their tools write: lists, class names, colour maps.

UTF-8 with and without mark, and UTF-16 and UTF-32 with mark, which is what PowerShell writes.
"""

import codecs
import re

from deeplab import ordinary_files
from deeplab.errors import InputError, shown

_MOST_BYTES = 2**30  # Some ten million lines.

# The mark of UTF-32 begins with that of UTF-16, so it comes first.
_MARKS = (
  (codecs.BOM_UTF8, 'utf-8'),
  (codecs.BOM_UTF32_LE, 'utf-32-le'),
  (codecs.BOM_UTF32_BE, 'utf-32-be'),
  (codecs.BOM_UTF16_LE, 'utf-16-le'),
  (codecs.BOM_UTF16_BE, 'utf-16-be'),
)


def read_lines(
  path: str,
  *,
  what: str,
  undecodable: str = 'surrogateescape',
  remedy: str | None = None,
  not_text: str | None = None,
) -> list[str]:
  r"""The lines of a text file, without their ends (\n or \r\n).

  Args:
    path: of the file.
    what: how messages name it, such as '--list_path=train.txt'.
    undecodable: what becomes of bytes that are no UTF-8: 'surrogateescape' keeps them, as Python
      does in file names; 'replace' makes them U+FFFD, for text that is only shown.
    remedy: what to do where it is no text; None: to save it as UTF-8, or to give a text file.
    not_text: what to do where it is of another kind, such as a picture or a device; None: `remedy`.

  Raises:
    InputError: the file cannot be read, or is no text.
  """
  try:
    content = ordinary_files.read(path, most_bytes=_MOST_BYTES, allow_pipe=True)
  except OSError as error:
    raise InputError(f'{shown(what)}: cannot be read ({error.strerror})') from error
  except ValueError as error:
    raise InputError(f'{shown(what)}: {error}; {not_text or "give a text file"}') from error
  what_else = not_text or remedy or 'give a text file, in UTF-8'
  encoding = 'utf-8'
  for mark, marked_encoding in _MARKS:
    if content.startswith(mark):
      content, encoding = content[len(mark) :], marked_encoding
      break
  if encoding == 'utf-8' and b'\0' in content:
    raise InputError(f'{shown(what)}: is no text file; {what_else}')
  try:
    text = content.decode(encoding, undecodable if encoding == 'utf-8' else 'strict')
  except UnicodeDecodeError as error:
    raise InputError(
      f'{shown(what)}: cannot be read as text (begins as {encoding[:6].upper()}, but byte '
      f'{error.start} is not); {remedy or "save it as UTF-8"}'
    ) from error
  if '\0' in text:
    raise InputError(f'{shown(what)}: is no text file; {what_else}')
  return re.split('\r\n|\n|\r', text)
