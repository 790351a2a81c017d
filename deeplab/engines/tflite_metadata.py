"""Named metadata in TensorFlow Lite files.

A file is a flatbuffer: tables whose fields are found by offsets. Only the way from the root, a
`Model`, to its metadata and their buffers is gone here; the schema is TensorFlow Lite's
`schema.fbs`. Offsets of a damaged file lead anywhere, so each is checked.
"""

import struct

_METADATA, _BUFFERS = 6, 4  # Fields of Model, in the order of the schema.
_NAME, _BUFFER = 0, 1  # Fields of Metadata.
_DATA, _OFFSET, _SIZE = (
  0,
  1,
  2,
)  # Fields of Buffer; the last two where it lies behind the flatbuffer.


def read(data: bytes, name: str) -> bytes | None:
  """The metadata called `name`, or None where there is none.

  Args:
    data: the file's content, or a map of it.

  Raises:
    ValueError: it is no whole TensorFlow Lite file.
  """
  if data[4:8] != b'TFL3':
    raise ValueError('it does not begin as a TensorFlow Lite file')
  try:
    model = _indirect(data, 0)
    buffers = _vector(data, model, _BUFFERS)
    for entry in _vector(data, model, _METADATA):
      if _bytes(data, _field(data, entry, _NAME)) == name.encode():
        number = _scalar(data, entry, _BUFFER, '<I')
        return _content(data, buffers[number])
  except (struct.error, IndexError) as error:
    raise ValueError('its tables lead outside of it') from error
  return None


def _content(data, buffer):
  position = _field(data, buffer, _DATA)
  if position is not None:
    return _bytes(data, position)
  start, size = _scalar(data, buffer, _OFFSET, '<Q'), _scalar(data, buffer, _SIZE, '<Q')
  return _slice(data, start, size)


def _slice(data, start, size):
  if start < 0 or start + size > len(data):
    raise IndexError
  return bytes(data[start : start + size])


def _unpack(data, layout, position):
  if position < 0:
    raise IndexError
  return struct.unpack_from(layout, data, position)[0]


def _indirect(data, position):
  return position + _unpack(data, '<I', position)


def _field(data, table, number):
  """Position of a field of a table, or None where the table does not have it."""
  fields = table - _unpack(data, '<i', table)
  if 4 + 2 * number >= _unpack(data, '<H', fields):
    return None
  offset = _unpack(data, '<H', fields + 4 + 2 * number)
  return table + offset if offset else None


def _scalar(data, table, number, layout):
  position = _field(data, table, number)
  return 0 if position is None else _unpack(data, layout, position)


def _bytes(data, position):
  """The vector of bytes, or text, to which the offset at `position` leads."""
  if position is None:
    return b''
  start = _indirect(data, position)
  return _slice(data, start + 4, _unpack(data, '<I', start))


def _vector(data, table, number):
  """Positions of the tables in a vector of them."""
  position = _field(data, table, number)
  if position is None:
    return []
  start = _indirect(data, position)
  length = _unpack(data, '<I', start)
  if start + 4 + 4 * length > len(data):
    raise IndexError
  return [_indirect(data, start + 4 + 4 * index) for index in range(length)]
