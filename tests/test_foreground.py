import pytest

from deeplab.errors import InputError
from deeplab.prediction.foreground import background_class, foreground_classes

_NAMES = ('background', 'person', 'dining table', 'cat, dog')


def test_all_but_the_background():
  assert foreground_classes((), _NAMES) == (1, 2, 3)
  assert foreground_classes((), ('class 0', 'class 1')) == (1,)


@pytest.mark.parametrize(
  'chosen, expected',
  [
    (('person,dining table',), (1, 2)),
    (('Person', '3'), (1, 3)),
    (('2, 1',), (1, 2)),
    (('cat, dog',), (3,)),
    (('background',), (0,)),
  ],
)
def test_by_name_or_number(chosen, expected):
  assert foreground_classes(chosen, _NAMES) == expected


def test_no_such_class():
  with pytest.raises(InputError) as error:
    foreground_classes(('person,horse',), _NAMES)
  assert str(error.value) == (
    '--cutout_classes=horse: no such class; the network has background, person, dining table, '
    'cat, dog, or their numbers, 0 to 3'
  )
  with pytest.raises(InputError, match='--cutout_classes=4: no such class'):
    foreground_classes(('4',), _NAMES)
  with pytest.raises(InputError, match='--cutout_classes: names no class'):
    foreground_classes((',',), _NAMES)
  with pytest.raises(InputError, match='class 29 and 121 more, or their numbers, 0 to 150'):
    foreground_classes(('horse',), [f'class {index}' for index in range(151)])


def test_without_a_background_classes_must_be_chosen():
  names = ('road', 'sky')
  assert background_class(names) is None
  assert [background_class((name, 'a')) for name in ('background', '_Background_')] == [0, 0]
  assert foreground_classes(('sky',), names) == (1,)
  with pytest.raises(InputError, match='choose what to keep with --cutout_classes, of road, sky'):
    foreground_classes((), names)
