#!/usr/bin/env python3
"""Exports a trained network to files that run without this toolkit: TensorFlow SavedModel, TFLite,
ONNX. Each is run in a process of its own and compared with the checkpoint before it gets its name.

Example: export_model.py --ckpt_path=model --output_path=exported --format=saved_model,onnx
"""

from deeplab import flags, next_command
from deeplab.options import ExportSourceOptions, ModelExportOptions, ModelOptions

_OPTIONS = (ModelOptions, ExportSourceOptions, ModelExportOptions)


def main(*options):
  # Here and not above: it imports TensorFlow, which --help and flag errors need not wait for.
  from deeplab import export_run

  exported = export_run.run(*options, given=flags.given(*_OPTIONS))
  print(next_command.after_export(exported[0].path))


if __name__ == '__main__':
  flags.run(
    main,
    *_OPTIONS,
    description=__doc__,
    help_order=(*_OPTIONS[1:], ModelOptions),
    saved_with_checkpoint=ModelOptions,
  )
