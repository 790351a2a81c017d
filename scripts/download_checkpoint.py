#!/usr/bin/env python3
"""Downloads published weights, official DeepLab's and ImageNet classifiers, into the cache, from
which evaluator, inferencer, trainer and deeplab.load take them by name; or lists them. What is
asked for by name elsewhere is downloaded there too: this is for preparing a machine.

  download_checkpoint.py --list
  download_checkpoint.py official/mobilenetv2_voc_trainaug imagenet/resnet_v2_101

DEEPLAB_CACHE is the directory of the cache (else ~/.cache/deeplab), DEEPLAB_MIRROR the address of a
server to ask instead of the publishers'.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from deeplab import flags, next_command, quiet_start  # noqa: E402
from deeplab.errors import shown  # noqa: E402
from deeplab.messages import say  # noqa: E402
from deeplab.options import DownloadOptions  # noqa: E402
from deeplab.published import cache, names  # noqa: E402


def main(options):
  if options.list:
    say(*list_lines())
  models = [names.find(name, flag='name') for name in options.name]
  if not models:
    return
  quiet_start.import_tensorflow()
  quiet_start.hide_advice()
  from deeplab.published import installation

  for model in models:
    prefix = installation.prefix_of(model)
    say(f'{model.name} is in {shown(os.path.dirname(prefix))}')
  say(_next(models[0]))


def list_lines():
  """The lines of --list."""
  lines = [f'cache: {shown(cache.directory())}', '']
  for model in names.MODELS:
    here = ' (in the cache)' if cache.Entry(model.name).is_there() else ''
    lines += [model.name + here, *(f'  {line}' for line in model.lines())]
  count = sum(not model.missing for model in names.MODELS)
  lines += ['', f'{len(names.MODELS)} published, {count} of them usable here']
  return lines


def _next(model):
  if model.is_backbone:
    return next_command.line(
      'run_trainer.py', load_ckpt_path=model.name, filenames='RECORDS', output_path='model'
    )
  return next_command.line(
    'run_inferencer.py', ckpt_path=model.name, input='IMAGES', output_path='predictions'
  )


if __name__ == '__main__':
  flags.run(main, DownloadOptions, description=__doc__, uses_tensorflow=False, words_are='name')
