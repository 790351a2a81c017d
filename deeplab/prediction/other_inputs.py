"""Inputs that are no image files and no videos, but that people give: what to do with each."""

import re

from deeplab import remote_files
from deeplab.errors import InputError, shown
from deeplab.prediction import video_reader

_HEIC = ('.heic', '.heif', '.hif')
_RAW = ('.dng', '.cr2', '.cr3', '.nef', '.arw', '.raf', '.orf', '.rw2')


def check(path: str, *, flag: str) -> None:
  """Raises InputError where a path that `flag` names cannot be an image file: an address on the
  web, a format that is not read, or remote where nothing reads that.
  """
  reason = why_not(path)
  if reason:
    raise InputError(f'--{flag}={shown(path)}: {reason}')
  remote_files.check_scheme(path, flag=flag)


def why_not(path: str) -> str | None:
  """Why a path cannot be an image file, and what to do; None for others."""
  if re.match(r'(https?|ftps?)://', path, flags=re.IGNORECASE):
    return 'an address is not read; download it first, and give the file'
  if remote_files.is_remote(path) and video_reader.is_video(path):
    return 'videos are read from a local disk; copy it there first'
  if path.lower().endswith(_HEIC):
    return 'HEIC is not read; convert it to JPEG, with its full size'
  if path.lower().endswith(_RAW):
    return 'raw photographs are not read; convert it to JPEG or PNG'
  if path.lower().endswith('.pdf'):
    return 'PDF is not read; convert its pages to PNG'
  return None
