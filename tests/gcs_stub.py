"""Google Cloud Storage on this machine, as far as TensorFlow's gs:// uses it.

TensorFlow has no setting for another address. So the stub is the proxy of the process that reads
gs://, and answers in the place of googleapis.com, with a certificate that the process trusts.
"""

import contextlib
import http.server
import json
import re
import ssl
import subprocess
import threading
import urllib.parse

_HOSTS = ('www.googleapis.com', 'storage.googleapis.com')
_TIME = '2024-01-01T00:00:00.000Z'


class Stub(http.server.ThreadingHTTPServer):
  """Attributes: `objects`, 'bucket/name' -> bytes; `buckets`; `requests`, of (method, path, bytes
  sent); `denied`, regular expression of paths that are answered with 403, or None.
  """

  daemon_threads = True

  def __init__(self, certificate):
    super().__init__(('127.0.0.1', 0), _Handler)
    self.objects, self.buckets, self.requests, self.denied = {}, {'bucket'}, [], None
    self.uploads = {}
    self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    self.context.load_cert_chain(certificate)

  def num_bytes_sent(self):
    """Of contents of objects."""
    return sum(size for method, path, size in self.requests if path.startswith('/bucket/'))


@contextlib.contextmanager
def running(directory):
  """(Stub, environment variables for the process that is to use it)."""
  certificate = str(directory / 'stub.pem')
  subprocess.run(
    ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout']
    + [certificate, '-out', certificate + '.crt', '-subj', '/CN=stub', '-addext']
    + ['subjectAltName=' + ','.join(f'DNS:{host}' for host in _HOSTS)],
    check=True,
    capture_output=True,
  )
  with open(certificate, 'a', encoding='ascii') as file, open(certificate + '.crt') as public:
    file.write(public.read())
  stub = Stub(certificate)
  thread = threading.Thread(target=stub.serve_forever, daemon=True)
  thread.start()
  address = f'http://127.0.0.1:{stub.server_port}'
  try:
    yield (
      stub,
      {
        'https_proxy': address,
        'HTTPS_PROXY': address,
        'no_proxy': '',
        'CURL_CA_BUNDLE': certificate + '.crt',
        'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'token',
        'NO_GCE_CHECK': 'true',
        'GCS_RETRY_CONFIG_MAX_RETRIES': '1',
        'GCS_RETRY_CONFIG_INIT_DELAY_TIME_US': '1000',
        'GCS_STAT_CACHE_MAX_AGE': '0',
      },
    )
  finally:
    stub.shutdown()
    stub.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'

  def log_message(self, *args):
    pass

  def do_CONNECT(self):
    self.send_response(200)
    self.end_headers()
    self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
    self.rfile, self.wfile = self.connection.makefile('rb'), self.connection.makefile('wb', 0)
    self.close_connection = False

  def _answer(self, status, body=b'', headers=None):
    if isinstance(body, dict):
      body = json.dumps(body).encode()
    self.server.requests.append((self.command, self.path, len(body)))
    self.send_response(status)
    for name, value in (headers or {}).items():
      self.send_header(name, value)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body)

  def _split(self):
    """(path, query as dict), or None where access is denied, which is answered."""
    parts = urllib.parse.urlsplit(self.path)
    path = urllib.parse.unquote(parts.path)
    if self.server.denied and re.search(self.server.denied, path):
      self._answer(403, {'error': 'denied'})
      return None
    return path, dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))

  def do_GET(self):
    split = self._split()
    if split is None:
      return
    path, query = split
    stub = self.server
    match = re.fullmatch(r'/storage/v1/b/([^/]+)(/o(?:/(.*))?)?', path)
    if match is None:
      self._content(path.lstrip('/'))
    elif match[1] not in stub.buckets:
      self._answer(404, {'error': 'no such bucket'})
    elif match[2] is None:
      self._answer(200, {'name': match[1], 'location': 'EU'})
    elif match[3] is None:
      self._answer(200, self._listing(match[1], query))
    elif f'{match[1]}/{match[3]}' in stub.objects:
      data = stub.objects[f'{match[1]}/{match[3]}']
      # Changed contents have another generation and time.
      number = str(abs(hash(data)) % 10**9)
      self._answer(200, {'size': str(len(data)), 'generation': number, 'updated': _TIME})
    else:
      self._answer(404, {'error': 'no such object'})

  def _listing(self, bucket, query):
    prefix, delimiter = query.get('prefix', ''), query.get('delimiter')
    items, prefixes = [], set()
    for key in sorted(self.server.objects):
      name = key.removeprefix(bucket + '/')
      if name == key or not name.startswith(prefix):
        continue
      rest = name[len(prefix) :]
      if delimiter and delimiter in rest:
        prefixes.add(prefix + rest.split(delimiter)[0] + delimiter)
      else:
        items.append({'name': name})
    most = int(query.get('maxResults', 1000))
    return {'items': items[:most], 'prefixes': sorted(prefixes)}

  def _content(self, key):
    data = self.server.objects.get(key)
    if data is None:
      self._answer(404, {'error': 'no such object'})
      return
    match = re.fullmatch(r'bytes=(\d+)-(\d+)', self.headers.get('Range', ''))
    if match is None:
      self._answer(200, data)
    elif int(match[1]) >= len(data):
      self._answer(416)
    else:
      self._answer(206, data[int(match[1]) : int(match[2]) + 1])

  def _body(self):
    if self.headers.get('Transfer-Encoding') != 'chunked':
      return self.rfile.read(int(self.headers.get('Content-Length', 0)))
    data = b''
    while size := int(self.rfile.readline(), 16):
      data += self.rfile.read(size)
      self.rfile.readline()
    self.rfile.readline()
    return data

  def do_POST(self):
    data = self._body()
    split = self._split()
    if split is None:
      return
    path, query = split
    match = re.fullmatch(r'/upload/storage/v1/b/([^/]+)/o', path)
    if match is None or match[1] not in self.server.buckets:
      self._answer(404)
      return
    if query['uploadType'] == 'media':
      self.server.objects[f'{match[1]}/{query["name"]}'] = data
      self._answer(200, {})
      return
    number = str(len(self.server.uploads))
    self.server.uploads[number] = f'{match[1]}/{query["name"]}'
    self._answer(200, headers={'Location': f'https://www.googleapis.com/session/{number}'})

  def do_PUT(self):
    data = self._body()
    split = self._split()
    if split is None:
      return
    key = self.server.uploads[split[0].split('/')[-1]]
    # With `*` it asks how far it is.
    if not self.headers.get('Content-Range', '').startswith('bytes */'):
      self.server.objects[key] = data
    self._answer(200 if key in self.server.objects else 308, {})

  def do_DELETE(self):
    split = self._split()
    if split is None:
      return
    key = split[0].removeprefix('/storage/v1/b/').replace('/o/', '/', 1)
    self._answer(204 if self.server.objects.pop(key, None) is not None else 404)
