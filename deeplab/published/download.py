"""Downloading a file by HTTP: whole or not at all, going on where an earlier attempt broke off."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Sequence

from deeplab import json_files, messages
from deeplab.atomic_files import replacing
from deeplab.errors import InputError, shown
from deeplab.published import connection

_GZIP = b'\x1f\x8b'
_MOST_CONNECTIONS = 20
_MOST_BYTES = 2 * 10**9  # Four times the largest archive that is published.


@dataclasses.dataclass(frozen=True)
class _Begun:
  """What is known of a download that has begun, kept beside its file.

  Attributes:
    address: it came from.
    etag: the server's mark of that version of the file, or ''.
    size: of the whole file, or None where the server did not say.
  """

  address: str
  etag: str
  size: int | None


def download(addresses: Sequence[str], path: str, *, name: str) -> str:
  """Downloads a gzip file to `path`; until it is whole it is `path`.part.

  Args:
    addresses: of the file; the next one is tried where a server does not have it.
    path: in a directory that exists.
    name: of the file's content, for the line and the bar that show how it goes.

  Returns:
    the address it came from.

  Raises:
    UnavailableError: no server gives it.
    InputError: it did not come whole. What has come stays, and the next call goes on from there.
    OSError: it cannot be written.
  """
  part, missing = path + '.part', []
  for address in addresses:
    try:
      _download_one(address, part, name=name)
    except connection.NotThereError as error:
      missing.append(f'{address}: {error}')
      continue
    os.replace(part, path)
    _remove(part + '.json')
    return address
  raise connection.UnavailableError(f'{", and ".join(missing)}: the server does not have it')


def _download_one(address, part, *, name):
  """Completes the file `part`, over as many connections as it takes."""
  changed, broken = False, ''
  for _ in range(_MOST_CONNECTIONS):
    before = _size(part)
    try:
      _continue(address, part, name=name)
      return
    except connection.ChangedError as error:
      _discard(part)
      if changed:  # Again: the server never has what it says.
        raise InputError(f'{address}: the server is at odds with itself ({broken})') from error
      changed = True
    except connection.BrokenError as error:
      broken = str(error)
      if _size(part) <= before:
        raise InputError(
          f'{address}: the connection broke ({broken}), {_shown_size(_size(part))} have come; run '
          'it again to go on from there'
        ) from error
    except OSError:
      _discard(part)  # The disk is full: what has come would keep it so.
      raise
  raise InputError(
    f'{address}: the connection broke {_MOST_CONNECTIONS} times ({broken}); run it again to go on '
    'from there'
  )


def _continue(address, part, *, name):
  """One connection: what `part` lacks, or all of it where the server cannot give just that."""
  begun = _read_begun(part, address)
  start = _size(part) if begun else 0
  if start and start == begun.size:
    return
  with connection.opened(address, start=start, etag=begun.etag if begun else '') as response:
    if start and response.status == 206:
      size = _whole_size_of_part(response, start)
      if size is None or begun.size not in (None, size):
        raise connection.ChangedError
    else:
      start, size = 0, response.length
    _check_size(address, part, size)
    _check_space(part, size, start)
    first = connection.next_block(response) if start else _first_block(response, address)
    _say_start(name, address, size=size, start=start)
    begun = _Begun(address, response.headers.get('ETag', ''), size)
    with replacing(part + '.json') as temporary, open(temporary, 'w', encoding='utf-8') as file:
      json.dump(dataclasses.asdict(begun), file)
    with open(part, 'ab' if start else 'wb') as file, _bar(name, size, start) as bar:
      block = first
      while block:
        file.write(block)
        file.flush()  # A break must not take back what has come.
        bar.update(len(block))
        _check_size(address, part, file.tell())
        block = connection.next_block(response)
  if size is not None and _size(part) != size:
    raise connection.BrokenError(f'{_size(part)} of {size} bytes')


def _say_start(name, address, *, size, start):
  of = f' of {_shown_size(size)}' if size is not None else ''
  how_much = f'going on at {_shown_size(start)}{of}' if start else _shown_size(size) if of else ''
  messages.say(f'downloading {name} from {address}' + (f' ({how_much})' if how_much else ''))


def _whole_size_of_part(response, start):
  """Bytes of the whole file of which the response is the rest from `start` on, or None."""
  match = re.fullmatch(r'bytes (\d+)-\d+/(\d+)', response.headers.get('Content-Range', ''))
  return int(match.group(2)) if match and int(match.group(1)) == start else None


def _first_block(response, address):
  """The first bytes, which must be those of a gzip file."""
  block = connection.next_block(response)
  while 0 < len(block) < len(_GZIP):
    more = connection.next_block(response)
    block += more
    if not more:
      break
  if not block.startswith(_GZIP):
    kind = response.headers.get_content_type() if 'Content-Type' in response.headers else 'bytes'
    title = re.search(rb'<title[^>]*>([^<]{1,80})', block, re.IGNORECASE)
    said = f' (“{connection.one_line(title.group(1).decode("utf-8", "replace"))}”)' if title else ''
    why = (
      '; a proxy or a page to sign in may stand between'
      if b'<' in block[:200]
      else '; the file there is another one, or damaged'
    )
    led = f' (led to {shown(response.url)})' if response.url != address else ''
    raise connection.UnavailableError(
      f'{address}{led}: gave {shown(kind)}{said} and no gzip archive{why}; nothing of it was kept'
    )
  return block


def _check_size(address, part, size):
  if size is not None and size > _MOST_BYTES:
    _discard(part)
    raise connection.UnavailableError(
      f'{address}: gives more than {_shown_size(_MOST_BYTES)}, which no archive of weights has'
    )


def _check_space(part, size, start):
  """Raises OSError where the file, and what is made of it, do not fit."""
  if size is None:
    return
  needed = 2 * size - start
  free = shutil.disk_usage(os.path.dirname(part)).free
  if free < needed:
    raise OSError(
      f'{_shown_size(free)} are free, {_shown_size(needed)} are needed for the archive and what is '
      'made of it'
    )


def _bar(name, size, start):
  from tqdm import tqdm

  return tqdm(
    total=size,
    initial=start,
    desc=name,
    unit='B',
    unit_scale=True,
    disable=not messages.shows_bars(),
    **messages.size_for_bars(),
  )


def _read_begun(part, address):
  """The _Begun beside `part`, if it is of this address; else None."""
  try:
    begun = _Begun(**json_files.read(part + '.json'))
  except (OSError, ValueError, TypeError):
    return None
  whole = begun.address == address and isinstance(begun.etag, str)
  return begun if whole and os.path.isfile(part) else None


def _size(path):
  return os.path.getsize(path) if os.path.exists(path) else 0


def _discard(part):
  for path in (part, part + '.json'):
    _remove(path)


def _remove(path):
  with contextlib.suppress(FileNotFoundError):
    os.remove(path)


def _shown_size(size):
  return f'{size / 1e6:.1f} MB'
