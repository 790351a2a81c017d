"""Training: optimizer and schedule, run."""

import dataclasses

from deeplab import private_places, remote_files
from deeplab.errors import InputError, shown
from deeplab.model.backbones import BACKBONES, HEAD_BATCH_NORM_DECAY
from deeplab.options.checks import LARGEST_RATE, MOST_STEPS, CheckedOptions, option


@dataclasses.dataclass(frozen=True)
class TrainingOptions(CheckedOptions):
  """Optimizer, schedule and batch norm."""

  group = 'Training'

  num_steps: int = option(30000, 'Number of updates.', minimum=1, maximum=MOST_STEPS)
  num_epochs: float | None = option(
    None,
    'Instead of --num_steps: how often each training record is drawn, such as 50 or 0.5, on '
    'average. The number of steps follows from it, is printed, and is what the run keeps.',
    above=0.0,
    maximum=1e6,
  )
  fine_tune_batch_norm: bool = option(
    True,
    'Normalize with the statistics of the batch and update the stored ones. Set it to False for '
    'small batches: the stored statistics are used, gamma and beta still train.',
  )
  sync_batch_norm: bool = option(
    False,
    'With several devices, normalize with the statistics of the whole batch instead of those of '
    "each device's share: as one device would, and each layer waits for the other devices. For "
    'few images a device.',
  )
  batch_norm_decay: float | None = option(
    None,
    f'Decay of the stored batch norm statistics. Default: {HEAD_BATCH_NORM_DECAY}; in the '
    f'backbones mobilenet_v2 {BACKBONES["mobilenet_v2"].batch_norm_decay} and resnet_v1_50_beta, '
    f'resnet_v1_101_beta {BACKBONES["resnet_v1_50_beta"].batch_norm_decay}. A run of fewer than '
    'about 10000 steps needs less, such as 0.99, to evaluate sensibly.',
    above=0.0,
    maximum=1.0,
  )
  init_learning_rate: float = option(
    7e-3, 'Learning rate at the first step.', above=0.0, maximum=LARGEST_RATE
  )
  learning_power: float = option(
    0.9, 'Power of the polynomial schedule.', minimum=0.0, maximum=100.0
  )
  momentum: float = option(0.9, 'Momentum.', minimum=0.0, maximum=1.0)
  man_step_lr: bool = option(
    False,
    'Step the learning rate by --boundaries and --rates; giving either selects this schedule too.',
  )
  boundaries: tuple[int, ...] | None = option(
    None,
    'Steps from which --rates apply, increasing. With --man_step_lr alone: 60000 and 80000.',
    minimum=1,
    maximum=MOST_STEPS,
    most=1000,
  )
  rates: tuple[float, ...] | None = option(
    None,
    'Learning rates from each of --boundaries on. With --man_step_lr alone: 7e-4 and 7e-5.',
    above=0.0,
    maximum=LARGEST_RATE,
    most=1000,
  )

  learning_policy: str = option(
    'poly',
    'Schedule when --boundaries and --rates are not used: polynomial to 0, or half a cosine to 0.',
    choices=('poly', 'cosine'),
  )
  slow_start_step: int = option(
    0,
    'Train the first steps at --slow_start_learning_rate; poly and cosine start after them.',
    minimum=0,
    maximum=MOST_STEPS,
  )
  slow_start_learning_rate: float = option(
    1e-4, 'Learning rate of the slow start.', above=0.0, maximum=LARGEST_RATE
  )
  warmup_steps: int = option(
    0,
    'Ramp the rate linearly from 0 up to the schedule over this many steps.',
    minimum=0,
    maximum=MOST_STEPS,
  )
  optimizer: str = option(
    'momentum',
    'momentum is TF 1 momentum. adamw takes --weight_decay out of the gradient and shrinks the '
    'weights by rate * weight_decay instead.',
    choices=('momentum', 'adam', 'adamw'),
  )
  clip_gradient_norm: float | None = option(
    None,
    'Scale the gradient down to this norm, over all variables together, when it is larger.',
    above=0.0,
    maximum=1e12,
  )
  last_layer_gradient_multiplier: float = option(
    1.0,
    'Factor on the gradient of the last layer (logits/semantic), such as 10 for a new head.',
    above=0.0,
    maximum=LARGEST_RATE,
  )
  backbone_learning_rate_multiplier: float = option(
    1.0,
    'Factor on the learning rate of the backbone, such as 0.1; 0 freezes its variables.',
    minimum=0.0,
    maximum=LARGEST_RATE,
  )
  ema_decay: float | None = option(
    None,
    'Keep an exponential moving average of the weights with this decay, such as 0.999; it is what '
    'is validated, and saved as best.ckpt and model_ema.ckpt.',
    above=0.0,
    maximum=0.999999,
  )
  accumulate_steps: int = option(
    1,
    'Add the gradients of this many batches before each update: the effect of a larger batch in '
    'the memory of a small one.',
    minimum=1,
    maximum=65536,
  )
  recompute_gradients: bool = option(
    False,
    'Recompute activations in the backward pass instead of keeping them: less memory, slower '
    'steps.',
  )
  deterministic: bool = option(
    False,
    'Use only operations that give the same bits each time; slower. With the same --seed, two runs '
    'are then equal.',
  )

  def __post_init__(self):
    super().__post_init__()
    if self.boundaries or self.rates:
      object.__setattr__(self, 'man_step_lr', True)
    # With num_epochs, the number of steps is not known before the records are counted.
    if self.num_epochs is None and self.slow_start_step >= self.num_steps:
      raise InputError(
        f'--slow_start_step={self.slow_start_step}: must be below --num_steps={self.num_steps}'
      )
    if self.man_step_lr and self.learning_policy != 'poly':
      raise InputError(
        f'--learning_policy={self.learning_policy}: contradicts --man_step_lr, --boundaries and '
        '--rates; leave one out'
      )
    if not self.man_step_lr:
      return
    object.__setattr__(self, 'boundaries', tuple(self.boundaries or (60000, 80000)))
    object.__setattr__(self, 'rates', tuple(self.rates or (7e-4, 7e-5)))
    if len(self.boundaries) != len(self.rates):
      raise InputError(
        f'--boundaries has {len(self.boundaries)} values ({_listed(self.boundaries)}) and --rates '
        f'has {len(self.rates)} values ({_listed(self.rates)}): give as many rates as boundaries'
      )
    if list(self.boundaries) != sorted(set(self.boundaries)):
      raise InputError(f'--boundaries={_listed(self.boundaries)}: must increase')


