import gzip
import io
import lzma
import os
import tarfile
import zlib

import pytest

from deeplab import tar_archives
from deeplab.errors import InputError
from deeplab.official import archives

CHECKPOINT = {
  'model/model.ckpt-30000.index': b'index',
  'model/model.ckpt-30000.data-00000-of-00001': b'data' * 100_000,
  'model/._model.ckpt-30000.index': b'mac',
  'model/frozen_inference_graph.pb': b'graph',
  'model/README': b'',
}


def archive(path, files, *, mode='w:gz', links=(), kind=tarfile.SYMTYPE):
  with tarfile.open(path, mode) as tar:
    for name, content in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(content)
      tar.addfile(member, io.BytesIO(content))
    for name, target in links:
      member = tarfile.TarInfo(name)
      member.type, member.linkname = kind, target
      tar.addfile(member)
  return str(path)


def extract(path, *, max_mb=100, max_members=100):
  with archives.extracted_model(path, max_mb=max_mb, max_members=max_members) as (model, name):
    directory = os.path.dirname(model)
    there = {
      each: open(os.path.join(directory, each), 'rb').read() for each in os.listdir(directory)
    }
  assert not os.path.exists(directory)
  return os.path.basename(model), name, there


@pytest.mark.parametrize('mode', ['w', 'w:gz', 'w:xz'])
def test_checkpoint_is_preferred_and_nothing_else_is_extracted(mode, tmp_path):
  path = archive(tmp_path / 'model.tar.gz', CHECKPOINT, mode=mode)
  assert tar_archives.is_archive(path)
  assert extract(path) == (
    'model.ckpt-30000',
    'model/model.ckpt-30000',
    {'model.ckpt-30000.index': b'index', 'model.ckpt-30000.data-00000-of-00001': b'data' * 100_000},
  )


def test_frozen_graph_where_there_is_no_checkpoint(tmp_path):
  path = archive(
    tmp_path / 'model.tar.gz', {'a/frozen_inference_graph.pb': b'graph', 'a/other.pb': b''}
  )
  assert extract(path) == (
    'frozen_inference_graph.pb',
    'a/frozen_inference_graph.pb',
    {'frozen_inference_graph.pb': b'graph'},
  )


@pytest.mark.parametrize(
  'name', ['../model.ckpt.index', 'model/../../evil', '/etc/evil', '..\\evil']
)
def test_names_that_lead_out_are_refused(name, tmp_path):
  path = archive(tmp_path / 'model.tar.gz', {**CHECKPOINT, name: b''})
  with pytest.raises(InputError, match='leads out of its directory; nothing was extracted'):
    extract(path)


@pytest.mark.parametrize('name', ['a\nb', 'a\x1b[31m', 'a\x9b', '\x7f'])
def test_names_with_control_characters_are_refused(name, tmp_path):
  path = archive(tmp_path / 'model.tar.gz', {**CHECKPOINT, name: b''})
  with pytest.raises(InputError, match='whose name has control characters') as error:
    extract(path)
  assert str(error.value).isprintable()


