"""The tf.distribute strategy that options and machine ask for."""

import contextlib

import tensorflow as tf

from deeplab import devices
from deeplab.distribution.cluster import Cluster
from deeplab.errors import InputError
from deeplab.options.distribution import DistributionOptions


def make(options: DistributionOptions, cluster: Cluster | None = None) -> tf.distribute.Strategy:
  """Makes the strategy; with a cluster or several devices before TensorFlow computes anything.

  One CPU has the default strategy, one GPU a strategy of that device, which copies batches there
  ahead. Several devices of this machine are mirrored; all those of a cluster are too.

  Args:
    cluster: the workers that compute together; None for this process alone.

  Raises:
    InputError: there are fewer devices, TensorFlow has computed already, or this worker's address
      cannot be used.
  """
  gpus = _chosen_gpus(options)
  if cluster is not None:
    return _of_cluster(options, cluster, num_gpus=len(gpus))
  if len(gpus) > 1 or (gpus and options.num_devices):
    return tf.distribute.MirroredStrategy([f'GPU:{index}' for index in range(len(gpus))])
  if gpus:
    return tf.distribute.OneDeviceStrategy('GPU:0')
  num_devices = options.num_devices or 1
  if num_devices == 1:
    return tf.distribute.get_strategy()
  devices.split_cpu(num_devices)
  return tf.distribute.MirroredStrategy([f'CPU:{index}' for index in range(num_devices)])


def _chosen_gpus(options):
  """The GPUs that compute; the others are hidden from TensorFlow."""
  gpus = tf.config.list_physical_devices('GPU')
  if not gpus or options.num_devices is None or options.num_devices == len(gpus):
    return gpus
  if options.num_devices > len(gpus):
    raise InputError(f'--num_devices={options.num_devices}: this machine has {len(gpus)} GPUs')
  chosen = gpus[: options.num_devices]
  with _before_computing('num_devices', options.num_devices):
    tf.config.set_visible_devices(chosen, 'GPU')
  return chosen


def _of_cluster(options, cluster, *, num_gpus):
  if not num_gpus and (options.num_devices or 1) > 1:
    raise InputError(
      f'--num_devices={options.num_devices}: a CPU can be divided for a trial by one worker only; '
      'leave it out'
    )
  resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
    tf.train.ClusterSpec({'worker': list(cluster.workers)}),
    task_type='worker',
    task_id=cluster.index,
    rpc_layer='grpc',
    num_accelerators={'GPU': num_gpus},
  )
  _be_patient(cluster, seconds=options.worker_timeout)
  address = cluster.workers[cluster.index]
  with _before_computing('distribution_strategy', 'multi_worker_mirrored'):
    try:
      return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except (tf.errors.OpError, ValueError) as error:
      raise InputError(
        f'{cluster.source}: worker {cluster.index} cannot listen on {address} '
        f'({str(error).splitlines()[0]}); is the port taken, or is it another machine?'
      ) from error


def _be_patient(cluster, *, seconds):
  """Lets TensorFlow's service that watches over the workers wait as long: by itself it takes a
  worker for gone that was held up for 10 seconds, by a full machine for instance.
  """
  milliseconds = int(1000 * seconds)
  # In another TensorFlow its own limits hold.
  with contextlib.suppress(ImportError, TypeError, AttributeError):
    from tensorflow.python.eager import context

    context.context().configure_coordination_service(
      service_type='standalone',
      service_leader='/job:worker/replica:0/task:0',
      cluster_register_timeout_in_ms=milliseconds,
      heartbeat_timeout_in_ms=milliseconds,
      coordinated_jobs=[
        context.coordination_config_pb2.CoordinatedJob(name='worker', num_tasks=cluster.num_workers)
      ],
    )


@contextlib.contextmanager
def _before_computing(flag, value):
  """Turns TensorFlow's refusal of changes after it has computed into an InputError."""
  try:
    yield
  except RuntimeError as error:
    raise InputError(
      f'--{flag}={value}: TensorFlow has computed in this process already, and its devices can be '
      'chosen before that only; give it to the first call'
    ) from error
