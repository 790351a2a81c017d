"""Which image belongs to which label."""

import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab import conversion_run
from deeplab.conversion.pairing import list_pairs
from deeplab.conversion.problems import Problems
from deeplab.data import tfrecord
from deeplab.errors import InputError
from deeplab.options import ConversionOptions


def make(root, *paths):
  """Empty files."""
  for path in paths:
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, 'w').close()


def pairs_of(root, *, lines=None, images='images', labels='labels', problems=None, **changes):
  """[(name, image, label)], the paths relative to `root`."""
  if lines is not None:
    (root / 'list.txt').write_text('\n'.join(lines), errors='surrogateescape')
    changes['list_path'] = str(root / 'list.txt')
  options = ConversionOptions(
    images_dir=str(root / images), labels_dir=str(root / labels), split='train', **changes
  )
  found = Problems() if problems is None else problems
  pairing = list_pairs(options, found)
  if problems is None and found:
    found.raise_error(num_items=pairing.num_items)
  return [
    (pair.name, os.path.relpath(pair.image_path, root), os.path.relpath(pair.label_path, root))
    for pair in pairing.pairs
  ]


def test_images_of_all_extensions(tmp_path):
  images = ['a.jpg', 'b.JPG', 'c.jpeg', 'd.png', 'e.bmp', 'f.TIF', 'g.webp', 'h.gif']
  make(tmp_path, *(f'images/{name}' for name in images))
  make(tmp_path, *(f'labels/{name[0]}.png' for name in images), 'images/unlabelled.jpg')
  assert pairs_of(tmp_path) == [
    (name[0], f'images/{name}', f'labels/{name[0]}.png') for name in images
  ]


@pytest.mark.parametrize('lines', [None, ['a.jpg']])
def test_labels_named_after_the_whole_name_of_the_image(tmp_path, lines):
  make(tmp_path, 'images/a.jpg', 'labels/a.jpg.png')
  assert pairs_of(tmp_path, lines=lines) == [('a', 'images/a.jpg', 'labels/a.jpg.png')]


def test_labels_in_another_case(tmp_path):
  make(tmp_path, 'images/a.jpg', 'images/b.jpg', 'labels/a.PNG', 'labels/b.png', 'labels/b.PNG')
  assert [pair[2] for pair in pairs_of(tmp_path)] == ['labels/a.PNG', 'labels/b.png']


def test_hidden_files_are_left_out(tmp_path):
  make(tmp_path, 'images/a.jpg', 'images/._a.jpg', 'labels/a.png', 'labels/._a.png')
  make(tmp_path, 'images/.DS_Store', 'labels/.DS_Store', 'labels/.cache/b.png')
  assert pairs_of(tmp_path) == [('a', 'images/a.jpg', 'labels/a.png')]


@pytest.mark.parametrize('lines', [None, ['a'], ['a.png']])
def test_two_images_for_a_label(tmp_path, lines):
  make(tmp_path, 'images/a.jpg', 'images/a.tif', 'labels/a.png')
  with pytest.raises(
    InputError, match='a.*: 2 files may be its image: .*a.jpg and .*a.tif; --images_ext says which'
  ):
    pairs_of(tmp_path, lines=lines)
  assert pairs_of(tmp_path, lines=lines, images_ext='.tif')[0][1] == 'images/a.tif'


def test_a_list_may_say_which_image(tmp_path):
  make(tmp_path, 'images/a.jpg', 'images/a.tif', 'labels/a.png')
  assert pairs_of(tmp_path, lines=['a.tif']) == [('a', 'images/a.tif', 'labels/a.png')]


def test_two_labels_for_an_image(tmp_path):
  make(tmp_path, 'images/a.jpg', 'labels/a.PNG', 'labels/a.Png')
  with pytest.raises(InputError, match='a: 2 files may be its label: .*a.PNG and .*a.Png'):
    pairs_of(tmp_path)


@pytest.mark.parametrize(
  'lines', [None, ['x', 'y.1'], ['x.jpg', 'y.1.png'], ['x_mask.png', '/old/train/y.1_mask.png']]
)
def test_masks_beside_the_images(tmp_path, lines):
  make(tmp_path, 'train/x.jpg', 'train/x_mask.png', 'train/y.1.png', 'train/y.1_mask.png')
  make(tmp_path, 'train/_classes.csv', 'train/unlabelled.jpg')
  places = dict(images='train', labels='train', lines=lines)
  assert pairs_of(tmp_path, labels_ext='_mask.png', **places) == [
    ('x', 'train/x.jpg', 'train/x_mask.png'),
    ('y.1', 'train/y.1.png', 'train/y.1_mask.png'),
  ]


