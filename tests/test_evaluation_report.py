import csv
import json
import os
import re

import numpy as np
import PIL.Image
import pytest

from deeplab import metrics
from deeplab.color_map import pascal_voc_color_map
from deeplab.evaluation import (
  confusion_picture,
  evaluation_report,
  measures,
  report_files,
  report_words,
)
from deeplab.evaluation.boundary_iou import BoundaryIou
from deeplab.evaluation.evaluation_report import Report
from deeplab.evaluation.worst_images import WorstImages
from deeplab.evaluator import EvaluatedImage, EvaluationResult
from deeplab.options import EvaluationOptions

_CONFUSION = np.array([[6, 2, 0], [0, 4, 0], [0, 0, 0]], np.int64)
_NAMES = ('ground', 'cat <b>', 'nothing')


def _report(confusion=_CONFUSION, **arguments):
  result = EvaluationResult(
    num_images=2, loss=0.125, confusion=confusion, summary=metrics.summarize(confusion)
  )
  return evaluation_report.Report(
    result=result, class_names=_NAMES, checkpoint='run/model.ckpt', **arguments
  )


def _evaluated(name, prediction, label=((0, 0), (1, 255))):
  label, prediction = np.array(label, np.int32), np.array(prediction, np.int32)
  confusion = metrics.confusion_matrix(label, prediction, num_classes=3, ignore_label=255).numpy()
  return EvaluatedImage(
    name=name,
    image=np.full([*label.shape, 3], 100, np.uint8),
    label=label,
    prediction=prediction,
    cross_entropy=0.5,
    confusion=confusion,
  )


def test_score_lines_are_what_scripts_read():
  assert evaluation_report.score_lines(_report().result) == [
    'Num of images evaluated: 2',
    'Loss: 0.12500000',
    'mIOU: 0.70833333',
  ]  # (6 / 8 + 4 / 6) / 2


def test_one_class_in_the_labels_is_said_after_miou():
  # Where nothing else is measured, and where other classes are predicted.
  for confusion, mean_iou in (
    ([[0, 0, 0], [0, 4, 0], [0, 0, 0]], '1.00000000'),
    ([[0, 0, 0], [1, 3, 0], [0, 0, 0]], '0.37500000'),
  ):
    report = _report(np.array(confusion))
    assert evaluation_report.score_lines(report.result, _NAMES)[2] == (
      f'mIOU: {mean_iou} (the labels have pixels of one class of 3 only: cat <b>)'
    )
  # One class of one is no remark.
  assert metrics.one_class_remark(metrics.summarize([[5]])) == ''
  assert metrics.one_class_remark(metrics.summarize([[5, 0], [0, 0]])).endswith(' 2 only: 0)')


def test_table():
  lines = evaluation_report.table_lines(_report())
  assert lines[1].split('  ')[0] == 'class' and len({len(line) for line in lines[1:5]}) == 1
  assert lines[2].split() == ['ground', '0.7500', '0.7500', '1.0000', '8', '6']
  assert lines[3].split() == ['cat', '<b>', '0.6667', '1.0000', '0.6667', '4', '6']
  assert lines[4].split() == ['nothing', '-', '-', '-', '0', '0']
  text = '\n'.join(lines)
  assert 'pixel accuracy: 0.833333' in text and 'mean accuracy: 0.875000' in text
  assert 'frequency weighted IoU: 0.722222' in text  # (8 * 6 / 8 + 4 * 4 / 6) / 12
  assert (
    'mean over 2 of 3 classes' in text and 'neither occurs nor is predicted does not count' in text
  )


def test_warnings():
  assert evaluation_report.warnings(_report()) == ['never in the truth, so not measured: nothing']
  confusion = np.array([[1, 0, 0], [3, 0, 0], [0, 0, 1]])
  assert evaluation_report.warnings(_report(confusion)) == [
    'in the truth but never predicted: cat <b>'
  ]


def test_comparison_names_the_best():
  worse = _report(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]]), global_step=10)
  lines = evaluation_report.comparison_lines([worse, _report(global_step=20)])
  assert lines[1].split()[:2] == ['10', '0.333333'] and lines[2].split()[:2] == ['20', '0.708333']


def test_worst_images_are_kept_in_order():
  worst = WorstImages(2)
  worst.add(_evaluated('good', [[0, 0], [1, 0]]))
  worst.add(_evaluated('bad', [[2, 2], [2, 2]]))
  worst.add(_evaluated('middling', [[0, 1], [1, 1]]))
  worst.add(_evaluated('ignored', [[0, 1], [1, 1]], label=[[255, 255], [255, 255]]))
  assert [each.score.name for each in worst.worst] == ['bad', 'middling']
  assert [score.name for score in worst.scores] == ['good', 'bad', 'middling', 'ignored']
  assert worst.scores[2].mean_iou == pytest.approx((1 / 2 + 1 / 2) / 2)
  assert WorstImages(0).worst == []


