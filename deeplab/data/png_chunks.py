"""The chunks of a PNG file: whether they are whole."""

import zlib

SIGNATURE = b'\x89PNG\r\n\x1a\n'


def damage(data: bytes) -> str | None:
  """What is wrong with the chunks of a PNG, as a phrase, or None; pixels are not decoded."""
  begin = len(SIGNATURE)
  while True:
    length, name = int.from_bytes(data[begin : begin + 4], 'big'), data[begin + 4 : begin + 8]
    end = begin + 8 + length
    if len(data) < end + 4:
      return 'it ends before its last chunk, IEND'
    if zlib.crc32(data[begin + 4 : end]) != int.from_bytes(data[end : end + 4], 'big'):
      return f'wrong check sum in chunk {repr(name)[1:]} at byte {begin}'
    if name == b'IEND':
      return None
    begin = end + 4
