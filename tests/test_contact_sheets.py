import os

import numpy as np
import PIL.Image

from deeplab.color_map import pascal_voc_color_map
from deeplab.prediction.contact_sheets import ContactSheets

_LABELS = np.array([[0, 1, 2], [20, 15, 0]], np.int32)
_IMAGE = np.full([2, 3, 3], 100, np.uint8)


def test_contact_sheets_have_pages(tmp_path):
  sheets = ContactSheets(
    str(tmp_path), color_map=pascal_voc_color_map(), legend=[('person', (192, 128, 128))]
  )
  pages = [sheets.add(f'{index}.jpg', _IMAGE, _LABELS) for index in range(13)]
  assert [index for index, page in enumerate(pages) if page] == [11]
  assert sheets.finish().endswith('contact_sheet-002.png') and sheets.finish() is None
  first, second = (PIL.Image.open(tmp_path / f'contact_sheet-00{page}.png') for page in (1, 2))
  assert first.height > 5 * second.height / 2


def test_contact_sheet_of_a_name_that_is_no_text(tmp_path):
  sheets = ContactSheets(str(tmp_path), color_map=pascal_voc_color_map())
  sheets.add(os.fsdecode(b'caf\xe9\n.jpg'), _IMAGE, _LABELS)
  assert os.path.exists(sheets.finish())


def test_pages_of_an_earlier_run_are_kept(tmp_path):
  (tmp_path / 'contact_sheet-001.png').write_text('earlier')
  sheets = ContactSheets(str(tmp_path), color_map=pascal_voc_color_map(), keep_pages=True)
  sheets.add('a.jpg', _IMAGE, _LABELS)
  assert sheets.finish().endswith('contact_sheet-002.png')
  assert (tmp_path / 'contact_sheet-001.png').read_text() == 'earlier'
