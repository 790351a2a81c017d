"""Which devices compute."""
import tensorflow as tf


def make_strategy():
  """(tf.distribute.Strategy over all visible GPUs, or on the CPU; list of GPU names)."""
  gpus = tf.config.list_physical_devices('GPU')
  names = [tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name) for gpu in gpus]
  for gpu in gpus:
    # Otherwise TensorFlow takes all memory at once, and other programs get none.
    tf.config.experimental.set_memory_growth(gpu, True)
  if len(gpus) > 1:
    return tf.distribute.MirroredStrategy(), names
  return tf.distribute.get_strategy(), names
