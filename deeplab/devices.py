"""Which devices compute."""
import tensorflow as tf

from deeplab.errors import InputError, warn


def has_gpu():
  """Whether operations run on a GPU here."""
  return bool(tf.config.list_logical_devices('GPU'))


def prepare(compute_options):
  """Gets the devices ready for what a command was asked to do, warns of what does not suit them; call it first of all.

  Args:
    compute_options: ComputeOptions.

  Returns:
    list of the names of the visible GPUs.

  Raises:
    InputError: the devices cannot compute in that dtype.
  """
  gpus = tf.config.list_physical_devices('GPU')
  for gpu in gpus:
    # Otherwise TensorFlow takes all memory at once, and other programs get none.
    tf.config.experimental.set_memory_growth(gpu, True)
  if compute_options.compute_dtype == 'float16' and not gpus:
    raise InputError('--compute_dtype=float16: needs a GPU, and none was found; use bfloat16 or float32')
  if compute_options.jit_compile and not gpus:
    warn(['--jit_compile: XLA is made for GPUs; on a CPU it is slower than without, MobileNetV2 about ten times'])
  return [tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name) for gpu in gpus]


def make_strategy():
  """The tf.distribute.Strategy over all visible GPUs, or that of the one device."""
  if len(tf.config.list_physical_devices('GPU')) > 1:
    return tf.distribute.MirroredStrategy()
  return tf.distribute.get_strategy()