@pytest.mark.parametrize('lines', [None, ['x'], ['x.jpg'], ['x.jpg x.png']])
def test_labels_of_the_same_name_beside_the_images(tmp_path, lines):
  make(tmp_path, 'all/x.jpg', 'all/x.png')
  assert pairs_of(tmp_path, images='all', labels='all', lines=lines) == [
    ('x', 'all/x.jpg', 'all/x.png')
  ]


CITIES = [
  ('bonn/bonn_1', 'images/bonn/bonn_1_leftImg8bit.png', 'labels/bonn/bonn_1_gt_labelTrainIds.png'),
  ('ulm/ulm_2', 'images/ulm/ulm_2_leftImg8bit.png', 'labels/ulm/ulm_2_gt_labelTrainIds.png'),
]


@pytest.mark.parametrize(
  'lines',
  [
    None,
    ['bonn/bonn_1', 'ulm/ulm_2'],
    ['bonn_1', 'ulm_2'],
    ['bonn/bonn_1_leftImg8bit.png', 'ulm/ulm_2_gt_labelTrainIds.png'],
    ['/old/images/bonn/bonn_1_leftImg8bit.png', r'C:\old\ulm\ulm_2_leftImg8bit.png'],
    [f'/old/{image}\t/old/{label}' for _, image, label in CITIES],
  ],
)
def test_suffixes_below_sub_directories(tmp_path, lines):
  for _, image, label in CITIES:
    make(tmp_path, image, label, label.replace('labelTrainIds', 'color'))
  assert (
    pairs_of(
      tmp_path, lines=lines, images_ext='_leftImg8bit.png', labels_ext='_gt_labelTrainIds.png'
    )
    == CITIES
  )


def test_directory_of_previews_among_the_labels(tmp_path):
  make(tmp_path, 'images/a.jpg', 'labels/a.png', 'labels/previews/a.png')
  options = ConversionOptions(
    images_dir=str(tmp_path / 'images'), labels_dir=str(tmp_path / 'labels'), split='train'
  )
  problems = Problems()
  pairing = list_pairs(options, problems)
  assert [pair.name for pair in pairing.pairs] == ['a'] and not problems
  assert 'previews: 1 files *.png left out; none has an image in' in pairing.notes[0]


def test_labels_in_sub_directories_need_their_images(tmp_path):
  make(tmp_path, 'images/s/a.jpg', 'labels/s/a.png', 'labels/t/b.png')
  with pytest.raises(InputError, match='t/b: no file .*images/t/b.jpg .nor .jpeg'):
    pairs_of(tmp_path)


@pytest.mark.parametrize('images, labels', [('a/train', 'a/trainannot'), ('a', 'a'), ('.', '.')])
def test_camvid_list_of_another_machine(tmp_path, images, labels):
  for split in ('train', 'val'):
    make(tmp_path, *(f'a/{split}{kind}/{name}.png' for kind in ('', 'annot') for name in '01'))
  lines = [f'/SegNet/A/train/{name}.png /SegNet/A/trainannot/{name}.png' for name in '01']
  assert [pair[1:] for pair in pairs_of(tmp_path, lines=lines, images=images, labels=labels)] == [
    (f'a/train/{name}.png', f'a/trainannot/{name}.png') for name in '01'
  ]


def test_a_missing_file_is_not_taken_from_another_split(tmp_path):
  make(tmp_path, 'a/train/0.png', 'a/trainannot/0.png', 'a/trainannot/1.png', 'a/val/1.png')
  lines = [f'/SegNet/a/train/{name}.png /SegNet/a/trainannot/{name}.png' for name in '01']
  with pytest.raises(InputError, match='/SegNet/a/train/1.png: no file .*a/train/1.png'):
    pairs_of(tmp_path, lines=lines, images='a', labels='a')


def test_files_at_several_places(tmp_path):
  make(tmp_path, 'a/train/0.png', 'b/train/0.png', 'labels/0.png')
  with pytest.raises(
    InputError,
    match='2 files may be its image: .*a/train/0.png and .*b/train/0.png; point --images_dir at',
  ):
    pairs_of(tmp_path, lines=['/old/train/0.png /old/labels/0.png'], images='.')
  make(tmp_path, 'images/s/0.jpg', 'images/t/0.jpg', 'labels/s/0.png', 'labels/t/0.png')
  os.remove(tmp_path / 'labels/0.png')
  with pytest.raises(InputError, match='2 problems'):
    pairs_of(tmp_path, lines=['0'])


def test_sbd_list(tmp_path):
  make(tmp_path, 'voc/JPEGImages/x.jpg', 'voc/SegmentationClassAug/x.png')
  make(tmp_path, 'voc/SegmentationClass/x.png')
  lines = ['/JPEGImages/x.jpg /SegmentationClassAug/x.png']
  files = ('voc/JPEGImages/x.jpg', 'voc/SegmentationClassAug/x.png')
  for images, labels, name in (
    ('voc', 'voc', 'JPEGImages/x'),
    ('voc/JPEGImages', 'voc/SegmentationClassAug', 'x'),
  ):
    assert pairs_of(tmp_path, lines=lines, images=images, labels=labels) == [(name, *files)]


