"""Another server instead of the publishers': the environment variable DEEPLAB_MIRROR."""

import os
import posixpath
import urllib.parse

from deeplab.errors import InputError, shown

VARIABLE = 'DEEPLAB_MIRROR'


def addresses(address: str) -> list[str]:
  """Where to get what the publishers have at `address`, in the order to try: there, or, where a
  mirror is set, below its address under the same path, and else directly.

  Raises InputError where the mirror is no http address.
  """
  mirror = os.environ.get(VARIABLE, '').strip().rstrip('/')
  if not mirror:
    return [address]
  try:
    parts = urllib.parse.urlsplit(mirror)
    fits = parts.scheme in ('http', 'https') and bool(parts.hostname) and parts.port != 0
  except ValueError:  # The port is none.
    fits = False
  if not fits or parts.query or parts.fragment:
    raise InputError(
      f'{VARIABLE}={shown(mirror)}: must be the address of a server, such as '
      'http://mirror.example.org/weights'
    )
  path = urllib.parse.urlsplit(address).path
  return [mirror + path, f'{mirror}/{posixpath.basename(path)}']
