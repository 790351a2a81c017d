"""Crops, batches and classes that cannot be trained with, whatever the data."""

from deeplab import machine_memory
from deeplab.errors import InputError
from deeplab.options import ModelOptions, TrainingInputOptions, TrainingOptions, ValidationOptions

# Of a pixel: three float32 and the label as int32.
_BYTES_OF_PIXEL = 16
_LOWEST_STRIDE_OF_LOGITS = 4  # With the decoder; the output stride without.


def check(
  model: ModelOptions,
  data: TrainingInputOptions,
  training: TrainingOptions,
  validation: ValidationOptions,
) -> None:
  """Raises InputError where a crop has no cell of features, or where the batches of an update, its
  logits or the confusion matrix of a validation alone do not fit into memory.
  """
  for name in ('crop_size_height', 'crop_size_width'):
    if getattr(data, name) < model.output_stride:
      raise InputError(
        f'--{name}={getattr(data, name)}: must be at least --output_stride={model.output_stride}; '
        f'best is a multiple of it plus 1, such as {32 * model.output_stride + 1}'
      )
  pixels = data.batch_size * data.crop_size_height * data.crop_size_width
  crop = f'crops of {data.crop_size_height}x{data.crop_size_width}'
  remedy = (
    'give a smaller --batch_size, --accumulate_steps, --crop_size_height and --crop_size_width'
  )
  machine_memory.refuse_what_cannot_fit(
    _BYTES_OF_PIXEL * pixels * training.accumulate_steps,
    what=f'--batch_size={data.batch_size} with --accumulate_steps={training.accumulate_steps} and '
    f'{crop}',
    remedy=remedy,
  )
  stride = _LOWEST_STRIDE_OF_LOGITS if model.use_decoder else model.output_stride
  machine_memory.refuse_what_cannot_fit(
    4 * model.num_classes * (pixels // stride**2),
    what=f'--num_classes={model.num_classes} with --batch_size={data.batch_size} and {crop}',
    remedy=f'{remedy}, or fewer classes',
  )
  if validation.eval_filenames:
    check_classes(model.num_classes)


def check_classes(num_classes: int) -> None:
  """Raises InputError where a confusion matrix of so many classes does not fit into memory."""
  machine_memory.refuse_what_cannot_fit(
    8 * num_classes**2,
    what=f'--num_classes={num_classes}: its confusion matrix',
    remedy='give the number of classes that the labels have',
  )
