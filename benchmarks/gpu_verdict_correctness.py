"""Losses, gradients, predictions and confusion matrices of a device against those of the CPU."""

import cells
import gpu_verdict_work
import numpy as np

_NUM_STEPS = 3
# Gradients jump where a value crosses 0 at a ReLU, so what differs by rounding drifts apart from
# step to step, the faster the larger the steps. These change the loss by a thousandth.
LEARNING_RATE = 1e-7

# network -> its options; together they have every kind of layer.
_NETWORKS = {
  'mobilenet_v2, separable, stride 8': dict(
    model_variant='mobilenet_v2',
    output_stride=8,
    atrous_rates=[6, 12, 18],
    aspp_with_separable_conv=True,
    decoder_with_separable_conv=True,
    use_decoder=True,
  ),
  'resnet_v2_50, rates, decoder': cells.RESNET_50,
}
# --dry_run compares the CPU's own ways with TensorFlow's operations: what rounding alone does is a
# tenth of these or less. A value that crosses 0 at a ReLU makes the most of it, in the gradients.
LIMITS = {
  'loss, stored statistics': 1e-5,
  'gradients, stored statistics': 1e-2,
  'loss, statistics of the batch': 1e-4,
  'statistics of the batch': 1e-3,
  'probabilities': 1e-3,
  'pixels of another class': 1e-3,
  'evaluation, loss': 1e-5,
  'evaluation, pixels elsewhere in the confusion matrix': 1e-3,
}


def reference(work):
  """The CPU's numbers, which `correctness` compares with."""
  for index, (network, settings) in enumerate(_networks(work).items()):
    if work.has_time_for(network):
      found = _observe(work, settings, operations='auto')
      np.savez(work.file(f'reference_{index}.npz'), **found)


def correctness(work):
  """The device's numbers against the reference's. In a dry run they are those of TensorFlow's own
  operations on the CPU, which are what a GPU runs.
  """
  for index, (network, settings) in enumerate(_networks(work).items()):
    try:
      with np.load(work.file(f'reference_{index}.npz')) as file:
        expected = dict(file)
    except OSError:
      work.findings.fail(network, 'the part on the CPU left no numbers to compare with')
      continue
    if not work.has_time_for(network):
      continue
    operations = 'plain' if work.is_dry_run else 'auto'
    found = _observe(work, settings, operations=operations, initial=_part(expected, 'initial/'))
    for what, difference, note in differences(found, expected):
      work.findings.judge(f'{network}: {what}', difference, LIMITS[what], note=note)


def differences(found, expected):
  """What two `_observe` differ by.

  Args:
    found, expected: dicts of arrays.

  Returns:
    list of (name in LIMITS, difference, note).
  """
  gradients, worst = largest_difference(_part(found, 'gradient/'), _part(expected, 'gradient/'))
  statistics, moved = largest_difference(
    _part(found, 'statistics/'), _part(expected, 'statistics/')
  )
  confusion = np.abs(found['confusion'] - expected['confusion']).sum() / 2
  results = [
    (
      'loss, stored statistics',
      _relative(found, expected, 'losses_stored'),
      f'largest of {_NUM_STEPS} steps',
    ),
    ('gradients, stored statistics', gradients, f'worst in {worst}'),
    ('loss, statistics of the batch', _relative(found, expected, 'losses_batch'), ''),
    ('statistics of the batch', statistics, f'worst in {moved}'),
    ('probabilities', np.abs(found['probabilities'] - expected['probabilities']).max(), 'largest'),
    ('pixels of another class', np.mean(found['labels'] != expected['labels']), 'share'),
    ('evaluation, loss', _relative(found, expected, 'evaluation_loss'), ''),
    (
      'evaluation, pixels elsewhere in the confusion matrix',
      confusion / expected['confusion'].sum(),
      'share',
    ),
  ]
  return [(what, float(difference), note) for what, difference, note in results]


def _relative(found, expected, name):
  return np.max(np.abs(found[name] - expected[name]) / np.abs(expected[name]))


def largest_difference(found, expected):
  """(difference relative to the value of the same variable, both as norms, where it is largest; the
  variable's name). What is next to nothing counts relative to a thousandth of the largest of all.

  Args:
    found, expected: name -> array.
  """
  sizes = {name: _norm(value) for name, value in expected.items()}
  least = 1e-3 * max(sizes.values())
  relative = {
    name: _norm(found[name] - value) / max(sizes[name], least) for name, value in expected.items()
  }
  worst = max(relative, key=lambda name: np.nan_to_num(relative[name], nan=np.inf))
  return relative[worst], worst


def _part(arrays, prefix):
  """Those whose names begin with it, without it."""
  return {
    name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)
  }


def _norm(array):
  return np.sqrt(np.mean(np.square(array, dtype=np.float64)))


def _networks(work):
  if not work.is_dry_run:
    return _NETWORKS
  name, settings = next(iter(_NETWORKS.items()))
  return {f'{name}, thin': dict(settings, atrous_rates=[1, 2, 3], depth_multiplier=0.35)}


