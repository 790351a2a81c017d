import numpy as np
import pytest

from deeplab.color_map import pascal_voc_color_map
from deeplab.errors import InputError
from deeplab.options import InferenceOptions
from deeplab.prediction import output_types, prediction_files, prediction_paths
from deeplab.prediction.image_files import InputImage
from deeplab.prediction.output_types import OUTPUT_TYPES, FileType


def test_every_type_has_files_or_pages():
  """A type that is neither would be dropped without a word."""
  files, pages = output_types.file_types(OUTPUT_TYPES), output_types.page_types(OUTPUT_TYPES)
  assert [*files, *pages] == list(OUTPUT_TYPES)
  assert list(pages) == ['contact_sheet']
  endings = [(kind.name_part, kind.extension) for kind in files.values()]
  assert len(set(endings)) == len(endings)


def test_only_probabilities_cost_the_network_more():
  assert [name for name in OUTPUT_TYPES if output_types.need_probabilities([name])] == [
    'probabilities'
  ]
  assert output_types.need_probabilities(OUTPUT_TYPES)


def test_too_many_classes():
  output_types.check_classes(['palette', 'ids', 'contact_sheet'], 256)
  output_types.check_classes(['ids', 'color', 'contact_sheet'], 300)
  with pytest.raises(
    InputError,
    match='^--output_type=palette holds 256 classes, the network has 300; use ids and color$',
  ):
    output_types.check_classes(['ids', 'palette'], 300)


def test_a_new_type_is_one_record_and_its_function(tmp_path, monkeypatch):
  def write_counts(path, prediction):
    np.savetxt(path, np.bincount(prediction.labels.ravel(), minlength=3), fmt='%d')

  counts = FileType('pixels of each class', write_counts, name_part='_counts', extension='.txt')
  monkeypatch.setitem(OUTPUT_TYPES, 'counts', counts)
  (planned,) = prediction_paths.plan(
    [InputImage(path='a.jpg', relative_path='a.jpg')],
    output_path=str(tmp_path),
    types=['counts', 'contact_sheet'],
  )
  writer = prediction_files.PredictionWriter(color_map=pascal_voc_color_map(), num_classes=3)
  writer.write(
    planned.paths, image=np.zeros([2, 2, 3], np.uint8), labels=np.array([[0, 2], [2, 2]], np.int32)
  )
  assert (tmp_path / 'a.jpg_counts.txt').read_text() == '1\n0\n3\n'


def test_flag_names_and_describes_every_type():
  with pytest.raises(
    InputError,
    match='of color, ids, palette, overlay, side_by_side, cutout, probabilities, contact_sheet$',
  ):
    InferenceOptions(input=('a',), ckpt_path='b', output_type=('jpeg',))
  help_text = InferenceOptions.__dataclass_fields__['output_type'].metadata['help']
  assert 'color (RGB PNG); ids (grey PNG, values = classes, 16-bit above 256' in help_text
  assert all(f'{name} (' in help_text for name in OUTPUT_TYPES)
