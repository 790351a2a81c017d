import numpy as np
import pytest
import tensorflow as tf
from fake_model import NeighbourModel, PixelModel

from deeplab.errors import InputError
from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.options import PredictionOptions


def _example(image, label, name=b'one'):
  return {
    'image': np.asarray(image, np.uint8),
    'label': np.asarray(label, np.int32),
    'name': np.array(name, object),
  }


def _random_examples(sizes):
  rng = np.random.default_rng(0)
  return [
    _example(
      rng.integers(0, 256, [height, width, 3]),
      rng.choice([0, 1, 2, 255], [height, width]),
      b'%d' % index,
    )
    for index, (height, width) in enumerate(sizes)
  ]


def _evaluator(model=None, **options):
  return DeepLabV3Evaluator(
    model or NeighbourModel(), num_classes=3, options=PredictionOptions(**options)
  )


def test_scores_by_hand():
  # Logits are the channels over 16: the first image's pixels are predicted 0, 1, 1, 2.
  image = [[[16, 0, 0], [0, 32, 0], [0, 16, 0], [0, 0, 16]]]
  label = [[0, 1, 0, 255]]
  ignored = _example(np.zeros([2, 2, 3]), np.full([2, 2], 255), b'all ignored')
  result = _evaluator(PixelModel(l2_loss=0.5)).evaluate([_example(image, label), ignored])
  assert result.num_images == 2
  np.testing.assert_array_equal(result.confusion, [[1, 1, 0], [0, 1, 0], [0, 0, 0]])
  assert result.confusion.dtype == np.int64
  # -log softmax of (1, 0, 0) at 0, of (0, 2, 0) at 1 and of (0, 1, 0) at 0; the second image has
  # none.
  right = -np.log(np.exp(1) / (np.exp(1) + 2))
  sure = -np.log(np.exp(2) / (np.exp(2) + 2))
  wrong = -np.log(1 / (np.exp(1) + 2))
  assert result.loss == pytest.approx(((right + sure + wrong) / 3 + 0) / 2 + 0.5, rel=1e-6)
  # Class 2 neither occurs nor is predicted: it is left out.
  assert result.summary.mean_iou == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_class_that_is_predicted_but_absent_counts_zero():
  result = _evaluator(PixelModel()).evaluate([_example([[[9, 0, 0], [0, 0, 9]]], [[0, 0]])])
  np.testing.assert_array_equal(result.summary.iou, [0.5, np.nan, 0])
  assert result.summary.mean_iou == 0.25


def test_batches_give_the_numbers_of_batch_one():
  examples = _random_examples([(5, 7), (6, 7), (5, 7), (5, 7), (6, 7), (9, 4), (5, 7)])
  expected = _evaluator().evaluate(examples)
  batched = _evaluator(batch_size=3).evaluate(examples)
  np.testing.assert_array_equal(batched.confusion, expected.confusion)
  assert batched.loss == pytest.approx(expected.loss, rel=1e-6)


def test_padded_images_of_different_sizes_share_a_batch():
  examples = _random_examples([(5, 7), (6, 7), (9, 4), (17, 17)])
  seen = []

  class Recorder(NeighbourModel):
    def predict(self, images, **settings):
      tf.py_function(lambda shape: seen.append(shape.numpy().tolist()), [tf.shape(images)], [])
      return super().predict(images, **settings)

  expected = _evaluator(eval_pad='stride').evaluate(examples)
  batched = _evaluator(Recorder(), eval_pad='stride', batch_size=2).evaluate(examples)
  assert [shape[0] for shape in seen] == [2, 2] and seen[0][1:3] == [17, 17]
  np.testing.assert_array_equal(batched.confusion, expected.confusion)
  assert batched.loss == pytest.approx(expected.loss, rel=1e-6)


def test_one_trace_for_all_sizes_and_all_runs():
  model = NeighbourModel()
  evaluator = _evaluator(model)
  for first in range(3):
    evaluator.evaluate(_random_examples([(first + 4, second + 3) for second in range(5)]))
  assert evaluator.num_traces == 1 and model.num_traces == 1


def test_new_weights_need_no_new_evaluator():

  class Weighted(PixelModel):
    def __init__(self):
      super().__init__()
      self.weight = tf.Variable(1.0)

    def predict(self, images, **settings):
      return super().predict(images, **settings) * self.weight

  model = Weighted()
  evaluator = _evaluator(model)
  example = _example([[[16, 0, 0]]], [[0]])
  before = evaluator.evaluate([example]).loss
  model.weight.assign(2.0)
  assert evaluator.evaluate([example]).loss < before
  assert model.num_traces == 1


def test_tiles_of_a_network_without_context_change_nothing():
  examples = _random_examples([(40, 50), (20, 20), (18, 70)])
  expected = _evaluator(PixelModel()).evaluate(examples)
  tiled = _evaluator(PixelModel(), tile_size=24, tile_overlap=6, batch_size=2).evaluate(examples)
  np.testing.assert_array_equal(tiled.confusion, expected.confusion)
  assert tiled.loss == pytest.approx(expected.loss, rel=1e-5)


def test_on_image_sees_each_image():
  seen = {}
  _evaluator(eval_pad='stride').evaluate(
    _random_examples([(5, 7), (9, 4)]),
    on_image=lambda evaluated: seen.update({evaluated.name: evaluated}),
  )
  assert sorted(seen) == ['0', '1']
  assert seen['1'].prediction.shape == seen['1'].label.shape == (9, 4) and seen[
    '1'
  ].image.shape == (9, 4, 3)
  assert seen['1'].confusion.sum() == (seen['1'].label != 255).sum()


def test_errors_name_the_record():
  with pytest.raises(InputError, match='0: height 30, width 40 is larger than --eval_pad=20x50'):
    _evaluator(eval_pad='20x50').evaluate(_random_examples([(30, 40)]))
  with pytest.raises(InputError, match='no image'):
    _evaluator().evaluate([])
  with pytest.raises(InputError, match='--tile_size=16: must be greater than --output_stride=16'):
    _evaluator(tile_size=16)


_TWO_REPLICAS = """
import numpy as np
import tensorflow as tf
cpu, = tf.config.list_physical_devices('CPU')
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from deeplab.distribution.workers import Workers
from deeplab.evaluator import DeepLabV3Evaluator
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import ModelOptions
from test_evaluator import _random_examples

strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
  model = DeepLabV3PredictionModel(
    ModelOptions(model_variant='mobilenet_v2', depth_multiplier=0.35, num_classes=3)
  )
examples = _random_examples([(33, 20), (40, 21), (20, 30), (33, 20), (24, 24)])
mirrored = DeepLabV3Evaluator(model, num_classes=3, workers=Workers(strategy))
alone = DeepLabV3Evaluator(model, num_classes=3).evaluate(examples)
for _ in range(2):
  both = mirrored.evaluate(examples)
  np.testing.assert_array_equal(both.confusion, alone.confusion)
  np.testing.assert_allclose(both.loss, alone.loss, rtol=1e-6)
assert mirrored.num_traces <= 3, mirrored.num_traces
"""


def test_two_replicas_give_the_numbers_of_one(tmp_path, command_processes):
  # Devices can be split only before TensorFlow starts, so this needs a process of its own.
  (tmp_path / 'two_replicas.py').write_text(_TWO_REPLICAS)
  done = command_processes.run([tmp_path / 'two_replicas.py'], directory=tmp_path)
  assert done.returncode == 0, done.stderr.decode()[-2000:]
