import pathlib
import re
import runpy
import zlib

import numpy as np
import pytest

from deeplab import class_names, color_map
from deeplab.conversion import source_files
from deeplab.errors import InputError

_CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


def test_voc_colors():
  colors = color_map.pascal_voc_color_map()
  assert colors.dtype == np.uint8 and colors.shape == (256, 3)
  # The published colours of PASCAL VOC: background, aeroplane, ..., cat, chair, ..., tvmonitor,
  # void.
  expected = {
    0: (0, 0, 0),
    1: (128, 0, 0),
    2: (0, 128, 0),
    3: (128, 128, 0),
    4: (0, 0, 128),
    7: (128, 128, 128),
    8: (64, 0, 0),
    9: (192, 0, 0),
    15: (192, 128, 128),
    16: (0, 64, 0),
    20: (0, 64, 128),
    255: (224, 224, 192),
  }
  for index, color in expected.items():
    assert tuple(colors[index]) == color
  assert len(np.unique(colors, axis=0)) == 256


def test_voc_colors_beyond_256():
  colors = color_map.pascal_voc_color_map(1000)
  np.testing.assert_array_equal(colors[:256], color_map.pascal_voc_color_map())
  assert len(np.unique(colors, axis=0)) == 1000


def test_cityscapes_colors():
  colors = color_map.load_color_map('cityscapes')
  assert colors.shape == (19, 3) == (len(class_names.CITYSCAPES), 3)
  named = dict(zip(class_names.CITYSCAPES, map(tuple, colors.tolist())))
  assert named['road'] == (128, 64, 128) and named['sky'] == (70, 130, 180)
  assert named['car'] == (0, 0, 142) and named['bicycle'] == (119, 11, 32)


def test_ade20k_colors():
  colors = color_map.load_color_map('ade20k')
  assert colors.shape == (151, 3) == (len(class_names.ADE20K), 3)
  named = dict(zip(class_names.ADE20K, map(tuple, colors.tolist())))
  assert (
    named['other'] == (0, 0, 0)
    and named['wall'] == (120, 120, 120)
    and named['sky'] == (6, 230, 230)
  )
  assert (
    named['water'] == (61, 230, 250)
    and named['stool'] == (0, 214, 255)
    and named['flag'] == (92, 0, 255)
  )
  # The benchmark itself gives road and skyscraper one grey; all others are distinct.
  assert named['road'] == named['skyscraper'] == (140, 140, 140)
  assert len(np.unique(colors, axis=0)) == 150


def test_names_are_distinct():
  for names in (class_names.VOC, class_names.CITYSCAPES, class_names.ADE20K):
    assert len(set(names)) == len(names)
  assert len(class_names.VOC) == 21 and class_names.VOC[15] == 'person'


def test_color_map_file(tmp_path):
  path = tmp_path / 'map.txt'
  path.write_text('# mine\n0 0 0 0 background\n\n2, 10, 20, 30, traffic light\n1 255 0 0\n')
  np.testing.assert_array_equal(
    color_map.load_color_map(str(path)), [[0, 0, 0], [255, 0, 0], [10, 20, 30]]
  )
  assert color_map.read_entries(str(path))[1] == (2, (10, 20, 30), 'traffic light')


@pytest.mark.parametrize(
  'text, message',
  [
    ('0 0 0 0\n0 0 0 0\n', 'line 2: index 0 appears twice, as in line 1'),
    ('0 0 0 256\n', "line 1: '0 0 0 256' is not `index r g b"),
    ('background\n', "line 1: 'background' is not"),
    ('0 0 0\n', "line 1: '0 0 0' is not"),
    ('\n# nothing\n', 'no line `index r g b'),
  ],
)
def test_wrong_color_map_file(tmp_path, text, message):
  path = tmp_path / 'map.txt'
  path.write_text(text)
  with pytest.raises(InputError, match=message):
    color_map.load_color_map(str(path))


def test_unknown_color_map():
  with pytest.raises(InputError, match="'vok': not a file, and not one of voc, cityscapes, ade20k"):
    color_map.load_color_map('vok')
  with pytest.raises(InputError, match='^--colormap=vok: not a file, and not one of voc'):
    color_map.load_color_map('vok', flag='colormap')
  with pytest.raises(InputError, match='^--colormap=vok: not a file, and not one of voc'):
    source_files.color_indices('vok')


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64])
def test_colorize(dtype):
  colors = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
  painted = color_map.colorize(np.array([[0, 2], [1, 255]], dtype), colors)
  assert painted.dtype == np.uint8
  np.testing.assert_array_equal(painted, [[[1, 2, 3], [7, 8, 9]], [[4, 5, 6], [0, 0, 0]]])


