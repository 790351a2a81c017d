import pytest

from deeplab.errors import InputError
from deeplab.prediction import prediction_paths
from deeplab.prediction.image_files import InputImage


def _plan(*relative_paths, types=('color',), **arguments):
  images = [InputImage(path='/photos/' + path, relative_path=path) for path in relative_paths]
  return prediction_paths.plan(images, output_path='out', types=types, **arguments)


def _only(planned):
  return [list(one.paths.values()) for one in planned]


def test_default_name_is_the_references():
  assert _only(_plan('a.jpg')) == [['out/a.jpg.png']]


def test_types_have_names_of_their_own():
  (planned,) = _plan(
    'a.jpg', types=('color', 'ids', 'palette', 'overlay', 'probabilities', 'contact_sheet')
  )
  assert planned.paths == {
    'color': 'out/a.jpg.png',
    'ids': 'out/a.jpg_ids.png',
    'palette': 'out/a.jpg_palette.png',
    'overlay': 'out/a.jpg_overlay.png',
    'probabilities': 'out/a.jpg_probabilities.npz',
  }


def test_suffix_replaces_the_extension():
  assert _only(_plan('a.b.jpg', suffix='_pred')) == [['out/a.b_pred.png']]
  assert _only(_plan('a.jpg', suffix='', types=('ids',))) == [['out/a.png']]
  assert _only(_plan('a.jpg', suffix='', types=('ids', 'color'))) == [
    ['out/a_ids.png', 'out/a.png']
  ]


def test_structure():
  assert _only(_plan('x/a.jpg', 'y/a.jpg', keep_structure=True)) == [
    ['out/x/a.jpg.png'],
    ['out/y/a.jpg.png'],
  ]
  with pytest.raises(
    InputError,
    match='/photos/x/a.jpg and /photos/y/a.jpg would both write out/a.jpg.png; use --keep',
  ):
    _plan('x/a.jpg', 'y/a.jpg')


def test_clash_by_suffix():
  with pytest.raises(InputError, match='both write'):
    _plan('a.jpg', 'a.png', suffix='')
  with pytest.raises(InputError, match='the legend and'):
    _plan('legend.jpg', suffix='')


def test_images_are_never_overwritten():
  image = InputImage(path='/photos/a.png', relative_path='a.png')
  with pytest.raises(InputError, match='would overwrite the image /photos/a.png'):
    prediction_paths.plan([image], output_path='/photos', types=['ids'], suffix='')


def test_exists_needs_all_files(tmp_path):
  image = InputImage(path='/photos/a.jpg', relative_path='a.jpg')
  (planned,) = prediction_paths.plan([image], output_path=str(tmp_path), types=['color', 'ids'])
  (tmp_path / 'a.jpg.png').touch()
  assert not planned.exists
  (tmp_path / 'a.jpg_ids.png').touch()
  assert planned.exists


def test_replaced_files_are_counted(tmp_path):
  paths = [tmp_path / name for name in ('kept.png', 'replaced.png', 'removed.png', 'new.png')]
  for path in paths[:3]:
    path.write_text('old')
  earlier = prediction_paths.Earlier([str(path) for path in paths])
  assert earlier.num_replaced() == 0
  for path in paths[1], paths[3]:
    other = tmp_path / 'aside'
    other.write_text('new')
    other.replace(path)
  paths[2].unlink()
  assert earlier.num_replaced() == 1
