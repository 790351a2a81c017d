"""An HTTP server on this machine that misbehaves as told: for tests of downloads."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator


class FileServer:
  """What is served and how, and what was asked for.

  Attributes:
    files: path -> bytes.
    address: of the server.
    ranges: it gives parts of files.
    etags: it marks versions of files.
    cut_after: it closes each connection after so many bytes; None: never.
    says_length: 'right', 'none', 'too long' or 'too short'.
    status: of every response; None for what is right.
    redirects: path -> address.
    content_type: of every response.
    seconds_per_block: it waits so long before each block of 1000 bytes.
    requests: (path, Range header or None), in order.
  """

  def __init__(self, address: str):
    self.address = address
    self.files, self.redirects, self.requests = {}, {}, []
    self.ranges = self.etags = True
    self.cut_after = self.status = None
    self.says_length, self.content_type = 'right', 'application/gzip'
    self.seconds_per_block = 0.0


@contextlib.contextmanager
def serving() -> Iterator[FileServer]:
  """Until it ends a FileServer answers, in threads."""
  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
  server.daemon_threads = True
  server.told = FileServer(f'http://127.0.0.1:{server.server_port}')
  thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
  thread.start()
  try:
    yield server.told
  finally:
    server.shutdown()
    thread.join()
    server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
  def log_message(self, *arguments):
    pass

  def do_GET(self):
    told = self.server.told
    told.requests.append((self.path, self.headers.get('Range')))
    if self.path in told.redirects:
      self.send_response(302)
      self.send_header('Location', told.redirects[self.path])
      self.end_headers()
      return
    content = told.files.get(self.path)
    if told.status or content is None:
      self.send_error(told.status or 404)
      return
    etag, start = f'"{hash(content)}"', self._start(content)
    if start >= len(content) > 0:
      self.send_error(416)
      return
    part = content[start:]
    self.send_response(206 if start else 200)
    self.send_header('Content-Type', told.content_type)
    if told.etags:
      self.send_header('ETag', etag)
    if start:
      self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
    off = {'right': 0, 'too long': 100, 'too short': -100}.get(told.says_length)
    if off is not None:
      self.send_header('Content-Length', str(len(part) + off))
    self.end_headers()
    part = part if told.cut_after is None else part[: told.cut_after]
    for position in range(0, len(part), 1000):
      time.sleep(told.seconds_per_block)
      with contextlib.suppress(OSError):  # The client went.
        self.wfile.write(part[position : position + 1000])

  def _start(self, content):
    """The first byte to give."""
    told, wanted = self.server.told, self.headers.get('Range')
    if not (told.ranges and wanted):
      return 0
    if self.headers.get('If-Range') not in (None, f'"{hash(content)}"'):
      return 0
    return int(wanted.removeprefix('bytes=').removesuffix('-'))
