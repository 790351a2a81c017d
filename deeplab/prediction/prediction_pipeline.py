"""A folder of photographs through the network: reading, computing and writing at the same time."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import sys
import time
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from deeplab import messages
from deeplab.data import picture_limit
from deeplab.engines.interface import num_cores
from deeplab.errors import InputError, shown
from deeplab.failure_reasons import memory_shortage
from deeplab.options import DEFAULT_MAX_IMAGE_PIXELS
from deeplab.prediction.contact_sheets import ContactSheets
from deeplab.prediction.device_predictors import DevicePredictors
from deeplab.prediction.image_files import read_image
from deeplab.prediction.image_reduction import SizeAdvice
from deeplab.prediction.prediction_files import PredictionWriter
from deeplab.prediction.prediction_paths import PlannedPrediction
from deeplab.prediction.same_size_batches import same_size_batches

# Threads: as many as there are cores, within these. What they do is done without Python's lock, and
# a GPU is fed by all cores; on a CPU there are never more files at a time than it computes.
_READERS = (3, 32)
_WRITERS = (2, 32)
# Bytes of images decoded but not yet computed (once more of those that wait for others of their
# size, and of those that a device is at), and of images and what was predicted of them but not yet
# written. Of larger images there is one at a time, so photographs of any size do not fill the
# memory.
_MOST_AHEAD = _MOST_BEHIND = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class _Decoded:
  planned: PlannedPrediction
  image: np.ndarray
  batch_key: tuple


@dataclasses.dataclass(frozen=True)
class _Unwritten:
  planned: PlannedPrediction
  future: concurrent.futures.Future
  num_bytes: int


@dataclasses.dataclass
class PredictionSummary:
  """What became of the images.

  Attributes:
    num_predicted: images predicted and written.
    num_bad: images that could not be read or predicted, or not to their end.
    num_partial: those of them of which a part is predicted and written: videos that break off.
    seconds_to_first: from the start of the run to the first file written; None where there was
      none.
    seconds: from the start of the run to its end.
    kind: what is counted: images, or inputs where videos are among them.
    problems: (path, line) of each that is bad.
  """

  num_predicted: int = 0
  num_bad: int = 0
  seconds_to_first: float | None = None
  seconds: float = 0.0
  kind: str = 'images'
  num_partial: int = 0
  problems: list[tuple[str, str]] = dataclasses.field(default_factory=list)

  def add_problem(self, path: str, line: str) -> None:
    """Counts a bad input."""
    self.num_bad += 1
    self.problems.append((path, line))

  def problem(self) -> str | None:
    """What could not be predicted, counted, for the last line of a command; None: nothing."""
    total, parts = self.num_bad + self.num_predicted, []
    if self.num_bad > self.num_partial:
      count = self.num_bad - self.num_partial
      parts.append(f'{count} of {total} {self.kind} could not be predicted')
    if self.num_partial:
      are = 'is' if self.num_partial == 1 else 'are'
      parts.append(
        f'{self.num_partial} of {total} {self.kind} {are} not whole: what can be read is predicted '
        'and written'
      )
    return f'{"; ".join(parts)}; they are named above' if parts else None


class PredictionPipeline:
  """Predicts planned images batch by batch, with decoding ahead and writing behind in threads.

  Attributes:
    names_files: whether a line is printed for each file; not on a terminal with a bar.
  """

  def __init__(
    self,
    predictors: DevicePredictors,
    writer: PredictionWriter,
    *,
    batch_size: int = 1,
    pages: Sequence[ContactSheets] = (),
    advice: SizeAdvice | None = None,
    look_ahead: int | None = None,
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS,
  ):
    """Prepares it.

    Args:
      predictors: what predicts.
      writer: of the files that each image has.
      batch_size: the most images in a batch.
      pages: what writes pages of many images.
      advice: on images that are far larger than the network knows; None for none.
      look_ahead: the most images decoded but not yet computed, and computed but not yet written;
        None for enough to keep all sides busy. Of large ones fewer are held.
      max_image_pixels: larger images are left out.
    """
    self._predictors = predictors
    self._writer = writer
    self._batch_size = batch_size
    self._pages = pages
    self._advice = advice
    self._num_readers, self._num_writers = _within(*_READERS), _within(*_WRITERS)
    self._look_ahead = look_ahead or max(
      2 * self._num_readers, (predictors.num_devices + 1) * batch_size
    )
    self._max_image_pixels = max_image_pixels
    self._summary = PredictionSummary()
    self._start = None
    self._progress = None
    self.names_files = True

  def run(self, planned: Sequence[PlannedPrediction]) -> PredictionSummary:
    """Predicts the images and prints a line for every file written, or shows a bar instead.

    A bad image is named on standard error and counted; the others go on.

    Raises:
      InputError: a file cannot be written. Nothing half-written remains.
    """
    self._start = time.monotonic()
    self._progress = tqdm(
      total=len(planned),
      desc='tracing the network',
      unit='image',
      disable=not messages.shows_bars(),
      smoothing=0.05,
      **messages.size_for_bars(),
    )
    # On a terminal the bar tells enough.
    self.names_files = self._progress.disable or not sys.stdout.isatty()
    readers = concurrent.futures.ThreadPoolExecutor(self._num_readers, thread_name_prefix='read')
    writers = concurrent.futures.ThreadPoolExecutor(self._num_writers, thread_name_prefix='write')
    try:
      unwritten = collections.deque()
      batches = same_size_batches(
        self._decoded(planned, readers),
        lambda decoded: decoded.batch_key,
        batch_size=self._batch_size,
        bytes_of=lambda decoded: decoded.image.nbytes,
        most_bytes=_MOST_AHEAD,
      )
      outcomes = self._predictors.outcomes(
        batches,
        lambda batch: [decoded.image for decoded in batch],
        one_at_a_time=self._look_ahead == 1,
        most_bytes=_MOST_AHEAD,
      )
      with contextlib.closing(outcomes):
        for batch, outcome in outcomes:
          unwritten += self._written_behind(batch, outcome, writers)
          del batch, outcome  # They hold images and what was predicted of them.
          while unwritten and (unwritten[0].future.done() or self._are_many(unwritten)):
            self._finish(unwritten.popleft())
      while unwritten:
        self._finish(unwritten.popleft())
      for pages in self._pages:
        self._say_written(pages.finish())
    finally:
      # After an error or an interrupt nothing waiting is begun; files being written are finished or
      # removed.
      readers.shutdown(cancel_futures=True)
      writers.shutdown(cancel_futures=True)
      self._progress.close()
    self._summary.seconds = time.monotonic() - self._start
    return self._summary

  def _written_behind(self, batch, outcome, writers):
    """Hands the predictions of a batch to the writers; a list of _Unwritten."""
    unwritten = []
    for decoded, predicted in zip(batch, self._predicted(batch, outcome)):
      future = writers.submit(
        self._writer.write, decoded.planned.paths, image=decoded.image, **predicted._asdict()
      )
      unwritten.append(
        _Unwritten(decoded.planned, future, num_bytes=_num_bytes(decoded.image, *predicted))
      )
      for pages in self._pages:
        self._say_written(
          pages.add(decoded.planned.image.relative_path, decoded.image, predicted.labels)
        )
    return unwritten

  def _predicted(self, batch, outcome):
    """What became of a batch; nothing, but a warning for each image, where the memory does not
    suffice.
    """
    try:
      return outcome()
    except (tf.errors.OpError, MemoryError) as error:
      shortage = memory_shortage(error)
      if shortage is None:
        raise
      for one in batch:
        height, width = one.image.shape[:2]
        self._leave_out(
          one.planned,
          f'{shown(one.planned.image.path)}: {shortage} for height {height}, width {width}; '
          'give --max_size, --tile_size, a smaller --batch_size or smaller --eval_scales',
        )
      return []

  def _leave_out(self, planned, problem):
    self._summary.add_problem(planned.image.path, str(problem))
    self._progress.update()
    self._warn(str(problem))

  def _decoded(self, planned, readers):
    """Yields the images that can be read, in order, with the next ones being decoded meanwhile."""
    remaining = collections.deque(planned)
    ahead = collections.deque()
    next_bytes = None
    while True:
      while remaining and len(ahead) < self._look_ahead:
        if next_bytes is None:
          next_bytes = picture_limit.memory_of_file(
            remaining[0].image.path, max_pixels=self._max_image_pixels
          )
        if ahead and next_bytes + sum(num_bytes for _, _, num_bytes in ahead) > _MOST_AHEAD:
          break
        one = remaining.popleft()
        future = readers.submit(read_image, one.image.path, max_pixels=self._max_image_pixels)
        ahead.append((one, future, next_bytes))
        next_bytes = None
      if not ahead:
        return
      one, future, _ = ahead.popleft()
      try:
        image = future.result()
        del future  # It holds the image.
        key = self._batch_key(one, image)
      except InputError as error:
        self._leave_out(one, error)
        continue
      line = self._advice.line(shown(one.image.path), image) if self._advice else None
      if line:
        self._warn(line)
      yield _Decoded(planned=one, image=image, batch_key=key)

  def _batch_key(self, planned, image):
    try:
      return self._predictors.batch_key(image)
    except InputError as error:
      raise InputError(f'{shown(planned.image.path)}: {error}') from error

  def _are_many(self, unwritten):
    """Whether the computing waits until the first of them is written."""
    return len(unwritten) > self._look_ahead or (
      len(unwritten) > 1 and sum(one.num_bytes for one in unwritten) > _MOST_BEHIND
    )

  def _finish(self, unwritten):
    """Waits until an image's files are written, and says so."""
    unwritten.future.result()
    for path in unwritten.planned.paths.values():
      self._say_written(path)
    self._summary.num_predicted += 1
    self._progress.set_description_str('predicting', refresh=False)
    self._progress.update()

  def _say_written(self, path):
    if path is None:
      return
    if self._summary.seconds_to_first is None:
      self._summary.seconds_to_first = time.monotonic() - self._start
    if self.names_files:
      with self._progress.external_write_mode(file=sys.stdout):
        messages.say(f'Prediction written to {shown(path)}')

  def _warn(self, line):
    with self._progress.external_write_mode(file=sys.stderr):
      messages.warn([line])


def _num_bytes(*arrays):
  return sum(array.nbytes for array in arrays if array is not None)


def _within(least, most):
  """A number of threads: the cores that this process may use, within bounds."""
  return min(max(num_cores(), least), most)
