"""COCO and labelme annotations to records, compared with known masks pixel by pixel."""

import base64
import io
import json
import os
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab import conversion_run
from deeplab.data import labels, tfrecord
from deeplab.errors import InputError
from deeplab.options import ConversionOptions

HEIGHT, WIDTH = 30, 40


@pytest.fixture
def data(tmp_path):
  """A directory `images` with a.jpg and b.jpg of 40x30 pixels."""
  (tmp_path / 'images').mkdir()
  for name in 'ab':
    Image.new('RGB', (WIDTH, HEIGHT), (10, 100, 200)).save(tmp_path / 'images' / f'{name}.jpg')
  return tmp_path


def options_of(directory, annotations, **changes):
  return ConversionOptions(
    **{
      'annotations': annotations and str(annotations),
      'images_dir': str(directory / 'images'),
      'split': 'train',
      'output_dir': str(directory / 'out'),
      'num_workers': 1,
      **changes,
    }
  )


def labels_by_name(directory):
  path = directory / 'out' / 'train' / 'train-00001-of-00001.tfrecord'
  records = [tfrecord.parts_of(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
  return {record['name'].decode(): labels.read_png(record['label'])[0] for record in records}


def box(top, bottom, left, right):
  mask = np.zeros([HEIGHT, WIDTH], bool)
  mask[top:bottom, left:right] = True
  return mask


def corners_of(top, bottom, left, right):
  return [left, top, right, top, right, bottom, left, bottom]


def runs_of(mask):
  """COCO's run lengths: by columns, beginning with the zeros."""
  flat = mask.T.ravel()
  ends = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(int))).tolist()
  return np.diff([0, *ends, flat.size]).tolist()


def coco(annotations, **changes):
  return {
    'images': [
      {'id': 7, 'file_name': 'a.jpg', 'height': HEIGHT, 'width': WIDTH},
      {'id': 3, 'file_name': 'b.jpg', 'height': HEIGHT, 'width': WIDTH},
    ],
    'categories': [{'id': 18, 'name': 'dog'}, {'id': 5, 'name': 'cat'}],
    'annotations': [
      {'id': number, 'image_id': 7, 'iscrowd': 0, **annotation}
      for number, annotation in enumerate(annotations, start=100)
    ],
    **changes,
  }


def write_json(directory, contents, name='instances.json'):
  path = directory / name
  path.write_text(json.dumps(contents))
  return path


def test_coco_polygons_and_runs_are_the_known_masks(data, capsys):
  coco_mask = pytest.importorskip('pycocotools.mask')
  crowd = box(0, 4, 30, 40) | box(20, 24, 3, 9)
  packed = box(25, 30, 0, 40)
  compressed = coco_mask.encode(np.asfortranarray(packed.astype(np.uint8)))
  path = write_json(
    data,
    coco(
      [
        # The small cat lies on the large dog, though it is listed first.
        {'category_id': 5, 'segmentation': [corners_of(8, 12, 10, 14)]},
        {'category_id': 18, 'segmentation': [corners_of(5, 15, 5, 25), corners_of(5, 7, 28, 30)]},
        {
          'category_id': 18,
          'iscrowd': 1,
          'segmentation': {'size': [HEIGHT, WIDTH], 'counts': runs_of(crowd)},
        },
        {
          'category_id': 5,
          'segmentation': {'size': [HEIGHT, WIDTH], 'counts': compressed['counts'].decode()},
        },
      ]
    ),
  )
  summary = conversion_run.convert(options_of(data, path))
  # Classes by the ids of the categories: 5 is the first.
  expected = np.zeros([HEIGHT, WIDTH], np.uint8)
  expected[box(5, 15, 5, 25) | box(5, 7, 28, 30) | crowd] = 2
  expected[box(8, 12, 10, 14) | packed] = 1
  found = labels_by_name(data)
  np.testing.assert_array_equal(found['a'], expected)
  np.testing.assert_array_equal(found['b'], np.zeros([HEIGHT, WIDTH]))
  assert summary['class_names'] == ['background', 'cat', 'dog'] and summary['num_classes'] == 3
  assert (summary['overlapping_pixels'], summary['overlapping_images']) == (16, 1)


