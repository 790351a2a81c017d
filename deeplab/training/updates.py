"""The updates of a training, one after the other: drawn, started, read one step late, reported."""

import time
import typing
from collections.abc import Iterator, Sequence

from deeplab.training.guards import Guards
from deeplab.training.step_result import StepResult
from deeplab.training.training_log import TrainingLog
from deeplab.training.training_step import PendingResult


class StartedUpdate(typing.NamedTuple):
  """An update that may not have ended yet.

  Attributes:
    pending: what it will tell.
    step: its number, from 1.
    learning_rate: its rate.
    names: for `device_batches.names_of`; no images, which would stay in memory.
    num_images: in its batches.
  """

  pending: PendingResult
  step: int
  learning_rate: float
  names: Sequence[dict]
  num_images: int


class Updating(typing.Protocol):
  """What makes the updates: a DeepLabV3Trainer, which says what these do."""

  accumulate_steps: int
  guards: Guards

  def start_update(self, batches: Sequence[dict], *, stop: bool) -> StartedUpdate: ...

  def finish_update(self, started: StartedUpdate) -> StepResult: ...

  def names_of(self, batches: Sequence[dict]) -> list[bytes]: ...


class Updates:
  """Starts each update before the numbers of the one before are read, so that a GPU has something
  to do while Python reads and reports.
  """

  def __init__(
    self,
    trainer: Updating,
    batches: Iterator[dict],
    log: TrainingLog,
    *,
    log_per_steps: int,
  ):
    """Prepares; arguments are those of `DeepLabV3Trainer.train`."""
    self._trainer, self._batches, self._log = trainer, batches, log
    self._log_per_steps = log_per_steps
    self._unread = None  # (StartedUpdate, seconds it waited for its batches)
    self._names = ()

  def start(self, *, stop: bool) -> None:
    """Draws batches and starts an update; then reads and reports the one before.

    Args:
      stop: as of `TrainingStep.start`.

    Raises:
      InputError: see `DeepLabV3Trainer.update`.
    """
    since = time.monotonic()
    drawn = [next(self._batches) for _ in range(self._trainer.accumulate_steps)]
    waited = time.monotonic() - since
    earlier = self._unread
    started = self._trainer.start_update(drawn, stop=stop)
    self._unread, self._names = (started, waited), started.names
    self._read(earlier)

  def finish(self) -> None:
    """Waits for the update that was started last, and reports it; nothing where it was done."""
    unread, self._unread = self._unread, None
    self._read(unread)

  def last_names(self) -> list[bytes]:
    """Of the examples of the last update that this worker had."""
    return self._trainer.names_of(self._names)

  def _read(self, unread):
    if unread is None:
      return
    started, waited = unread
    result = self._trainer.finish_update(started)
    self._trainer.guards.warn_if_nothing_counts(
      result, step=started.step, log_per_steps=self._log_per_steps
    )
    self._log.update(
      result,
      step=started.step,
      learning_rate=started.learning_rate,
      waited=waited,
      num_images=started.num_images,
    )
