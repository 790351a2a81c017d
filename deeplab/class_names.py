"""Names of classes, for tables, legends and reports."""

from deeplab import class_lists, remote_files
from deeplab.errors import InputError

# fmt: off
VOC = (
  'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair',
  'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa',
  'train', 'tvmonitor',
)

# Training ids; 255 is ignored.
CITYSCAPES = (
  'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign',
  'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train',
  'motorcycle', 'bicycle',
)

# The scene parsing benchmark: 0 is whatever is none of the 150 classes, which the benchmark
# ignores.
ADE20K = (
  'other', 'wall', 'building', 'sky', 'floor', 'tree', 'ceiling', 'road', 'bed', 'windowpane',
  'grass', 'cabinet', 'sidewalk', 'person', 'earth', 'door', 'table', 'mountain', 'plant',
  'curtain', 'chair', 'car', 'water', 'painting', 'sofa', 'shelf', 'house', 'sea', 'mirror',
  'rug', 'field', 'armchair', 'seat', 'fence', 'desk', 'rock', 'wardrobe', 'lamp', 'bathtub',
  'railing', 'cushion', 'base', 'box', 'column', 'signboard', 'chest of drawers', 'counter',
  'sand', 'sink', 'skyscraper', 'fireplace', 'refrigerator', 'grandstand', 'path', 'stairs',
  'runway', 'case', 'pool table', 'pillow', 'screen door', 'stairway', 'river', 'bridge',
  'bookcase', 'blind', 'coffee table', 'toilet', 'flower', 'book', 'hill', 'bench',
  'countertop', 'stove', 'palm', 'kitchen island', 'computer', 'swivel chair', 'boat', 'bar',
  'arcade machine', 'hovel', 'bus', 'towel', 'light', 'truck', 'tower', 'chandelier', 'awning',
  'streetlight', 'booth', 'television', 'airplane', 'dirt track', 'apparel', 'pole', 'land',
  'bannister', 'escalator', 'ottoman', 'bottle', 'buffet', 'poster', 'stage', 'van', 'ship',
  'fountain', 'conveyer belt', 'canopy', 'washer', 'plaything', 'swimming pool', 'stool',
  'barrel', 'basket', 'waterfall', 'tent', 'bag', 'minibike', 'cradle', 'oven', 'ball', 'food',
  'step', 'tank', 'trade name', 'microwave', 'pot', 'animal', 'bicycle', 'lake', 'dishwasher',
  'screen', 'blanket', 'sculpture', 'hood', 'sconce', 'vase', 'traffic light', 'tray', 'ashcan',
  'fan', 'pier', 'crt screen', 'plate', 'monitor', 'bulletin board', 'shower', 'radiator',
  'glass', 'clock', 'flag',
)
# fmt: on

# The SegNet authors' 11 of its 32 classes; 11 is ignored.
CAMVID = (
  'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'signsymbol', 'fence', 'car', 'pedestrian',
  'bicyclist',
)  # fmt: skip

_DATA_SETS = {
  'voc': VOC,
  'cityscapes': CITYSCAPES,
  'ade20k': ADE20K,
  'ade20k_150': ADE20K[1:],  # Labels shifted by -1.
  'camvid': CAMVID,
}


def load_class_names(name_or_path: str, num_classes: int) -> tuple[str, ...]:
  """The names of classes 0 to num_classes - 1.

  Args:
    name_or_path: 'voc', 'cityscapes', 'ade20k', 'ade20k_150' (without class 0), 'camvid', or the
      path of a text file with one name a line, or of a file that class_lists knows, a colour map
      for example, of which indices beyond num_classes, such as an ignore label, do not count.
    num_classes: how many names are needed.

  Returns:
    num_classes names.

  Raises:
    InputError: no such name or file, or another number of names.
  """
  if name_or_path in _DATA_SETS:
    names = _DATA_SETS[name_or_path]
  else:
    names = _read_names(name_or_path, num_classes)
  if len(names) != num_classes:
    raise InputError(
      f'--class_names={name_or_path}: {len(names)} names for --num_classes={num_classes}; give one '
      'name for '
      'each class, class 0 first'
    )
  return tuple(names)


def of_data_set(name: str) -> tuple[str, ...]:
  """The names of the classes of 'voc', 'cityscapes' or 'ade20k'; () for any other name."""
  return _DATA_SETS.get(name, ())


def count_names(path: str, *, ignore_label: int) -> int:
  """How many classes a file of names has; an index that is `ignore_label` is none. Raises
  InputError.
  """
  entries = _read_entries(path)
  if entries is None:
    return len(_lines_of_names(path))
  return 1 + max((entry.index for entry in entries if entry.index != ignore_label), default=-1)


def _read_entries(path):
  """The entries of a file that gives an index to each name, None for one with a name a line."""
  if not remote_files.is_file(path):
    raise InputError(
      f'--class_names={path}: not a file, and not one of {", ".join(_DATA_SETS)}; give one of '
      'these, or a text file with one name a line'
    )
  what = f'--class_names={path}'
  try:
    return class_lists.read_entries(path, what=what)
  except InputError:
    # A name may look like an entry; then the other lines do not.
    lines = [line for _, line in class_lists.lines_of(path, what=what)]
    if class_lists.parse_entry(lines[0]) and not all(map(class_lists.parse_entry, lines)):
      return None
    raise


def _read_names(path, num_classes):
  entries = _read_entries(path)
  if entries is None:
    return _lines_of_names(path)
  named = {}
  for entry in entries:
    named.setdefault(entry.index, entry.name)
  missing = [index for index in range(num_classes) if not named.get(index)]
  if missing:
    raise InputError(
      f'--class_names={path}: no name for class {missing[0]} of {num_classes}; give each class a '
      'line with its name'
    )
  return [named[index] for index in range(num_classes)]


def _lines_of_names(path):
  # labelme's lists begin with the name of regions that are no class.
  return [
    line
    for _, line in class_lists.lines_of(path, what=f'--class_names={path}')
    if line != '__ignore__'
  ]
