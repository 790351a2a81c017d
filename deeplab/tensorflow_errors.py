"""What TensorFlow says of an error, without the names of the operations that nobody here knows."""

import re

# The places in its graph, that of Python code included.
_PLACES = re.compile(
  r'\{\{.*?\}\}|\[\[.*?\]\]|\[Op:\w+\](?: name:\s*\S*)?|'
  r'Graph execution error:|Detected at node [^\n]*|Stack trace for op definition:|'
  r'\d+ root error\(s\) found\.|^ *\(\d+\)[ \t]+[A-Z_]+:|\d+ successful operations\.|'
  r'\d+ derived errors ignored\.|^ *File "[^\n]*|Original stack trace for [^\n]*',
  re.MULTILINE,
)
_LONGEST = 300


def reason(error: Exception) -> str:
  """The reason that an error of TensorFlow gives, as one line; the name of its kind where it gives
  none.
  """
  text = str(getattr(error, 'message', None) or error)
  lines = dict.fromkeys(' '.join(line.split()) for line in _PLACES.sub('\n', text).splitlines())
  said = ' '.join(line for line in lines if line).strip(' ;,')
  return said[:_LONGEST] or type(error).__name__
