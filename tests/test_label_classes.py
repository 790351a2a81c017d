"""What flags, colour maps and other descriptions make of the label values of a conversion."""

import json

import pytest

from deeplab import class_names, color_map, data_set_files
from deeplab.conversion import label_classes
from deeplab.data_set import DataSet
from deeplab.errors import InputError
from deeplab.options import ConversionOptions

MAP = '0 10 0 0 sky\n1 20 0 0 road\n2 0 0 0 void\n'


def settle(*, given=(), **flags):
  options = ConversionOptions(labels_dir='a', images_dir='b', split='train', **flags)
  return label_classes.settle(options, given=[*flags, *given])


@pytest.fixture(name='map_file')
def _map_file(tmp_path):
  path = tmp_path / 'map.txt'
  path.write_text(MAP)
  return str(path)


def test_nothing_said_leaves_the_number_open():
  options, described, warnings = settle()
  assert (options.num_classes, options.ignore_label) == (None, 255)
  assert described == DataSet(ignore_label=255)
  assert not warnings


def test_file_of_colours_says_classes_names_and_colours(map_file):
  options, described, warnings = settle(colormap=map_file, ignore_label=2)
  assert (options.num_classes, options.ignore_label) == (2, 2)
  assert described.class_names == ('sky', 'road')
  assert described.colors == ((10, 0, 0), (20, 0, 0))
  assert not warnings


def test_class_called_void_is_warned_of(map_file):
  _, described, warnings = settle(colormap=map_file)
  assert described.num_classes == 3
  assert warnings == [
    'class 2 is called void: if its pixels shall not count, give --ignore_label=2'
  ]


def test_offset_moves_names_and_colours():
  _, described, _ = settle(colormap='ade20k', label_offset=-1)
  assert described.num_classes == 150
  assert described.class_names == class_names.ADE20K[1:]
  assert described.colors[0] == tuple(color_map.load_color_map('ade20k')[1].tolist())
  _, described, _ = settle(class_names='ade20k', num_classes=150, label_offset=-1)
  assert described.class_names == class_names.ADE20K[1:]


def test_voc_colours_do_not_say_how_many_classes():
  assert settle(colormap='voc')[1].num_classes is None
  _, described, _ = settle(colormap='voc', num_classes=3)
  assert (described.class_names, described.colors[1]) == ((), (128, 0, 0))
  assert settle(colormap='voc', num_classes=21)[1].class_names == class_names.VOC


def test_names_from_a_file(tmp_path):
  path = tmp_path / 'names.txt'
  path.write_text('cat\ndog\n')
  _, described, _ = settle(class_names=str(path))
  assert (described.num_classes, described.class_names) == (2, ('cat', 'dog'))
  with pytest.raises(InputError, match='2 names for --num_classes=3'):
    settle(class_names=str(path), num_classes=3)


def test_map_with_a_gap_is_refused(tmp_path):
  path = tmp_path / 'map.txt'
  path.write_text('0 1 1 1\n2 2 2 2\n')
  with pytest.raises(InputError, match='no colour for class 1, but for class 2'):
    settle(colormap=str(path))
  _, described, _ = settle(colormap=str(path), num_classes=3)
  assert described.colors == ((1, 1, 1), (128, 0, 0), (2, 2, 2))


def test_another_split_says_it_all(tmp_path, map_file):
  _, described, _ = settle(colormap=map_file, ignore_label=2)
  path = tmp_path / 'dataset.json'
  content = data_set_files.to_json(described)
  path.write_text(json.dumps(content))
  options, again, _ = settle(dataset=str(tmp_path))
  assert (options.num_classes, options.ignore_label) == (2, 2)
  assert (again.class_names, again.colors) == (described.class_names, described.colors)
  options, again, _ = settle(dataset=str(path), ignore_label=9, num_classes=3)
  assert (options.num_classes, options.ignore_label, again.class_names) == (3, 9, ())
  with pytest.raises(InputError, match='--dataset=.*absent: no such file'):
    settle(dataset=str(tmp_path / 'absent'))