def test_sizes_that_are_not_written_are_those_of_the_pictures(data):
  pytest.importorskip('pycocotools')
  path = write_json(
    data,
    coco(
      [{'category_id': 5, 'segmentation': POLYGON}], images=[{'id': 7, 'file_name': 'sub/a.jpg'}]
    ),
  )
  conversion_run.convert(options_of(data, path))
  assert (labels_by_name(data)['sub/a'] == box(0, 9, 0, 9)).all()


def test_of_equal_regions_the_later_is_on_top(data):
  pytest.importorskip('pycocotools')
  same = [corners_of(8, 12, 10, 14)]
  path = write_json(
    data,
    coco([{'category_id': 18, 'segmentation': same}, {'category_id': 5, 'segmentation': same}]),
  )
  summary = conversion_run.convert(options_of(data, path))
  assert (labels_by_name(data)['a'] == box(8, 12, 10, 14)).all()
  assert summary['overlapping_pixels'] == 16


def test_class_names_say_which_class_a_category_is(data):
  pytest.importorskip('pycocotools')
  path = write_json(data, coco([{'category_id': 5, 'segmentation': [corners_of(0, 9, 0, 9)]}]))
  (data / 'names.txt').write_text('background\ndog\nhorse\ncat\n')
  conversion_run.convert(options_of(data, path, class_names=str(data / 'names.txt')))
  assert (labels_by_name(data)['a'] == 3 * box(0, 9, 0, 9)).all()
  # The description of another split does the same.
  conversion_run.convert(
    options_of(data, path, dataset=str(data / 'out' / 'train'), output_dir=str(data / 'again'))
  )
  (data / 'out').rename(data / 'first')
  (data / 'again').rename(data / 'out')
  assert (labels_by_name(data)['a'] == 3 * box(0, 9, 0, 9)).all()


def test_a_list_without_background(data):
  pytest.importorskip('pycocotools')
  path = write_json(data, coco([{'category_id': 5, 'segmentation': [corners_of(0, 9, 0, 9)]}]))
  (data / 'names.txt').write_text('cat\ndog\n')
  settings = {'class_names': str(data / 'names.txt')}
  with pytest.raises(InputError, match='class 0 of the class names is cat, .*no_background'):
    conversion_run.convert(options_of(data, path, **settings))
  conversion_run.convert(options_of(data, path, accept=('no_background', 'one_class'), **settings))
  np.testing.assert_array_equal(labels_by_name(data)['a'], np.where(box(0, 9, 0, 9), 0, 255))


POLYGON = [corners_of(0, 9, 0, 9)]


@pytest.mark.parametrize(
  'annotation, message',
  [
    (
      {'category_id': 5, 'segmentation': [corners_of(0, 9, 35, 50)]},
      r'annotation 100 \(cat\): it reaches from \(35, 0\) to \(50, 9\), out of its pic',
    ),
    (
      {'category_id': 5, 'segmentation': [corners_of(100, 109, 100, 109)]},
      'out of its picture',
    ),
    ({'category_id': 6, 'segmentation': POLYGON}, 'annotation 100: category_id 6 is none of the'),
    ({'category_id': True, 'segmentation': POLYGON}, 'category_id True is none'),
    ({'category_id': 5, 'image_id': 99, 'segmentation': POLYGON}, 'image_id 99 is none of the'),
    ({'category_id': 5, 'segmentation': []}, 'has no segmentation'),
    ({'category_id': 5}, 'has no segmentation'),
    ({'category_id': 5, 'segmentation': 'polygon'}, 'neither polygons nor run lengths'),
    ({'category_id': 5, 'segmentation': [[1, 2, 3, 4]]}, '3 or more points'),
    ({'category_id': 5, 'segmentation': [[1, 2, 3, 4, 5]]}, '3 or more points'),
    ({'category_id': 5, 'segmentation': [[1, 2, 3, 4, 5, 'x']]}, 'not numbers'),
    ({'category_id': 5, 'segmentation': [[1, 2, 3, 4, 5, None]]}, 'not .*numbers'),
    (
      {'category_id': 5, 'segmentation': {'size': [HEIGHT, WIDTH], 'counts': [10, 20]}},
      'run lengths add up to 30, but the picture has 1200 pixels',
    ),
    (
      {'category_id': 5, 'segmentation': {'size': [HEIGHT, WIDTH], 'counts': [1300]}},
      'run lengths add up to 1300',
    ),
    (
      {'category_id': 5, 'segmentation': {'size': [HEIGHT, WIDTH], 'counts': [1201, -1]}},
      'run lengths add up to 1200',
    ),
    (
      {'category_id': 5, 'segmentation': {'size': [WIDTH, HEIGHT], 'counts': [1200]}},
      r'run lengths are for size \[40, 30\] \(height, width\), but the picture is \[30, 40\]',
    ),
    (
      {'category_id': 5, 'segmentation': {'size': [HEIGHT, WIDTH], 'counts': '52203'}},
      'run lengths add up to',
    ),
    ({'category_id': 5, 'segmentation': {'size': [HEIGHT, WIDTH], 'counts': 'T'}}, 'the middle of'),
    ({'category_id': 5, 'segmentation': {'size': [HEIGHT, WIDTH], 'counts': ' '}}, 'character'),
    ({'category_id': 5, 'segmentation': {'size': [HEIGHT, WIDTH]}}, 'neither a text nor a list'),
  ],
)
def test_wrong_annotations_are_one_line(data, annotation, message):
  pytest.importorskip('pycocotools')
  with pytest.raises(InputError, match=message) as error:
    conversion_run.convert(options_of(data, write_json(data, coco([annotation]))))
  assert 'instances.json' in str(error.value) and '\n' not in str(error.value)
  assert not (data / 'out').exists()


