"""What a training run says before its first step: devices, data, parameters, flags, where it
starts, and warnings.
"""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from deeplab.data.record_files import RecordFile
from deeplab.distribution.workers import Workers
from deeplab.model.backbones import BACKBONES, HEAD_BATCH_NORM_DECAY
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import (
  USUAL_RATES,
  CheckedOptions,
  ComputeOptions,
  ModelOptions,
  TrainingInputOptions,
  TrainingOptions,
)
from deeplab.restoring import RestoreReport

_SMALL_BATCH = 8
# Fewer teach a network little that has seen nothing before.
FEW_RECORDS = 5000


def device_line(workers: Workers, gpus: Sequence[str], compute_options: ComputeOptions) -> str:
  """One line on what computes, and on GPUs in what; `gpus` are the names of this worker's."""
  count, here = workers.num_workers, ''
  if count > 1:
    here = f'{count} workers, of which this is the chief; each has '
  if not gpus:
    divided = ''
    if workers.num_local_devices > 1:
      divided = f' as {workers.num_local_devices} logical devices'
    return f'devices: {here}CPU with {os.cpu_count()} cores{divided}, no GPU'
  products = (
    'float32 with TF32 products where the GPU has them (--notf32 for float32 ones)'
    if compute_options.tf32
    else 'float32 without TF32'
  )
  if compute_options.compute_dtype != 'float32':
    products = compute_options.compute_dtype
  return (
    f'devices: {here}{workers.num_local_devices} of {len(gpus)} GPUs ({", ".join(gpus)}), '
    f'computing in {products}'
  )


def parameter_line(model: DeepLabV3PredictionModel) -> str:
  """One line on the network's size."""
  total = sum(int(np.prod(variable.shape)) for variable in model.trainable.values())
  return (
    f'network: {model.options.model_variant}, {model.options.num_classes} classes, stride '
    f'{model.options.output_stride}, {total / 1e6:.2f} million parameters to train'
  )


def data_line(what: str, files: Sequence[RecordFile]) -> str:
  """One line on record files."""
  return (
    f'{what}: {sum(file.num_records for file in files)} records in {len(files)} files, '
    f'{sum(file.num_bytes for file in files) / 1e6:.1f} MB'
  )


def changed_flags_line(*options: CheckedOptions) -> str:
  """One line with every option that is not at its default."""
  changed = []
  for each in options:
    for field in dataclasses.fields(each):
      value = getattr(each, field.name)
      if value != field.default:
        shown = ','.join(map(str, value)) if isinstance(value, tuple) else value
        changed.append(f'--{field.name}={shown}')
  return 'flags: ' + ' '.join(changed)


def restore_lines(report: RestoreReport) -> list[str]:
  """Lines on what was restored, what is new and why, and what the checkpoint has besides."""
  lines = [f'restored {len(report.restored)} variables from {report.prefix}']
  by_reason = {}
  for name, reason in report.new:
    by_reason.setdefault(reason, []).append(name)
  lines += [f'new ({reason}): {_some(names)}' for reason, names in by_reason.items()]
  if report.unused:
    lines.append(f'in the checkpoint but not used: {_some(report.unused)}')
  return lines


def warnings(
  model_options: ModelOptions,
  input_options: TrainingInputOptions,
  training_options: TrainingOptions,
  *,
  from_scratch: bool,
  num_records: int | None = None,
) -> list[str]:
  """Lines of advice on settings that run but seldom give what is wanted.

  Args:
    model_options, input_options, training_options: of the run.
    from_scratch: no checkpoint is loaded, so nothing fixes what the backbone expects.
    num_records: to train on; None where that does not matter.
  """
  lines = []
  if from_scratch and num_records is not None and num_records < FEW_RECORDS:
    lines.append(
      f'without --load_ckpt_path the network starts from scratch, for which {num_records} records '
      'are few; give it a trained checkpoint, such as an import of official weights'
    )
  if training_options.fine_tune_batch_norm and input_options.batch_size < _SMALL_BATCH:
    lines.append(
      f'--batch_size={input_options.batch_size} is small for live batch norm: statistics of few '
      f'images are poor; use at least {_SMALL_BATCH}, or --nofine_tune_batch_norm with a checkpoint'
    )
  if training_options.fine_tune_batch_norm:
    lines += _statistics_warning(model_options, training_options)
  elif from_scratch:
    lines.append(
      '--nofine_tune_batch_norm without --load_ckpt_path: the stored statistics are those of no '
      'data; the network is not normalized'
    )
  if model_options.num_classes == 1:
    lines.append(
      '--num_classes=1: with one class every prediction is right and nothing is learnt; background '
      'counts as one'
    )
  lines += _size_warnings(model_options, input_options)
  lines += _normalization_warnings(model_options, input_options, from_scratch=from_scratch)
  lines += _rates_warnings(model_options)
  if (
    training_options.optimizer != 'momentum'
    and training_options.last_layer_gradient_multiplier != 1.0
  ):
    lines.append(
      '--last_layer_gradient_multiplier does next to nothing with '
      f'--optimizer={training_options.optimizer}, which divides by the size of the gradient'
    )
  return lines


