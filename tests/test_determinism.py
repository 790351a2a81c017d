"""What --deterministic refuses, with GPUs that are not there."""

import pytest

from deeplab.errors import InputError
from deeplab.options import ComputeOptions, ModelOptions, TrainingOptions
from deeplab.training import determinism

GPUS = ['NVIDIA A100-SXM4-40GB']


def refuse(*, gpus=GPUS, variant='mobilenet_v2', jit_compile=False, **training):
  determinism.refuse(
    ModelOptions(model_variant=variant),
    ComputeOptions(jit_compile=jit_compile),
    TrainingOptions(deterministic=True, **training),
    gpus=gpus,
  )


@pytest.mark.parametrize(
  'settings, words',
  [
    (
      dict(fine_tune_batch_norm=False),
      '--nofine_tune_batch_norm on a GPU: .* give --fine_tune_batch_norm, leave out '
      '--deterministic, or train on the CPU',
    ),
    (dict(fine_tune_batch_norm=False, variant='resnet_v2_50'), '--nofine_tune_batch_norm'),
    (
      dict(jit_compile=True, variant='resnet_v1_50_beta'),
      '--jit_compile and --model_variant=resnet_v1_50_beta on a GPU: .* leave out --jit_compile',
    ),
  ],
)
def test_refused_on_a_gpu_with_the_way_out(settings, words):
  with pytest.raises(InputError, match=words):
    refuse(**settings)
  refuse(gpus=[], **settings)


@pytest.mark.parametrize(
  'settings',
  [
    {},
    dict(variant='resnet_v2_50'),
    dict(variant='xception_65'),
    dict(jit_compile=True, fine_tune_batch_norm=False),  # By XLA's own gradient.
    dict(jit_compile=True, variant='resnet_v2_50', backbone_learning_rate_multiplier=0.0),
  ],
)
def test_taken_on_a_gpu(settings):
  refuse(**settings)
