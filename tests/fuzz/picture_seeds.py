"""Small pictures and labels as files of many kinds, drawn for each case."""

import io

import numpy as np
from PIL import Image, PngImagePlugin

HEIGHT, WIDTH, NUM_CLASSES = 37, 52, 21


def drawn_image(random) -> np.ndarray:
  """uint8 [HEIGHT, WIDTH, 3]: a smooth picture with some noise."""
  coarse = random.integers(0, 256, [5, 6, 3], np.uint8)
  smooth = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
  noise = random.integers(-9, 10, smooth.shape)
  return np.clip(smooth.astype(int) + noise, 0, 255).astype(np.uint8)


def drawn_label(random) -> np.ndarray:
  """uint8 [HEIGHT, WIDTH] of class indices."""
  coarse = random.choice([0, 1, 2, 7, 15], [4, 5]).astype(np.uint8)
  return np.kron(coarse, np.ones([12, 12], np.uint8))[:HEIGHT, :WIDTH]


def encoded_image(random) -> tuple[str, bytes]:
  """(extension, bytes) of an image file of one of many kinds; half are plain JPEGs and PNGs."""
  picture = Image.fromarray(drawn_image(random))
  kinds = (
    ('JPEG', 'RGB', dict(quality=90)),
    ('JPEG', 'RGB', dict(progressive=True)),
    ('JPEG', 'RGB', dict(restart_marker_rows=1)),
    ('JPEG', random.choice(['L', 'CMYK']), {}),
    ('PNG', 'RGB', {}),
    ('PNG', 'P', {}),
    ('PNG', 'L', dict(pnginfo=_text('IDAT'))),
    ('PNG', 'RGBA', {}),
    ('PNG', 'I;16', {}),
    ('GIF', 'P', {}),
    ('BMP', 'RGB', {}),
    ('TIFF', 'RGB', dict(compression=random.choice(['raw', 'tiff_lzw', 'tiff_adobe_deflate']))),
    ('WEBP', 'RGB', dict(lossless=bool(random.integers(2)))),
    ('PPM', 'RGB', {}),
  )
  image_format, mode, settings = kinds[int(random.integers(len(kinds)))]
  if mode == 'I;16':
    picture = Image.fromarray(np.asarray(picture.convert('L')).astype(np.uint16) * 257)
  else:
    picture = picture.convert(str(mode))
  settings = {
    name: str(value) if isinstance(value, np.str_) else value for name, value in settings.items()
  }
  if image_format in ('JPEG', 'PNG', 'WEBP') and random.random() < 0.2:
    exif = Image.Exif()
    exif[0x0112] = int(random.integers(1, 9))
    settings['exif'] = exif
  extension = {'JPEG': '.jpg', 'TIFF': '.tif'}.get(image_format, '.' + image_format.lower())
  return extension, encoded(picture, format=image_format, **settings)


def encoded_label(random) -> tuple[str, bytes]:
  """(extension, bytes) of a label file of one of many kinds; most are PNGs."""
  indices = drawn_label(random)
  kind = int(random.integers(10))
  if kind == 0:
    return '.png', encoded(Image.fromarray(indices), format='PNG')
  if kind == 1:
    return '.png', encoded(Image.fromarray(indices.astype(np.uint16)), format='PNG')
  if kind == 2:
    file = io.BytesIO()
    np.save(file, indices)
    return '.npy', file.getvalue()
  if kind == 3:
    return '.png', encoded(Image.fromarray(np.dstack([indices] * 3)), format='PNG')
  picture = Image.frombytes('P', (WIDTH, HEIGHT), indices.tobytes())
  picture.putpalette(list(range(48)) + [0] * 720)
  if kind in (4, 5, 6):
    image_format = ('GIF', 'BMP', 'TIFF')[kind - 4]
    extension = '.tif' if image_format == 'TIFF' else '.' + image_format.lower()
    return extension, encoded(picture, format=image_format)
  settings = dict(bits=4) if kind == 7 else {}
  if kind == 8:
    settings['pnginfo'] = _text('xxIDATxx')
  return '.png', encoded(picture, format='PNG', **settings)


def encoded(picture: Image.Image, **settings) -> bytes:
  """The bytes of a picture file."""
  file = io.BytesIO()
  picture.save(file, **settings)
  return file.getvalue()


def _text(content):
  text = PngImagePlugin.PngInfo()
  text.add_text('Comment', content)
  return text
