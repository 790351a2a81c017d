#!/usr/bin/env python3
"""Damaged JPEGs and PNGs through converter, training input, evaluation input and inference.

  tests/fuzz_pictures.py --cases=500

Draws pictures, damages a copy of an image or of a label in one of many ways, and looks at what the
converter says. Of the pairs that pass, records are made; each of them must be read by evaluation
and training, and inference must see the same pixels. Prints counts; exit status 1 where one that
passed is refused later or differs.
"""

import argparse
import collections
import contextlib
import io
import os
import sys
import tempfile
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


from deeplab import conversion_run
from deeplab.conversion import pairing, source_files, trial_decoding
from deeplab.data import input_pipeline
from deeplab.errors import InputError
from deeplab.options import ConversionOptions, TrainingInputOptions
from deeplab.prediction import image_files

_HEIGHT, _WIDTH, _NUM_CLASSES = 37, 52, 21


def drawn_image(random):
  """uint8 [_HEIGHT, _WIDTH, 3]: a smooth picture with some noise."""
  coarse = random.integers(0, 256, [5, 6, 3], np.uint8)
  smooth = np.asarray(Image.fromarray(coarse).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC))
  noise = random.integers(-9, 10, smooth.shape)
  return np.clip(smooth.astype(int) + noise, 0, 255).astype(np.uint8)


def encoded_image(random):
  """(extension, bytes) of a JPEG or PNG of one of many kinds."""
  picture = Image.fromarray(drawn_image(random))
  kind = random.integers(8)
  settings = [
    dict(format='JPEG', quality=90),
    dict(format='JPEG', progressive=True),
    dict(format='JPEG', restart_marker_rows=1),
    dict(format='JPEG'),
    dict(format='PNG'),
    dict(format='PNG'),
    dict(format='PNG', pnginfo=_text('IDAT')),
    dict(format='PNG'),
  ][kind]
  mode = ['RGB', 'RGB', 'RGB', random.choice(['L', 'CMYK']), 'RGB', 'P', 'L', 'RGBA'][kind]
  if random.random() < 0.2:
    exif = Image.Exif()
    exif[0x0112] = int(random.integers(1, 9))
    settings['exif'] = exif
  return '.' + settings['format'].lower(), _encoded(picture.convert(mode), **settings)


def encoded_label(random):
  """Bytes of a palette or grey PNG of class indices."""
  coarse = random.choice([0, 1, 2, 7, 15], [4, 5]).astype(np.uint8)
  indices = np.kron(coarse, np.ones([12, 12], np.uint8))[:_HEIGHT, :_WIDTH]
  kind = random.integers(5)
  if kind == 0:
    return _encoded(Image.fromarray(indices), format='PNG')
  if kind == 1:
    return _encoded(Image.fromarray(indices.astype(np.uint16)), format='PNG')
  picture = Image.frombytes('P', (_WIDTH, _HEIGHT), indices.tobytes())
  picture.putpalette(list(range(48)) + [0] * 720)
  settings = dict(bits=4) if kind == 2 else {}
  if kind == 3:
    settings['pnginfo'] = _text('xxIDATxx')
  return _encoded(picture, format='PNG', **settings)


def _text(content):
  text = PngImagePlugin.PngInfo()
  text.add_text('Comment', content)
  return text


def _encoded(picture, **settings):
  file = io.BytesIO()
  picture.save(file, **settings)
  return file.getvalue()


def damaged(data, random):
  """(name of the damage, damaged copy of the bytes)."""
  ways = [_flip_bits, _random_bytes, _cut_end, _cut_middle, _insert, _zero, _repeat]
  if data.startswith(b'\x89PNG'):
    ways += [_wrong_checksum, _header_field, _fewer_rows, _split_pixels, _drop_chunk] * 2
  else:
    ways += [_marker, _marker]
  way = ways[random.integers(len(ways))]
  return way.__name__.strip('_'), bytes(way(bytearray(data), random))


def _place(data, random):
  return int(random.integers(8, len(data)))