@pytest.mark.parametrize(
  'kind', [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_links_in_place_of_files_are_refused(tmp_path, kind):
  secret = tmp_path / 'secret'
  secret.write_bytes(b'secret')
  files = {'model.ckpt.data-00000-of-00001': b''}
  path = archive(
    tmp_path / 'model.tar.gz', files, links=[('model.ckpt.index', str(secret))], kind=kind
  )
  with pytest.raises(InputError, match='model.ckpt.index is not a file in the archive but a link'):
    extract(path)


@pytest.mark.parametrize(
  'files, message',
  [
    ({'README': b''}, r'no checkpoint \(\*.index\) and no frozen graph \(\*.pb\), but README'),
    ({}, 'but nothing'),
    (
      {'a.index': b'', 'a.data-00000-of-00001': b'', 'b.index': b'', 'b.data-00000-of-00001': b''},
      r'several models \(a, b\)',
    ),
    ({'a.index': b''}, 'a.index without its data file a.data-00000-of-00001'),
  ],
)
def test_archives_without_one_model_are_refused(files, message, tmp_path):
  with pytest.raises(InputError, match=message):
    extract(archive(tmp_path / 'model.tar.gz', files))


@pytest.mark.parametrize('mode', ['w', 'w:gz'])
@pytest.mark.parametrize('kept', [0.0, 0.3, 0.8])
def test_truncated_archives_are_refused(kept, mode, tmp_path):
  files = {**CHECKPOINT, 'model/model.ckpt-30000.data-00000-of-00001': os.urandom(200_000)}
  path = archive(tmp_path / 'model.tar.gz', files, mode=mode)
  whole = open(path, 'rb').read()
  with open(path, 'wb') as file:
    file.write(whole[: int(len(whole) * kept)])
  assert tar_archives.is_archive(path)
  with pytest.raises(InputError, match='damaged or truncated'):
    extract(path)


def test_damaged_content_is_refused(tmp_path):
  path = archive(tmp_path / 'model.tar.gz', {**CHECKPOINT, 'noise': os.urandom(100_000)})
  content = bytearray(open(path, 'rb').read())
  content[len(content) // 2] ^= 0xFF
  with open(path, 'wb') as file:
    file.write(content)
  with pytest.raises(InputError, match='damaged'):
    extract(path)


def test_only_so_much_is_unpacked(tmp_path):
  bomb = archive(tmp_path / 'bomb.tar.gz', {**CHECKPOINT, 'zeros': bytes(40_000_000)})
  assert os.path.getsize(bomb) < 100_000
  with pytest.raises(InputError, match='unpacks to more than 10 MB; .*raise --max_archive_mb'):
    extract(bomb, max_mb=10)
  assert extract(bomb)[0] == 'model.ckpt-30000'
  many = archive(tmp_path / 'many.tar', {f'{index}': b'' for index in range(101)}, mode='w')
  with pytest.raises(InputError, match='more than 100 members; .*raise --max_archive_members'):
    extract(many)


def test_a_dictionary_of_any_size_is_not_made(tmp_path):
  path = tmp_path / 'model.tar.xz'
  filters = [{'id': lzma.FILTER_LZMA2, 'dict_size': 2**20}]
  content = bytearray(lzma.compress(bytes(10_000), filters=filters))
  (place,) = [at for at in range(12, 20) if content[at : at + 2] == b'\x21\x01']
  content[place + 2] = 40  # 4 GiB.
  content[20:24] = zlib.crc32(content[12:20]).to_bytes(4, 'little')
  path.write_bytes(content)
  with pytest.raises(InputError, match='damaged .*Memory usage limit exceeded'):
    extract(str(path))


def test_headers_of_any_size_are_not_read(tmp_path):
  path = str(tmp_path / 'model.tar.gz')
  header = tarfile.TarInfo('name')
  header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**33
  with gzip.open(path, 'wb') as file:
    file.write(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
  with pytest.raises(InputError, match='has a header of 8589934592 bytes; nothing was extracted'):
    extract(path, max_mb=10**6)


def test_chains_of_headers_and_sparse_files_are_refused(tmp_path):
  path = tmp_path / 'model.tar'
  header = tarfile.TarInfo('name')
  header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
  path.write_bytes((header.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 3000)
  with pytest.raises(InputError, match='damaged'):
    extract(str(path))
  header = tarfile.TarInfo('model.ckpt.index')
  header.type = tarfile.GNUTYPE_SPARSE
  content = bytearray(header.tobuf(tarfile.GNU_FORMAT))
  content[386:410] = b'%011o\0%011o\0' % (0, 0)
  content[483:495] = b'%011o ' % (20 * 2**30 % 8**11)
  content[148:156] = b' ' * 8
  content[148:156] = b'%06o\0 ' % sum(content)
  path.write_bytes(content + bytes(1024))
  with pytest.raises(InputError, match='which is sparse'):
    extract(str(path))
