"""The devices that predict: all GPUs of the process, each with its own network, or the CPU."""

import tensorflow as tf

from deeplab.errors import InputError
from deeplab.messages import say
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import EngineOptions
from deeplab.prediction.trained_network import TrainedNetwork


def names(num_devices: int | None = None) -> list[str]:
  """The devices to predict with, such as '/device:GPU:0'.

  Args:
    num_devices: how many of them; None for all.

  Raises:
    InputError: there are not so many.
  """
  devices = tf.config.list_logical_devices('GPU') or tf.config.list_logical_devices('CPU')
  if num_devices is not None and num_devices > len(devices):
    raise InputError(
      f'--num_devices={num_devices}: there {"are" if len(devices) > 1 else "is"} {len(devices)} '
      f'{devices[0].device_type}{"s" if len(devices) > 1 else ""}; CUDA_VISIBLE_DEVICES says which '
      'GPUs the process sees'
    )
  return [device.name for device in devices[:num_devices]]


def models(
  network: TrainedNetwork, options: EngineOptions, *, num_devices: int | None = None
) -> list[tuple[DeepLabV3PredictionModel, str | None]]:
  """(model, device) for each device that predicts, the first with the network's own model. The
  device is None where there is but one, so that TensorFlow chooses as ever.

  Raises:
    InputError: there are not so many devices; or several, for an exported model.
  """
  if network.is_exported:
    if num_devices is not None and num_devices > 1:
      raise InputError(
        f'--num_devices={num_devices}: an exported model is run by its engine, on one device; '
        'leave it out, or give the checkpoint'
      )
    return [(network.model, None)]
  devices = names(num_devices)
  if len(devices) == 1:
    return [(network.model, None)]
  say(f'predicting on {len(devices)} devices: {", ".join(devices)}')
  return [
    (network.model if index == 0 else _copy(network, options, device), device)
    for index, device in enumerate(devices)
  ]


def _copy(network, options, device):
  """The network with its variables on another device, which need not fetch them for each image."""
  with tf.device(device):
    model = DeepLabV3PredictionModel(
      network.options, compute_dtype=options.compute_dtype, operations=options.operations
    )
    for name, variable in network.model.named_variables.items():
      model.named_variables[name].assign(variable)
  return model