def _flip_bits(data, random):
  for _ in range(random.integers(1, 4)):
    data[_place(data, random)] ^= 1 << int(random.integers(8))
  return data


def _random_bytes(data, random):
  begin = _place(data, random)
  length = min(int(random.integers(1, 40)), len(data) - begin)
  data[begin : begin + length] = random.bytes(length)
  return data


def _cut_end(data, random):
  return data[: -min(len(data) - 8, int(2 ** random.uniform(0, 10)))]


def _cut_middle(data, random):
  begin = _place(data, random)
  del data[begin : begin + int(random.integers(1, 60))]
  return data


def _insert(data, random):
  begin = _place(data, random)
  data[begin:begin] = random.bytes(int(random.integers(1, 60)))
  return data


def _zero(data, random):
  begin = _place(data, random)
  length = min(int(random.integers(1, 80)), len(data) - begin)
  data[begin : begin + length] = bytes(length)
  return data


def _repeat(data, random):
  begin = _place(data, random)
  data[begin:begin] = data[begin : begin + 100]
  return data


def _marker(data, random):
  """A JPEG marker in the middle of the data."""
  begin = _place(data, random)
  data[begin : begin + 2] = bytes([0xFF, int(random.integers(0xC0, 0x100))])
  return data


def _chunks(data):
  """[[name, content, check sum]] of a whole PNG."""
  chunks, begin = [], 8
  while begin < len(data):
    end = begin + 8 + int.from_bytes(data[begin : begin + 4], 'big')
    chunks.append([bytes(data[begin + 4 : begin + 8]), bytes(data[begin + 8 : end]), None])
    begin = end + 4
  return chunks


def _joined(chunks):
  parts = [b'\x89PNG\r\n\x1a\n']
  for name, content, checksum in chunks:
    checksum = zlib.crc32(name + content) if checksum is None else checksum
    parts += [len(content).to_bytes(4, 'big'), name, content, checksum.to_bytes(4, 'big')]
  return b''.join(parts)


def _wrong_checksum(data, random):
  chunks = _chunks(data)
  chunks[random.integers(len(chunks))][2] = int(random.integers(2**32))
  return _joined(chunks)


def _header_field(data, random):
  chunks = _chunks(data)
  header = bytearray(chunks[0][1])
  header[random.choice([3, 7, 8, 9, 10, 11, 12])] = random.choice([0, 1, 2, 3, 4, 8, 16, 60])
  chunks[0][1] = bytes(header)
  return _joined(chunks)


def _pixels(chunks):
  return zlib.decompress(b''.join(content for name, content, _ in chunks if name == b'IDAT'))


def _with_pixels(chunks, contents):
  first = [chunk[0] for chunk in chunks].index(b'IDAT')
  others = [chunk for chunk in chunks[first:] if chunk[0] != b'IDAT']
  return _joined(chunks[:first] + [[b'IDAT', content, None] for content in contents] + others)


def _fewer_rows(data, random):
  """Check sums are right, but pixels are missing, or there are too many."""
  chunks = _chunks(data)
  pixels = _pixels(chunks)
  cut = int(random.integers(1, len(pixels)))
  pixels = pixels[:cut] if random.random() < 0.7 else pixels + pixels[:cut]
  return _with_pixels(chunks, [zlib.compress(pixels)])


def _split_pixels(data, random):
  """Several chunks of pixels, one of which may be empty, or a stream without its end."""
  chunks = _chunks(data)
  stream = zlib.compress(_pixels(chunks))
  if random.random() < 0.5:
    stream = stream[: -int(random.integers(1, 9))]
  cut = int(random.integers(len(stream)))
  return _with_pixels(chunks, [stream[:cut], stream[cut:], b''][: random.integers(1, 4)])


def _drop_chunk(data, random):
  chunks = _chunks(data)
  del chunks[random.integers(len(chunks))]
  return _joined(chunks)