def _size_warnings(model_options, input_options):
  """Whether crops are too small, or of a size at which features and pixels do not line up."""
  lines, stride = [], model_options.output_stride
  for name in ('crop_size_height', 'crop_size_width'):
    size = getattr(input_options, name)
    if size <= 2 * stride:
      lines.append(
        f'--{name}={size} is tiny: at --output_stride={stride} the network sees '
        f'{-(-size // stride)} features across, too few for statistics and for context'
      )
    if size % stride != 1:
      nearest = max(1, round((size - 1) / stride)) * stride + 1
      lines.append(
        f'--{name}={size} is not a multiple of --output_stride={stride} plus 1, so features and '
        f'pixels do not line up; {nearest} is'
      )
  return lines


def _rates_warnings(model_options):
  """Whether the rates are the usual ones of another stride."""
  ours = model_options.output_stride
  return [
    f'--atrous_rates={_list(rates)} are those of stride {stride}; at --output_stride={ours} '
    f'{_list(USUAL_RATES[ours])} see the same context'
    for stride, rates in USUAL_RATES.items()
    if stride != ours and model_options.atrous_rates == rates
  ]


def _statistics_warning(model_options, training_options):
  """Whether the statistics stored at the end still hold much of their initial values."""
  decay = training_options.batch_norm_decay or HEAD_BATCH_NORM_DECAY
  num_updates = training_options.num_steps * training_options.accumulate_steps
  left = decay**num_updates
  if left < 0.05:
    return []
  smaller = suggested_decay(num_updates)
  remedy = f'give --batch_norm_decay={smaller}' if smaller < decay else 'train longer'
  return [
    f'--num_steps={training_options.num_steps} is short for a batch norm decay of {decay}: '
    f'{left:.0%} of the stored statistics will be what they were at the start, and evaluation uses '
    f'those; {remedy}'
  ]


def suggested_decay(num_steps: int) -> float:
  """A round decay of which a run this long leaves under 1 %."""
  return next((decay for decay in (0.999, 0.99, 0.95, 0.9) if decay**num_steps < 0.01), 0.8)


def _normalization_warnings(model_options, input_options, *, from_scratch):
  """Whether pixels are normalized otherwise than the published weights of the backbone expect."""
  lines = []
  variant, option = model_options.model_variant, model_options.preprocess_images_option
  usual = BACKBONES[variant].preprocess_images_option
  # The means that some subtract are next to equal; a mean and a range are not.
  unit_range = 'zero_mean_unit_range'
  if not from_scratch and (usual == unit_range) != (option == unit_range):
    lines.append(
      f'--preprocess_images_option={option}: published {variant} weights expect {usual}; keep it '
      'only if the checkpoint was trained so'
    )
  if (
    input_options.pad_imagenet_mean != (option != 'zero_mean_unit_range')
    and input_options.pad_imagenet_mean
  ):
    lines.append(
      '--pad_imagenet_mean with --preprocess_images_option=zero_mean_unit_range: padding is not 0 '
      'after normalization; leave it out'
    )
  return lines


def _some(names):
  names = list(names)
  return ', '.join(names[:6]) + (f' and {len(names) - 6} more' if len(names) > 6 else '')


def _list(rates):
  return ','.join(map(str, rates))
