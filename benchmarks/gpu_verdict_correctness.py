"""Losses, gradients, predictions and confusion matrices of a device against those of the CPU."""


import cells
import gpu_verdict_part
import numpy as np

_NUM_STEPS = 3
_LEARNING_RATE = 1e-3

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
# The CPU's own ways differ from TensorFlow's operations on the CPU by a tenth of these or less
# (--dry_run compares those two). That is how far rounding goes in these networks.
LIMITS = {
  'loss, stored statistics': 1e-5,
  'gradients, stored statistics': 1e-3,
  'loss, statistics of the batch': 1e-4,
  'statistics of the batch': 1e-4,
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
    initial = {
      name.removeprefix('initial/'): value
      for name, value in expected.items()
      if name.startswith('initial/')
    }
    operations = 'plain' if work.is_dry_run else 'auto'
    found = _observe(work, settings, operations=operations, initial=initial)
    for what, difference, note in differences(found, expected):
      work.findings.judge(f'{network}: {what}', difference, LIMITS[what], note=note)


def differences(found, expected):
  """What two `_observe` differ by.

  Args:
    found, expected: dicts of arrays.

  Returns:
    list of (name in LIMITS, difference, note).
  """
  gradients, worst = _largest_difference(found, expected, 'gradient/')
  statistics, moved = _largest_difference(found, expected, 'statistics/')
  confusion = np.abs(found['confusion'] - expected['confusion']).sum() / 2
  results = [
    ('loss, stored statistics', _relative(found, expected, 'losses_stored'), f'{_NUM_STEPS} steps'),
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


def _largest_difference(found, expected, prefix):
  """(largest difference relative to the largest value of the same variable, its name). A variable
  with next to nothing counts relative to a thousandth of the largest of all.
  """
  names = [name for name in expected if name.startswith(prefix)]
  sizes = {name: np.abs(expected[name]).max() for name in names}
  least = 1e-3 * max(sizes.values())
  relative = {
    name: np.abs(found[name] - expected[name]).max() / max(sizes[name], least) for name in names
  }
  worst = max(names, key=lambda name: np.nan_to_num(relative[name], nan=np.inf))
  return relative[worst], worst.removeprefix(prefix)


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

  size, batch_size = (49, 2) if work.is_dry_run else (129, 4)
  batches = [
    as_batch(work.scenes(batch_size, height=size, width=size, seed=seed))
    for seed in range(_NUM_STEPS)
  ]
  strategy = strategies.make(DistributionOptions())
  with strategy.scope():
    model = DeepLabV3PredictionModel(
      ModelOptions(num_classes=gpu_verdict_part.NUM_CLASSES, **settings),
      batch_norm_decay=1e-6,  # One step, and the statistics are those of its batch.
      operations=operations,
    )
  if initial is None:
    settle(model, batches[0]['images'])
    initial = {name: variable.numpy() for name, variable in model.named_variables.items()}

  def restart():
    for name, variable in model.named_variables.items():
      variable.assign(initial[name])

  restart()
  found = {f'initial/{name}': value for name, value in initial.items()}
  found.update(_predicted(work, model, size), **_evaluated(work, model, size))
  found['losses_stored'], gradients = _trained(model, batches, strategy, uses_batch=False)
  found.update({f'gradient/{name}': value for name, value in gradients.items()})
  restart()
  found['losses_batch'], _ = _trained(model, batches, strategy, uses_batch=True)
  for name, variable in model.named_variables.items():
    if not variable.trainable:
      found[f'statistics/{name}'] = variable.numpy()
  return found


def as_batch(scenes):
  """A batch of scenes of one size, as training steps take it."""
  import tensorflow as tf

  return {
    'images': tf.constant(np.stack([image for image, _ in scenes]), tf.float32),
    'labels': tf.constant(np.stack([label for _, label in scenes]), tf.int32),
    'names': tf.constant([f'scene {index}' for index in range(len(scenes))]),
  }


def settle(model, images):
  """Gives an untrained network the statistics of images and decided predictions. With its first
  statistics, 0 and 1, all its features would be next to nothing, and all numbers the same.
  """
  import tensorflow as tf

  model.predict_low_resolution(images, is_training=True, dropout_seed=tf.constant([0, 0]))
  weights = model.named_variables['logits/semantic/weights']
  weights.assign(30.0 * weights)


def _trained(model, batches, strategy, *, uses_batch):
  """(losses float64 [steps], {name: gradient of the first step}).

  The gradient is what momentum has after the first step.
  """
  from deeplab.losses import SegmentationLoss
  from deeplab.options import LossOptions, TrainingOptions
  from deeplab.training.training_step import TrainingStep

  step = TrainingStep(
    model,
    TrainingOptions(fine_tune_batch_norm=uses_batch),
    loss=SegmentationLoss(LossOptions(), 255),
    strategy=strategy,
  )
  losses, gradients = [], {}
  for index, batch in enumerate(batches):
    result = step([batch], learning_rate=_LEARNING_RATE, step=index)
    losses.append(result.total_loss)
    if not index:
      gradients = {
        name.removesuffix('/Momentum'): slot.numpy() for name, slot in step.slots.items()
      }
  return np.array(losses), gradients


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

  num_classes = gpu_verdict_part.NUM_CLASSES
  path = work.records(4, height=size, width=size + 16)
  examples = input_pipeline.evaluation_examples([path], num_classes=num_classes, ignore_label=255)
  result = DeepLabV3Evaluator(model, num_classes=num_classes).evaluate(examples)
  return {'confusion': result.confusion, 'evaluation_loss': np.array(result.loss)}
