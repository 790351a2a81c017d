"""Damaged and hostile archives of the model zoo: what comes out is what was put in, and nothing
lands anywhere else.
"""

import functools
import gzip
import io
import lzma
import os
import tarfile

from deeplab.official import archives
from deeplab.options import ImportOptions

from . import damages
from .cases import Case, Silent, Target

_TRUTH = {
  'model/model.ckpt-30000.index': b'index' * 300,
  'model/model.ckpt-30000.data-00000-of-00001': bytes(range(256)) * 40,
  'model/frozen_inference_graph.pb': b'graph' * 100,
  'model/README': b'read me',
}
_LIMITS = {
  'max_mb': ImportOptions.max_archive_mb,
  'max_members': ImportOptions.max_archive_members,
}
_MODES = ('w', 'w:gz', 'w:bz2', 'w:xz')


def run(case: Case) -> None:
  """An archive damaged as bytes, or one whose members are not as they should be."""
  mode = case.choose(_MODES)
  name = 'model' + {'w': '.tar', 'w:gz': '.tar.gz', 'w:bz2': '.tar.bz2', 'w:xz': '.tar.xz'}[mode]
  if case.chance(0.5):
    data = damages.bytes_of(case, _archive(_TRUTH, mode))
    has_check_sum = mode != 'w'
  elif case.chance(0.08):
    data, has_check_sum = _bomb(case), False
  else:
    data, has_check_sum = _hostile(case, mode), False
  path = case.write(name, data)
  with archives.extracted_model(path, **_LIMITS) as (model, _):
    directory = os.path.dirname(model)
    there = {each: _content(os.path.join(directory, each)) for each in os.listdir(directory)}
  if os.path.exists(directory):
    raise Silent('the temporary directory is left')
  if os.listdir(case.directory) != [name]:
    raise Silent(f'extracted outside: {os.listdir(case.directory)}')
  truth = {os.path.basename(each): content for each, content in _TRUTH.items()}
  if has_check_sum and any(truth.get(each) != content for each, content in there.items()):
    raise Silent(f'{mode}: other contents than were put in, and no error')


def _content(path):
  if os.path.islink(path) or not os.path.isfile(path):
    raise Silent(f'{os.path.basename(path)}: extracted, and no file')
  with open(path, 'rb') as file:
    return file.read(1 << 20)


def _archive(files, mode, more=()):
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode=mode) as tar:
    for name, content in files.items():
      _add(tar, tarfile.TarInfo(name), content)
    for member, content in more:
      _add(tar, member, content)
  return buffer.getvalue()


def _add(tar, member, content):
  member.size = len(content)
  tar.addfile(member, io.BytesIO(content))


def _hostile(case, mode):
  """Members with strange names, kinds and sizes, among or in place of the right ones."""
  files = dict(_TRUTH)
  replaced = case.choose(sorted(files))
  content = files.pop(replaced)
  member = tarfile.TarInfo(replaced)
  kind = int(case.random.integers(8))
  case.note(f'hostile member {kind} for {replaced}')
  if kind == 0:
    member.name = case.choose(
      ['../' + replaced, '/tmp/' + replaced, 'a/../../' + replaced, '..\\' + replaced, 'x' * 5000]
    )
  elif kind == 1:
    member.name = replaced.replace('model', case.choose(['mo\ndel', '\x1b[2J', 'a' * 300, 'é', '']))
  elif kind == 2:
    member.type = case.choose(
      [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b'Z']
    )
    member.linkname, content = case.choose(['/etc/passwd', '../x', replaced, '']), b''
  elif kind == 3:
    return _sparse(case, replaced, mode)
  elif kind == 4:
    member.pax_headers = {
      case.choose(
        ['size', 'path', 'GNU.sparse.size', 'GNU.sparse.realsize', 'mtime', 'hdrcharset']
      ): case.choose(['-1', '99999999999999', 'x', '1e9', '0', '../../x'])
    }
  elif kind == 5:
    return _archive(files, mode, [(member, content), (tarfile.TarInfo(replaced), b'another')])
  elif kind == 6:
    many = case.choose([300, 20_000])
    return _archive(files, 'w', [(tarfile.TarInfo(f'f{each}'), b'') for each in range(many)])
  else:
    content = b''
  return _archive(files, mode, [(member, content)])


def _sparse(case, name, mode):
  """A member that claims gigabytes of holes: GNU's old form, made by hand."""
  size = case.choose([10**6, 20 * 10**9, 8 * 10**12])
  header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT)[:512])
  header[156:157] = b'S'
  header[386 : 386 + 24] = b'%011o\0%011o\0' % (0, 0)
  header[483:495] = b'\x80' + size.to_bytes(11, 'big')
  header[148:156] = b' ' * 8
  header[148:156] = b'%06o\0 ' % sum(header)
  rest = {each: content for each, content in _TRUTH.items() if each != name}
  data = bytes(header) + _archive(rest, 'w')
  pack = {'w': lambda data: data, 'w:gz': gzip.compress, 'w:xz': lzma.compress}
  return pack.get(mode, gzip.compress)(data)


@functools.cache
def _zeros():
  return gzip.compress(bytes(64 << 20), 6)


def _bomb(case):
  """A member of gigabytes of zeros in a few megabytes: gzip's members follow each other."""
  block = _zeros()
  count = case.choose([4, 300])
  case.note(f'bomb of {count} * 64 MiB')
  name = 'model/model.ckpt-30000.data-00000-of-00001'
  member = tarfile.TarInfo(name)
  member.size = count * (64 << 20)
  rest = {each: content for each, content in _TRUTH.items() if each != name}
  return (
    gzip.compress(member.tobuf(tarfile.GNU_FORMAT))
    + block * count
    + gzip.compress(_archive(rest, 'w'))
  )


TARGETS = (Target('archives', run, weight=7),)
