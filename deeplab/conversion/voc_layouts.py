"""The trees of PASCAL VOC (Everingham et al., IJCV 2015), alone and with the labels of the Semantic
Boundaries Dataset, SBD (Hariharan et al., ICCV 2011).
"""

import importlib.util
import os

from deeplab.conversion.dataset_trees import find_tree, missing
from deeplab.errors import InputError, shown
from deeplab.text_files import read_lines

_VOC = 'VOCtrainval_11-May-2012.tar of host.robots.ox.ac.uk/pascal/VOC/voc2012'
_SBD = (
  "the augmented labels: a directory SegmentationClassAug, or SBD's benchmark.tgz of "
  'home.bharathh.info/pubs/codes/SBD'
)
_AUGMENTED_LISTS = ('trainaug.txt', 'train_aug.txt')
_AUGMENTED_SPLITS = ('train', 'trainaug', 'train_aug')


def look_at_voc(data_dir: str, split: str) -> dict:
  """The flags for one of VOC's own splits: train, val or trainval.

  `data_dir` is VOC2012, or VOCdevkit, or what holds VOCdevkit; any year does.
  """
  voc = _find_voc(data_dir)
  return {
    'images_dir': os.path.join(voc, 'JPEGImages'),
    'labels_dir': os.path.join(voc, 'SegmentationClass'),
    'list_path': _split_list(data_dir, voc, split),
  }


def look_at_voc_aug(data_dir: str, split: str) -> dict:
  """The flags for the training images of VOC and SBD without those of VOC's val: 10582 in VOC 2012.

  Labels are those of SegmentationClassAug (PNG, all images) where there is such a directory; else
  VOC's own where there are any, and SBD's .mat files for the others. Other splits are VOC's.
  """
  if split not in _AUGMENTED_SPLITS:
    return look_at_voc(data_dir, split)
  voc = _find_voc(data_dir)
  val = set(_names(_split_list(data_dir, voc, 'val')))
  images_dir = os.path.join(voc, 'JPEGImages')
  flags = {'images_dir': images_dir}
  try:
    labels_dir = find_tree(data_dir, 'SegmentationClassAug', download=_SBD)
  except InputError:
    return flags | _from_mat_files(data_dir, voc, val)
  nested = os.path.join(labels_dir, 'SegmentationClassAug')
  flags['labels_dir'] = labels_dir = nested if os.path.isdir(nested) else labels_dir
  for directory in (os.path.join(voc, 'ImageSets', 'Segmentation'), data_dir, labels_dir):
    for name in _AUGMENTED_LISTS:
      if os.path.isfile(os.path.join(directory, name)):
        return {**flags, 'list_path': os.path.join(directory, name)}
  labelled = [
    os.path.splitext(name)[0]
    for name in sorted(os.listdir(labels_dir))
    if name.endswith('.png') and not name.startswith('.')
  ]
  return {**flags, 'list_lines': [name for name in labelled if name not in val]}


def _from_mat_files(data_dir, voc, val):
  sbd = os.path.dirname(_find_cls(data_dir))
  if importlib.util.find_spec('scipy') is None:
    raise InputError(f"{shown(sbd)}: reading its .mat files needs scipy: pip install '.[mat]'")
  names = set(_names(_split_list(data_dir, voc, 'train')))
  own = frozenset(names)
  for part in ('train.txt', 'val.txt'):
    path = os.path.join(sbd, part)
    if not os.path.isfile(path):
      raise missing(data_dir, path, download=_SBD)
    names.update(_names(path))
  images = frozenset(os.listdir(os.path.join(voc, 'JPEGImages')))
  lines = []
  for name in sorted(names - val):
    # SBD has copies of its images, for those whose VOC is another year's.
    image_dir = os.path.join(voc, 'JPEGImages') if f'{name}.jpg' in images else f'{sbd}/img'
    label = (
      os.path.join(voc, 'SegmentationClass', f'{name}.png')
      if name in own
      else os.path.join(sbd, 'cls', f'{name}.mat')
    )
    lines.append('\t'.join(map(os.path.abspath, (f'{image_dir}/{name}.jpg', label))))
  return {'labels_dir': os.path.join(sbd, 'cls'), 'labels_ext': '.mat', 'list_lines': lines}


def _find_cls(data_dir):
  """The directory `cls` of SBD; its parents are `dataset` and `benchmark_RELEASE`, or other."""
  for part in ('benchmark_RELEASE/dataset/cls', 'dataset/cls'):
    try:
      return find_tree(data_dir, part, download=_SBD)
    except InputError:
      pass
  try:
    return find_tree(data_dir, 'cls', download=_SBD)
  except InputError as error:
    raise missing(
      data_dir, 'SegmentationClassAug nor benchmark_RELEASE/dataset/cls', download=_SBD
    ) from error


def _find_voc(data_dir):
  parts = [find_tree(data_dir, part, download=_VOC) for part in ('SegmentationClass', 'JPEGImages')]
  voc, other = map(os.path.dirname, parts)
  if voc != other:
    raise missing(data_dir, os.path.join(voc, 'JPEGImages'), download=_VOC)
  return voc


def _split_list(data_dir, voc, split):
  directory = os.path.join(voc, 'ImageSets', 'Segmentation')
  path = os.path.join(directory, f'{split}.txt')
  if os.path.isfile(path):
    return path
  if not os.path.isdir(directory):
    raise missing(data_dir, directory, download=_VOC)
  there = sorted(name[:-4] for name in os.listdir(directory) if name.endswith('.txt'))
  raise InputError(
    f'--split={split}: {shown(directory)} has no {shown(split)}.txt; there are '
    f'{shown(", ".join(there)) or "no lists"}'
  )


def _names(list_path):
  """The names of a list, without blanks and blank lines."""
  lines = read_lines(list_path, what=list_path)
  return [line.strip() for line in lines if line.strip()]