def write_cases(directory, *, num_cases, seed):
  """Writes pairs of files, of which one is damaged; returns [(Pair, what was damaged)]."""
  random = np.random.default_rng(seed)
  cases = []
  for number in range(num_cases):
    extension, image = encoded_image(random)
    label = encoded_label(random)
    if number % 2:
      kind, label = damaged(label, random)
      kind = f'label {kind}'
    else:
      kind, image = damaged(image, random)
      kind = f'image{extension} {kind}'
    name = f'{number:05d}'
    paths = [
      os.path.join(directory, name + extension),
      os.path.join(directory, f'{name}_label.png'),
    ]
    for path, content in zip(paths, (image, label)):
      with open(path, 'wb') as file:
        file.write(content)
    pair = pairing.Pair(name=name, image_path=paths[0], label_path=paths[1])
    cases.append((pair, kind))
  return cases


def run(directory, *, num_cases, seed):
  """dict of counts, and lines about pairs that passed and were refused later, or differ."""
  cases = write_cases(directory, num_cases=num_cases, seed=seed)
  options = ConversionOptions(
    images_dir=directory,
    labels_dir=directory,
    split='fuzz',
    output_dir=os.path.join(directory, 'records'),
    num_classes=_NUM_CLASSES,
    num_workers=1,
  )
  by_pillow = [source_files.convert_pair(pair, options, None) for pair, _ in cases]
  results = list(trial_decoding.try_decoding(by_pillow, options))
  passed = [result for result in results if not result.problem]
  kinds = dict(zip([pair.name for pair, _ in cases], [kind for _, kind in cases]))
  counts = collections.Counter(
    cases=num_cases,
    passed=len(passed),
    refused=num_cases - len(passed),
    refused_by_training_alone=sum(
      bool(after.problem) and not before.problem for before, after in zip(by_pillow, results)
    ),
  )
  failures = []
  for result in results:
    if result.problem and '\n' in result.problem:
      failures.append(f'{result.name} ({kinds[result.name]}): several lines: {result.problem}')
  for result in passed:
    path = _write_record(result, options)
    failures += [
      f'{result.name} ({kinds[result.name]}): {failure}' for failure in _failures(result, path)
    ]
  return counts, failures


def _write_record(result, options):
  # With the converter's own writer, one file a record, so that each is read by itself.
  path = os.path.join(options.output_dir, f'{result.name}.tfrecord')
  os.makedirs(options.output_dir, exist_ok=True)
  with contextlib.ExitStack() as shards:
    writer = conversion_run._ShardWriter([path], options, shards)
    writer.write(result)
    writer.close()
  return path


def _failures(result, path):
  limits = dict(num_classes=_NUM_CLASSES, ignore_label=255)
  try:
    (example,) = input_pipeline.evaluation_examples([path], **limits)
  except Exception as error:  # pylint: disable=broad-except  # What is looked for.
    yield f'evaluation refuses it: {" ".join(str(error).split())[:200]}'
    return
  try:
    batches = input_pipeline.training_batches(
      TrainingInputOptions(
        filenames=(path,), batch_size=1, crop_size_height=25, crop_size_width=25, seed=1
      ),
      num_classes=_NUM_CLASSES,
    )
    for _ in batches.take(3):
      pass
  except Exception as error:  # pylint: disable=broad-except
    yield f'training refuses it: {" ".join(str(error).split())[:200]}'
  try:
    image = image_files.read_image(result.image_path)
  except InputError as error:
    yield f'inference refuses it: {error}'
    return
  as_stored = image.shape != example['image'].shape  # The label was drawn so; the sizes tell.
  if not as_stored and not np.array_equal(image, example['image']):
    yield 'inference sees other pixels than training'


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--cases', type=int, default=500)
  parser.add_argument('--seed', type=int, default=0)
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as directory:
    counts, failures = run(directory, num_cases=arguments.cases, seed=arguments.seed)
  print('\n'.join(failures))
  print(', '.join(f'{name} {count}' for name, count in counts.items()))
  print(f'passed and refused later, or different: {len(failures)}')
  sys.exit(bool(failures))


if __name__ == '__main__':
  main()