def test_regions_are_cut_off_where_that_is_accepted(data):
  pytest.importorskip('pycocotools')
  path = write_json(data, coco([{'category_id': 5, 'segmentation': [corners_of(20, 50, 35, 50)]}]))
  conversion_run.convert(options_of(data, path, accept=('outside',)))
  assert (labels_by_name(data)['a'] == box(20, 30, 35, 40)).all()


@pytest.mark.parametrize(
  'contents, message',
  [
    ({}, "without a list 'images', 'annotations', 'categories'; must be a COCO JSON of instances"),
    ([], 'a JSON list; must be'),
    ({'images': [], 'annotations': [], 'categories': []}, 'a JSON without images'),
    ({**coco([]), 'annotations': [{'segments_info': []}]}, 'panoptic'),
    ({**coco([]), 'annotations': [5]}, 'are no objects'),
    ({'shapes': [], 'imagePath': 'a.jpg'}, 'a labelme file: give its directory'),
    (coco([], categories=[{'id': 5}]), 'a category has no whole id or no name'),
    (
      coco([], categories=[{'id': 5, 'name': 'a'}, {'id': 6, 'name': 'a'}]),
      "the id 6 or the name 'a'",
    ),
    (coco([], images=[{'id': 1, 'file_name': 'x/c.jpg'}]), 'no file x/c.jpg in .*images'),
    (coco([], images=[{'id': [1], 'file_name': 'a.jpg'}]), 'an image has no id or file_name'),
    (coco([], images=[{'id': 1}]), 'an image has no id or file_name'),
    (
      coco([], images=[{'id': 1, 'file_name': 'a.jpg'}, {'id': 2, 'file_name': 'a.jpg'}]),
      'image 2 .a.jpg. is listed twice',
    ),
    (
      coco([], images=[{'id': 7, 'file_name': 'a.jpg', 'height': 31, 'width': WIDTH}]),
      'a.jpg is 40x30 but .*instances.json is 40x31',
    ),
    (
      coco([], images=[{'id': 7, 'file_name': 'a.jpg', 'height': 10**9, 'width': 10**9}]),
      'says that a.jpg has 1000000000x1000000000 pixels',
    ),
  ],
)
def test_wrong_coco_files_are_one_line(data, contents, message):
  pytest.importorskip('pycocotools')
  with pytest.raises(InputError, match=message):
    conversion_run.convert(options_of(data, write_json(data, contents)))
  assert not (data / 'out').exists()


@pytest.mark.parametrize('text', ['', '{', '[' * 100000, '\udcff{}'])
def test_files_that_are_no_json(data, text):
  (data / 'instances.json').write_bytes(text.encode(errors='surrogateescape'))
  with pytest.raises(InputError, match='instances.json: cannot be read as JSON'):
    conversion_run.convert(options_of(data, data / 'instances.json'))


def test_missing_annotations(data):
  with pytest.raises(InputError, match='--annotations=.*none: no such file or directory'):
    conversion_run.convert(options_of(data, data / 'none'))
  with pytest.raises(InputError, match=r'no \*\.json files in it'):
    conversion_run.convert(options_of(data, data / 'images'))


