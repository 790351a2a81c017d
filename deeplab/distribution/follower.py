"""What a worker that is not the chief says: nothing."""

from deeplab.messages import Terminal


class Follower(Terminal):
  """Hears for a command of a worker that is not the chief: errors only, which the command prints
  itself.
  """

  def say(self, line: str) -> None:
    """The chief says it."""

  def warn(self, line: str) -> None:
    """The chief warns."""

  def shows_bars(self) -> bool:
    """Only the chief's are drawn."""
    return False