def test_absolute_paths_of_this_machine(tmp_path):
  make(tmp_path, 'images/a.jpg', 'labels/a.png', 'elsewhere/b.jpg', 'labels/b.png')
  lines = [f'{tmp_path}/images/a.jpg', f'{tmp_path}/elsewhere/b.jpg']
  assert pairs_of(tmp_path, lines=lines) == [
    ('a', 'images/a.jpg', 'labels/a.png'),
    ('b', 'elsewhere/b.jpg', 'labels/b.png'),
  ]


def test_an_image_is_not_its_own_label(tmp_path):
  make(tmp_path, 'images/a.png', 'labels/b.png', 'all/a.png')
  with pytest.raises(InputError, match='a.png: no file .*labels/a.png'):
    pairs_of(tmp_path, lines=[f'{tmp_path}/images/a.png'])
  with pytest.raises(InputError, match='a.png: image and label would be one file, .*all/a.png'):
    pairs_of(tmp_path, lines=['a.png'], images='all', labels='all')
  with pytest.raises(InputError, match='a: image and label would be one file, .*all/a.png'):
    pairs_of(tmp_path, images='all', labels='all')


@pytest.mark.parametrize(
  'line',
  [
    'my image',
    'my image.jpg',
    'my image.jpg my label.png',
    'my image.jpg\tmy label.png',
    '"my image.jpg","my label.png"',
    'my image.jpg;my label.png',
  ],
)
def test_names_with_blanks(tmp_path, line):
  label = 'my label.png' if 'label' in line else 'my image.png'
  make(tmp_path, 'images/my image.jpg', f'labels/{label}')
  assert pairs_of(tmp_path, lines=[line]) == [
    ('my image', 'images/my image.jpg', f'labels/{label}')
  ]


def test_both_columns_count_where_the_names_are_those_of_images(tmp_path):
  make(tmp_path, 'images/a.png', 'images/b.png', 'labels/a.png', 'labels/b.png')
  lines = ['/old/images/a.png /old/labels/b.png', '/old/images/b.png\t/old/labels/a.png']
  assert pairs_of(tmp_path, lines=lines) == [
    ('a', 'images/a.png', 'labels/b.png'),
    ('b', 'images/b.png', 'labels/a.png'),
  ]


def test_names_with_commas(tmp_path):
  make(tmp_path, 'images/a, b.jpg', 'labels/a, b.png')
  assert pairs_of(tmp_path, lines=['a, b']) == [('a, b', 'images/a, b.jpg', 'labels/a, b.png')]


def test_labels_of_another_ending_in_two_columns(tmp_path):
  make(tmp_path, 'images/a.jpg', 'labels/a.bmp', 'labels/a.png')
  assert pairs_of(tmp_path, lines=['a.jpg a.bmp'])[0][2] == 'labels/a.bmp'


def test_names_of_records_differ(tmp_path):
  make(tmp_path, 'images/a.jpg', 'images/a.png', 'labels/1.png', 'labels/2.png')
  assert [pair[0] for pair in pairs_of(tmp_path, lines=['a.jpg 1.png', 'a.png 2.png'])] == [
    'a.jpg',
    'a.png',
  ]


@pytest.mark.parametrize(
  'lines, message',
  [
    (['a.jpg a.png b.png'], 'a.jpg a.png b.png: has 3 columns; a line is one name, or the image'),
    (['a,b,c'], 'a,b,c: has 3 columns'),
    (['a 1 1 2'], 'a 1 1 2: has 4 columns'),
    (['a', 'a.jpg'], 'a.jpg: the same as a in .*list.txt; name it once'),
    (['a a', 'a b'], 'a b: two labels for .*images/a.jpg in .*labels/a.png and .*labels/b.png'),
    (['a', 'a'], 'a: named 2 times in'),
    (['x/' * 5000], '^.{1,1100}$'),
    (['/', '//', '..', '.'], '8 problems|the same fault'),
    (['a.jpg,'], 'a.jpg,: has an empty column; a line is one name, or the image and its label'),
    (['a.jpg 1'], 'a.jpg: no file .*labels/1.png'),
    (['a.jpg c.png'], 'a.jpg: no file .*labels/c.png'),
  ],
)
def test_bad_lines(tmp_path, lines, message):
  make(tmp_path, 'images/a.jpg', 'labels/a.png', 'labels/b.png')
  with pytest.raises(InputError, match=message):
    pairs_of(tmp_path, lines=lines)


