"""One update: loss, gradient, optimizer; on one device or on all replicas of a tf.distribute
strategy.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab import losses, optimizer
from deeplab.model.backbones import is_of_backbone
from deeplab.model.prediction_model import DeepLabV3PredictionModel
from deeplab.options import TrainingOptions
from deeplab.training import label_facts
from deeplab.training.accumulators import Accumulators
from deeplab.training.loss_scale import LossScale
from deeplab.training.step_result import StepResult

_NUM_SHOWN = 3  # Images of a batch whose predictions come along for the picture panel.


class PendingResult:
  """What an update that was started will tell of itself. Holds numbers only, no maps."""

  def __init__(self, vector: tf.Tensor, read):
    self._vector, self._read = vector, read

  def result(self) -> StepResult:
    """Waits for the update to end."""
    return self._read(self._vector.numpy())


class TrainingStep:
  """Updates a model by batches.

  Attributes:
    slots: checkpoint name -> tf.Variable, all state beside the model's variables.
    average: moving average of the weights, or None.
  """

  def __init__(
    self,
    model: DeepLabV3PredictionModel,
    options: TrainingOptions,
    *,
    loss: losses.SegmentationLoss,
    strategy: tf.distribute.Strategy,
    seed: int = 0,
    jit_compile: bool = False,
    scale_loss: bool = False,
  ):
    """Makes the optimizer's variables and traces nothing yet.

    Args:
      model: made in the scope of `strategy`.
      options: optimizer and what goes with it.
      loss: what is minimized.
      strategy: on one device or several.
      seed: of dropout, which is a function of seed, step and place in the batch.
      jit_compile: compile forward and backward pass with XLA.
      scale_loss: dynamic loss scaling, for float16.
    """
    self._model, self._options, self._loss = model, options, loss
    self._strategy, self._seed = strategy, seed
    trainable = model.trainable
    if options.backbone_learning_rate_multiplier == 0.0:
      trainable = {
        name: variable for name, variable in trainable.items() if not is_of_backbone(name)
      }
    self._trainable = trainable
    self._decay_in_loss = options.optimizer != 'adamw'
    with strategy.scope():
      self._optimizer = optimizer.make(options, trainable, weight_decay=model.options.weight_decay)
      self.average = (
        optimizer.MovingAverage(model.named_variables, decay=options.ema_decay)
        if options.ema_decay is not None
        else None
      )
      self._loss_scale = LossScale() if scale_loss else None
      self._accumulators = None
      if options.accumulate_steps > 1:
        self._accumulators = Accumulators(trainable, self._part_names())
    self.slots = {**self._optimizer.slots, **(self.average.slots if self.average else {})}
    if self._loss_scale is not None:
      self.slots.update(self._loss_scale.slots)
    if jit_compile:
      self._gradients = tf.function(self._gradients, autograph=False, jit_compile=True)
    # Statistics that each replica has moved by its own images.
    self._diverging = ()
    if strategy.num_replicas_in_sync > 1 and options.fine_tune_batch_norm:
      self._diverging = tuple(
        variable for variable in model.named_variables.values() if not variable.trainable
      )
    self._names = None
    self._last_batch = None

  def __call__(self, batches: Sequence[dict], **settings: float) -> StepResult:
    """Makes one update; arguments as of `start`."""
    return self.start(batches, **settings).result()

  def start(
    self, batches: Sequence[dict], *, learning_rate: float, step: int, stop: bool = False
  ) -> PendingResult:
    """Starts one update. On a GPU it goes on while the caller prepares the next one.

    Args:
      batches: accumulate_steps dicts with images float32 [B, h, w, 3] and labels uint8, uint16 or
        int32 [B, h, w]; with several replicas, of what `device_batches` makes of such.
      learning_rate: of this update.
      step: number of updates made so far.
      stop: this worker is asked to stop; what all workers say is in the result of each.
    """
    self._last_batch = None  # Before anything is allocated for this update.
    images = [batch['images'] for batch in batches]
    labels = [batch['labels'] for batch in batches]
    rate, step = tf.constant(learning_rate, tf.float32), tf.constant(step, tf.int64)
    stop = tf.constant(float(stop))
    if self._accumulators is None:
      vector, logits = self._update(images[0], labels[0], rate, step, stop)
    else:
      counts = self._count(labels)
      for micro in range(len(batches)):
        logits = self._accumulate(
          images[micro], labels[micro], counts, step, tf.constant(micro, tf.int64)
        )
      vector = self._finish(rate, step, stop)
    self._last_batch = images[-1], labels[-1], logits
    return PendingResult(vector, self._result)

  def pictures(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A few images of the last update's (last) batch, for people.

    Returns:
      arrays (images float32 [n, h, w, 3], labels int32 [n, h, w], predictions int32 [n, h, w]), the
      predictions those before the update.
    """
    images, labels, logits = self._last_batch
    resized = self._model.upsample(logits, self._local(labels).shape[1:3])
    return (
      self._local(images)[:_NUM_SHOWN].numpy(),
      self._first(labels),
      tf.argmax(resized, axis=-1, output_type=tf.int32).numpy(),
    )

  def _result(self, vector):
    values = dict(zip(self._names, vector.tolist()))
    parts = {name: values[name] for name in self._part_names()}
    smallest, largest = int(values['smallest_label']), int(values['largest_label'])
    return StepResult(
      total_loss=float(np.sum(np.float32(list(parts.values())))),
      parts=parts,
      gradient_norm=values['gradient_norm'],
      label_range=(smallest, largest) if smallest <= largest else None,
      wrong_labels=int(values['wrong_labels']),
      overflowed=self._loss_scale is not None and not np.isfinite(values['gradient_norm']),
      stop_requested=values['stop'] > 0,
    )

  def _local(self, value):
    return self._strategy.experimental_local_results(value)[0]

  def _first(self, value):
    return tf.cast(self._local(value)[:_NUM_SHOWN], tf.int32).numpy()

  # === One batch an update ===

  @tf.function(autograph=False)
  def _update(self, images, labels, rate, step, stop):
    def on_replica(images, labels):
      context = tf.distribute.get_replica_context()
      counts = context.all_reduce('SUM', self._loss.counts(labels))
      seed = self._dropout_seed(step, tf.constant(0, tf.int64))
      gradients, sums, logits = self._gradients(
        images, labels, counts, seed, step, context.replica_id_in_sync_group
      )
      return self._apply(context, gradients, sums, self._label_facts(labels), rate, stop), logits

    vector, logits = self._strategy.run(on_replica, args=(images, labels))
    return self._after_update(self._local(vector), step), self._local(logits)

  # === Several batches an update ===

  @tf.function(autograph=False)
  def _count(self, labels):
    """{part: count} over all replicas and micro-batches."""

    def on_replica(labels):
      counts = [self._loss.counts(micro) for micro in labels]
      total = {part: tf.add_n([count[part] for count in counts]) for part in counts[0]}
      return tf.distribute.get_replica_context().all_reduce('SUM', total)

    counts = self._strategy.run(on_replica, args=(labels,))
    return {part: self._local(count) for part, count in counts.items()}

  @tf.function(autograph=False)
  def _accumulate(self, images, labels, counts, step, micro):
    def on_replica(images, labels):
      replica = tf.distribute.get_replica_context().replica_id_in_sync_group
      seed = self._dropout_seed(step, micro)
      gradients, sums, logits = self._gradients(images, labels, counts, seed, step, replica)
      self._accumulators.add(gradients, sums, self._label_facts(labels))
      return logits

    return self._local(self._strategy.run(on_replica, args=(images, labels)))

  @tf.function(autograph=False)
  def _finish(self, rate, step, stop):
    def on_replica():
      context = tf.distribute.get_replica_context()
      return self._apply(context, *self._accumulators.take(), rate, stop)

    return self._after_update(self._local(self._strategy.run(on_replica)), step)

  # === What both share ===

  def _part_names(self):
    return (*self._loss.parts, 'l2')

  def _label_facts(self, labels):
    return label_facts.of(
      labels,
      num_classes=self._model.options.num_classes,
      ignore_label=self._loss.ignore_label,
    )

  def _dropout_seed(self, step, micro):
    drawn = step * self._options.accumulate_steps + micro
    return tf.stack([tf.constant(self._seed % 2**31, tf.int32), tf.cast(drawn % 2**31, tf.int32)])

  def _gradients(self, images, labels, counts, dropout_seed, step, replica):
    """This replica's share of gradients and loss parts: their sums over replicas and micro-batches
    are the batch's.
    """
    replicas = self._strategy.num_replicas_in_sync
    shares = replicas * self._options.accumulate_steps
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(list(self._trainable.values()))
      logits = self._model.predict_low_resolution(
        images,
        is_training=True,
        dropout_seed=dropout_seed,
        share=(replica, replicas),
        fine_tune_batch_norm=self._options.fine_tune_batch_norm,
      )
      sums = self._loss.sums(
        logits,
        labels,
        step=step,
        operations=self._model.operations,
        align_corners=self._model.options.align_corners,
      )
      sums = {part: losses.mean(total, counts[part]) for part, total in sums.items()}
      l2 = self._model.l2_loss() / shares
      minimized = tf.add_n([*sums.values(), l2] if self._decay_in_loss else list(sums.values()))
      if self._loss_scale is not None:
        minimized *= self._loss_scale.value
    gradients = tape.gradient(
      minimized, list(self._trainable.values()), unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    if self._loss_scale is not None:
      gradients = [gradient / self._loss_scale.value for gradient in gradients]
    return dict(zip(self._trainable, gradients)), {**sums, 'l2': l2}, logits[:_NUM_SHOWN]

  def _apply(self, context, gradients, sums, facts, rate, stop):
    """Adds up over replicas and updates the variables; returns the vector of numbers named by
    `self._names`.
    """
    gradients, sums = context.all_reduce('SUM', (gradients, sums))
    # There is no all_reduce of extremes: gather by a sum of vectors with one entry a replica.
    replica = tf.one_hot(context.replica_id_in_sync_group, self._strategy.num_replicas_in_sync)
    smallest, largest, wrong, stop = context.all_reduce(
      'SUM',
      (
        replica * facts['smallest_label'],
        replica * facts['largest_label'],
        facts['wrong_labels'],
        tf.identity(stop),
      ),
    )
    self._share_statistics(context)
    norm = tf.linalg.global_norm(list(gradients.values()))
    finite = tf.math.is_finite(norm) if self._loss_scale is not None else None
    self._optimizer.apply(gradients, rate, finite=finite)
    numbers = {
      **sums,
      'gradient_norm': norm,
      'smallest_label': tf.reduce_min(smallest),
      'largest_label': tf.reduce_max(largest),
      'wrong_labels': wrong,
      'stop': stop,
    }
    self._names = tuple(numbers)
    return tf.stack(list(numbers.values()))

  def _share_statistics(self, context):
    """Gives every replica the mean of the batch norm statistics. The mean of moving averages moves
    as the averages of the means would.
    """
    if self._diverging:
      means = context.all_reduce('MEAN', [tf.identity(each) for each in self._diverging])
      for variable, value in zip(self._diverging, means):
        variable.assign(value)

  def _after_update(self, vector, step):
    """Follows the update with what is done once for all replicas."""
    with tf.control_dependencies([vector]):
      if self.average is not None:
        self.average.update(step)
      if self._loss_scale is not None:
        self._loss_scale.update(tf.math.is_finite(vector[self._names.index('gradient_norm')]))
      return tf.identity(vector)
