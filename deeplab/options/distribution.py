"""Several devices, and several machines."""

import dataclasses

from deeplab.errors import InputError
from deeplab.options.checks import CheckedOptions, option

STRATEGIES = ('auto', 'mirrored', 'multi_worker_mirrored')


@dataclasses.dataclass(frozen=True)
class DistributionOptions(CheckedOptions):
  """Which devices of which machines share the work."""

  group = 'Devices and machines'

  distribution_strategy: str = option(
    'auto',
    'mirrored: all GPUs of this machine. multi_worker_mirrored: all GPUs of several machines, each '
    'of which runs this command; they are those of --worker_hosts, of TF_CONFIG, or of the Slurm '
    'step. auto: several machines where --worker_hosts or TF_CONFIG names more than one worker, '
    'else this one.',
    choices=STRATEGIES,
  )
  num_devices: int | None = option(
    None,
    'How many of the GPUs to use. Default: all. Without a GPU: into how many logical devices the '
    'CPU is divided, to try what several GPUs do; it is not faster.',
    minimum=1,
    maximum=1024,
  )
  worker_hosts: tuple[str, ...] = option(
    (),
    'host:port of each worker, in one order for all, comma-separated or repeated; the first is the '
    'chief, which logs and saves. Instead of TF_CONFIG, which it overrides.',
  )
  task_index: int | None = option(
    None,
    'Which of --worker_hosts this process is, from 0.',
    minimum=0,
    maximum=65535,
  )
  worker_timeout: float = option(
    300.0,
    'Seconds without a sign of the other workers, at the start and later, after which a worker '
    'gives up.',
    minimum=1.0,
    maximum=604800.0,
  )

  def __post_init__(self):
    super().__post_init__()
    hosts = (host.strip() for value in self.worker_hosts for host in value.split(','))
    object.__setattr__(self, 'worker_hosts', tuple(filter(None, hosts)))
    num_hosts = len(self.worker_hosts)
    if self.task_index is not None and not num_hosts:
      raise InputError(
        f'--task_index={self.task_index}: needs --worker_hosts, the host:port of each worker'
      )
    if num_hosts and self.task_index is None:
      raise InputError(
        '--worker_hosts: needs --task_index, which of them this process is: '
        f'a number from 0 to {num_hosts - 1}, another one in each process'
      )
    if num_hosts and self.task_index >= num_hosts:
      raise InputError(
        f'--task_index={self.task_index}: --worker_hosts has {num_hosts}, so it must be from 0 to '
        f'{num_hosts - 1}'
      )
    if num_hosts > 1 and self.distribution_strategy == 'mirrored':
      raise InputError(
        f'--distribution_strategy=mirrored: uses one machine, and --worker_hosts has {num_hosts} '
        'workers; give multi_worker_mirrored or auto, or leave --worker_hosts out'
      )


THIS_PROCESS = DistributionOptions()


@dataclasses.dataclass(frozen=True)
class LocalClusterOptions(CheckedOptions):
  """Workers on this machine."""

  group = 'Workers'

  num_workers: int = option(2, 'How many workers to start.', minimum=1, maximum=64)
  port: int | None = option(
    None,
    'Port of the first worker; the others have those that follow. Default: free ones.',
    minimum=1,
    maximum=65535,
  )
  gpus_per_worker: int | None = option(
    None,
    'How many GPUs each worker sees, by CUDA_VISIBLE_DEVICES; no two see the same one. Default: '
    'all see all, which is right without GPUs only.',
    minimum=0,
    maximum=64,
  )
  grace_seconds: float = option(
    30.0,
    'Seconds from the end of one worker by an error to the SIGKILL of the others.',
    minimum=0.0,
    maximum=86400.0,
  )