@dataclasses.dataclass(frozen=True)
class RunOptions(CheckedOptions):
  """Where a training run starts, what it says and what it leaves."""

  group = 'Run'

  recipe: str | None = option(
    None,
    'Set what suits the records and the checkpoint, and print each choice with its reason; flags '
    'that are given win. fine_tune: a trained network on a few hundred pictures or more, from '
    '--load_ckpt_path. from_scratch: without a checkpoint.',
    choices=('fine_tune', 'from_scratch'),
  )
  load_ckpt_path: str | None = option(
    None,
    'Checkpoint to start from, classification or segmentation; or the name of published weights '
    'such as imagenet/resnet_v2_101 (download_checkpoint.py --list). Model flags that are not '
    'given are those saved beside it. Left out: training starts from scratch.',
  )
  restore_from_seg_model: bool = option(
    False, 'The checkpoint is a segmentation model: every variable of the network must be in it.'
  )
  exclude_scopes: tuple[str, ...] = option(
    (),
    'Variables of the checkpoint to leave out, by the start of their names, such as logits; '
    'repeated.',
  )
  output_path: str = option(
    private_places.DEFAULT,
    'Directory for checkpoints and summaries.',
    local='--copy_to takes copies of the run to a remote directory',
  )
  copy_to: str | None = option(
    None,
    'Remote directory, such as gs://bucket/run, to which the files of the run are copied after '
    'each save, in the background; old checkpoints are removed there as here. A failure is a '
    'warning, and the next save tries again.',
    not_empty='a remote directory',
  )
  resume: bool = option(
    False,
    'Continue the run in --output_path from its last checkpoint, exactly as if it had not stopped.',
  )
  overwrite: bool = option(
    False, 'Start anew in an --output_path that holds a run; its files are removed.'
  )
  allow_changed_data: bool = option(
    False,
    'With --resume: go on though training records have been added, removed or changed since the '
    'run began.',
  )
  class_names: str | None = option(
    None,
    'Names of the classes: voc, cityscapes, ade20k, camvid, or a file with one name a line; '
    'shown, and saved for evaluation. Default: those in the description of the records '
    '(dataset.json).',
  )
  colormap: str | None = option(
    None,
    'Colours of the classes in pictures, saved for prediction: voc, cityscapes, ade20k, camvid or '
    'a file. Default: those in the description of the records, else voc.',
  )
  log_per_steps: int = option(
    200,
    'Steps between two loss lines (the mean since the last line).',
    minimum=1,
    maximum=MOST_STEPS,
  )
  persist_per_steps: int = option(
    1000, 'Steps between two checkpoints.', minimum=1, maximum=MOST_STEPS
  )
  max_to_keep: int = option(
    5,
    'Number of model.ckpt-STEP to keep, the newest; 0 keeps all. model.ckpt and best.ckpt are '
    'always kept.',
    minimum=0,
    maximum=MOST_STEPS,
  )

  def __post_init__(self):
    super().__post_init__()
    if self.copy_to and not remote_files.is_remote(self.copy_to):
      raise InputError(
        f'--copy_to={shown(self.copy_to)}: is local; give a remote directory such as '
        'gs://bucket/run, or file:///mnt/disk/run for a disk that is mounted'
      )
    if self.resume and self.overwrite:
      raise InputError(
        '--resume and --overwrite: one continues the run in --output_path, the other removes it; '
        'give one'
      )
    if self.recipe == 'fine_tune' and not self.load_ckpt_path and not self.resume:
      raise InputError(
        '--recipe=fine_tune: needs --load_ckpt_path, the checkpoint to start from; without one '
        'give --recipe=from_scratch'
      )
    if self.recipe == 'from_scratch' and self.load_ckpt_path:
      raise InputError(
        f'--recipe=from_scratch: contradicts --load_ckpt_path={self.load_ckpt_path}; leave it out, '
        'or give --recipe=fine_tune'
      )
    if not self.output_path:
      raise InputError('--output_path is empty: give a directory for checkpoints and summaries')


def _listed(values):
  return ','.join(map(str, values))
