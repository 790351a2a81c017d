"""What was evaluated, with which network and how, in plain words: the lines below the title of the
report.
"""

import os
from collections.abc import Mapping

from deeplab.errors import shown
from deeplab.evaluation.evaluation_report import Report


def sentences(report: Report) -> list[tuple[str, str]]:
  """(what it is about, text) on data, checkpoint and settings. What `report.settings` does not hold
  is left out.
  """
  settings = report.settings
  said = [
    ('Data', _data(report)),
    ('Checkpoint', _checkpoint(report)),
    ('Network', _network(settings)),
    ('Settings', _prediction(settings)),
  ]
  return [(what, text) for what, text in said if text]


def _data(report):
  settings, count = report.settings, report.result.num_images
  text = f'{count} image{"s" if count != 1 else ""}'
  if settings.get('filenames'):
    text += f' of {", ".join(map(shown, settings["filenames"]))}'
  text += f', {len(report.class_names)} classes'
  if 'ignore_label' in settings:
    text += f'; pixels of label {settings["ignore_label"]} do not count'
  return text + '.'


def _checkpoint(report):
  step = '' if report.global_step is None else f', after {report.global_step} steps of training'
  return f'{shown(report.checkpoint)}{step}.'


def _network(settings: Mapping) -> str:
  if 'model_variant' not in settings:
    return ''
  parts = [settings['model_variant']]
  if settings.get('depth_multiplier', 1.0) != 1.0:
    parts[0] += f' of width {settings["depth_multiplier"]}'
  parts.append(f'output stride {settings["output_stride"]}')
  if settings.get('atrous_rates'):
    parts.append(f'atrous rates {", ".join(map(str, settings["atrous_rates"]))}')
  parts.append('with the decoder of DeepLabv3+' if settings.get('use_decoder') else 'no decoder')
  return ', '.join(parts) + '.'


def _prediction(settings):
  if 'eval_scales' not in settings:
    return ''
  scales = settings['eval_scales']
  parts = [
    'each image in its own size'
    if tuple(scales) == (1.0,)
    else f'the mean over the scales {", ".join(f"{scale:g}" for scale in scales)}'
  ]
  if settings.get('max_size'):
    parts[0] += f', shrunk to at most {settings["max_size"]} pixels'
  if settings.get('tile_size'):
    parts.append(f'in tiles of {settings["tile_size"]} pixels')
  parts.append('and mirrored, too' if settings.get('add_flipped_images') else 'not mirrored')
  padding = str(settings.get('eval_pad', 'none')).removeprefix('auto: ')
  parts.append(
    {
      'none': 'not padded',
      'stride': f'padded to a multiple of {settings.get("output_stride")} plus 1',
    }.get(padding, f'padded to {padding}')
  )
  if settings.get('compute_dtype'):
    parts.append(f'computed in {settings["compute_dtype"]}')
  text = ', '.join(parts)
  return text[0].upper() + text[1:] + '.'


def title(report: Report) -> str:
  """Of the page: the directory of the network and the checkpoint's own name."""
  directory, name = os.path.split(report.checkpoint)
  return shown(os.path.join(os.path.basename(directory), name))
