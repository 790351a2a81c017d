"""The network that --ckpt_path means: a checkpoint's, or an exported model."""

from collections.abc import Collection

from deeplab.data_set import DataSet
from deeplab.engines import model_files
from deeplab.errors import InputError
from deeplab.options import EngineOptions, ModelOptions
from deeplab.prediction import engine_network, trained_network
from deeplab.prediction.trained_network import TrainedNetwork


def load(
  ckpt_path: str,
  model_options: ModelOptions,
  *,
  given: Collection[str],
  options: EngineOptions,
  class_names: str | None = None,
  records: DataSet | None = None,
  best: bool = False,
) -> TrainedNetwork:
  """Loads it.

  Args:
    ckpt_path: checkpoint prefix or directory; or what `model_files.find` takes.
    options: how it is computed.
    model_options, given, class_names, records, best: as `trained_network.load`.

  Raises:
    InputError: see `trained_network.load` and `engine_network.load`; or an engine for a checkpoint.
  """
  file = None if best else model_files.find(ckpt_path)
  if file is not None:
    return engine_network.load(
      file,
      model_options,
      given=given,
      options=options,
      class_names=class_names,
      records=records,
    )
  if options.engine == 'openvino':
    raise InputError(
      f'--engine=openvino: runs exported SavedModels, and --ckpt_path={ckpt_path} is none; make '
      'one with export_model.py'
    )
  return trained_network.load(
    ckpt_path,
    model_options,
    given=given,
    compute_dtype=options.compute_dtype,
    operations=options.operations,
    class_names=class_names,
    records=records,
    best=best,
  )
