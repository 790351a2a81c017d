import gzip
import os
import random
import socket

import file_server
import pytest

from deeplab import messages
from deeplab.errors import InputError
from deeplab.published import connection, download

CONTENT = gzip.compress(random.Random(1).randbytes(20_000))
PATH = '/models/weights.tar.gz'


class Hearer(messages.Terminal):
  def __init__(self):
    self.lines = []

  def say(self, line):
    self.lines.append(line)

  def shows_bars(self):
    return False


@pytest.fixture
def server():
  with file_server.serving() as serving:
    serving.files[PATH] = CONTENT
    yield serving


@pytest.fixture
def target(tmp_path):
  return str(tmp_path / 'weights')


def fetch(server, target, *paths):
  """The lines said."""
  with messages.heard_by(hearer := Hearer()):
    address = download.download(
      [server.address + path for path in paths or [PATH]], target, name='it'
    )
  assert address.startswith(server.address)
  return hearer.lines


def refused(server, target, *paths):
  with pytest.raises(InputError) as raised:
    fetch(server, target, *paths)
  message = str(raised.value)
  assert '\n' not in message and not os.path.exists(target)
  return message


def content(path):
  with open(path, 'rb') as file:
    return file.read()


@pytest.mark.parametrize('says_length', ['right', 'none'])
def test_whole(server, target, says_length):
  server.says_length = says_length
  lines = fetch(server, target)
  size = ' (0.0 MB)' if says_length == 'right' else ''
  assert lines == [f'downloading it from {server.address}{PATH}{size}']
  assert content(target) == CONTENT and os.listdir(os.path.dirname(target)) == ['weights']


def test_goes_on_where_the_connection_broke(server, target):
  server.cut_after = 9000
  fetch(server, target)
  assert content(target) == CONTENT
  assert [wanted for _, wanted in server.requests] == [None, 'bytes=9000-', 'bytes=18000-']


def test_goes_on_in_another_run(server, target):
  server.cut_after, server.ranges = 9000, False
  assert 'the connection broke (9000 of' in refused(server, target)
  assert os.path.getsize(target + '.part') == 9000
  server.cut_after, server.ranges = None, True
  del server.requests[:]
  assert 'going on at 0.0 MB' in fetch(server, target)[0]
  assert content(target) == CONTENT and server.requests == [(PATH, 'bytes=9000-')]


def test_server_without_ranges_begins_anew(server, target):
  server.cut_after, server.ranges = 9000, False
  refused(server, target)
  server.cut_after = None
  fetch(server, target)
  assert content(target) == CONTENT


@pytest.mark.parametrize('etags', [True, False])
@pytest.mark.parametrize('size', [3000, 15_000, 30_000])
def test_file_that_changed_meanwhile_is_not_mixed_with_the_old_one(server, target, etags, size):
  server.etags = etags
  server.cut_after, server.ranges = 9000, False
  refused(server, target)
  server.cut_after, server.ranges = None, True
  server.files[PATH] = gzip.compress(random.Random(2).randbytes(size))
  fetch(server, target)
  assert content(target) == server.files[PATH]


def test_length_that_is_too_long(server, target):
  server.says_length = 'too long'
  message = refused(server, target)
  assert f'at odds with itself ({len(CONTENT)} of {len(CONTENT) + 100} bytes)' in message
  assert len(server.requests) == 4


def test_not_there(server, target):
  message = refused(server, target, '/a.tar.gz', '/b.tar.gz')
  assert '/a.tar.gz: 404 Not Found, and http' in message and '/b.tar.gz: 404' in message
  fetch(server, target, '/a.tar.gz', PATH)
  assert content(target) == CONTENT


@pytest.mark.parametrize('status', [403, 407, 500, 503])
def test_error_of_the_server(server, target, status):
  server.status = status
  assert f'{PATH}: the server answered {status} ' in refused(server, target)


