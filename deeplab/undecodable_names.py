r"""File names that are no UTF-8, as valid text for JSON and HTML, and back.

Python holds a byte of a name that is no UTF-8 as a surrogate, U+DC80 to U+DCFF, which neither JSON
nor HTML may hold. As text it is `\x` and two hexadecimal digits, and every backslash of that name
is doubled. Names that are UTF-8 stay as they are, unless they look like such a text.
"""

import re

_SURROGATE = re.compile('[\udc80-\udcff]')
_ESCAPED = re.compile(r'\\x[89a-f][0-9a-f]')


def to_text(name: str) -> str:
  """`name`, of which bytes may be surrogates, as text without surrogates."""
  if not _SURROGATE.search(name) and not _ESCAPED.search(name):
    return name.encode('utf-8', 'replace').decode('utf-8')
  escaped = _SURROGATE.sub(
    lambda match: f'\\x{ord(match.group()) - 0xDC00:02x}', name.replace('\\', '\\\\')
  )
  return escaped.encode('utf-8', 'replace').decode('utf-8')


def for_json(value):
  """`value`, of dicts, lists and what JSON holds, with all its text valid."""
  if isinstance(value, dict):
    return {for_json(key): for_json(each) for key, each in value.items()}
  if isinstance(value, (list, tuple)):
    return [for_json(each) for each in value]
  return to_text(value) if isinstance(value, str) else value


def from_text(text: str) -> str:
  """The name that `to_text` made `text` of; `os.fsencode` makes it bytes again."""
  if not _ESCAPED.search(text):
    return text
  return re.sub(
    r'\\(\\|x[89a-f][0-9a-f])',
    lambda match: '\\' if match.group(1) == '\\' else chr(0xDC00 + int(match.group(1)[1:], 16)),
    text,
  )
