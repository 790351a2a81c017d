"""Small files whose headers claim pictures of terabytes, or whose parts unpack to much."""

import io
import os
import struct
import zlib

from PIL import Image

SIDE = 65535


def files() -> dict[str, bytes]:
  """Name -> bytes. Whoever decodes one of them without a look at its header needs gigabytes."""
  small = io.BytesIO()
  Image.new('RGB', (8, 6)).save(small, format='PNG')
  inner = png(SIDE, SIDE)
  return {
    'bomb.png': inner,
    'text.png': _with_text(small.getvalue()),
    'bomb.jpg': _jpeg(SIDE, SIDE),
    'bomb.gif': b'GIF89a' + struct.pack('<HHBBB', SIDE, SIDE, 0, 0, 0) + _gif_frame(SIDE, SIDE),
    'frame.gif': b'GIF89a' + struct.pack('<HHBBB', 8, 6, 0, 0, 0) + _gif_frame(SIDE, SIDE),
    'bomb.tif': _tiff(width=SIDE, height=SIDE),
    'tile.tif': _tiff(width=8, height=6, tile=SIDE + 1),
    'bomb.bmp': b'BM'
    + struct.pack('<IHHI', 154, 0, 0, 54)
    + struct.pack('<IiiHHIIiiII', 40, SIDE, SIDE, 1, 24, 0, 0, 1, 1, 0, 0)
    + bytes(100),
    'bomb.webp': _webp(16383, 16383),
    'inner.ico': struct.pack('<HHH', 0, 1, 1)
    + struct.pack('<BBBBHHII', 0, 0, 0, 0, 1, 32, len(inner), 22)
    + inner,
    'bomb.ppm': b'P6 %d %d 255\n' % (SIDE, SIDE) + bytes(100),
  }


def write(directory: str) -> list[str]:
  """Writes `files`, and one that is 20 GB of nothing; returns the paths."""
  paths = []
  for name, content in files().items():
    paths.append(os.path.join(directory, name))
    with open(paths[-1], 'wb') as file:
      file.write(content)
  paths.append(os.path.join(directory, 'sparse.png'))
  with open(paths[-1], 'wb') as file:
    file.write(png(8, 6))
    file.truncate(20 * 2**30)
  return paths


def png(width: int, height: int, *, color_type: int = 2) -> bytes:
  """A PNG of 8 bits with a header and a few pixels."""
  header = struct.pack('>IIBBBBB', width, height, 8, color_type, 0, 0, 0)
  return (
    b'\x89PNG\r\n\x1a\n'
    + _chunk(b'IHDR', header)
    + _chunk(b'IDAT', zlib.compress(bytes(1000)))
    + _chunk(b'IEND', b'')
  )


def _chunk(name, content):
  checksum = zlib.crc32(name + content)
  return struct.pack('>I', len(content)) + name + content + struct.pack('>I', checksum)


def _with_text(encoded):
  """A PNG with a text of 100 MB, compressed."""
  text = _chunk(b'zTXt', b'Comment\0\0' + zlib.compress(bytes(100_000_000)))
  return encoded[:33] + text + encoded[33:]


def _jpeg(width, height):
  encoded = io.BytesIO()
  Image.new('RGB', (8, 6)).save(encoded, format='JPEG')
  data = bytearray(encoded.getvalue())
  place = data.index(b'\xff\xc0') + 5
  data[place : place + 4] = struct.pack('>HH', height, width)
  return bytes(data)


def _gif_frame(width, height):
  return b',' + struct.pack('<HHHHB', 0, 0, width, height, 0) + b'\x08\x02\x00\x01\x00;'


def _tiff(*, width, height, tile=None):
  encoded = io.BytesIO()
  Image.new('RGB', (8, 6)).save(encoded, format='TIFF', compression='tiff_adobe_deflate')
  data = encoded.getvalue()
  (place,) = struct.unpack('<I', data[4:8])
  (count,) = struct.unpack('<H', data[place : place + 2])
  entries = {}
  for index in range(count):
    entry = data[place + 2 + 12 * index : place + 14 + 12 * index]
    entries[struct.unpack('<H', entry[:2])[0]] = entry
  sizes = {256: width, 257: height, 278: height}
  if tile:
    # Offsets and byte counts of strips become those of tiles.
    for strip, tiled in ((273, 324), (279, 325)):
      entries[tiled] = struct.pack('<H', tiled) + entries.pop(strip)[2:]
    del entries[278], sizes[278]
    sizes.update({322: tile, 323: tile})
  for tag, value in sizes.items():
    entries[tag] = struct.pack('<HHII', tag, 4, 1, value)
  table = struct.pack('<H', len(entries)) + b''.join(entries[tag] for tag in sorted(entries))
  return data[:4] + struct.pack('<I', len(data)) + data[8:] + table + bytes(4)


def _webp(width, height):
  encoded = io.BytesIO()
  Image.new('RGB', (8, 6)).save(encoded, format='WEBP', lossless=True)
  chunk = encoded.getvalue()[12:]
  bits = (width - 1) | (height - 1) << 14
  chunk = chunk[:9] + struct.pack('<I', bits) + chunk[13:]
  body = b'WEBP' + chunk
  return b'RIFF' + struct.pack('<I', len(body)) + body
