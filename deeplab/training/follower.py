"""What a worker that is not the chief has where the chief has the run's directory and its log: it
writes nothing and says nothing, and knows what decisions of all workers depend on.
"""

from deeplab.training.remote_copy import RemoteCopy


class FollowerDirectory:
  """In place of RunDirectory.

  Attributes:
    path: of the run, which the chief alone uses.
    copy: of nothing to nowhere.
    best: the score of the best validation so far, as the chief told it, or None.
  """

  def __init__(self, path: str):
    self.path = path
    self.copy = RemoteCopy(path, None)
    self.best = None

  def best_score(self) -> dict | None:
    """As of RunDirectory."""
    return self.best

  def save(self, *_, **__) -> None:
    """The chief does."""

  save_best = save_averaged = save


class FollowerLog:
  """In place of TrainingLog. Attribute `validations`: the lines of the validations so far."""

  def __init__(self):
    self.validations = []

  def validated(self, *_, step: int, **__) -> None:
    """Keeps that there was one."""
    self.validations.append({'step': step})

  def say_nothing(self, *_, **__) -> None:
    """The chief reports."""

  line = update = at = panel = flush = say_nothing
