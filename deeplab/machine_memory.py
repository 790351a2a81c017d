"""What cannot fit into the memory of this machine, told before it is tried: a system that has no
memory left ends the process without a word.
"""

import os

from deeplab.errors import InputError


def refuse_what_cannot_fit(num_bytes: int, *, what: str, remedy: str) -> None:
  """Raises InputError where `num_bytes` are more than the machine has.

  Args:
    num_bytes: the least that is needed.
    what: needs it, with its flags.
    remedy: what to give instead.
  """
  try:
    there = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  except (AttributeError, OSError, ValueError):  # Windows does not say.
    return
  if num_bytes > there > 0:
    raise InputError(
      f'{what}: needs at least {num_bytes / 2**30:.0f} GB of memory, and this machine has '
      f'{there / 2**30:.0f} GB; {remedy}'
    )