def test_a_fault_of_all_lines_is_said_once(tmp_path, capsys):
  make(tmp_path, *(f'images/{number}.jpg' for number in range(30)))
  make(tmp_path, *(f'labels/{number}.png' for number in range(30)))
  with pytest.raises(
    InputError, match='^all 30 have the same fault; the first: 0: no file .*0.bmp'
  ):
    pairs_of(tmp_path, lines=map(str, range(30)), images_ext='.bmp')
  assert not capsys.readouterr().err


def test_a_fault_of_all_labels_is_said_once(tmp_path, capsys):
  for number in range(3):
    make(tmp_path, f'images/{number}.jpg', f'labels/{number}.png')
    Image.new('RGB', (6, 5)).save(tmp_path / f'images/{number}.jpg')
    Image.fromarray(np.full([5, 6], 77 + number, np.uint8)).save(tmp_path / f'labels/{number}.png')
  with pytest.raises(InputError, match='^all 3 have the same fault; the first: 0: .*0.png: label'):
    conversion_run.convert(
      ConversionOptions(
        images_dir=str(tmp_path / 'images'),
        labels_dir=str(tmp_path / 'labels'),
        split='train',
        output_dir=str(tmp_path),
        num_classes=21,
        num_workers=1,
      )
    )
  assert not capsys.readouterr().err


@pytest.mark.parametrize('ending', ['*.png', '_mask', '', 'a/b.png', '.'])
def test_endings_that_are_none(ending):
  with pytest.raises(InputError, match='--labels_ext='):
    ConversionOptions(images_dir='a', labels_dir='b', split='train', labels_ext=ending)


def test_directory_of_other_files(tmp_path):
  make(tmp_path, 'images/a.jpg', 'labels/a.npy')
  with pytest.raises(
    InputError, match=r'labels: no \*.png files in it .most there are \*.npy.; --labels_ext sets'
  ):
    pairs_of(tmp_path)


def test_names_that_are_no_utf8(tmp_path):
  name = os.fsdecode(b'caf\xe9')
  for directory in ('images', 'labels'):
    (tmp_path / directory).mkdir()
  Image.new('RGB', (6, 5)).save(tmp_path / 'images' / f'{name}.png')
  Image.fromarray(np.zeros([5, 6], np.uint8)).save(tmp_path / 'labels' / f'{name}.png')
  (tmp_path / 'list.txt').write_bytes(b'caf\xe9.png\n')
  for list_path in (None, str(tmp_path / 'list.txt')):
    conversion_run.convert(
      ConversionOptions(
        images_dir=str(tmp_path / 'images'),
        labels_dir=str(tmp_path / 'labels'),
        list_path=list_path,
        split='train',
        output_dir=str(tmp_path / 'out'),
        num_workers=1,
      )
    )
    [record] = tf.data.TFRecordDataset(str(tmp_path / 'out/train/train-00001-of-00001.tfrecord'))
    assert tfrecord.parts_of(record.numpy())['name'] == b'caf\xe9'


@pytest.mark.parametrize('name', ['split', 'output_dir'])
def test_records_need_names_that_are_utf8(name):
  flags = dict(images_dir='a', labels_dir='b', split='train') | {name: os.fsdecode(b'caf\xe9')}
  with pytest.raises(InputError, match=f'--{name}=caf.: is no UTF-8'):
    ConversionOptions(**flags)


def test_utf16_list(tmp_path):
  make(tmp_path, 'images/é.jpg', 'labels/é.png')
  (tmp_path / 'list.txt').write_bytes('\ufeffé\r\n'.encode('utf-16-le'))
  assert pairs_of(tmp_path, list_path=str(tmp_path / 'list.txt'))[0][0] == 'é'


@pytest.mark.parametrize('images, labels', [('train', 'trainannot'), ('.', '.')])
def test_camvid_as_it_is_shipped(tmp_path, images, labels):
  directory = os.environ.get('DEEPLAB_TEST_DATA')
  if not directory:
    pytest.skip('DEEPLAB_TEST_DATA is not set')
  camvid = os.path.join(directory, 'camvid')
  options = ConversionOptions(
    images_dir=os.path.join(camvid, images),
    labels_dir=os.path.join(camvid, labels),
    list_path=os.path.join(camvid, 'train.txt'),
    split='train',
  )
  problems = Problems()
  pairing = list_pairs(options, problems)
  assert not problems and len(pairing.pairs) == pairing.num_items == 123
  for pair in pairing.pairs:
    name = os.path.basename(pair.name) + '.png'
    assert os.path.samefile(pair.image_path, os.path.join(camvid, 'train', name))
    assert os.path.samefile(pair.label_path, os.path.join(camvid, 'trainannot', name))
