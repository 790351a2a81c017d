"""SHA-256 of files, for those who keep it beside them and compare it later."""

import hashlib


def sha256_of(path: str) -> str:
  """The digest of a file in hexadecimal. Raises OSError where it cannot be read."""
  digest = hashlib.sha256()
  with open(path, 'rb') as file:
    while block := file.read(1 << 20):
      digest.update(block)
  return digest.hexdigest()
