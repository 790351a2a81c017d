"""An export, from options to checked files: what export_model.py does."""

from collections.abc import Collection

from deeplab import color_map, devices, quiet_start
from deeplab.export import exporter
from deeplab.export.exporter import Exported
from deeplab.messages import phase, say, warn
from deeplab.options import ExportSourceOptions, ModelExportOptions, ModelOptions
from deeplab.prediction import trained_network


def run(
  model_options: ModelOptions,
  source_options: ExportSourceOptions,
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
  devices.prepare(exporter.COMPUTE_OPTIONS)
  with phase('loading the network'):
    network = trained_network.load(
      source_options.ckpt_path,
      model_options,
      given=given,
      class_names=source_options.class_names,
      best=source_options.best,
    )
  say(*network.notes)
  warn(network.doubts)
  colors = network.color_map(source_options.colormap)
  color_map.refuse_too_few(colors, network.options.num_classes, chosen=str(source_options.colormap))
  return exporter.export(network, export_options, colors)
