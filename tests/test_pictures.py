import numpy as np

from deeplab import pictures

_COLORS = np.array([[0, 0, 0], [200, 100, 0]], np.uint8)


def test_overlay():
  image = np.full([1, 3, 3], 100, np.uint8)
  labels = np.array([[0, 1, 255]])
  np.testing.assert_array_equal(
    pictures.overlay(image, labels, _COLORS, alpha=0.25, ignore_label=255),
    [[[75, 75, 75], [125, 100, 75], [100, 100, 100]]],
  )
  np.testing.assert_array_equal(pictures.overlay(image, labels, _COLORS, alpha=0.0), image)
  np.testing.assert_array_equal(
    pictures.overlay(image, labels, _COLORS, alpha=1.0), [[[0, 0, 0], [200, 100, 0], [0, 0, 0]]]
  )


def test_overlay_leaves_the_background_and_draws_outlines():
  image = np.full([5, 6, 3], 100, np.uint8)
  labels = np.zeros([5, 6], np.uint8)
  labels[1:, 1:5] = 1
  drawn = pictures.overlay(image, labels, _COLORS, alpha=0.5, background=0, with_outlines=True)
  full, half = (200, 100, 0), (150, 100, 50)
  expected = image.copy()
  expected[1:, 1:5] = full
  expected[2:, 2:4] = half
  np.testing.assert_array_equal(drawn, expected)
  unseen = pictures.overlay(image, labels, _COLORS, alpha=0.0, background=0, with_outlines=True)
  np.testing.assert_array_equal(unseen, image)


def test_outlines_of_large_pictures_are_wider():
  labels = np.zeros([3, 1200], np.uint8)
  labels[:, 600:] = 1
  image = np.zeros([3, 1200, 3], np.uint8)
  drawn = pictures.overlay(image, labels, _COLORS, background=0, with_outlines=True)
  np.testing.assert_array_equal(drawn[1, 600:604, 0], [200, 200, 200, 100])


def test_contact_sheet_keeps_shapes_and_order():
  red = np.zeros([20, 40, 3], np.uint8) + np.array([255, 0, 0], np.uint8)
  blue = np.zeros([40, 20, 3], np.uint8) + np.array([0, 0, 255], np.uint8)
  sheet = np.asarray(pictures.contact_sheet([[red, blue], [blue]], cell_size=40))
  is_red = (sheet == (255, 0, 0)).all(axis=-1)
  is_blue = (sheet == (0, 0, 255)).all(axis=-1)
  assert is_red.sum() == 20 * 40 and is_blue.sum() == 2 * 40 * 20
  # The wide picture is left of the tall one in the first row; the second row starts below both.
  assert np.nonzero(is_red)[1].max() < np.nonzero(is_blue[:46])[1].min()
  assert sheet.shape == (6 + 2 * 46, 6 + 2 * 46, 3)


def test_contact_sheet_texts_and_legend_take_room():
  picture = np.zeros([10, 10, 3], np.uint8)
  plain = pictures.contact_sheet([[picture]], cell_size=100)
  full = pictures.contact_sheet(
    [[picture]],
    column_titles=['image' * 20],
    row_titles=['name'],
    legend=[('sky', (1, 200, 3)), ('a' * 99, (9, 9, 9))],
    cell_size=100,
  )
  assert full.width == plain.width and full.height >= plain.height + 4 * 15
  assert (np.asarray(full) == (1, 200, 3)).all(axis=-1).sum() > 100


def test_each_picture_has_its_own_title():
  picture = np.full([50, 100, 3], 100, np.uint8)
  rows = [[picture, picture], [picture]]
  plain = pictures.contact_sheet(rows, cell_size=100)
  sheet = pictures.contact_sheet(
    rows, cell_titles=[['', 'a long name of a picture'], ['x']], cell_size=100
  )
  assert sheet.height > plain.height
  dark = (np.asarray(sheet) < 90).all(axis=-1)
  first_line = dark[: sheet.height // 3]
  assert not first_line[:, :112].any() and first_line[:, 112:212].any()


def test_legend_shows_every_color():
  entries = [(f'class {index}', (index, 255 - index, 77)) for index in range(60)]
  picture = np.asarray(pictures.legend(entries)).reshape(-1, 3)
  for _, color in entries:
    assert (picture == color).all(axis=-1).sum() > 100