def test_error_map():
  image = np.full([1, 3, 3], 100, np.uint8)
  drawn = report_files.error_map(
    image, np.array([[0, 1, 255]]), np.array([[0, 2, 1]]), ignore_label=255
  )
  assert drawn[0].tolist() == [[178, 178, 178], [214, 39, 40], [158, 202, 225]]


@pytest.fixture
def written(tmp_path):
  worst = WorstImages(2)
  worst.add(_evaluated('one <script>', [[0, 1], [1, 1]]))
  worst.add(_evaluated(os.fsdecode(b'caf\xe9'), [[0, 0], [1, 0]]))
  boundary = BoundaryIou(num_classes=3, ignore_label=255)
  boundary.add(_evaluated('', [[0, 0], [1, 1]], label=[[0, 0], [1, 1]]))
  report = _report(measures=(boundary,), global_step=7, settings={'eval_pad': 'none'})
  report_files.write(
    str(tmp_path / 'report'), report, worst, pascal_voc_color_map(), ignore_label=255
  )
  return tmp_path / 'report'


def test_a_kill_leaves_parts_of_one_report_only(written, monkeypatch):
  (written / 'notes.txt').write_text('mine')
  (written / 'pictures' / 'mine.png').write_text('mine')
  old = _contents(written)
  report = _report(global_step=8)
  worst = WorstImages(1)
  worst.add(_evaluated('two', [[0, 1], [1, 1]]))

  def write():
    report_files.write(str(written), report, worst, pascal_voc_color_map(), ignore_label=255)

  found = []
  for number in range(100):
    calls = []

    def killing(function, number=number, calls=calls):
      def call(*paths):
        if len(calls) == number:
          raise KeyboardInterrupt
        calls.append(paths)
        return function(*paths)

      return call

    with monkeypatch.context() as patch:
      patch.setattr(os, 'replace', killing(os.replace))
      patch.setattr(report_files.os, 'remove', killing(os.remove))
      try:
        write()
        break
      except KeyboardInterrupt:
        found.append(_contents(written))
  new = _contents(written)
  assert len(found) > 10 and not list(written.glob('.unfinished-*'))
  for contents in found:
    assert contents.items() <= old.items() or contents.items() <= new.items()
    assert 'report.html' not in contents or contents in (old, new)
    assert {'notes.txt', 'pictures/mine.png'} <= contents.keys()


def _contents(directory):
  """Path below it -> content of every file."""
  return {
    str(path.relative_to(directory)): path.read_bytes()
    for path in directory.rglob('*')
    if path.is_file()
  }


class _Sizes:
  """A measure: the mean number of pixels of the images of each class, and of all."""

  name = 'image_size'

  def __init__(self):
    self._sizes = []

  def add(self, evaluated):
    self._sizes.append(evaluated.label.size)

  @property
  def per_class(self):
    return np.array([np.mean(self._sizes), 0.5, np.nan])

  @property
  def totals(self):
    return {'mean_image_size': float(np.mean(self._sizes))}


class _Count(_Sizes):
  """A measure without values for each class."""

  name = 'count'
  per_class = None

  @property
  def totals(self):
    return {'count_iou': float(len(self._sizes))}


def test_every_measure_is_shown_everywhere(tmp_path):
  sizes, count = _Sizes(), _Count()
  for measure in (sizes, count):
    measure.add(_evaluated('one', [[0, 1], [1, 1]]))
  report = _report(measures=(sizes, count))
  lines = evaluation_report.table_lines(report)
  assert lines[1].split('  ')[:1] == ['class'] and lines[1].split()[1:4] == ['IoU', 'image', 'size']
  assert [line.split()[-5] for line in lines[2:5]] == ['4.0000', '0.5000', '-']
  assert lines[-3:-1] == ['mean image size: 4.000000', 'count IoU: 1.000000']
  report_files.write(
    str(tmp_path), report, WorstImages(0), pascal_voc_color_map(), ignore_label=255
  )
  content = json.loads((tmp_path / 'report.json').read_text())
  assert [row['image_size'] for row in content['classes']] == [4.0, 0.5, None]
  assert list(content)[7:10] == ['frequency_weighted_iou', 'mean_image_size', 'count_iou']
  assert 'count' not in content['classes'][0]
  with open(tmp_path / 'per_class.csv', newline='') as file:
    assert [row['image_size'] for row in csv.DictReader(file)] == ['4.0', '0.5', '']
  page = (tmp_path / 'report.html').read_text()
  assert '<th>IoU</th><th class="bars"></th><th>image size</th><th>accuracy</th>' in page
  assert '<b>1.0000</b><span>count IoU</span>' in page


def test_measures_are_those_asked_for():
  def names(**options):
    chosen = measures.chosen(
      EvaluationOptions(filenames=('a',), ckpt_path='b', **options), num_classes=3, ignore_label=255
    )
    return [measure.name for measure in chosen]

  assert names() == [] and names(boundary_iou=True) == ['boundary_iou']


