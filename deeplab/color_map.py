"""Colour maps: which colour a class index is painted in."""

import numpy as np

from deeplab import class_lists, remote_files
from deeplab.errors import InputError, shown

# Colours of the 19 training ids of Cityscapes, in the order of class_names.CITYSCAPES.
_CITYSCAPES = """
    804080 f423e8 464646 66669c be9999 999999 faaa1e dcdc00 6b8e23 98fb98 4682b4 dc143c ff0000
    00008e 000046 003c64 005064 0000e6 770b20"""

# Colours of its other labels: unlabeled, static and the like; dynamic, ground, parking, rail track,
# guard rail, bridge, tunnel, caravan, trailer (cityscapesScripts, helpers/labels.py).
_CITYSCAPES_IGNORED = '000000 6f4a00 510051 faaaa0 e6968c b4a5b4 966464 96785a 00005a 00006e'

# Colours of the ADE20K scene parsing benchmark, in the order of class_names.ADE20K.
_ADE20K = """
    000000 787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07
    96053d 787846 08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747
    ff09e0 0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff
    ff3d06 ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00
    1fff00 ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff
    00ff70 00ff85 ff0000 ffa300 ff6600 c2ff00 008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00
    00ff99 ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014 ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2
    00ff52 000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00
    ffeb00 08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0
    a300ff 9900ff 47ff00 ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4
    d6ff00 00ccff 1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff
    00ffb8 005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff"""

# Colours of CamVid's 11 classes, in the order of class_names.CAMVID.
_CAMVID = """
    808080 800000 c0c080 804080 3c28de 808000 c08080 404080 400080 404000 0080c0"""
_CAMVID_IGNORED = '000000'

NAMES = ('voc', 'cityscapes', 'ade20k', 'ade20k_150', 'camvid')


def pascal_voc_color_map(num_colors: int = 256) -> np.ndarray:
  """The colour map of PASCAL VOC, which gives any number of classes distinct colours.

  The three lowest bits of an index become the highest bits of red, green and blue, the next three
  bits the second-highest, and so on: neighbours in number are far apart in colour.

  Args:
    num_colors: number of entries, 1 to 2 ** 24.

  Returns:
    uint8 [num_colors, 3], RGB.
  """
  indices = np.arange(num_colors)
  colors = np.zeros([num_colors, 3], np.uint8)
  for bit in range(24):
    # Bit 0 goes to bit 7 of red, bit 1 to bit 7 of green, bit 2 to bit 7 of blue, bit 3 to bit 6 of
    # red.
    colors[:, bit % 3] |= ((indices >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
  return colors


def load_color_map(name_or_path: str, *, flag: str | None = None) -> np.ndarray:
  """The colour map of a data set, or one read from a file.

  Args:
    name_or_path: 'voc' (256 entries), 'cityscapes' (19 training ids), 'ade20k' (151, class 0 is
      black), 'ade20k_150' (without class 0), 'camvid' (11), or the path of a text file with lines
      `index r g b [name]` or of another kind that class_lists knows. Indices that the file leaves
      out are black.
    flag: name of the flag that chose it, for messages.

  Returns:
    uint8 [num_colors, 3], RGB.

  Raises:
    InputError: no such name or file, or a line that is not such a line.
  """
  if name_or_path == 'voc':
    return pascal_voc_color_map()
  if name_or_path in NAMES:
    table = {
      'cityscapes': _CITYSCAPES,
      'ade20k': _ADE20K,
      'ade20k_150': _ADE20K.split(maxsplit=1)[1],
      'camvid': _CAMVID,
    }[name_or_path]
    return np.array([list(bytes.fromhex(color)) for color in table.split()], np.uint8)
  entries = read_entries(name_or_path, flag=flag)
  colors = np.zeros([1 + max(entry.index for entry in entries), 3], np.uint8)
  for entry in reversed(entries):  # The first colour of a class counts.
    colors[entry.index] = entry.color
  return colors


def read_entries(path: str, *, flag: str | None = None) -> list[class_lists.Entry]:
  """The classes of a colour-map file, in the order of its lines: see class_lists.

  Each has a colour. A class may have several lines; it is painted in the colour of its first.

  Raises:
    InputError: the file is missing or empty, or a line is something else.
  """
  what = f'--{flag}={path}' if flag else f'colour map {path!r}'
  if not remote_files.is_file(path):
    raise InputError(
      f'{what}: not a file, and not one of {", ".join(NAMES)}; give one of these, or a text file '
      'with lines `index r g b name`'
    )
  entries = class_lists.read_entries(path, what=what)
  if entries is None:
    lines = class_lists.lines_of(path, what=what)
    if lines:
      number, line = lines[0]
      raise InputError(
        f'{what}, line {number}: {line[:60]!r} is not `index r g b [name]` with an index up to '
        "65535 and colours from 0 to 255, nor a line of CVAT's labelmap.txt (name:r,g,b::)"
      )
  if not entries:
    raise InputError(f'{what}: no line `index r g b [name]`; a colour map has one for each class')
  for entry in entries:
    if entry.color is None:
      raise InputError(
        f'{what}: no colour for class {entry.index} ({entry.name}); as a list of names give it to '
        '--class_names'
      )
  return entries


def label_colors(name_or_path: str, *, ignore_label: int = 255) -> list[tuple[int, tuple]]:
  """(index, colour) of all colours that labels of a data set may have.

  Several may have one index: those of Cityscapes' labels that are not evaluated, such as parking
  and trailer, have `ignore_label`. Its pole group and license plate have the colours of pole and
  car, and cannot be told from them. Raises InputError.
  """
  if name_or_path not in NAMES:
    return [(entry.index, entry.color) for entry in read_entries(name_or_path, flag='colormap')]
  colors = [tuple(color) for color in load_color_map(name_or_path).tolist()]
  ignored = {'cityscapes': _CITYSCAPES_IGNORED, 'camvid': _CAMVID_IGNORED}.get(name_or_path, '')
  return [
    *enumerate(colors),
    *((ignore_label, tuple(bytes.fromhex(color))) for color in ignored.split()),
  ]


def refuse_too_few(colors: np.ndarray, num_classes: int, *, chosen: str) -> None:
  """Raises InputError where `chosen`, the value of --colormap, has fewer colours than classes."""
  if len(colors) < num_classes:
    raise InputError(
      f'--colormap={shown(chosen)}: {len(colors)} colours for {num_classes} classes; choose '
      'another or add lines to it'
    )


def colorize(labels: np.ndarray, color_map: np.ndarray) -> np.ndarray:
  """Paints class indices.

  Args:
    labels: integer array [height, width].
    color_map: uint8 [num_colors, 3]. Labels beyond it, such as an ignore label, become black.

  Returns:
    uint8 [height, width, 3], RGB.
  """
  labels = np.asarray(labels)
  # A spare black entry at the end takes whatever the map does not know; unsigned labels need no
  # test for negatives.
  table = np.concatenate([np.asarray(color_map, np.uint8), np.zeros([1, 3], np.uint8)])
  spare = len(table) - 1
  if labels.dtype == np.uint8 and spare < 256:
    table = np.concatenate([table, np.zeros([256 - len(table), 3], np.uint8)])
  elif labels.dtype != np.uint8:
    labels = np.where((labels >= 0) & (labels < spare), labels, spare)
  return np.take(table, labels, axis=0)