def test_colorize_more_than_256_classes_and_negative_labels():
  colors = color_map.pascal_voc_color_map(300)
  painted = color_map.colorize(np.array([[299, -1, 300]], np.int32), colors)
  np.testing.assert_array_equal(painted, [[colors[299], [0, 0, 0], [0, 0, 0]]])
  # A uint8 label cannot leave a map of 256 entries; the last entry must survive the spare one.
  np.testing.assert_array_equal(
    color_map.colorize(np.array([[255]], np.uint8), color_map.pascal_voc_color_map()),
    [[[224, 224, 192]]],
  )


def test_load_class_names(tmp_path):
  assert class_names.load_class_names('voc', 21) == class_names.VOC
  path = tmp_path / 'names.txt'
  path.write_text('sky\n\nroad sign\n')
  assert class_names.load_class_names(str(path), 2) == ('sky', 'road sign')
  path.write_text('1 0 0 0 b\n0 1 1 1 a a\n255 2 2 2 void\n')
  assert class_names.load_class_names(str(path), 2) == ('a a', 'b')
  path.write_text('0 0 0 0 a\n1 1 1 1\n')
  with pytest.raises(InputError, match='no name for class 1 of 2'):
    class_names.load_class_names(str(path), 2)


def test_wrong_class_names(tmp_path):
  with pytest.raises(InputError, match='^--class_names=voc: 21 names for --num_classes=6'):
    class_names.load_class_names('voc', 6)
  with pytest.raises(
    InputError, match='^--class_names=.*absent: not a file, and not one of voc, cityscapes, ade20k'
  ):
    class_names.load_class_names(str(tmp_path / 'absent'), 6)


def _colors_of_a_sheet(path):
  """The colours of the rectangles of a PDF of scripts/draw_color_maps.py, uint8 [n, 3], RGB."""
  pages = [
    zlib.decompress(stream)
    for stream in re.findall(rb'stream\n(.*?)\nendstream', path.read_bytes(), flags=re.DOTALL)
    if stream.startswith(b'x')  # As zlib's streams begin.
  ]
  # `g` sets one grey, `rg` red, green and blue; then a closed path of moves and lines, painted.
  rectangles = rb'([\d.\s]+)\s(?:rg|g)\s[\d.\s]+m\s(?:[\d.\s]+l\s)+h\s+B\s'
  found = [match.split() for page in pages for match in re.findall(rectangles, page)]
  return np.rint([[float(part) * 255 for part in color * 3][:3] for color in found])


@pytest.mark.parametrize(
  'file, expected',
  [
    ('pascalvoc_colormap.pdf', color_map.pascal_voc_color_map(21)),
    ('ade20k_colormap.pdf', color_map.load_color_map('ade20k')),
    # What --colormap=voc, the default, shows of 151 classes.
    ('ade20k_voc_rule_colormap.pdf', color_map.pascal_voc_color_map(151)),
  ],
)
def test_sheets_of_the_checkout_show_the_colors(file, expected):
  np.testing.assert_array_equal(_colors_of_a_sheet(_CHECKOUT / 'files' / file), expected)


def test_script_draws_every_sheet_of_the_checkout(tmp_path, capsys):
  pytest.importorskip('matplotlib')
  script = runpy.run_path(str(_CHECKOUT / 'scripts' / 'draw_color_maps.py'))
  script['main'](script['DrawingOptions'](output_path=str(tmp_path)))
  drawn = sorted(path.name for path in tmp_path.iterdir())
  assert drawn == sorted(path.name for path in (_CHECKOUT / 'files').glob('*_colormap.pdf'))
  assert len(drawn) == 3
  assert all((tmp_path / name).read_bytes().startswith(b'%PDF-') for name in drawn)
  printed = capsys.readouterr().out.splitlines()
  assert sorted(printed) == [f'Colour map written to {tmp_path / name}' for name in drawn]


@pytest.mark.parametrize('content', [b'\x89PNG\r\n\x1a\n\0\0', b'\0\1\2 0 1'])
def test_binary_files_are_no_lists_of_classes(tmp_path, content):
  (tmp_path / 'a').write_bytes(content)
  path = str(tmp_path / 'a')
  wrong = 'is no text file; give a text file with a line for each class'
  with pytest.raises(InputError, match=f'^--colormap={path}: {wrong}'):
    color_map.load_color_map(path, flag='colormap')
  with pytest.raises(InputError, match=f'^--class_names={path}: {wrong}'):
    class_names.load_class_names(path, 2)