@pytest.mark.parametrize(
  ['body', 'content_type', 'words'],
  [
    (
      b'<!DOCTYPE html><html><head><title>Please\nsign in</title></head></html>',
      'text/html; charset=utf-8',
      'gave text/html (“Please sign in”) and no gzip archive; a proxy or a page to sign in',
    ),
    (b'\x00garbage' * 50, 'application/gzip', 'gave application/gzip and no gzip archive'),
    (b'\x1f', 'application/gzip', 'and no gzip archive'),
    (b'', 'application/gzip', 'and no gzip archive'),
  ],
)
def test_something_else_than_an_archive(server, target, body, content_type, words):
  server.files[PATH], server.content_type = body, content_type
  assert words in refused(server, target)
  assert os.listdir(os.path.dirname(target)) == []


def test_redirect(server, target):
  server.redirects['/old'] = f'{server.address}{PATH}'
  fetch(server, target, '/old')
  assert content(target) == CONTENT
  server.files['/login'], server.content_type = b'<html>', 'text/html'
  server.redirects['/old'] = '/login'
  os.remove(target)
  assert f'/old (led to {server.address}/login): gave text/html' in refused(server, target, '/old')
  server.redirects['/old'] = '/old'
  assert 'the server answered 302' in refused(server, target, '/old')


def test_redirect_to_a_file_of_this_machine_is_refused(server, target, tmp_path):
  (tmp_path / 'secret').write_bytes(CONTENT)
  server.redirects['/old'] = f'file://{tmp_path}/secret'
  assert 'the server answered 302' in refused(server, target, '/old')


def test_silent_server(server, target, monkeypatch):
  monkeypatch.setattr(connection, 'TIMEOUT', 0.1)
  server.seconds_per_block = 1.0
  assert 'nothing came for 0.1 s; run it again to go on from there' in refused(server, target)


def test_slow_server(server, target, monkeypatch):
  monkeypatch.setattr(connection, 'TIMEOUT', 0.2)
  server.seconds_per_block = 0.02  # 20 blocks: longer than the timeout, which is for each.
  fetch(server, target)
  assert content(target) == CONTENT


def test_nobody_there(target, monkeypatch):
  with file_server.serving() as server:
    pass
  message = refused(server, target)
  assert 'cannot be reached (Connection refused)' in message

  def unknown(*arguments, **more):
    raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

  for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(socket, 'getaddrinfo', unknown)
  with pytest.raises(InputError, match=r'\(the host is not known: Name or service not known\)'):
    download.download(['http://no-such-host.invalid/a'], target, name='it')


def test_proxy_of_the_environment_is_not_asked_for_this_machine(server, target, monkeypatch):
  monkeypatch.setenv('http_proxy', 'http://127.0.0.1:1')
  fetch(server, target)
  with pytest.raises(InputError, match='cannot be reached'):
    download.download(['http://host.example/a'], target, name='it')


def test_full_disk_is_told_before_the_download(server, target, monkeypatch):
  monkeypatch.setattr(
    download.shutil, 'disk_usage', lambda path: download.shutil._ntuple_diskusage(1, 1, 30_000)
  )
  with pytest.raises(OSError, match='0.0 MB are free, 0.0 MB are needed'):
    fetch(server, target)
  assert os.listdir(os.path.dirname(target)) == []


def test_endless_file(server, target, monkeypatch):
  monkeypatch.setattr(download, '_MOST_BYTES', 10_000)
  assert 'gives more than 0.0 MB' in refused(server, target)
  server.says_length = 'none'
  assert 'gives more than 0.0 MB' in refused(server, target)
  assert len(os.listdir(os.path.dirname(target))) == 0


def test_damaged_note_on_a_broken_download(server, target):
  with open(target + '.part', 'wb') as file:
    file.write(b'old')
  for note in (
    '{',
    '[' * 100_000,
    '{"address": "%s", "etag": 5, "size": "x"}' % (server.address + PATH),
  ):
    with open(target + '.part.json', 'w', encoding='utf-8') as file:
      file.write(note)
    fetch(server, target)
    assert content(target) == CONTENT
    os.rename(target, target + '.part')
