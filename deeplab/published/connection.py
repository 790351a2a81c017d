"""One request to a server, and why it failed.

By urllib: what is asked for beyond a plain GET (going on, a size that is compared, a first look at
what comes) would be this toolkit's own with `requests` too.
"""

import contextlib
import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

from deeplab import __version__
from deeplab.errors import InputError, shown

# Seconds without a byte after which a server counts as silent.
TIMEOUT = 30.0
_BLOCK = 1 << 17


class UnavailableError(InputError):
  """What is asked for cannot be got there; the message is a line without a remedy."""


class NotThereError(Exception):
  """The server does not have the file."""


class ChangedError(Exception):
  """The server has another file than the one of which a part has come."""


class BrokenError(Exception):
  """The connection ended before the file did."""


@contextlib.contextmanager
def opened(address: str, *, start: int, etag: str) -> Iterator[http.client.HTTPResponse]:
  """Yields the response to a request for a file.

  Args:
    address: of the file.
    start: the first byte that is wanted; a server may send all of it.
    etag: the server's mark of the version of which the bytes before are there, or ''.

  Raises:
    NotThereError: the server does not have it.
    ChangedError: it is no longer than `start`.
    UnavailableError: the server cannot be reached, or refuses.
  """
  headers = {'User-Agent': f'deeplab-tf/{__version__}', 'Accept-Encoding': 'identity'}
  if start:
    headers['Range'] = f'bytes={start}-'
    if etag and not etag.startswith('W/'):
      headers['If-Range'] = etag
  try:
    response = _opener(address).open(
      urllib.request.Request(address, headers=headers), timeout=TIMEOUT
    )
  except urllib.error.HTTPError as error:
    error.close()
    if error.code in (404, 410):
      raise NotThereError(f'{error.code} {one_line(error.reason)}') from error
    if error.code == 416 and start:  # It is no longer than what has come.
      raise ChangedError from error
    reason = one_line(error.reason)
    raise UnavailableError(f'{address}: the server answered {error.code} {reason}') from error
  except (OSError, http.client.HTTPException, ValueError) as error:
    raise UnavailableError(f'{address}: cannot be reached ({_reason(error)})') from error
  with response:
    yield response


def _opener(address):
  """Opens http and https and nothing else, also where it is redirected to."""
  opener = urllib.request.OpenerDirector()
  host = urllib.parse.urlsplit(address).hostname or ''
  # No proxy can reach what is on this machine.
  local = host == 'localhost' or host == '::1' or host.startswith('127.')
  for handler in (
    urllib.request.ProxyHandler({} if local else None),
    urllib.request.HTTPHandler(),
    urllib.request.HTTPSHandler(),
    urllib.request.HTTPRedirectHandler(),
    urllib.request.HTTPDefaultErrorHandler(),
    urllib.request.HTTPErrorProcessor(),
    urllib.request.UnknownHandler(),
  ):
    opener.add_handler(handler)
  return opener


def next_block(response: http.client.HTTPResponse) -> bytes:
  """What has come by now, as soon as something has; b'' at the end.

  Raises:
    BrokenError: the connection ended. InputError: nothing came for TIMEOUT.
  """
  try:
    return response.read1(_BLOCK)
  except TimeoutError as error:
    raise InputError(
      f'{response.url}: nothing came for {TIMEOUT:g} s; run it again to go on from there'
    ) from error
  except (OSError, http.client.HTTPException) as error:
    raise BrokenError(_reason(error)) from error


def _reason(error):
  """Why a connection failed, in one line."""
  cause = getattr(error, 'reason', error)
  if isinstance(cause, socket.gaierror):
    return f'the host is not known: {cause.strerror}'
  if isinstance(cause, TimeoutError):
    return f'no answer within {TIMEOUT:g} s'
  return one_line(getattr(cause, 'strerror', None) or str(cause) or type(cause).__name__)


def one_line(text: object) -> str:
  """A text of a server on one line, without control characters."""
  return shown(' '.join(str(text).split()))
