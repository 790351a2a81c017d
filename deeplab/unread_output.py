"""Output that nobody reads any more, since `head` or a pager has ended."""

import os
import select
import sys


def drop() -> bool:
  """Flushes stdout and stderr. What is later written to one that is a pipe without a reader is
  dropped, lest Python's own flush at the exit fails.

  Returns:
    whether one of them is.
  """
  found = False
  for stream in (sys.stdout, sys.stderr):
    try:
      stream.flush()
      is_unread = _is_unread(stream)
    except BrokenPipeError:
      is_unread = True
    if is_unread:
      os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
      found = True
  return found


def _is_unread(stream):
  """Whether the stream is a pipe without a reader; where Python does not buffer, flushing it does
  not tell.
  """
  if not hasattr(select, 'poll'):  # Not on Windows.
    return False
  poll = select.poll()
  try:
    poll.register(stream.fileno(), 0)
  except ValueError:  # A stream that is no file.
    return False
  return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
