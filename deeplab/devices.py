"""Which devices compute."""

import contextlib
import time

import tensorflow as tf

from deeplab.errors import InputError
from deeplab.messages import warn
from deeplab.options import ComputeOptions

# What to do where a training needs more memory than there is.
MEMORY_REMEDIES = (
  'use less memory, in this order: a smaller --batch_size with --accumulate_steps, a smaller '
  '--crop_size_height and --crop_size_width (output_stride * m + 1), --recompute_gradients, '
  '--compute_dtype=bfloat16, --model_variant=mobilenet_v2, --nouse_decoder, no --atrous_rates, '
  '--output_stride=32 with --atrous_rates=3,6,9'
)


def prepare(compute_options: ComputeOptions, *, own_process: bool = True) -> list[str]:
  """Gets the devices ready for what a command was asked to do, warns of what does not suit them;
  call it first of all.

  Args:
    own_process: False in a program that calls this toolkit: how GPUs take their memory is then left
      as it is, and TF32 unless it is to be off.

  Returns:
    the names of the visible GPUs.

  Raises:
    InputError: the devices cannot compute in that dtype.
  """
  gpus = tf.config.get_visible_devices('GPU')
  let_memory_grow(own_process=own_process)
  set_tf32(compute_options, own_process=own_process)
  if compute_options.compute_dtype == 'float16' and not gpus:
    raise InputError(
      '--compute_dtype=float16: needs a GPU, and none was found; use bfloat16 or float32'
    )
  if compute_options.jit_compile and not gpus:
    warn(
      [
        '--jit_compile: XLA is made for GPUs; on a CPU it is slower than without, MobileNetV2 '
        'about ten times'
      ]
    )
  if compute_options.compute_dtype == 'bfloat16' and not gpus:
    slowdown = _seconds_of_a_product(tf.bfloat16) / _seconds_of_a_product(tf.float32)
    if slowdown > 1.2:
      warn(
        [
          f'--compute_dtype=bfloat16: this processor multiplies {slowdown:.1f} times slower in it '
          'than in float32; it needs '
          'less memory, but --compute_dtype=float32 will be faster'
        ]
      )
  return [
    tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name) for gpu in gpus
  ]


def let_memory_grow(*, own_process: bool = True) -> None:
  """Lets TensorFlow take memory of GPUs as it needs it: otherwise it takes all at once, and other
  programs get none. Only before it computes, and where the process is the toolkit's.
  """
  for gpu in tf.config.get_visible_devices('GPU') if own_process else ():
    with contextlib.suppress(RuntimeError):  # It computes already; it was asked before.
      tf.config.experimental.set_memory_growth(gpu, True)


def split_cpu(num_devices: int | None) -> None:
  """Makes that many devices of the CPU where there is no GPU, for a trial; before TensorFlow
  computes anything.

  Raises:
    InputError: TensorFlow is at work with another number.
  """
  if num_devices in (None, 1) or tf.config.list_physical_devices('GPU'):
    return
  (cpu,) = tf.config.list_physical_devices('CPU')
  try:
    tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration()] * num_devices
    )
  except RuntimeError as error:  # Of a context that is there already.
    if len(tf.config.list_logical_devices('CPU')) < num_devices:
      raise InputError(
        f'--num_devices={num_devices}: TensorFlow has begun to compute with another number; set it '
        'before anything else, or leave it out'
      ) from error


def set_tf32(compute_options: ComputeOptions, *, own_process: bool) -> None:
  """Lets GPUs multiply float32 in TF32, or not; `own_process` as in `prepare`."""
  if own_process or not compute_options.tf32:
    tf.config.experimental.enable_tensor_float_32_execution(compute_options.tf32)


def _seconds_of_a_product(dtype):
  """Of two matrices, large enough for the full speed of a processor: the least of some, as other
  programs only add to it.
  """
  matrix = tf.ones([512, 512], dtype)
  seconds = []
  for _ in range(8):
    started = time.perf_counter()
    tf.matmul(matrix, matrix)[0, 0].numpy()
    seconds.append(time.perf_counter() - started)
  return min(seconds)
