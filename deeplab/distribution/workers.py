"""What the processes that compute together tell each other, and when they give each other up.

Everything here is a sum over all workers by TensorFlow's collectives. So every worker must call the
same methods in the same order.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from deeplab import __version__, devices, json_files, quiet_start
from deeplab.distribution import cluster as clusters
from deeplab.distribution import leaving, meeting
from deeplab.distribution import strategy as strategies
from deeplab.distribution.cluster import Cluster
from deeplab.distribution.patience import Patience
from deeplab.errors import InputError, shown
from deeplab.messages import phase
from deeplab.options.checks import CheckedOptions
from deeplab.options.distribution import DistributionOptions

# What TensorFlow raises where a worker is gone, depending on where it notices.
_LOST = (
  tf.errors.UnavailableError,
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
  tf.errors.FailedPreconditionError,
  tf.errors.InternalError,
)
_OWN_OPTIONS = ('num_input_threads',)
_TEXTS = ('ollective', 'GRPC', 'gRPC', 'coordination', 'heartbeat', 'remote target')


class Workers:
  """The workers of a run, seen from one of them; one that is alone, too.

  Attributes:
    strategy: over the devices of all.
    index, num_workers: which one this is, of how many.
  """

  def __init__(
    self,
    strategy: tf.distribute.Strategy,
    cluster: Cluster | None = None,
    patience: Patience | None = None,
  ):
    """Takes what `joined` made; strategy alone for one worker."""
    self.strategy, self._cluster = strategy, cluster
    self._patience = patience
    self._all_reduced = tf.function(self._all_reduce, autograph=False)
    self.index = cluster.index if cluster else 0
    self.num_workers = cluster.num_workers if cluster else 1

  @property
  def is_chief(self) -> bool:
    """Whether this worker logs and saves; one that is alone does."""
    return self.index == 0

  @property
  def num_local_devices(self) -> int:
    """Devices of this worker that compute."""
    return self.strategy.num_replicas_in_sync // self.num_workers

  # === What they tell each other ===

  def told_by_chief(self, value: dict | None = None) -> dict:
    """The chief's `value`, a JSON object; the others give None."""
    if self.num_workers == 1:
      return value or {}
    data = json_files.one_line(value or {}).encode() if self.is_chief else b''
    return json_files.as_object(self._texts(data)[0].decode())

  def told_by_all(self, value: dict) -> list[dict]:
    """The JSON objects of all workers, in their order."""
    return [
      json_files.as_object(text.decode())
      for text in self._texts(json_files.one_line(value).encode())
    ]

  def values_of_chief(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The chief's arrays, to the bit; the others give arrays of the same shapes and types."""
    if self.num_workers == 1:
      return list(arrays)
    data = b''.join(np.ascontiguousarray(each).tobytes() for each in arrays)
    received = self._sum_of_bytes(data if self.is_chief else bytes(len(data)))
    parts, start = [], 0
    for each in arrays:
      part = np.frombuffer(received, each.dtype, count=each.size, offset=start)
      parts.append(part.reshape(each.shape))
      start += each.nbytes
    return parts

  def sums(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each array, int64 or float64, summed over the workers."""
    return [self._sum(np.asarray(each)) for each in arrays]

  def any(self, flag: bool) -> bool:
    """Whether one of the workers says so."""
    return bool(self._sum(np.int64(flag)) > 0)

  def meet(self) -> None:
    """Waits until all workers are here."""
    self._sum(np.int64(0))

  def _texts(self, data):
    """The bytes of all workers, in their order."""
    if self.num_workers == 1:
      return [data]
    own = np.zeros(self.num_workers, np.int64)
    own[self.index] = len(data)
    lengths = self._sum(own)
    rows = bytearray(int(lengths.max()) * self.num_workers)
    start = self.index * int(lengths.max())
    rows[start : start + len(data)] = data
    received = self._sum_of_bytes(bytes(rows))
    return [
      received[index * int(lengths.max()) :][: int(length)] for index, length in enumerate(lengths)
    ]

  def _sum_of_bytes(self, data):
    """Bytes of which each comes from one worker, the others give 0."""
    padded = data + bytes(-len(data) % 4)
    return self._sum(np.frombuffer(padded, np.int32)).tobytes()[: len(data)]

  def _sum(self, array):
    if self.num_workers == 1:
      return array
    first = self.index * self.num_local_devices

    def own(context):  # Each worker speaks by its first device.
      speaks = context.replica_id_in_sync_group == first
      return tf.constant(array if speaks else np.zeros_like(array))

    with self.waiting(), self.explaining():
      given = self.strategy.experimental_distribute_values_from_function(own)
      summed = self._all_reduced(given)
      return self.strategy.experimental_local_results(summed)[0].numpy()

  def _all_reduce(self, given):
    def on_replica(value):
      # The identity is on the device; a value that is passed in is nowhere.
      return tf.distribute.get_replica_context().all_reduce('SUM', tf.identity(value))

    return self.strategy.run(on_replica, args=(given,))

  # === When one of them is gone ===

  def waiting(self) -> contextlib.AbstractContextManager:
    """While open, this worker depends on the others, which have --worker_timeout."""
    return contextlib.nullcontext() if self._patience is None else self._patience.limited()

  @contextlib.contextmanager
  def explaining(self) -> Iterator[None]:
    """Turns what TensorFlow says where a worker is gone into an InputError that names it."""
    if self._patience is None:
      yield
      return
    try:
      yield
    except _LOST as error:
      if not any(text in str(error) for text in _TEXTS):
        raise
      raise InputError(self._patience.line(str(error))) from error


@contextlib.contextmanager
def joined(options: DistributionOptions, *, own_process: bool = True) -> Iterator[Workers]:
  """While open, this process is one of the workers that the options and the environment describe,
  or alone. Call it before TensorFlow computes anything.

  Args:
    own_process: False in a program that calls the toolkit: it is never ended from here.

  Raises:
    InputError: the description is wrong, or a worker does not come.
  """
  devices.let_memory_grow(own_process=own_process)
  cluster = clusters.find(options)
  if cluster is None:
    yield Workers(strategies.make(options))
    return
  patience = Patience(cluster, seconds=options.worker_timeout, own_process=own_process)
  if own_process:
    leaving.without_delay()
  quiet_start.hide_advice()  # On functions that are traced for several shapes.
  held_up = (
    f'error: --worker_timeout={options.worker_timeout:g}: the workers were there, but TensorFlow '
    'did not bring them together within so many seconds; see the output of the others, and start '
    'all again'
  )
  with patience:
    with phase('waiting for the other workers'), contextlib.ExitStack() as guard:
      meeting.wait_for_all(cluster, seconds=options.worker_timeout)
      if own_process:
        guard.enter_context(meeting.ended_after(options.worker_timeout, held_up))
      strategy = strategies.make(options, cluster)
    with patience.limited():
      workers = Workers(strategy, cluster, patience)
      workers.meet()
    with workers.explaining():
      yield workers
    # None ends while another still needs it; who finds the others gone has needed them no more.
    with contextlib.suppress(InputError):
      workers.meet()


def refuse_other_commands(workers: Workers, *options: CheckedOptions) -> None:
  """Raises InputError on every worker where one has another version or other options, but for those
  that each may have its own of; nothing of one that is alone.
  """
  if workers.num_workers == 1:
    return
  versions = {'version of deeplab-tf': __version__, 'version of TensorFlow': tf.__version__}
  refuse_differences(workers, versions, what=str)
  given = {name: value for each in options for name, value in vars(each).items()}
  refuse_differences(
    workers,
    {
      name: ','.join(map(str, value)) if isinstance(value, tuple) else str(value)
      for name, value in given.items()
      if value is not None and name not in _OWN_OPTIONS
    },
  )


def refuse_differences(
  workers: Workers, facts: dict[str, str], *, what: Callable[[str], str] = '--{}'.format
) -> None:
  """Raises InputError on every worker where one has other facts than the chief.

  Args:
    facts: name -> value as text.
    what: how a name is shown.
  """
  told = workers.told_by_all(facts)
  chief = told[0]
  for index, other in enumerate(told):
    for name in {**chief, **other}:
      if chief.get(name) != other.get(name):
        raise InputError(
          f'{what(name)}: worker {index} has {shown(str(other.get(name)))}, the chief '
          f'{shown(str(chief.get(name)))}; start all workers with the same'
        )
