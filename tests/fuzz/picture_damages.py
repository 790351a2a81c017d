"""Damages that know what a picture file is made of: PNG's chunks, JPEG's markers, sizes."""

import struct
import zlib

from . import damages

_SIGNATURE = b'\x89PNG\r\n\x1a\n'
# Where formats have width and height: (begin of the file, offset of both, form of one).
_SIZES = (
  (_SIGNATURE, 16, 20, '>I'),
  (b'GIF8', 6, 8, '<H'),
  (b'BM', 18, 22, '<i'),
)


def damaged(case, data: bytes) -> bytes:
  """A damaged copy of a picture file."""
  ways = [_any] * 4
  if data.startswith(_SIGNATURE):
    ways += [_wrong_checksum, _header_field, _fewer_rows, _split_pixels, _drop_chunk, _chunk] * 2
  elif data.startswith(b'\xff\xd8'):
    ways += [_marker] * 3 + [_jpeg_size] * 2
  ways += [_size] * (2 if any(data.startswith(begin) for begin, *_ in _SIZES) else 0)
  way = case.choose(ways)
  case.note(way.__name__.strip('_'))
  try:
    return bytes(way(case, data))
  except (zlib.error, IndexError, ValueError):  # Not of the kind that this way takes.
    return damages.bytes_of(case, data, first=8)


def _any(case, data):
  return damages.bytes_of(case, data, first=8)


def _size(case, data):
  """Another width or height in the header, of more pixels than there is memory for, say."""
  for begin, width, height, form in _SIZES:
    if data.startswith(begin):
      data = bytearray(data)
      largest = {'>I': 2**31 - 1, '<H': 65535, '<i': 2**31 - 1}[form]
      for place in (width, height):
        if case.chance(0.8):
          value = min(largest, case.choose([0, 1, 17, 9999, 30000, 65535, 65536, 10**6, 2**31 - 1]))
          struct.pack_into(form, data, place, value)
      if begin == _SIGNATURE:
        data = _joined(_chunks(bytes(data)))  # With the right check sum.
      case.note(f'{struct.unpack_from(form, data, width)}x{struct.unpack_from(form, data, height)}')
      return data
  return data


def _jpeg_size(case, data):
  data = bytearray(data)
  for marker in (b'\xff\xc0', b'\xff\xc2'):
    place = data.find(marker)
    if place >= 0:
      struct.pack_into(
        '>HH',
        data,
        place + 5,
        case.choose([0, 1, 37, 9999, 65535]),
        case.choose([0, 1, 52, 9999, 65535]),
      )
  return data


def _marker(case, data):
  """A JPEG marker in the middle of the data."""
  data = bytearray(data)
  begin = int(case.random.integers(8, len(data)))
  data[begin : begin + 2] = bytes([0xFF, int(case.random.integers(0xC0, 0x100))])
  return data


def _chunks(data):
  """[[name, content, check sum]] of a whole PNG; None stands for the right check sum."""
  chunks, begin = [], 8
  while begin < len(data):
    end = begin + 8 + int.from_bytes(data[begin : begin + 4], 'big')
    chunks.append([bytes(data[begin + 4 : begin + 8]), bytes(data[begin + 8 : end]), None])
    begin = end + 4
  return chunks


def _joined(chunks):
  parts = [_SIGNATURE]
  for name, content, checksum in chunks:
    checksum = zlib.crc32(name + content) if checksum is None else checksum
    parts += [len(content).to_bytes(4, 'big'), name, content, checksum.to_bytes(4, 'big')]
  return b''.join(parts)


def _wrong_checksum(case, data):
  chunks = _chunks(data)
  case.choose(chunks)[2] = int(case.random.integers(2**32))
  return _joined(chunks)


def _header_field(case, data):
  chunks = _chunks(data)
  header = bytearray(chunks[0][1])
  header[case.choose([3, 7, 8, 9, 10, 11, 12])] = case.choose([0, 1, 2, 3, 4, 8, 16, 60])
  chunks[0][1] = bytes(header)
  return _joined(chunks)


def _pixels(chunks):
  return zlib.decompress(b''.join(content for name, content, _ in chunks if name == b'IDAT'))


def _with_pixels(chunks, contents):
  first = [chunk[0] for chunk in chunks].index(b'IDAT')
  others = [chunk for chunk in chunks[first:] if chunk[0] != b'IDAT']
  return _joined(chunks[:first] + [[b'IDAT', content, None] for content in contents] + others)


def _fewer_rows(case, data):
  """Check sums are right, but pixels are missing, or there are too many."""
  chunks = _chunks(data)
  pixels = _pixels(chunks)
  cut = int(case.random.integers(1, len(pixels)))
  pixels = pixels[:cut] if case.chance(0.7) else pixels + pixels[:cut]
  return _with_pixels(chunks, [zlib.compress(pixels)])


def _split_pixels(case, data):
  """Several chunks of pixels, one of which may be empty, or a stream without its end."""
  chunks = _chunks(data)
  stream = zlib.compress(_pixels(chunks))
  if case.chance(0.5):
    stream = stream[: -int(case.random.integers(1, 9))]
  cut = int(case.random.integers(len(stream)))
  return _with_pixels(chunks, [stream[:cut], stream[cut:], b''][: case.random.integers(1, 4)])


def _drop_chunk(case, data):
  chunks = _chunks(data)
  del chunks[int(case.random.integers(len(chunks)))]
  return _joined(chunks)


def _chunk(case, data):
  """A chunk that PNG knows, with anything in it, or one chunk twice."""
  chunks = _chunks(data)
  place = int(case.random.integers(1, len(chunks)))
  if case.chance(0.3):
    chunks.insert(place, chunks[place])
    return _joined(chunks)
  name = case.choose(
    [b'tRNS', b'PLTE', b'gAMA', b'iCCP', b'eXIf', b'tEXt', b'zTXt', b'acTL', b'XXXX']
  )
  content = case.random.bytes(int(case.choose([0, 1, 3, 6, 255, 768, 5000])))
  if name == b'zTXt' and case.chance(0.5):
    content = b'Comment\0\0' + zlib.compress(bytes(50_000_000), 1)  # 50 MB in 200 kB.
  chunks.insert(place, [name, content, None])
  return _joined(chunks)
