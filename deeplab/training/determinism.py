"""What --deterministic cannot have on a GPU: some gradients have no deterministic kernel there."""

from collections.abc import Sequence

from deeplab.errors import InputError
from deeplab.model.backbones import BACKBONES
from deeplab.options import ComputeOptions, ModelOptions, TrainingOptions

_WITH_MAX_POOLING = 'resnet'
_OTHERWISE = 'leave out --deterministic, or train on the CPU (CUDA_VISIBLE_DEVICES=-1)'


def refuse(
  model_options: ModelOptions,
  compute_options: ComputeOptions,
  training_options: TrainingOptions,
  *,
  gpus: Sequence[str],
) -> None:
  """Refuses what TensorFlow would refuse in the first update, by the name of an operation.

  Of its operations without a deterministic kernel for GPUs (the texts of its errors name them, as
  of version 2.21), the networks here meet two: the gradient of a batch norm with stored statistics,
  which XLA computes otherwise, and XLA's gradient of max pooling. Others that had none once have
  one in each version that this toolkit takes: the gradients of depthwise convolutions (since 2.10),
  of bilinear resizes and of the cross entropy.

  Args:
    model_options, compute_options, training_options: of the run, which is to be deterministic.
    gpus: their names; on a CPU all is deterministic.

  Raises:
    InputError: they do not go together.
  """
  if not gpus:
    return
  if not (training_options.fine_tune_batch_norm or compute_options.jit_compile):
    raise InputError(
      '--deterministic with --nofine_tune_batch_norm on a GPU: TensorFlow has no deterministic '
      'gradient of batch norm with stored statistics there; give --fine_tune_batch_norm, '
      + _OTHERWISE
    )
  if (
    compute_options.jit_compile
    and BACKBONES[model_options.model_variant].module == _WITH_MAX_POOLING
    and training_options.backbone_learning_rate_multiplier > 0.0
  ):
    raise InputError(
      f'--deterministic with --jit_compile and --model_variant={model_options.model_variant} on a '
      'GPU: XLA has no deterministic gradient of max pooling there; leave out --jit_compile, '
      + _OTHERWISE
    )
