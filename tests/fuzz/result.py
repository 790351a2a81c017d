"""How a case ended."""

import dataclasses

from . import cases


@dataclasses.dataclass
class Result:
  """How a case ended: one of cases.OUTCOMES, with what the damage was and details, for people."""

  number: int
  target: str
  outcome: str
  detail: str = ''
  note: str = ''
  seconds: float = 0.0
  megabytes: float = 0.0

  @property
  def is_fault(self) -> bool:
    """Whether it is not as it should be."""
    return self.outcome in cases.FAULTS