def test_json(written):
  content = json.loads((written / 'report.json').read_text(), parse_constant=pytest.fail)
  assert content['mean_iou'] == pytest.approx(0.70833333) and content['global_step'] == 7
  assert content['confusion'] == _CONFUSION.tolist()
  assert content['classes'][2] == {
    'index': 2,
    'name': 'nothing',
    'iou': None,
    'accuracy': None,
    'precision': None,
    'truth_pixels': 0,
    'predicted_pixels': 0,
    'boundary_iou': None,
  }
  assert content['classes'][0]['boundary_iou'] == 1 and content['mean_boundary_iou'] == 1
  assert [each['name'] for each in content['worst_images']] == ['one <script>', 'caf\\xe9']


def test_csv(written):
  with open(written / 'per_class.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert (
    rows[1]['name'] == 'cat <b>'
    and float(rows[1]['iou']) == pytest.approx(2 / 3)
    and rows[2]['iou'] == ''
  )
  with open(written / 'confusion.csv', newline='') as file:
    assert list(csv.reader(file))[1] == ['ground', '6', '2', '0']
  with open(written / 'per_image.csv', newline='') as file:
    assert [row['name'] for row in csv.DictReader(file)] == ['one <script>', 'caf\\xe9']


def test_page_links_only_to_files_beside_it(written):
  page = (written / 'report.html').read_text(encoding='utf-8')
  links = re.findall(r'(?:src|href)="([^"]+)"', page)
  assert len(links) > 10 and all((written / link).is_file() for link in links)
  assert '<script>' not in page and 'cat &lt;b&gt;' in page and 'cat <b>' not in page


def test_pictures(written):
  truth = np.asarray(PIL.Image.open(written / 'pictures' / 'worst-001-truth.png'))
  # A quarter of the image's 100 and three quarters of the class colour; ignored pixels are white.
  assert truth.tolist() == [[[25, 25, 25], [25, 25, 25]], [[121, 25, 25], [216, 216, 216]]]


def test_confusion_picture():
  picture = confusion_picture.draw(np.diag([0, 1, 2]), ['a', 'b', 'c'])
  pixels = np.asarray(picture)
  # Cells are 40 pixels, 8 from the border; the last one, of class 2, is all right: the darkest
  # colour.
  assert pixels[-8 - 40 + 5, -8 - 40 + 5].tolist() == [8, 64, 129]
  assert pixels[-8 - 40 + 5, -8 - 80 + 5].tolist() == [255, 255, 255]
  assert pixels[-8 - 120 + 5, -8 - 120 + 5].tolist() == [245, 240, 235]  # Class 0 does not occur.


def test_confusion_picture_of_many_classes_stays_small():
  picture = confusion_picture.draw(
    np.ones([151, 151], np.int64), [f'class {index}' for index in range(151)]
  )
  assert 1500 < picture.width < 2500


def test_the_page_says_in_words_what_was_evaluated_and_how(written):
  page = (written / 'report.html').read_text(encoding='utf-8')
  words = re.search('<dl class="words">(.*?)</dl>', page, flags=re.DOTALL).group(1)
  assert '<dt>Data</dt><dd>' in words and 'after 7 steps of training.' in words


@pytest.mark.parametrize(
  'changes, expected',
  [
    (
      {},
      'Each image in its own size, not mirrored, padded to a multiple of 16 plus 1, computed in '
      'float32.',
    ),
    (
      {
        'eval_scales': (0.5, 1.0),
        'add_flipped_images': True,
        'eval_pad': '513x513',
        'max_size': 500,
        'tile_size': 300,
      },
      'The mean over the scales 0.5, 1, shrunk to at most 500 pixels, in tiles of 300 pixels, and '
      'mirrored, too, padded to 513x513, computed in float32.',
    ),
  ],
)
def test_settings_in_words(changes, expected):
  settings = {
    'filenames': ['val'],
    'ignore_label': 255,
    'eval_scales': (1.0,),
    'add_flipped_images': False,
    'eval_pad': 'auto: stride',
    'output_stride': 16,
    'compute_dtype': 'float32',
    'model_variant': 'mobilenet_v2',
    'depth_multiplier': 0.5,
    'use_decoder': True,
    **changes,
  }
  report = Report(
    result=EvaluationResult(
      num_images=1, loss=0.0, confusion=_CONFUSION, summary=metrics.summarize(_CONFUSION)
    ),
    class_names=('ground', 'cat', 'nothing'),
    checkpoint='runs/model/best.ckpt',
    settings=settings,
  )
  assert report_words.title(report) == 'model/best.ckpt'
  assert report_words.sentences(report) == [
    ('Data', '1 image of val, 3 classes; pixels of label 255 do not count.'),
    ('Checkpoint', 'runs/model/best.ckpt.'),
    (
      'Network',
      'mobilenet_v2 of width 0.5, output stride 16, with the decoder of DeepLabv3+.',
    ),
    ('Settings', expected),
  ]