def test_a_category_without_a_class(data):
  pytest.importorskip('pycocotools')
  path = write_json(data, coco([{'category_id': 5, 'segmentation': POLYGON}]))
  (data / 'names.txt').write_text('background\ndog\n')
  with pytest.raises(
    InputError, match='no class for category cat; the classes are background, dog: add it to'
  ):
    conversion_run.convert(options_of(data, path, class_names=str(data / 'names.txt')))
  with pytest.raises(InputError, match='--num_classes=2: background and the categories .* are 3'):
    conversion_run.convert(options_of(data, path, num_classes=2))


@pytest.mark.parametrize(
  'changes, message',
  [
    (dict(labels_dir='labels'), '--labels_dir does not go with --annotations'),
    (dict(list_path='list.txt'), '--list_path does not go with --annotations'),
    (dict(binary=True), '--binary does not go with --annotations'),
    (dict(annotations=None), '--labels_dir is required'),
  ],
)
def test_options_that_contradict_annotations(data, changes, message):
  with pytest.raises(InputError, match=message):
    options_of(data, **{'annotations': 'instances.json', **changes})


def test_without_pycocotools_the_extra_is_named(data, monkeypatch):
  monkeypatch.setitem(sys.modules, 'pycocotools.mask', None)
  with pytest.raises(InputError, match='needs pycocotools to be drawn: pip install pycocotools'):
    conversion_run.convert(options_of(data, write_json(data, coco([]))))


# labelme


def labelme(shapes, image='a.jpg', **changes):
  return {
    'version': '5.4.1',
    'imagePath': image,
    'imageData': None,
    'imageHeight': HEIGHT,
    'imageWidth': WIDTH,
    'shapes': [{'group_id': None, 'flags': {}, **shape} for shape in shapes],
    **changes,
  }


def pairs_of(top, bottom, left, right):
  """Corners of a polygon that covers just these pixels: labelme counts its outline in."""
  return [[left, top], [right - 1, top], [right - 1, bottom - 1], [left, bottom - 1]]


def test_labelme_shapes_are_the_known_masks(data):
  shapes = data / 'shapes'
  shapes.mkdir()
  small = box(0, 6, 0, 6)[:6, :6].copy()
  small[0, 0] = False
  file = io.BytesIO()
  Image.fromarray(small).save(file, format='PNG')
  write_json(
    shapes,
    labelme(
      [
        {'label': 'pear', 'shape_type': 'rectangle', 'points': [[30, 3], [33, 8]]},
        {'label': 'apple', 'shape_type': 'polygon', 'points': pairs_of(5, 20, 2, 22)},
        {'label': 'pear', 'points': pairs_of(8, 12, 4, 9), 'group_id': 1},
        {
          'label': '__ignore__',
          'shape_type': 'mask',
          'points': [[33, 22], [38, 27]],
          'mask': base64.b64encode(file.getvalue()).decode(),
        },
      ]
    ),
    'a.json',
  )
  # A path of the machine where it was annotated.
  write_json(
    shapes,
    labelme(
      [{'label': 'apple', 'shape_type': 'circle', 'points': [[10, 10], [10, 14]]}],
      image='..\\pictures\\b.jpg',
    ),
    'b.json',
  )
  summary = conversion_run.convert(options_of(data, shapes))
  expected = np.zeros([HEIGHT, WIDTH], np.uint8)
  expected[box(5, 20, 2, 22)] = 1
  expected[box(8, 12, 4, 9) | box(3, 9, 30, 34)] = 2
  expected[22:28, 33:39][small] = 255
  found = labels_by_name(data)
  np.testing.assert_array_equal(found['a'], expected)
  rows, columns = np.mgrid[:HEIGHT, :WIDTH]
  circle = (rows - 10) ** 2 + (columns - 10) ** 2
  disc = found['pictures/b']
  assert (disc[circle <= 3.5**2] == 1).all() and (disc[circle > 4.6**2] == 0).all()
  assert summary['class_names'] == ['background', 'apple', 'pear']
  assert summary['overlapping_pixels'] == 20


@pytest.mark.parametrize('far', [30_000, 2**63])  # Pillow draws neither, the second without end.
def test_a_circle_far_larger_than_the_picture(far, data):
  shapes = data / 'shapes'
  shapes.mkdir()
  circle = {'label': 'apple', 'shape_type': 'circle', 'points': [[-far, 15], [20, 15]]}
  write_json(shapes, labelme([circle], image='a.jpg'), 'a.json')
  conversion_run.convert(options_of(data, shapes, accept=('outside',)))
  expected = np.zeros([HEIGHT, WIDTH], np.uint8)
  expected[:, :20] = 1  # But for a pixel, its edge is a straight line there.
  expected[15, 20] = 1
  np.testing.assert_array_equal(labels_by_name(data)['a'], expected)


