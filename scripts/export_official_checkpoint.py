#!/usr/bin/env python3
"""Exports a checkpoint of this toolkit as an official DeepLab checkpoint (tensorflow/models
research/deeplab): its names and its order. The way back of import_official_checkpoint.py.

  export_official_checkpoint.py --ckpt_path=model --output_path=official_model
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from deeplab import flags, quiet_start
from deeplab.errors import InputError
from deeplab.messages import say, warn
from deeplab.options import ExportOptions


def main(options):
  from deeplab import checkpoints, saved_options
  from deeplab.named_checkpoints import find_given
  from deeplab.official import official_checkpoints

  quiet_start.hide_advice()
  official_checkpoints.check_output(
    options.output_path, options.ckpt_path, overwrite=options.overwrite
  )
  prefix = find_given(options.ckpt_path)
  saved = saved_options.read(prefix)
  if saved is None:
    raise InputError(
      f'checkpoint {prefix}: no {saved_options.FILE_NAME} beside it, so its architecture and order '
      'are not known; export a checkpoint that this toolkit wrote'
    )
  network = saved.model_options
  tensors, left_out = official_checkpoints.to_official(checkpoints.Reader(prefix), network)
  warn(official_checkpoints.differences(network))
  with official_checkpoints.output(
    options.output_path, options.ckpt_path, overwrite=options.overwrite
  ):
    written = official_checkpoints.write_directory(options.output_path, tensors)
  say(f'Variables: {len(tensors)} written, {len(left_out)} others left out')
  for name in left_out:
    say(f'  left out: {name}')
  say(f'Official checkpoint written to {written}')
  say(f'Flags of the official program: {official_checkpoints.official_flags(network)}')


if __name__ == '__main__':
  flags.run(main, ExportOptions, description=__doc__)
