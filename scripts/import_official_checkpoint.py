#!/usr/bin/env python3
"""Imports official DeepLab weights (tensorflow/models research/deeplab): from a checkpoint, an
archive of the model zoo or a frozen graph to a checkpoint of this toolkit, with which evaluator and
inferencer need no model flags.

  import_official_checkpoint.py --ckpt_path=deeplabv3_mnv2_pascal_train_aug.tar.gz \\
    --output_path=voc_model --class_names=voc
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from deeplab import flags, next_command, quiet_start
from deeplab.class_names import load_class_names
from deeplab.messages import say, warn
from deeplab.model.backbones import BACKBONES
from deeplab.options import ImportOptions

# What the user may say about the network.
_MODEL_OPTIONS = (
  'output_stride',
  'atrous_rates',
  'multi_grid',
  'preprocess_images_option',
  'align_corners',
  'weight_decay',
  'model_variant',
  'num_classes',
)


def main(options):
  from deeplab.official import official_checkpoints

  quiet_start.hide_advice()
  with official_checkpoints.output(
    options.output_path, options.ckpt_path, overwrite=options.overwrite
  ):
    prefix = convert(options)
  say(f'Checkpoint written to {prefix}')
  say(*next_command.after_import(options.output_path))


def convert(options: ImportOptions) -> str:
  """Writes the checkpoint, prints what was recognized, and returns the prefix."""
  from deeplab.official import official_checkpoints
  from deeplab.official.official_architectures import recognize, trained_size

  with official_checkpoints.opened(
    options.ckpt_path,
    max_archive_mb=options.max_archive_mb,
    max_archive_members=options.max_archive_members,
  ) as (source, name):
    recognized = recognize(
      source, name=name, given={option: getattr(options, option) for option in _MODEL_OPTIONS}
    )
    names = options.class_names and load_class_names(
      options.class_names, recognized.options.num_classes
    )
    tensors = official_checkpoints.to_ours(source, recognized)
    step = source.global_step
  say(f'Official weights: {name}' + ('' if step is None else f', step {step}'))
  report(recognized)
  return official_checkpoints.write_directory(
    options.output_path,
    tensors,
    model_options=recognized.options,
    class_names=names,
    trained_size=trained_size(recognized.options),
  )


def report(recognized):
  """Prints what was recognized and what became of every variable."""
  network = recognized.options
  parts = [network.model_variant]
  if 'depth_multiplier' in BACKBONES[network.model_variant].own_options:
    parts.append(f'depth multiplier {network.depth_multiplier}')
  parts += [f'{network.num_classes} classes', f'output stride {network.output_stride}']
  if network.atrous_rates:
    kind = 'separable ' if network.aspp_with_separable_conv else ''
    parts.append(f'{kind}atrous rates {",".join(map(str, network.atrous_rates))}')
  parts.append(
    'image-level feature' if network.use_image_level_feature else 'no image-level feature'
  )
  if network.use_decoder:
    parts.append(
      'decoder with separable convolutions'
      if network.decoder_with_separable_conv
      else 'plain decoder'
    )
  say('Architecture: ' + ', '.join(parts))
  if recognized.assumed:
    say('Not told by names and shapes, official defaults: ' + ', '.join(recognized.assumed))
  for note in recognized.notes:
    say('Note: ' + note)
  say(f'ASPP branches: {", ".join(recognized.order)} there; image_pooling goes last here')
  say(
    f'Variables: {len(recognized.used)} used, {len(recognized.optimizer_state)} of the optimizer '
    f'left out, {len(recognized.unknown)} others left out'
  )
  for unknown in recognized.unknown:
    say(f'  left out: {unknown}')
  if any('_quant/' in unknown for unknown in recognized.unknown):
    warn(['the weights were trained with simulated quantization, which this network does not do'])


if __name__ == '__main__':
  flags.run(main, ImportOptions, description=__doc__)