def test_records_may_lie_beside_the_files_of_labelme(data):
  shapes = data / 'out' / 'train'
  shapes.mkdir(parents=True)
  write_json(shapes, labelme([{'label': 'pear', 'points': pairs_of(0, 9, 0, 9)}]), 'a.json')
  for _ in range(2):
    assert conversion_run.convert(options_of(data, shapes))['num_records'] == 1


def test_lists_of_labelme_give_the_classes(data):
  shapes = data / 'shapes'
  shapes.mkdir()
  write_json(
    shapes,
    labelme(
      [
        {'label': 'pear', 'points': pairs_of(0, 9, 0, 9)},
        {'label': '__ignore__', 'points': pairs_of(0, 4, 20, 30)},
        {'label': '_background_', 'points': pairs_of(2, 4, 2, 4)},
      ]
    ),
  )
  (data / 'labels.txt').write_text('__ignore__\n_background_\npear\n')
  conversion_run.convert(options_of(data, shapes, class_names=str(data / 'labels.txt')))
  expected = np.where(box(0, 9, 0, 9) & ~box(2, 4, 2, 4), 1, 255 * box(0, 4, 20, 30))
  np.testing.assert_array_equal(labels_by_name(data)['a'], expected)


@pytest.mark.parametrize(
  'contents, message',
  [
    ({}, 'is no labelme file'),
    (labelme([], image='c.jpg'), 'no file c.jpg in .*images, the image that it annotates'),
    ({**labelme([]), 'shapes': None}, 'is no labelme file'),
    (labelme([{'points': []}]), 'shape 1: has no label'),
    ({**labelme([]), 'shapes': [5]}, 'shape 1: has no label'),
    (labelme([{'label': 'a', 'points': [[1, 2]]}]), r'shape 1 \(a\): a polygon has 3 points'),
    (labelme([{'label': 'a', 'shape_type': 'point', 'points': [[1, 2]]}]), 'a point has no area'),
    (labelme([{'label': 'a', 'shape_type': ['x'], 'points': []}]), 'has no area; must be one of'),
    (labelme([{'label': 'a', 'points': [[1, 2], [3, 4], 5]}]), 'points are not'),
    (labelme([{'label': 'a', 'points': [[1, 2], [3, 10**400], [5, 6]]}]), 'points are not'),
    (labelme([{'label': 'a', 'points': [[1, 2], [3, float('nan')], [5, 6]]}]), 'points are not'),
    (
      labelme([{'label': 'a', 'points': [[1, 2], [300, 4], [5, 5]]}]),
      r'shape 1 \(a\): it reaches from \(1, 2\) to \(300, 5\), out of its picture',
    ),
    (
      labelme([{'label': 'a', 'shape_type': 'mask', 'points': [[0, 0], [5, 5]], 'mask': 'x'}]),
      'no picture in base 64',
    ),
    (coco([]), 'is a COCO JSON; give the file itself'),
  ],
)
def test_wrong_labelme_files_are_one_line(data, contents, message):
  shapes = data / 'shapes'
  shapes.mkdir()
  path = write_json(shapes, contents, 'x.json')
  with pytest.raises(InputError, match=message) as error:
    conversion_run.convert(options_of(data, shapes))
  assert str(path) in str(error.value) and not (data / 'out').exists()


def test_two_files_of_one_image(data):
  shapes = data / 'shapes'
  shapes.mkdir()
  for name in ('a.json', 'other.json'):
    write_json(shapes, labelme([]), name)
  with pytest.raises(InputError, match='a.json and .*other.json: both annotate .*a.jpg'):
    conversion_run.convert(options_of(data, shapes))


def test_workers_draw(data):
  pytest.importorskip('pycocotools')
  path = write_json(data, coco([{'category_id': 5, 'segmentation': POLYGON}]))
  conversion_run.convert(options_of(data, path, num_workers=2))
  assert (labels_by_name(data)['a'] == box(0, 9, 0, 9)).all()
  assert os.path.isfile(data / 'out' / 'train' / 'dataset.json')
