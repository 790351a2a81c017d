"""What a recipe follows from: the records and the checkpoint of a run."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import tensorflow as tf

from deeplab import checkpoints, saved_options
from deeplab.data import record_files, record_sizes
from deeplab.data.record_sizes import PictureSizes
from deeplab.training import training_data
from deeplab.training.run_start import AllOptions, find_loaded

_LAST_LAYER = 'logits/semantic/weights'
_HEAD = 'concat_projection/weights'


@dataclasses.dataclass(frozen=True)
class Facts:
  """What the choices follow from.

  Attributes:
    num_records: to train on.
    sizes: of the pictures, or None.
    prefix: the checkpoint to start from, or None.
    shapes: name -> shape of its variables.
    has_saved_options: whether its architecture is saved beside it.
    folded: its batch norm is folded into its weights.
    num_classes: of the network to train.
    output_stride: of the network to train.
    num_gpus: that are visible.
  """

  num_records: int
  sizes: PictureSizes | None
  prefix: str | None
  shapes: Mapping[str, Sequence[int]]
  has_saved_options: bool
  folded: bool
  num_classes: int
  output_stride: int
  num_gpus: int = 0

  @property
  def is_segmentation(self) -> bool:
    """Whether the checkpoint has what is above the backbone too."""
    return _HEAD in self.shapes

  @property
  def has_new_last_layer(self) -> bool:
    """Whether the last layer is not taken over from the checkpoint."""
    return list(self.shapes.get(_LAST_LAYER, ()))[-1:] != [self.num_classes]


def find(options: AllOptions, *, given: Collection[str]) -> Facts:
  """Looks at records and checkpoint. Raises InputError where one cannot be read."""
  paths = record_files.expand_filenames(options.input.filenames)
  files = record_files.index_files(paths, allow_problems=options.input.skip_bad_records)
  prefix = find_loaded(options.run)
  saved = saved_options.read(prefix) if prefix else None
  reader = checkpoints.Reader(prefix) if prefix else None
  described = training_data.described(
    training_data.paths(options.input, options.validation), given=given
  )
  model = saved.model_options if saved else options.model
  num_classes = model.num_classes
  if 'num_classes' in given:
    num_classes = options.model.num_classes
  elif described is not None and described.num_classes is not None:
    num_classes = described.num_classes
  given_stride = 'output_stride' in given
  return Facts(
    num_records=sum(file.num_records for file in files),
    sizes=record_sizes.find(paths),
    prefix=prefix,
    shapes=reader.shapes if reader else {},
    has_saved_options=saved is not None,
    folded=_is_folded(reader) if reader else False,
    num_classes=num_classes,
    output_stride=options.model.output_stride if given_stride else model.output_stride,
    num_gpus=len(tf.config.list_physical_devices('GPU')),
  )


def _is_folded(reader):
  """Whether all stored variances of the checkpoint are one and all means zero, or as good as."""
  variances = [name for name in reader.shapes if name.endswith('/moving_variance')]
  return bool(variances) and all(
    abs(reader.get(name) - 1.0).max() < 0.01
    and abs(reader.get(name.removesuffix('variance') + 'mean')).max() < 1e-6
    for name in variances
  )