def _observe(work, settings, *, operations, initial=None):
  """Trains, predicts and evaluates.

  Args:
    settings: of ModelOptions.
    operations: of the network.
    initial: name -> value of all variables, or None to draw them.

  Returns:
    dict of arrays: initial/NAME, gradient/NAME, statistics/NAME; losses_stored, losses_batch,
    evaluation_loss, probabilities, labels, confusion.
  """
  from deeplab.distribution import strategy as strategies
  from deeplab.model.prediction_model import DeepLabV3PredictionModel
  from deeplab.options import DistributionOptions, ModelOptions

  size, batch_size = (49, 4) if work.is_dry_run else (129, 4)
  batches = [
    as_batch(work.scenes(batch_size, height=size, width=size, seed=seed))
    for seed in range(_NUM_STEPS)
  ]
  strategy = strategies.make(DistributionOptions())
  with strategy.scope():
    model = DeepLabV3PredictionModel(
      ModelOptions(num_classes=gpu_verdict_work.NUM_CLASSES, **settings),
      batch_norm_decay=1e-6,  # One step, and the statistics are those of its batch.
      operations=operations,
    )
  if initial is None:
    settle(model, as_batch(work.scenes(8, height=size, width=size, seed=99))['images'])
    initial = {name: variable.numpy() for name, variable in model.named_variables.items()}

  def restart():
    for name, variable in model.named_variables.items():
      variable.assign(initial[name])

  restart()
  found = {f'initial/{name}': value for name, value in initial.items()}
  found.update(_predicted(work, model, size), **_evaluated(work, model, size))
  found['losses_stored'], states = _trained(model, batches, strategy, uses_batch=False)
  for name in model.trainable:
    found[f'gradient/{name}'] = np.stack([state[f'{name}/gradient'] for state in states])
  restart()
  found['losses_batch'], states = _trained(model, batches, strategy, uses_batch=True)
  for name in set(model.named_variables) - set(model.trainable):
    found[f'statistics/{name}'] = np.stack([state[name] for state in states])
  return found


def as_batch(scenes):
  """A batch of scenes of one size, as training steps take it."""
  import tensorflow as tf

  return {
    'images': tf.constant(np.stack([image for image, _ in scenes]), tf.float32),
    'labels': tf.constant(np.stack([label for _, label in scenes])),  # uint8, as on a device.
    'names': tf.constant([f'scene {index}' for index in range(len(scenes))]),
  }


def settle(model, images):
  """Gives an untrained network the statistics of images. With its first ones, 0 and 1, all features
  would be next to nothing, and no number would depend on them.
  """
  import tensorflow as tf

  model.predict_low_resolution(images, is_training=True, dropout_seed=tf.constant([0, 0]))
  weights = model.named_variables['logits/semantic/weights']
  weights.assign(2.0 * weights)


def _trained(model, batches, strategy, *, uses_batch):
  """(losses float64 [steps], [{name: value after a step} of all variables, and NAME/gradient]).

  The gradient is what momentum is if nothing of it is kept.
  """
  from deeplab.losses import SegmentationLoss
  from deeplab.options import LossOptions, TrainingOptions
  from deeplab.training.training_step import TrainingStep

  step = TrainingStep(
    model,
    TrainingOptions(fine_tune_batch_norm=uses_batch, momentum=0.0),
    loss=SegmentationLoss(LossOptions(), 255),
    strategy=strategy,
  )
  losses, states = [], []
  for index, batch in enumerate(batches):
    losses.append(step([batch], learning_rate=LEARNING_RATE, step=index).total_loss)
    states.append(
      {
        name.replace('/Momentum', '/gradient'): variable.numpy()
        for name, variable in {**model.named_variables, **step.slots}.items()
      }
    )
  return np.array(losses), states


def _predicted(work, model, size):
  from deeplab.inferencer import DeepLabV3Inferencer

  inferencer = DeepLabV3Inferencer(model, with_probabilities=True)
  predicted = [
    inferencer.predict([image])[0]
    for height, width in ((size, size + 16), (size + 9, size))
    for image, _ in work.scenes(1, height=height, width=width)
  ]
  return {
    'labels': np.concatenate([labels.ravel() for labels, _ in predicted]),
    'probabilities': np.concatenate([each.ravel() for _, each in predicted]),
  }


def _evaluated(work, model, size):
  from deeplab.data import input_pipeline
  from deeplab.evaluator import DeepLabV3Evaluator

  num_classes = gpu_verdict_work.NUM_CLASSES
  path = work.records(4, height=size, width=size + 16)
  examples = input_pipeline.evaluation_examples([path], num_classes=num_classes, ignore_label=255)
  result = DeepLabV3Evaluator(model, num_classes=num_classes).evaluate(examples)
  return {'confusion': result.confusion, 'evaluation_loss': np.array(result.loss)}
