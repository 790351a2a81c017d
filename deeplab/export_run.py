"""An export, from options to checked files: what export_model.py does."""

from collections.abc import Collection

from deeplab import devices, quiet_start
from deeplab.export import exporter
from deeplab.export.exporter import Exported
from deeplab.messages import phase, say, warn
from deeplab.options import ComputeOptions, ModelExportOptions, ModelOptions
from deeplab.prediction import trained_network


def run(
  model_options: ModelOptions,
  export_options: ModelExportOptions,
  *,
  given: Collection[str] = (),
) -> list[Exported]:
  """Exports a checkpoint, and prints of each file how it compares with it.

  Args:
    given: names of the options that the user gave; the other model options are those saved beside
      the checkpoint.

  Raises:
    InputError: the options do not fit the checkpoint or what is there, or see `exporter.export`.
  """
  quiet_start.hide_advice()
  devices.prepare(ComputeOptions())
  with phase('loading the network'):
    network = trained_network.load(
      export_options.ckpt_path,
      model_options,
      given=given,
      class_names=export_options.class_names,
      best=export_options.best,
    )
  say(*network.notes)
  warn(network.doubts)
  return exporter.export(network, export_options, network.color_map(export_options.colormap))
