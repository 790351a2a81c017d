import json

import numpy as np
import pytest
import tensorflow as tf
import tiny_model

from deeplab.losses import SegmentationLoss
from deeplab.options import LossOptions, TrainingOptions
from deeplab.training.loss_scale import LossScale
from deeplab.training.training_step import TrainingStep


def make(options=TrainingOptions(), loss=LossOptions(), **kwargs):
  model = tiny_model.TinyModel()
  return model, TrainingStep(
    model,
    options,
    loss=SegmentationLoss(loss, 255),
    strategy=tf.distribute.get_strategy(),
    seed=5,
    **kwargs,
  )


def halves(batch):
  return [
    {name: value[:2] for name, value in batch.items()},
    {name: value[2:] for name, value in batch.items()},
  ]


def assert_same(first, second, *, rtol=1e-5):
  assert list(first) == list(second)
  for name in first:
    np.testing.assert_allclose(first[name], second[name], rtol=rtol, atol=1e-7, err_msg=name)


def test_update_is_the_gradient_of_mean_cross_entropy_plus_l2():
  model, step = make()
  model.dropout_rate = 0.0
  (batch,) = tiny_model.batches(1)
  before = tiny_model.snapshot(model.trainable)
  reference = tiny_model.TinyModel()
  reference.dropout_rate = 0.0
  valid = batch['labels'] != 255
  with tf.GradientTape() as tape:
    logits = reference.predict(batch['images'], is_training=True)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
      tf.where(valid, batch['labels'], 0), logits
    )
    cross_entropy = tf.reduce_mean(tf.boolean_mask(losses, valid))
    total = cross_entropy + reference.l2_loss()
  gradients = tape.gradient(total, list(reference.trainable.values()))
  result = step([batch], learning_rate=0.5, step=0)
  assert result.total_loss == pytest.approx(float(total), rel=1e-6)
  assert result.parts == {
    'cross_entropy': pytest.approx(float(cross_entropy), rel=1e-6),
    'l2': pytest.approx(float(reference.l2_loss()), rel=1e-6),
  }
  assert result.gradient_norm == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-5)
  assert (result.label_range, result.wrong_labels, result.overflowed) == ((0, 2), 0, False)
  for name, gradient in zip(reference.trainable, gradients):
    np.testing.assert_allclose(
      model.trainable[name], before[name] - 0.5 * gradient, rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(step.slots[f'{name}/Momentum'], gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
  'loss',
  [LossOptions(), LossOptions(loss='focal'), LossOptions(loss='cross_entropy_and_dice')],
  ids=lambda loss: loss.loss,
)
def test_two_batches_of_2_equal_one_of_4(loss):
  results = []
  for accumulate_steps in (1, 2):
    model, step = make(
      TrainingOptions(fine_tune_batch_norm=False, accumulate_steps=accumulate_steps), loss
    )
    model.dropout_rate = 0.0
    totals = []
    for index, batch in enumerate(tiny_model.batches(3)):
      result = step(
        halves(batch) if accumulate_steps == 2 else [batch], learning_rate=0.1, step=index
      )
      totals.append([result.total_loss, result.gradient_norm])
    results.append((totals, tiny_model.snapshot({**model.named_variables, **step.slots})))
  np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
  assert_same(results[0][1], results[1][1])


def test_batches_without_labels_train_only_l2():
  model, step = make()
  (batch,) = tiny_model.batches(1)
  batch['labels'] = tf.fill(batch['labels'].shape, 255)
  result = step([batch], learning_rate=0.1, step=0)
  assert result.parts['cross_entropy'] == 0.0
  assert result.total_loss == pytest.approx(result.parts['l2'])
  assert result.label_range is None
  np.testing.assert_array_equal(model.trainable['logits/semantic/biases'], np.zeros(3))


@pytest.mark.parametrize('accumulate_steps', [1, 2])
def test_wrong_labels_are_counted(accumulate_steps):
  _, step = make(TrainingOptions(accumulate_steps=accumulate_steps))
  (batch,) = tiny_model.batches(1)
  labels = batch['labels'].numpy()
  labels[0, 0, :2] = 7, -2
  batch['labels'] = tf.constant(labels)
  result = step([batch] if accumulate_steps == 1 else halves(batch), learning_rate=0.1, step=0)
  assert (result.wrong_labels, result.label_range) == (2, (-2, 7))


def test_dropout_depends_on_seed_and_step_only():
  (batch,) = tiny_model.batches(1)
  losses = []
  for step_number in (0, 1, 0):
    _, step = make()
    losses.append(step([batch], learning_rate=0.1, step=step_number).total_loss)
  assert losses[0] == losses[2] != losses[1]


def test_adamw_reports_l2_but_does_not_follow_it():
  options = TrainingOptions(optimizer='adamw')
  model, step = make(options)
  (batch,) = tiny_model.batches(1)
  batch['labels'] = tf.fill(batch['labels'].shape, 255)
  before = tiny_model.snapshot(model.trainable)
  result = step([batch], learning_rate=0.1, step=0)
  assert result.total_loss == pytest.approx(float(tiny_model.TinyModel().l2_loss()), rel=1e-6)
  assert result.gradient_norm == 0.0
  np.testing.assert_allclose(
    model.trainable['logits/semantic/weights'],
    before['logits/semantic/weights'] * (1 - 0.1 * 1e-2),
    rtol=1e-5,
  )


def test_frozen_backbone_does_not_move():
  model, step = make(TrainingOptions(backbone_learning_rate_multiplier=0.0))
  before = tiny_model.snapshot(model.trainable)
  step(tiny_model.batches(1), learning_rate=0.1, step=0)
  np.testing.assert_array_equal(
    model.trainable['MobilenetV2/Conv/weights'], before['MobilenetV2/Conv/weights']
  )
  assert not np.array_equal(
    model.trainable['logits/semantic/weights'], before['logits/semantic/weights']
  )


def test_loss_scaling_gives_the_same_update_and_gives_up_an_overflow():
  (batch,) = tiny_model.batches(1)
  plain_model, plain = make()
  model, step = make(scale_loss=True)
  plain([batch], learning_rate=0.1, step=0)
  step([batch], learning_rate=0.1, step=0)
  assert_same(tiny_model.snapshot(plain_model.trainable), tiny_model.snapshot(model.trainable))
  before = tiny_model.snapshot({**model.trainable, **step.slots})
  result = step(
    [{**batch, 'images': tf.fill(batch['images'].shape, np.float32(1e36))}],
    learning_rate=0.1,
    step=1,
  )
  assert result.overflowed
  after = tiny_model.snapshot({**model.trainable, **step.slots})
  assert after.pop('loss_scale') == before.pop('loss_scale') / 2
  assert (before.pop('loss_scale_steps'), after.pop('loss_scale_steps')) == (1, 0)
  for name in before:
    np.testing.assert_array_equal(before[name], after[name], err_msg=name)


def test_the_loss_scale_has_a_floor():
  scale = LossScale()
  for finite in [False] * 20:
    scale.update(tf.constant(finite))
  assert scale.value.numpy() == 1.0
  scale.value.assign(0.0)  # Of a run of an earlier version.
  scale.update(tf.constant(False))
  assert scale.value.numpy() == 1.0


@pytest.mark.parametrize('dtype, accumulate_steps', [(tf.uint8, 1), (tf.uint16, 2)])
def test_small_labels_give_the_same_update_to_the_bit(dtype, accumulate_steps):
  batches = tiny_model.batches(accumulate_steps)
  small = [{**batch, 'labels': tf.cast(batch['labels'], dtype)} for batch in batches]
  results = []
  for data in (batches, small):
    model, step = make(TrainingOptions(accumulate_steps=accumulate_steps))
    result = step(data, learning_rate=0.1, step=0)
    results.append((result, tiny_model.snapshot({**model.trainable, **step.slots})))
  (expected, values), (actual, small_values) = results
  assert actual == expected and actual.label_range == (0, 2)
  for name, value in values.items():
    np.testing.assert_array_equal(small_values[name], value, err_msg=name)


def test_jit_compiles_to_the_same_numbers():
  (batch,) = tiny_model.batches(1)
  totals = []
  for jit_compile in (False, True):
    model, step = make(jit_compile=jit_compile)
    model.dropout_rate = 0.0  # XLA draws other random numbers.
    totals.append([step([batch], learning_rate=0.1, step=index).total_loss for index in range(2)])
  np.testing.assert_allclose(totals[0], totals[1], rtol=1e-5)


def test_shown_pictures_are_those_of_the_batch():
  _, step = make()
  (batch,) = tiny_model.batches(1)
  step([batch], learning_rate=0.1, step=0)
  images, labels, predictions = step.pictures()
  np.testing.assert_array_equal(images, batch['images'][:3])
  np.testing.assert_array_equal(labels, batch['labels'][:3])
  assert predictions.shape == (3, 5, 5) and predictions.max() < 3


_REPLICAS = """
import gc, json, sys
import numpy as np
import tensorflow as tf
import tiny_model
from deeplab.losses import SegmentationLoss
from deeplab.options import LossOptions, TrainingOptions
from deeplab.training.training_step import TrainingStep

accumulate_steps, optimizer = int(sys.argv[1]), sys.argv[2]
cpu = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
outputs = []

def divided(batches):
  if strategy.num_replicas_in_sync == 1:
    return batches
  def half(value):
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.split(value, 2)[context.replica_id_in_sync_group])
  return [{name: half(value) for name, value in batch.items()} for batch in batches]

for strategy in (tf.distribute.get_strategy(), tf.distribute.OneDeviceStrategy('CPU:1'),
                 tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])):
  with strategy.scope():
    model = tiny_model.TinyModel()
  options = TrainingOptions(fine_tune_batch_norm=False, accumulate_steps=accumulate_steps,
                            optimizer=optimizer, ema_decay=0.9, clip_gradient_norm=0.5,
                            last_layer_gradient_multiplier=2.0)
  loss = SegmentationLoss(LossOptions(loss='cross_entropy_and_dice'), 255)
  step = TrainingStep(model, options, loss=loss, strategy=strategy)
  batches = tiny_model.batches(3 * accumulate_steps)
  numbers = []
  for index in range(3):
    drawn = divided(batches[index * accumulate_steps:(index + 1) * accumulate_steps])
    result = step(drawn, learning_rate=0.1, step=index)
    numbers.append([result.total_loss, result.gradient_norm, *result.parts.values(),
                    *result.label_range])
  kept, maps_held = [], []
  for index in range(3, 9):  # The results are kept, as a log keeps them; the batches are not.
    drawn = divided(tiny_model.batches(accumulate_steps, seed=index))
    kept.append(step(drawn, learning_rate=0.0, step=index))
    del drawn
    maps_held.append(sum(isinstance(each, tf.Tensor) and each.shape.rank >= 3
                         for each in gc.get_objects()))
  state = tiny_model.snapshot({**model.named_variables, **step.slots})
  outputs.append({'replicas': strategy.num_replicas_in_sync, 'numbers': numbers,
                  'maps_held': maps_held,
                  'variables': {name: np.asarray(value).ravel().tolist()
                                for name, value in state.items()}})
print(json.dumps(outputs))
"""


@pytest.mark.parametrize('accumulate_steps, optimizer', [(1, 'momentum'), (2, 'adam')])
def test_two_replicas_equal_one(accumulate_steps, optimizer, tmp_path, command_processes):
  # In a process of its own: logical devices must be set up before TensorFlow runs anything.
  (tmp_path / 'replicas.py').write_text(_REPLICAS)
  done = command_processes.run(
    [tmp_path / 'replicas.py', str(accumulate_steps), optimizer], directory=tmp_path
  )
  assert done.returncode == 0, done.stderr.decode()[-3000:]
  one, gpu, two = json.loads(done.stdout.splitlines()[-1])  # One GPU has a strategy of its own.
  assert (one['replicas'], gpu['replicas'], two['replicas']) == (1, 1, 2)
  for other in (gpu, two):
    np.testing.assert_allclose(one['numbers'], other['numbers'], rtol=1e-5)
    assert_same(one['variables'], other['variables'])
  # Neither batches nor shares of them nor logits are held on to from step to step.
  for outcome in (one, gpu, two):
    assert outcome['maps_held'] == outcome['maps_held'][:1] * 6
